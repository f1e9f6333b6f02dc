//! Bitbucket: repository and pull request events of Bitbucket Cloud and Data Center.
//!
//! Bitbucket Cloud waits 10 s for a response and retries up to twice after a 5xx status. Data Center pauses a
//! webhook that fails, for 10 seconds to 10 hours.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Bitbucket signs the raw body with HMAC-SHA256 and sends the signature in hex, after `sha256=`, in
/// `X-Hub-Signature`. It does not sign a webhook that has no secret. Cloud sends the delivery id in
/// `X-Request-UUID`, Data Center in `X-Request-Id`.
pub const BITBUCKET: Provider = Provider {
    name: "bitbucket",
    title: "Bitbucket",
    documentation: "https://support.atlassian.com/bitbucket-cloud/docs/manage-webhooks/",
    secret_hint: "The secret of the webhook, from Repository settings > Webhooks; Bitbucket shows it only until you save it.",
    source: "bitbucket.org",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hub-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The signature does not cover the headers with the event type and the delivery id.",
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
