//! Square: events of payments, orders and customers.
//!
//! Square retries at growing intervals. It disables a subscription that receives no 2xx response for three
//! weeks.

use crate::providers::{
    Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SignedContent,
    SigningPart,
};

/// Square signs the notification URL followed by the raw body with HMAC-SHA256 and sends the signature in
/// base64 in `x-square-hmacsha256-signature`. The URL is the one in the subscription, byte for byte,
/// including its query. hookbridge ignores the older `x-square-signature`, which is HMAC-SHA1.
pub const SQUARE: Provider = Provider {
    name: "square",
    title: "Square",
    documentation: "https://developer.squareup.com/docs/webhooks/step3validate",
    secret_hint: "The signature key of the webhook subscription, from Webhooks > Subscriptions in the Square Developer Console.",
    source: "squareup.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-square-hmacsha256-signature"],
        encoding: Encoding::Base64,
        signed_content: SignedContent::Parts(&[SigningPart::Url, SigningPart::Body]),
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The replay has the same event id.",
    ),
    event_type: Some(FieldLocation::Body("/type")),
    delivery_id: Some(FieldLocation::Body("/event_id")),
    event_time: Some(FieldLocation::Body("/created_at")),
    samples: &[
        SampleWebhook {
            event_type: "payment.updated",
            body: r#"{"merchant_id":"ML3XAMPLE0001","type":"payment.updated","event_id":"6a8f5f28-54a1-4eb0-a98a-3111513fd4fc","created_at":"2026-11-20T21:27:34.308Z","data":{"type":"payment","id":"hYy9pRFVxpDsO1FB05SunFWUe9JZY","object":{"payment":{"id":"hYy9pRFVxpDsO1FB05SunFWUe9JZY","amount_money":{"amount":1250,"currency":"USD"},"status":"COMPLETED","order_id":"o03exampleOrder","location_id":"L3XAMPLE","created_at":"2026-11-20T21:27:33.000Z","version":3}}}}"#,
            id_placeholder: "6a8f5f28-54a1-4eb0-a98a-3111513fd4fc",
            time_placeholder: "2026-11-20T21:27:34.308Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "order.updated",
            body: r#"{"merchant_id":"ML3XAMPLE0001","type":"order.updated","event_id":"bc316346-6691-4243-88ed-6d651a0d0c47","created_at":"2026-11-20T22:51:30Z","data":{"type":"order_updated","id":"o03exampleOrder","object":{"order_updated":{"created_at":"2026-11-20T22:50:00Z","location_id":"L3XAMPLE","order_id":"o03exampleOrder","state":"OPEN","updated_at":"2026-11-20T22:51:30Z","version":2}}}}"#,
            id_placeholder: "bc316346-6691-4243-88ed-6d651a0d0c47",
            time_placeholder: "2026-11-20T22:51:30Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "customer.created",
            body: r#"{"merchant_id":"ML3XAMPLE0001","type":"customer.created","event_id":"5e4a1c02-8a5d-4e8b-a9f1-1f2e3d4c5b6a","created_at":"2026-11-21T08:15:02.123Z","data":{"type":"customer","id":"QPTXMEXAMPLE","object":{"customer":{"id":"QPTXMEXAMPLE","given_name":"Ada","family_name":"Example","email_address":"ada@example.com","created_at":"2026-11-21T08:15:01Z","version":0}}}}"#,
            id_placeholder: "5e4a1c02-8a5d-4e8b-a9f1-1f2e3d4c5b6a",
            time_placeholder: "2026-11-21T08:15:02.123Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
