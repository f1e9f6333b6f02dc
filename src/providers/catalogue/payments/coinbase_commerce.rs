//! Coinbase Commerce: events of charges.
//!
//! Coinbase Commerce expects status 200. It retries for up to three days with exponential backoff, at least
//! once an hour.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// Coinbase Commerce signs the raw body with HMAC-SHA256 and sends the signature in hex in
/// `X-CC-Webhook-Signature`. The event is in the field `event`; the outer `id` and `attempt_number` change
/// with each attempt.
pub const COINBASE_COMMERCE: Provider = Provider {
    name: "coinbase-commerce",
    title: "Coinbase Commerce",
    documentation: "https://docs.cdp.coinbase.com/commerce/api-arcitecture/webhooks-security",
    secret_hint: "The webhook shared secret (a UUID), from Settings > Notifications > Webhook subscriptions > Show shared secret in Coinbase Commerce.",
    source: "commerce.coinbase.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-cc-webhook-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The replay has the same event id.",
    ),
    event_type: Some(FieldLocation::Body("/event/type")),
    delivery_id: Some(FieldLocation::Body("/event/id")),
    event_time: Some(FieldLocation::Body("/event/created_at")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "charge:confirmed",
            body: r#"{"id":"0a1b2c3d-1111-4222-8333-444455556666","scheduled_for":"2026-11-20T20:50:02Z","attempt_number":1,"event":{"id":"24934862-d980-46cb-9402-000000000001","resource":"event","type":"charge:confirmed","api_version":"2018-03-22","created_at":"2026-11-20T20:49:02Z","data":{"code":"EXAMPL01","name":"Example order","pricing_type":"fixed_price","pricing":{"local":{"amount":"10.00","currency":"USD"}},"metadata":{"order":"1001"}}}}"#,
            id_placeholder: "24934862-d980-46cb-9402-000000000001",
            time_placeholder: "2026-11-20T20:49:02Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "charge:failed",
            body: r#"{"id":"0a1b2c3d-1111-4222-8333-444455556667","scheduled_for":"2026-11-20T21:50:02Z","attempt_number":1,"event":{"id":"24934862-d980-46cb-9402-000000000002","resource":"event","type":"charge:failed","api_version":"2018-03-22","created_at":"2026-11-20T21:49:02Z","data":{"code":"EXAMPL02","name":"Example order","timeline":[{"time":"2026-11-20T21:49:02Z","status":"EXPIRED"}]}}}"#,
            id_placeholder: "24934862-d980-46cb-9402-000000000002",
            time_placeholder: "2026-11-20T21:49:02Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
