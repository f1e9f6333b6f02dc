//! CircleCI: completed workflows and jobs.
//!
//! CircleCI retries after a response other than 2xx, or without a response within 10 s; it does not document
//! the schedule. A webhook can arrive more than once, with the same `id` in the body.

use crate::providers::{
    FieldLocation, HeaderFormat, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// CircleCI signs the raw body with HMAC-SHA256 and sends a list of versioned signatures, separated by
/// commas, in `circleci-signature`. hookbridge accepts `v1` only, which is in hex and the only version so
/// far, because CircleCI recommends accepting only the newest version.
pub const CIRCLECI: Provider = Provider {
    name: "circleci",
    title: "CircleCI",
    documentation: "https://circleci.com/docs/guides/integration/outbound-webhooks/#validate-webhooks",
    secret_hint: "The secret token of the webhook, from Project Settings > Webhooks in CircleCI, where it is optional but must be set for hookbridge.",
    source: "circleci.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["circleci-signature"],
        header_format: HeaderFormat::List(","),
        signatures: &[SignatureFormat::hmac_sha256("v1=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The signature does not cover the header with the event type; the field `type` of the signed body repeats it.",
    ),
    event_type: Some(FieldLocation::Header("circleci-event-type")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/happened_at")),
    samples: &[
        SampleWebhook {
            event_type: "workflow-completed",
            body: r#"{"type":"workflow-completed","id":"3f6b2a10-7c44-3c8e-9b7d-2d1a5e6f7081","happened_at":"2026-11-20T09:18:21.317Z","webhook":{"id":"b1c2d3e4-0000-4000-8000-000000000001","name":"bridge"},"project":{"id":"b1c2d3e4-0000-4000-8000-000000000002","name":"demo","slug":"github/acme/demo"},"organization":{"id":"b1c2d3e4-0000-4000-8000-000000000003","name":"acme"},"workflow":{"id":"b1c2d3e4-0000-4000-8000-000000000004","name":"build-test","status":"success","created_at":"2026-11-20T09:15:00.616Z","stopped_at":"2026-11-20T09:18:21.170Z"}}"#,
            id_placeholder: "3f6b2a10-7c44-3c8e-9b7d-2d1a5e6f7081",
            time_placeholder: "2026-11-20T09:18:21.317Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "job-completed",
            body: r#"{"type":"job-completed","id":"8d1c71b2-4969-3677-8940-3e3a61c40001","happened_at":"2026-11-20T09:17:02.279Z","webhook":{"id":"b1c2d3e4-0000-4000-8000-000000000001","name":"bridge"},"project":{"id":"b1c2d3e4-0000-4000-8000-000000000002","name":"demo","slug":"github/acme/demo"},"workflow":{"id":"b1c2d3e4-0000-4000-8000-000000000004","name":"build-test"},"pipeline":{"id":"b1c2d3e4-0000-4000-8000-000000000005","number":130},"job":{"id":"b1c2d3e4-0000-4000-8000-000000000006","name":"test","number":136,"status":"failed","started_at":"2026-11-20T09:15:28.841Z"}}"#,
            id_placeholder: "8d1c71b2-4969-3677-8940-3e3a61c40001",
            time_placeholder: "2026-11-20T09:17:02.279Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "ping",
            body: r#"{"type":"ping","id":"92e05510-837f-4086-913b-0dc7665d0002","happened_at":"2026-11-20T09:00:36.507Z","webhook":{"id":"b1c2d3e4-0000-4000-8000-000000000001","name":"bridge"}}"#,
            id_placeholder: "92e05510-837f-4086-913b-0dc7665d0002",
            time_placeholder: "2026-11-20T09:00:36.507Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
