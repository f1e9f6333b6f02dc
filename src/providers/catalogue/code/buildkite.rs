//! Buildkite webhooks.
//!
//! Retries: not documented; the last 20 requests and answers of a webhook are shown in its settings.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SecretLocation, SignatureFormat,
    SignatureScheme, SignedContent, SignedTimestamp, SigningPart,
};

/// Buildkite sends `X-Buildkite-Signature: timestamp=...,signature=...`, where the signature is the hex HMAC-SHA256
/// of `timestamp.body` and the key is the webhook's token. A webhook can be set to send the token itself in
/// `X-Buildkite-Token` instead; one of the two headers is always present. The timestamp is the time of dispatch;
/// Buildkite suggests a window of 5 minutes.
pub const BUILDKITE: Provider = Provider {
    name: "buildkite",
    title: "Buildkite",
    documentation: "https://buildkite.com/docs/apis/webhooks/pipelines#webhook-signature",
    secret_hint: "The token of the webhook under Settings > Notification Services, used as text; the service must be set to send an HMAC signature.",
    source: "buildkite.com",
    signature_scheme: SignatureScheme::AnyOf(&[
        SignatureScheme::Header(HeaderSignature {
            headers: &["x-buildkite-signature"],
            header_format: HeaderFormat::List(','),
            signatures: &[SignatureFormat::hmac_sha256("signature=")],
            signed_content: SignedContent::Parts(&[
                SigningPart::Timestamp,
                SigningPart::Literal("."),
                SigningPart::Body,
            ]),
            timestamp: Some(SignedTimestamp::in_signature_header("timestamp=")),
            ..HeaderSignature::HMAC_SHA256
        }),
        SignatureScheme::SharedSecret(&[SecretLocation::Header("x-buildkite-token")]),
    ]),
    weakness: Some(
        "The event header is not signed; the signed body field `event` repeats it. There is no delivery id. Times are per kind: json:/build/finished_at, json:/job/finished_at (ISO 8601).",
    ),
    event_type: Some(FieldLocation::Header("x-buildkite-event")),
    samples: &[
        SampleWebhook {
            event_type: "build.finished",
            body: r#"{"event":"build.finished","build":{"id":"f62a1b4d-10f9-4790-bc1c-e2c3a0c80983","number":93,"state":"passed","blocked":false,"branch":"main","commit":"2a1d4e6f8b0c3d5e7f9a1b2c4d6e8f0a1b2c3d5e","created_at":"2026-11-20 09:15:00 UTC","finished_at":"2026-11-20 09:18:21 UTC","web_url":"https://buildkite.example.com/acme/demo/builds/93"},"pipeline":{"id":"849411f9-9e6d-4739-a0d8-e247088e9b52","slug":"demo","name":"Demo"},"sender":{"id":"8a7693f8-0000-4783-9137-84090fce9045","name":"Ada Example"}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "job.finished",
            body: r#"{"event":"job.finished","job":{"id":"b63254c0-3271-4a98-8270-7cfbd6c2f14e","type":"script","name":"test","state":"finished","exit_status":0,"started_at":"2026-11-20 09:15:20 UTC","finished_at":"2026-11-20 09:17:02 UTC"},"build":{"id":"f62a1b4d-10f9-4790-bc1c-e2c3a0c80983","number":93,"state":"running"},"pipeline":{"id":"849411f9-9e6d-4739-a0d8-e247088e9b52","slug":"demo"},"sender":{"id":"8a7693f8-0000-4783-9137-84090fce9045","name":"Ada Example"}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "ping",
            body: r#"{"event":"ping","service":{"id":"49801950-0000-474f-bb56-ad6a930c5cb9","provider":"webhook","settings":{"url":"https://hooks.example.com/buildkite"}},"organization":{"id":"31ff62bf-0000-4d9e-ab9c-d1b86ee9e5d7","slug":"acme"},"sender":{"id":"8a7693f8-0000-4783-9137-84090fce9045","name":"Ada Example"}}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
