//! Segment: events of the destinations Webhooks and Webhooks (Actions).
//!
//! Disable batching in the mapping: Segment signs only the first event of a batch, so hookbridge rejects
//! batches. The classic destination retries after 5xx for up to 4 hours; the retries of Webhooks (Actions)
//! are not confirmed.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Segment signs the raw body with HMAC-SHA1 and sends the signature in hex in `X-Signature`. It does not
/// sign the webhooks of a destination without a shared secret. The default mapping contains the fields
/// `type`, `messageId` and `timestamp`; another mapping may not.
pub const SEGMENT: Provider = Provider {
    name: "segment",
    title: "Segment",
    documentation: "https://www.twilio.com/docs/segment/connections/destinations/catalog/actions-webhook",
    secret_hint: "The shared secret that you set in the settings of Segment's Webhooks (Actions) destination.",
    source: "segment.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-signature"],
        signatures: &[SignatureFormat::hmac_sha1("")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. HMAC-SHA1 is below current practice, although no practical attack on it is known.",
    ),
    event_type: Some(FieldLocation::Body("/type")),
    delivery_id: Some(FieldLocation::Body("/messageId")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    samples: &[
        SampleWebhook {
            event_type: "track",
            body: r#"{"type":"track","event":"Order Completed","messageId":"ajs-next-1793000000123-0a1b2c3d","userId":"user_1001","anonymousId":"5f0c2a4e-8d1b-4f3a-9c6e-0a1b2c3d4e5f","properties":{"order_id":"1001","revenue":39.95,"currency":"EUR"},"context":{"ip":"203.0.113.7","library":{"name":"analytics.js","version":"next-1.70.0"}},"timestamp":"2026-10-26T06:13:20.123Z","receivedAt":"2026-10-26T06:13:20.400Z"}"#,
            id_placeholder: "ajs-next-1793000000123-0a1b2c3d",
            time_placeholder: "2026-10-26T06:13:20.123Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "identify",
            body: r#"{"type":"identify","messageId":"ajs-next-1793000060456-1b2c3d4e","userId":"user_1001","traits":{"email":"alice@example.com","plan":"pro"},"context":{"ip":"203.0.113.7"},"timestamp":"2026-10-26T06:14:20.456Z"}"#,
            id_placeholder: "ajs-next-1793000060456-1b2c3d4e",
            time_placeholder: "2026-10-26T06:14:20.456Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "page",
            body: r#"{"type":"page","messageId":"ajs-next-1793000120789-2c3d4e5f","anonymousId":"5f0c2a4e-8d1b-4f3a-9c6e-0a1b2c3d4e5f","name":"Pricing","properties":{"path":"/pricing","title":"Pricing","url":"https://www.example.com/pricing"},"timestamp":"2026-10-26T06:15:20.789Z"}"#,
            id_placeholder: "ajs-next-1793000120789-2c3d4e5f",
            time_placeholder: "2026-10-26T06:15:20.789Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
