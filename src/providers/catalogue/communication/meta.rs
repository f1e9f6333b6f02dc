//! Meta webhooks.
//!
//! Meta waits 20 s for a response. Retries: at once, then a few more times with decreasing frequency over 36 hours
//! (WhatsApp: up to 7 days); duplicates must be expected; persistent failure disables the subscription.

use http::Method;

use crate::providers::{
    FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SuccessResponse,
};

/// Meta signs the body as it is sent, with its \u escapes, with HMAC-SHA256 keyed with the App Secret;
/// X-Hub-Signature-256 holds sha256= and the hex digest. A GET with hub.mode, hub.verify_token and hub.challenge
/// proves the endpoint when it is set up. One request may hold many updates in entry. Failed notifications come again
/// for up to 36 hours, WhatsApp's for up to seven days.
pub const META: Provider = Provider {
    name: "meta",
    title: "Meta",
    documentation: "https://developers.facebook.com/docs/graph-api/webhooks/getting-started/",
    secret_hint: "The App Secret (32 hexadecimal digits, used as text), in the Meta App Dashboard, App settings, Basic; the verify token is a second text that you choose yourself and enter in the dashboard under Webhooks.",
    source: "meta.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hub-signature-256"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp and no delivery id are signed, so a recorded request can be replayed; ids stand inside the entries only (messages[].id, mid). One App Secret signs for every page, account and number of the app.",
    ),
    handshakes: &[Handshake::QueryChallenge {
        method: &Method::GET,
        parameter: "hub.challenge",
        verify_token: Some("hub.verify_token"),
    }],
    split: Some("/entry"),
    event_type: Some(FieldLocation::Envelope("/object")),
    event_time: Some(FieldLocation::Body("/time")),
    success: SuccessResponse::OK,
    samples: &[
        SampleWebhook {
            event_type: "whatsapp_business_account",
            body: r#"{"object":"whatsapp_business_account","entry":[{"id":"100000000000001","changes":[{"value":{"messaging_product":"whatsapp","metadata":{"display_phone_number":"15550100001","phone_number_id":"100000000000002"},"contacts":[{"profile":{"name":"Ada"},"wa_id":"15550100002"}],"messages":[{"from":"15550100002","id":"wamid.HBgLEXAMPLE0001","timestamp":"1796029200","text":{"body":"Hello"},"type":"text"}]},"field":"messages"}]}]}"#,
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "page",
            body: r#"{"object":"page","entry":[{"id":"100000000000003","time":1796029200123,"messaging":[{"sender":{"id":"7000000000000001"},"recipient":{"id":"100000000000003"},"timestamp":1796029200001,"message":{"mid":"m_EXAMPLE0001","text":"Gr\u00fc\u00dfe"}}]}]}"#,
            time_placeholder: "1796029200123",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "instagram",
            body: r#"{"object":"instagram","entry":[{"id":"17840000000000001","time":1796029200,"changes":[{"field":"comments","value":{"id":"17850000000000001","text":"Nice","from":{"id":"7000000000000002","username":"ada_example"},"media":{"id":"17860000000000001","media_product_type":"FEED"}}}]},{"id":"17840000000000002","time":1796029201,"changes":[{"field":"mentions","value":{"media_id":"17860000000000002","comment_id":"17850000000000002"}}]}]}"#,
            time_placeholder: "1796029200",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
