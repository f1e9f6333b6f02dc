//! Cursor: status changes of cloud agents.
//!
//! The only event is `statusChange`, when an agent reaches `FINISHED` or `ERROR`. Cursor may retry after an
//! error status, perhaps with another `X-Webhook-ID`; it documents neither a timeout nor a schedule.

use crate::providers::{
    FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Cursor signs the raw body with HMAC-SHA256 and sends the signature in hex, after `sha256=`, in
/// `X-Webhook-Signature`.
pub const CURSOR: Provider = Provider {
    name: "cursor",
    title: "Cursor",
    documentation: "https://cursor.com/docs/cloud-agent/api/webhooks",
    secret_hint: "The secret that you pass as webhook.secret when you create the agent with Cursor's API.",
    source: "cursor.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-webhook-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The signature does not cover the headers with the event type and the delivery id; the field `event` of the signed body repeats the type.",
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
