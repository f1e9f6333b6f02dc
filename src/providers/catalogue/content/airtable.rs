//! Airtable webhooks.
//!
//! Retries: failed notifications are retried (the API shows retryNumber and willBeRetried); the schedule is not
//! confirmed.

use crate::providers::{
    Algorithm, FieldLocation, HeaderSignature, KeyFormat, Provider, SampleWebhook, SignatureFormat,
    SignatureScheme, SuccessResponse,
};

/// HMAC-SHA256 over the raw body, in hex after `hmac-sha256=`; the key is the base64-decoded MAC secret. The
/// notification is a ping that names the base and the webhook; the changes are fetched with the list webhook payloads
/// endpoint. There is no event type and no delivery id. A webhook expires after 7 days unless it is refreshed or its
/// payloads are listed.
pub const AIRTABLE: Provider = Provider {
    name: "airtable",
    title: "Airtable",
    documentation: "https://airtable.com/developers/web/api/webhooks-overview",
    secret_hint: "The `macSecretBase64` that Airtable's API returns once, when the webhook is created, in base64.",
    source: "airtable.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-airtable-content-mac"],
        signatures: &[SignatureFormat {
            prefix: "hmac-sha256=",
            algorithm: Algorithm::HmacSha256,
            key_format: KeyFormat::Base64(""),
        }],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some("No replay protection: the body's timestamp is signed, but Airtable names no window."),
    event_time: Some(FieldLocation::Body("/timestamp")),
    success: SuccessResponse::NO_CONTENT,
    samples: &[
        SampleWebhook {
            event_type: "ping",
            body: r#"{"base":{"id":"appA1b2C3d4E5f6G7"},"webhook":{"id":"achA1b2C3d4E5f6G7"},"timestamp":"2026-11-20T09:30:11.663Z"}"#,
            time_placeholder: "2026-11-20T09:30:11.663Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "ping",
            body: r#"{"base":{"id":"appZ9y8X7w6V5u4T3"},"webhook":{"id":"achZ9y8X7w6V5u4T3"},"timestamp":"2026-11-20T09:31:05.001Z"}"#,
            time_placeholder: "2026-11-20T09:31:05.001Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
