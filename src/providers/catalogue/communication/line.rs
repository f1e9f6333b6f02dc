//! LINE webhooks.
//!
//! Retries: redelivery is off by default and is switched on in the console; number and interval are not published;
//! LINE may suspend sending after a long time of failures.

use crate::providers::{Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// LINE signs the body with HMAC-SHA256 and sends the digest in base64 in x-line-signature. One request carries
/// several events in the array events, which is empty when the Verify button of the console is pressed. A redelivered
/// event keeps its webhookEventId and has deliveryContext.isRedelivery set, if redelivery is switched on. A reissued
/// channel secret replaces the old one at once.
pub const LINE: Provider = Provider {
    name: "line",
    title: "LINE",
    documentation: "https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/",
    secret_hint: "The channel secret of the Messaging API channel (32 hexadecimal digits, used as text), in the LINE Developers Console, Basic settings; the role Admin is needed to see it.",
    source: "line.me",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-line-signature"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "No timestamp is signed apart from the events' own; a recorded request can be replayed, so webhookEventId must be remembered.",
    ),
    split: Some("/events"),
    event_type: Some(FieldLocation::Body("/type")),
    delivery_id: Some(FieldLocation::Body("/webhookEventId")),
    event_time: Some(FieldLocation::Body("/timestamp")),
    samples: &[
        SampleWebhook {
            event_type: "message",
            body: r#"{"destination":"U00000000000000000000000000000001","events":[{"type":"message","message":{"type":"text","id":"468000000000000001","quoteToken":"q3Plxr4AgKdexample","text":"Hello"},"webhookEventId":"01KEXAMPLE0000000000000001","deliveryContext":{"isRedelivery":false},"timestamp":1796029200123,"source":{"type":"user","userId":"U00000000000000000000000000000002"},"replyToken":"0f3779fba3b349968c5d07db31eaexmp","mode":"active"}]}"#,
            id_placeholder: "01KEXAMPLE0000000000000001",
            time_placeholder: "1796029200123",
            ..SampleWebhook::EMPTY
        },
        SampleWebhook {
            event_type: "follow",
            body: r#"{"destination":"U00000000000000000000000000000001","events":[{"type":"follow","follow":{"isUnblocked":false},"webhookEventId":"01KEXAMPLE0000000000000002","deliveryContext":{"isRedelivery":false},"timestamp":1796029260000,"source":{"type":"user","userId":"U2"},"replyToken":"rt0001","mode":"active"},{"type":"unfollow","webhookEventId":"01KEXAMPLE0000000000000003","deliveryContext":{"isRedelivery":true},"timestamp":1796029270000,"source":{"type":"user","userId":"U3"},"mode":"active"}]}"#,
            id_placeholder: "01KEXAMPLE0000000000000002",
            time_placeholder: "1796029260000",
            ..SampleWebhook::EMPTY
        },
    ],
    ..Provider::JSON
};
