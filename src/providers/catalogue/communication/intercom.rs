//! Intercom webhooks.
//!
//! Intercom waits 5 s for a response. Retries: resent when no 200 comes within 5 s; after 429 with a delay from 1
//! minute to 2 hours, then dropped; paused for 15 minutes after 1000 errors in a row; private apps are suspended
//! after seven days of errors.

use crate::providers::{
    FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SuccessResponse,
};

/// Intercom signs the body with HMAC-SHA1, keyed with the client secret of the app; X-Hub-Signature holds sha1= and
/// the hex digest. It validates the URL with a HEAD request without a signature, and sends signed pings of the topic
/// ping. It wants 200 within 5 seconds and resends otherwise; answers slower than 500 ms lower the priority. Order is
/// not guaranteed and duplicates keep their id.
pub const INTERCOM: Provider = Provider {
    name: "intercom",
    title: "Intercom",
    documentation: "https://developers.intercom.com/docs/references/webhooks/webhook-models",
    secret_hint: "The Client secret of the app (text, a UUID in most apps), in the Intercom Developer Hub, the app, Configure, Basic information; not the access token.",
    source: "intercom.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hub-signature"],
        signatures: &[SignatureFormat::hmac_sha1("sha1=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "HMAC-SHA1 is weaker than the others (no practical attack on HMAC is known). No timestamp is checked, so a recorded request can be replayed; the key is the app's OAuth client secret, which has other powers.",
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
