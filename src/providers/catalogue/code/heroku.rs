//! Heroku: changes of an app's releases, builds and other resources.
//!
//! Heroku sends each event of a subscription of level `notify` once. For level `sync`, it retries for up to
//! 72 hours after the event.

use crate::providers::{Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// Heroku signs the raw body with HMAC-SHA256 and sends the signature in base64 in
/// `Heroku-Webhook-Hmac-SHA256`. It generates a secret for a subscription that is created without one.
pub const HEROKU: Provider = Provider {
    name: "heroku",
    title: "Heroku",
    documentation: "https://devcenter.heroku.com/articles/app-webhooks#securing-webhook-requests",
    secret_hint: "The secret that you pass to heroku webhooks:add, or that the command prints once if you pass none.",
    source: "heroku.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["heroku-webhook-hmac-sha256"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp.",
    ),
    event_type: Some(FieldLocation::Joined(&[
        FieldLocation::Body("/webhook_metadata/event/include"),
        FieldLocation::Body("/action"),
    ])),
    delivery_id: Some(FieldLocation::Body("/webhook_metadata/delivery/id")),
    event_time: Some(FieldLocation::Body("/created_at")),
    samples: &[
        SampleWebhook {
            event_type: "api:release.update",
            body: r#"{"id":"7846bee9-0000-4492-9bed-34cd8327e71d","action":"update","resource":"release","actor":{"id":"33500732-0000-436f-9710-64cc569c3e4f","email":"ada@example.com"},"created_at":"2026-11-20T09:18:21Z","updated_at":"2026-11-20T09:18:21Z","published_at":"2026-11-20T09:18:22Z","data":{"id":"25bfb830-0000-49e1-b0a3-831da386de90","version":31,"status":"succeeded","app":{"name":"demo"}},"previous_data":{},"sequence":null,"version":"application/vnd.heroku+json; version=3","webhook_metadata":{"delivery":{"id":"d244009a-0000-4340-88e9-789a4f9002d5"},"event":{"include":"api:release"}}}"#,
            id_placeholder: "d244009a-0000-4340-88e9-789a4f9002d5",
            time_placeholder: "2026-11-20T09:18:21Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "api:build.create",
            body: r#"{"id":"2fe8c830-0000-4c19-a274-340593f751bd","action":"create","resource":"build","actor":{"id":"33500732-0000-436f-9710-64cc569c3e4f","email":"ada@example.com"},"created_at":"2026-11-20T09:15:00Z","data":{"id":"9b1c2d3e-0000-4f5a-8b7c-1d2e3f4a5b6c","status":"pending","app":{"name":"demo"}},"previous_data":{},"version":"application/vnd.heroku+json; version=3","webhook_metadata":{"attempt":{"id":"8a44f820-0000-489d-9a11-a793cbf49979"},"delivery":{"id":"e355110b-0000-4451-99fa-890b5fa113e6"},"event":{"id":"2fe8c830-0000-4c19-a274-340593f751bd","include":"api:build"}}}"#,
            id_placeholder: "e355110b-0000-4451-99fa-890b5fa113e6",
            time_placeholder: "2026-11-20T09:15:00Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
