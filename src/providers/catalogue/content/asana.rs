//! Asana webhooks.
//!
//! Asana waits 10 s for a response. Asana retries for up to 24 hours when no successful status comes within 10 s,
//! then gives up; delivery is at most once and events cannot be replayed.

use crate::providers::{
    FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureScheme, SuccessResponse,
};

/// When a webhook is created Asana sends a POST with `X-Hook-Secret` and wants the same header back, while the call
/// that creates the webhook is still open; that value is the secret of this webhook. Later requests carry
/// `X-Hook-Signature`, the hex HMAC-SHA256 of the raw body. The body has an array of events; an empty array is a
/// heartbeat. Each webhook has a secret of its own, so an endpoint that serves several needs several.
pub const ASANA: Provider = Provider {
    name: "asana",
    title: "Asana",
    documentation: "https://developers.asana.com/docs/webhooks-guide",
    secret_hint: "The `X-Hook-Secret` that Asana sends in the handshake (also in the answer to the call that creates the webhook), 32 or 64 hexadecimal digits used as text.",
    source: "asana.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hook-signature"],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp: a recorded request can be replayed. The handshake hands out the secret in the clear to whoever answers.",
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
