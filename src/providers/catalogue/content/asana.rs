//! Asana: changes to tasks, projects and other resources.
//!
//! Asana waits 10 s for a response and retries for up to 24 hours. It cannot replay events. An empty array of
//! events is a heartbeat, which hookbridge acknowledges and does not publish.

use crate::providers::{
    FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// Asana signs the raw body with HMAC-SHA256 and sends the signature in hex in `X-Hook-Signature`. When a
/// webhook is created, Asana sends its secret in `X-Hook-Secret` and expects the same header in the response.
/// The secret consists of hex digits but is used as text. Each webhook has its own secret.
pub const ASANA: Provider = Provider {
    name: "asana",
    title: "Asana",
    documentation: "https://developers.asana.com/docs/webhooks-guide",
    secret_hint: "The X-Hook-Secret that Asana sends in the handshake and returns when it creates the webhook; for several webhooks, one on each line.",
    source: "asana.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hook-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The handshake is not signed, so the function stores the secret of the first handshake, from any sender. Compare it with the secret that Asana's API returned.",
    ),
    handshakes: &[Handshake::HeaderEcho { header: "x-hook-secret" }],
    split: Some("/events"),
    event_type: Some(FieldLocation::Joined(&[
        FieldLocation::Body("/resource/resource_type"),
        FieldLocation::Body("/action"),
    ])),
    event_time: Some(FieldLocation::Body("/created_at")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "task.changed",
            body: r#"{"events":[{"user":{"gid":"1200000000000001","resource_type":"user"},"created_at":"2026-11-20T09:30:11.123Z","action":"changed","resource":{"gid":"1200000000000002","resource_type":"task","resource_subtype":"default_task"},"parent":null,"change":{"field":"name","action":"changed"}}]}"#,
            time_placeholder: "2026-11-20T09:30:11.123Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "story.added",
            body: r#"{"events":[{"user":{"gid":"1200000000000001","resource_type":"user"},"created_at":"2026-11-20T09:31:11.123Z","action":"added","resource":{"gid":"1200000000000003","resource_type":"story","resource_subtype":"comment_added"},"parent":{"gid":"1200000000000002","resource_type":"task","resource_subtype":"default_task"}}]}"#,
            time_placeholder: "2026-11-20T09:31:11.123Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
