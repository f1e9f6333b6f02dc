//! Buildkite: builds, jobs and other events of pipelines.
//!
//! Buildkite documents neither a timeout nor retries. The settings of a webhook show its last 20 requests and
//! responses.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SecretLocation, SignatureFormat,
    SignatureScheme, SignedContent, SignedTimestamp, SigningPart,
};

/// Buildkite signs `TIMESTAMP.BODY` with HMAC-SHA256 and sends `timestamp=TIMESTAMP,signature=SIGNATURE`,
/// with a hex signature, in `X-Buildkite-Signature`. The key is the token of the webhook, which a webhook can
/// also send in `X-Buildkite-Token` instead of a signature. hookbridge applies the limit that Buildkite
/// suggests for the timestamp, 300 s.
pub const BUILDKITE: Provider = Provider {
    name: "buildkite",
    title: "Buildkite",
    documentation: "https://buildkite.com/docs/apis/webhooks/pipelines#webhook-signature",
    secret_hint: "The token of the webhook, from Settings > Notification Services in Buildkite, where you choose to send an HMAC signature instead of the token.",
    source: "buildkite.com",
    signature_scheme: SignatureScheme::AnyOf(&[
        SignatureScheme::Header(HeaderSignature {
            headers: &["x-buildkite-signature"],
            header_format: HeaderFormat::List(","),
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
        "The signature does not cover the header with the event type. A webhook that sends its token is not signed at all: an attacker who reads one request can forge others.",
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
