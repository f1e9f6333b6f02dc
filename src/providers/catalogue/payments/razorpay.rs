//! Razorpay webhooks.
//!
//! Razorpay waits 5 s for a response. Retries: exponential backoff for 24 hours after the event; then the webhook is
//! disabled.

use crate::providers::{FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// Razorpay signs the raw body with HMAC-SHA256 and sends it in hex in `X-Razorpay-Signature`. `x-razorpay-event-id`
/// is unique per event and the same in retries, but the signature does not cover it. There is no timestamp in the
/// signature. After a change of the secret, retries of older events still carry the old secret's signature; Razorpay
/// wants 2xx within 5 seconds.
pub const RAZORPAY: Provider = Provider {
    name: "razorpay",
    title: "Razorpay",
    documentation: "https://razorpay.com/docs/webhooks/validate-test/",
    secret_hint: "The secret that was typed when the webhook was set up, used as text; it is not the API key secret: Razorpay Dashboard, Account & Settings, Webhooks.",
    source: "razorpay.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-razorpay-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp: a captured request can be replayed, under another event id, because the id header is not signed.",
    ),
    event_type: Some(FieldLocation::Body("/event")),
    delivery_id: Some(FieldLocation::Header("x-razorpay-event-id")),
    event_time: Some(FieldLocation::Body("/created_at")),
    samples: &[
        SampleWebhook {
            event_type: "payment.captured",
            body: r#"{"entity":"event","account_id":"acc_Example000001","event":"payment.captured","contains":["payment"],"payload":{"payment":{"entity":{"id":"pay_Example000001","entity":"payment","amount":50000,"currency":"INR","status":"captured","order_id":"order_Example0001","method":"upi","captured":true,"email":"ada@example.com","created_at":1795170000}}},"created_at":1795170005}"#,
            time_placeholder: "1795170005",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "refund.processed",
            body: r#"{"entity":"event","account_id":"acc_Example000001","event":"refund.processed","contains":["refund"],"payload":{"refund":{"entity":{"id":"rfnd_Example00001","entity":"refund","amount":50000,"currency":"INR","payment_id":"pay_Example000001","status":"processed","created_at":1795180000}}},"created_at":1795180010}"#,
            time_placeholder: "1795180010",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
