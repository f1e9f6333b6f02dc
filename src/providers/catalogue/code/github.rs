//! GitHub: repository, organisation and App webhooks.
//!
//! GitHub does not retry. After a response other than 2xx, or without a response within 10 s, the operator must request a
//! redelivery within 3 days.

use crate::providers::{
    BodyFormat, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// GitHub signs the raw body with HMAC-SHA256 and writes the signature in hex after `sha256=`. The body is JSON, or a form
/// (`application/x-www-form-urlencoded`) whose field `payload` holds the JSON. The signature covers the form as sent.
pub const GITHUB: Provider = Provider {
    name: "github",
    title: "GitHub",
    documentation: "https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries",
    secret_hint: "The secret in the settings of the GitHub webhook.",
    source: "github.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hub-signature-256"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    body_format: BodyFormat::JsonOrFormField("payload"),
    event_type: Some(FieldLocation::Header("x-github-event")),
    delivery_id: Some(FieldLocation::Header("x-github-delivery")),
    samples: &[SampleWebhook {
        event_type: "push",
        body: r#"{"ref":"refs/heads/main","before":"6113728f27ae82c7b1a177c8d03f9e96e0adf246","after":"0000000000000000000000000000000000000001","repository":{"id":186853002,"name":"Hello-World","full_name":"octocat/Hello-World","private":false},"pusher":{"name":"octocat"},"commits":[]}"#,
        ..SampleWebhook::EMPTY
    }],
    ..Provider::JSON
};
