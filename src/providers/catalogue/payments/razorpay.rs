//! Razorpay: events of payments, refunds and orders.
//!
//! Razorpay waits 5 s for a response, retries for 24 hours with exponential backoff, and then disables the
//! webhook. After the secret was changed, retries of older events are still signed with the old secret, so
//! `PreviousSecretGraceSeconds` must be at least 86400.

use crate::providers::{FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// Razorpay signs the raw body with HMAC-SHA256 and sends the signature in hex in `X-Razorpay-Signature`. The
/// delivery id in `x-razorpay-event-id` is the same in every retry, but the signature does not cover it.
pub const RAZORPAY: Provider = Provider {
    name: "razorpay",
    title: "Razorpay",
    documentation: "https://razorpay.com/docs/webhooks/validate-test/",
    secret_hint: "The secret of the webhook (not the API key secret), as you entered it under Account & Settings > Webhooks in the Razorpay Dashboard.",
    source: "razorpay.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-razorpay-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook with another event id at any time, because the signature has no timestamp and does not cover `x-razorpay-event-id`.",
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
