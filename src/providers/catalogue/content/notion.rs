//! Notion: changes to pages, databases and comments.
//!
//! Notion makes up to 8 attempts with exponential backoff. An event names the changed entity; the subscriber
//! fetches its content with Notion's API.

use crate::providers::{
    FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
};

/// Notion signs the raw body with HMAC-SHA256 and sends the signature in hex after `sha256=` in
/// `X-Notion-Signature`. The HMAC key is the verification token, which Notion sends in the body of the first
/// request to a new subscription. hookbridge ignores the signature of that request, because its key is in the
/// same request.
pub const NOTION: Provider = Provider {
    name: "notion",
    title: "Notion",
    documentation: "https://developers.notion.com/reference/webhooks",
    secret_hint: "The verification token, which Notion sends to the endpoint when you create the webhook subscription.",
    source: "notion.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-notion-signature"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The first request is not authenticated, so the function stores the token of the first request, from any sender. Notion accepts only its own token: if it rejects the stored one, delete the stack and deploy it again.",
    ),
    handshakes: &[Handshake::SecretInBody { field: "verification_token" }],
    event_type: Some(FieldLocation::Body("/type")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    samples: &[
        SampleWebhook {
            event_type: "page.content_updated",
            body: r#"{"id":"367cba44-0000-4f1c-9a5e-1b2c3d4e5f60","timestamp":"2026-11-20T09:30:11.950Z","workspace_id":"13950b26-0000-4b36-b97d-93163de1052a","workspace_name":"Example","subscription_id":"29d75c0d-0000-4414-8459-02ed6c6b231b","integration_id":"0ef2e755-0000-4c2e-b8a8-1d1c2b3a4f50","authors":[{"id":"c7c11cca-1111-4b1e-8d61-ed23b7bd3e2f","type":"person"}],"attempt_number":1,"api_version":"2026-03-11","type":"page.content_updated","entity":{"id":"153104cd-1111-4018-9a90-ddb8b2ba1f3a","type":"page"},"data":{}}"#,
            id_placeholder: "367cba44-0000-4f1c-9a5e-1b2c3d4e5f60",
            time_placeholder: "2026-11-20T09:30:11.950Z",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "comment.created",
            body: r#"{"id":"c6780f24-0000-4d58-a77b-3a3b3c3d3e3f","timestamp":"2026-11-20T09:31:11.950Z","workspace_id":"13950b26-0000-4b36-b97d-93163de1052a","subscription_id":"29d75c0d-0000-4414-8459-02ed6c6b231b","integration_id":"0ef2e755-0000-4c2e-b8a8-1d1c2b3a4f50","authors":[{"id":"c7c11cca-1111-4b1e-8d61-ed23b7bd3e2f","type":"person"}],"attempt_number":1,"type":"comment.created","entity":{"id":"20b104cd-1111-4057-a1d2-001d7b2b9d3a","type":"comment"},"data":{"page_id":"153104cd-1111-4018-9a90-ddb8b2ba1f3a"}}"#,
            id_placeholder: "c6780f24-0000-4d58-a77b-3a3b3c3d3e3f",
            time_placeholder: "2026-11-20T09:31:11.950Z",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
