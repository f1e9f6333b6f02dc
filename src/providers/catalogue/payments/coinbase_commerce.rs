//! Coinbase Commerce webhooks.
//!
//! Retries: exponential backoff for up to three days, at most one hour apart.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// Coinbase Commerce signs the raw body with HMAC-SHA256 and sends it in hex in `X-CC-Webhook-Signature`. The event
/// lies in the field `event`; the outer `id` and `attempt_number` describe the delivery and change with each attempt.
/// There is no timestamp in the signature. Commerce wants status 200.
pub const COINBASE_COMMERCE: Provider = Provider {
    name: "coinbase-commerce",
    title: "Coinbase Commerce",
    documentation: "https://docs.cdp.coinbase.com/commerce/api-arcitecture/webhooks-security",
    secret_hint: "The webhook shared secret, a UUID used as text: Coinbase Commerce, Settings, Notifications, Webhook subscriptions, Show shared secret.",
    source: "commerce.coinbase.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-cc-webhook-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some("No timestamp: a captured request can be replayed."),
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
