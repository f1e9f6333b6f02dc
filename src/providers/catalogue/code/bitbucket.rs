//! Bitbucket webhooks.
//!
//! Bitbucket waits 10 s for a response. Retries: cloud sends a request up to two more times when the answer is
//! 500-599; Data Center skips a failing webhook for 10 seconds up to 10 hours.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Bitbucket Cloud and Data Center sign the raw body with HMAC-SHA256 and send `sha256=` and hex in
/// `X-Hub-Signature`. The header is only present when the webhook has a secret. The event is in `X-Event-Key`. Cloud
/// waits 10 seconds and repeats a request up to two times after a 5xx, without a delay.
pub const BITBUCKET: Provider = Provider {
    name: "bitbucket",
    title: "Bitbucket",
    documentation: "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
    secret_hint: "The secret entered or generated for the webhook under Repository settings > Webhooks, used as text; Bitbucket does not show it again.",
    source: "bitbucket.org",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hub-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp: a captured delivery stays valid. Headers (X-Event-Key, X-Request-UUID) are not signed. Data Center sends x-request-id in place of x-request-uuid, and a body field `date` (ISO 8601) and `eventKey`.",
    ),
    event_type: Some(FieldLocation::Header("x-event-key")),
    delivery_id: Some(FieldLocation::FirstOf(&[
        FieldLocation::Header("x-request-uuid"),
        FieldLocation::Header("x-request-id"),
    ])),
    samples: &[
        SampleWebhook {
            event_type: "repo:push",
            body: r#"{"actor":{"type":"user","display_name":"Ada Example","uuid":"{0f9b1c2d-1111-4222-8333-444455556666}"},"repository":{"type":"repository","full_name":"acme/demo","uuid":"{aa11bb22-3344-4556-8778-99aabbccddee}"},"push":{"changes":[{"created":false,"closed":false,"forced":false,"old":{"type":"branch","name":"main"},"new":{"type":"branch","name":"main","target":{"type":"commit","hash":"9fec847784abb10b2fa567ee63b85bd238955d0e"}}}]}}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "pullrequest:created",
            body: r#"{"actor":{"type":"user","display_name":"Ada Example"},"repository":{"type":"repository","full_name":"acme/demo"},"pullrequest":{"type":"pullrequest","id":7,"title":"Add a cache","state":"OPEN","source":{"branch":{"name":"cache"}},"destination":{"branch":{"name":"main"}},"created_on":"2026-11-20T09:14:02.123456+00:00","updated_on":"2026-11-20T09:14:02.123456+00:00"}}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
