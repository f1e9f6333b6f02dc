//! LINE: messages and other events of a Messaging API channel.
//!
//! LINE redelivers events only if you enable redelivery in the console; its timeout and its schedule are not
//! documented. When you reissue the channel secret, the old secret becomes invalid at once. The console's
//! Verify button sends a webhook without events.

use crate::providers::{Encoding, FieldLocation, HeaderSignature, Provider, SampleWebhook, SignatureScheme};

/// LINE signs the raw body with HMAC-SHA256 and sends the signature in base64 in `x-line-signature`. The
/// array `events` of the body contains several events. A redelivered event has the same `webhookEventId`. For
/// a channel that uses LINE Chat Plus, the key is the switcher secret.
pub const LINE: Provider = Provider {
    name: "line",
    title: "LINE",
    documentation: "https://developers.line.biz/en/docs/messaging-api/verify-webhook-signature/",
    secret_hint: "The channel secret (32 hex digits), from Basic settings in the LINE Developers Console, which only the role Admin can see.",
    source: "line.me",
    signature_scheme: SignatureScheme::Header(HeaderSignature {
        headers: &["x-line-signature"],
        encoding: Encoding::Base64,
        ..HeaderSignature::HMAC_SHA256
    }),
    weakness: Some(
        "An attacker can replay a recorded webhook at any time, because the signature has no timestamp. A replayed event has the same `webhookEventId`.",
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
