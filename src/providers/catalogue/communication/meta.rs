//! Meta: events of Facebook pages, Messenger, Instagram and WhatsApp.
//!
//! Meta retries at once and then less and less often, for up to 36 hours (WhatsApp: 7 days), and disables a
//! subscription that keeps failing. A webhook can arrive more than once. Meta's timeout is not confirmed.

use http::Method;

use crate::providers::{
    FieldLocation, Handshake, HeaderSignature, Provider, SampleWebhook, SignatureFormat, SignatureScheme,
    SuccessResponse,
};

/// Meta signs the raw body, which has `\u` escapes, with HMAC-SHA256 and sends the signature in hex, after
/// `sha256=`, in `X-Hub-Signature-256`. To test a URL, Meta sends a GET request with `hub.challenge` and
/// `hub.verify_token`. hookbridge compares the token with the line `verify-token=...` of the secret; without
/// this line, it accepts any token. The array `entry` of the body contains several events.
pub const META: Provider = Provider {
    name: "meta",
    title: "Meta",
    documentation: "https://developers.facebook.com/docs/graph-api/webhooks/getting-started/",
    secret_hint: "The App Secret (32 hex digits), from App settings > Basic in Meta's dashboard, and a second line verify-token=TOKEN with your own verify token.",
    source: "meta.com",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-hub-signature-256"],
        signatures: &[SignatureFormat::hmac_sha256("sha256=")],
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp and events have no delivery id. One App Secret signs the webhooks of all pages, accounts and phone numbers of the app.",
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
