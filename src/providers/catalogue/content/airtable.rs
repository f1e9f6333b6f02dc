//! Airtable: notifications that a base has changed.
//!
//! A notification does not contain the change; the subscriber fetches it with Airtable's API ("list webhook
//! payloads"). A webhook expires after 7 days unless it is refreshed or its payloads are listed.

use crate::providers::{
    Algorithm, FieldLocation, HeaderSignature, KeyFormat, Provider, SampleWebhook, SignatureFormat,
    SignatureScheme, SuccessResponse,
};

/// Airtable signs the raw body with HMAC-SHA256 and sends the signature in hex after `hmac-sha256=` in
/// `X-Airtable-Content-MAC`. The HMAC key is the secret, decoded from base64. A notification has neither an
/// event type nor an id. Airtable expects status 200 or 204 without a body.
pub const AIRTABLE: Provider = Provider {
    name: "airtable",
    title: "Airtable",
    documentation: "https://airtable.com/developers/web/api/webhooks-overview",
    secret_hint: "The macSecretBase64 of the webhook, in base64, which Airtable's API returns only when it creates the webhook.",
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
    weakness: Some(
        "An attacker can replay a recorded webhook at any time. Its body has a signed timestamp, but Airtable documents no maximum age, so hookbridge checks none.",
    ),
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
