//! Netlify: deploy notifications.
//!
//! Netlify disables a notification that fails repeatedly. Its timeout and its retries are not confirmed.

use crate::providers::{Encoding, FieldLocation, JwsSignature, Provider, SampleWebhook, SignatureScheme};

/// Netlify sends a JSON Web Signature (HS256) in `X-Webhook-Signature`, whose claim `sha256` is the hex
/// SHA-256 of the raw body, and whose issuer is `netlify`. A notification without a JWS secret token is not
/// signed. There is no delivery id: the field `id` is the deploy, the same for all its events.
pub const NETLIFY: Provider = Provider {
    name: "netlify",
    title: "Netlify",
    documentation: "https://docs.netlify.com/deploy/deploy-notifications/#payload-signature",
    secret_hint: "The JWS secret token of the HTTP POST notification, from Project configuration > Notifications in Netlify.",
    source: "netlify.com",
    signature_scheme: SignatureScheme::Jws(JwsSignature {
        header: "x-webhook-signature",
        issuer: Some("netlify"),
        body_hash_claim: "sha256",
        body_hash_encoding: Encoding::Hex,
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature does not expire. The signature does not cover the header with the event type.",
    ),
    event_type: Some(FieldLocation::Header("x-netlify-event")),
    event_time: Some(FieldLocation::Body("/updated_at")),
    samples: &[
        SampleWebhook {
            event_type: "deploy_created",
            body: r#"{"id":"65f0a1b2c3d4e5f600000001","site_id":"0f9b1c2d-1111-4222-8333-444455556666","build_id":"65f0a1b2c3d4e5f600000002","state":"ready","name":"demo","url":"https://demo.example.com","ssl_url":"https://demo.example.com","deploy_ssl_url":"https://65f0a1b2--demo.example.com","created_at":"2026-11-20T09:15:00.346Z","updated_at":"2026-11-20T09:18:21.738Z","published_at":"2026-11-20T09:18:21.634Z","error_message":null,"branch":"main","commit_ref":null,"context":"production","deploy_time":159,"title":null}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "deploy_failed",
            body: r#"{"id":"65f0a1b2c3d4e5f600000003","site_id":"0f9b1c2d-1111-4222-8333-444455556666","build_id":"65f0a1b2c3d4e5f600000004","state":"error","name":"demo","url":"https://demo.example.com","created_at":"2026-11-20T10:15:00.346Z","updated_at":"2026-11-20T10:16:02.738Z","published_at":null,"error_message":"Build script returned non-zero exit code: 2","branch":"main","commit_ref":"2a1d4e6f8b0c3d5e7f9a1b2c4d6e8f0a1b2c3d5e","context":"production","deploy_time":null}"#,
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
