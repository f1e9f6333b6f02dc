//! Cursor webhooks.
//!
//! Retries: may be retried when the endpoint answers with an error status; times are not documented.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Cursor cloud agents sign the raw body with HMAC-SHA256 and send `sha256=` and hex in `X-Webhook-Signature`. The
/// only event is `statusChange`, sent when an agent reaches `FINISHED` or `ERROR`. There is no timestamp in the
/// signature. An answer with an error status may be retried.
pub const CURSOR: Provider = Provider {
    name: "cursor",
    title: "Cursor",
    documentation: "https://cursor.com/docs/cloud-agent/api/webhooks",
    secret_hint: "The secret given as `webhook.secret` when the agent is created through the API, used as text.",
    source: "cursor.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-webhook-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp in the signature (the signed body has `timestamp`); the event and id headers are not signed, the body field `event` repeats the event.",
    ),
    event_type: Some(FieldLocation::Header("x-webhook-event")),
    delivery_id: Some(FieldLocation::Header("x-webhook-id")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    samples: &[
        SampleWebhook {
            event_type: "statusChange",
            body: r#"{"event":"statusChange","timestamp":"2026-11-20T09:18:21Z","id":"bc_ex4mpl3001","status":"FINISHED","source":{"repository":"https://git.example.com/acme/demo","ref":"main"},"target":{"url":"https://cursor.example.com/agents?id=bc_ex4mpl3001","branchName":"cursor/add-cache-1a2b","prUrl":"https://git.example.com/acme/demo/pull/7"},"summary":"Added a cache."}"#,
            time_placeholder: "2026-11-20T09:18:21Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "statusChange",
            body: r#"{"event":"statusChange","timestamp":"2026-11-20T09:40:00Z","id":"bc_ex4mpl3002","status":"ERROR","source":{"repository":"https://git.example.com/acme/demo","ref":"main"},"target":{"url":"https://cursor.example.com/agents?id=bc_ex4mpl3002","branchName":"cursor/fix-build-3c4d"}}"#,
            time_placeholder: "2026-11-20T09:40:00Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
