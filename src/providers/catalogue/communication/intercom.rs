//! Intercom: conversations, contacts and other topics.
//!
//! Intercom retries without status 200 within 5 s; after 429, it retries 1 minute to 2 hours later, then
//! drops the webhook. It pauses a webhook after 1,000 errors, and suspends a private app after seven days of
//! errors. Webhooks may arrive out of order, and more than once with the same id.

use crate::providers::{
    FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SuccessResponse,
};

/// Intercom signs the raw body with HMAC-SHA1 and sends the signature in hex, after `sha1=`, in
/// `X-Hub-Signature`. The key is the client secret of the app. Intercom tests a URL with an unsigned HEAD
/// request. It also sends signed events of the topic `ping`, which have no id.
pub const INTERCOM: Provider = Provider {
    name: "intercom",
    title: "Intercom",
    documentation: "https://developers.intercom.com/docs/references/webhooks/webhook-models",
    secret_hint: "The client secret of the app (not the access token), from Configure > Basic information in the Intercom Developer Hub.",
    source: "intercom.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hub-signature"],
        signatures: &[SignatureFormat::hmac_sha1("sha1=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. The key of the HMAC-SHA1 is the OAuth client secret of the app, so its leak endangers more than webhooks.",
    ),
    handshakes: &[Handshake::Head],
    event_type: Some(FieldLocation::Body("/topic")),
    delivery_id: Some(FieldLocation::Body("/id")),
    event_time: Some(FieldLocation::Body("/created_at")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "conversation.user.created",
            body: r#"{"type":"notification_event","app_id":"ex4mpl3a","data":{"type":"notification_event_data","item":{"type":"conversation","id":"215470000000001","created_at":1796029199,"updated_at":1796029200,"state":"open","open":true,"read":false,"source":{"type":"conversation","id":"2504000001","body":"<p>Hello</p>"}}},"links":{},"id":"notif_c2441832-0000-4000-8000-000000000001","topic":"conversation.user.created","delivery_status":"pending","delivery_attempts":1,"delivered_at":0,"first_sent_at":1796029201,"created_at":1796029200,"self":null}"#,
            id_placeholder: "c2441832-0000-4000-8000-000000000001",
            time_placeholder: "1796029200",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "contact.user.created",
            body: r#"{"type":"notification_event","app_id":"ex4mpl3a","data":{"type":"notification_event_data","item":{"type":"contact","id":"6500000000000000000000a1","external_id":"cust_0001","role":"user","email":"ada@example.com","name":"Ada","created_at":"2026-11-30T09:00:00.000+00:00"}},"links":{},"id":"notif_c2441832-0000-4000-8000-000000000002","topic":"contact.user.created","delivery_status":"pending","delivery_attempts":1,"delivered_at":0,"first_sent_at":1796029201,"created_at":1796029200,"self":null}"#,
            id_placeholder: "c2441832-0000-4000-8000-000000000002",
            time_placeholder: "1796029200",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
