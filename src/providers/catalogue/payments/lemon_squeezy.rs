//! Lemon Squeezy: events of orders and subscriptions.
//!
//! Lemon Squeezy accepts only status 200. It retries three times, after about 5, 25 and 125 s.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// Lemon Squeezy signs the raw body with HMAC-SHA256 and sends the signature in hex in `X-Signature`.
/// hookbridge takes the event type from `meta.event_name` in the body, because the signature does not cover
/// `X-Event-Name`.
pub const LEMON_SQUEEZY: Provider = Provider {
    name: "lemon-squeezy",
    title: "Lemon Squeezy",
    documentation: "https://docs.lemonsqueezy.com/help/webhooks/signing-requests",
    secret_hint: "The signing secret (6 to 40 characters) of the webhook, as you entered it under Settings > Webhooks in Lemon Squeezy.",
    source: "lemonsqueezy.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp and events have no id.",
    ),
    event_type: Some(FieldLocation::Body("/meta/event_name")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "order_created",
            body: r#"{"meta":{"test_mode":true,"event_name":"order_created","webhook_id":"00000000-0000-4000-8000-000000000001","custom_data":{"user":"1001"}},"data":{"type":"orders","id":"1","attributes":{"store_id":1,"identifier":"636f855c-1fb9-4c07-b75c-000000000001","order_number":1,"user_email":"ada@example.com","currency":"USD","total":1199,"status":"paid","created_at":"2026-11-20T12:43:48.000000Z"}}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "subscription_created",
            body: r#"{"meta":{"test_mode":true,"event_name":"subscription_created","webhook_id":"00000000-0000-4000-8000-000000000002"},"data":{"type":"subscriptions","id":"11","attributes":{"store_id":1,"customer_id":2,"order_id":1,"product_name":"Example plan","user_email":"ada@example.com","status":"active","renews_at":"2026-12-20T12:43:51.000000Z","created_at":"2026-11-20T12:43:51.000000Z","updated_at":"2026-11-20T12:43:52.000000Z"}}}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
