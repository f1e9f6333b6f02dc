//! Arbitrary bodies with signatures inside: no webhook passes verification, and the answer to a handshake repeats safe text only.

#![no_main]

use bytes::Bytes;
use hookbridge::providers::{self, RawWebhook, RequestUrl};
use hookbridge::secrets::Secret;
use jiff::Timestamp;

/// Bodies into which arbitrary text is inserted in place of `@`.
const TEMPLATES: [&str; 5] = [
    "@",
    r#"{"signature":{"timestamp":"1","token":"@","signature":"@"},"event-data":@}"#,
    r#"{"notificationItems":[{"NotificationRequestItem":{"additionalData":{"hmacSignature":"@"},"amount":@}}]}"#,
    r#"{"value":[{"clientState":"@","id":@}]}"#,
    "bt_signature=public%7C@&bt_payload=@",
];

libfuzzer_sys::fuzz_target!(|input: (u8, String, String)| {
    let (template, text, query) = input;
    let body = TEMPLATES[usize::from(template) % TEMPLATES.len()].replace('@', &text);
    let media_type = if body.starts_with('{') { "application/json" } else { "application/x-www-form-urlencoded" };
    let secret = Secret::new("public|unknown");
    for provider in providers::PROVIDERS {
        let url = RequestUrl {
            scheme: "https",
            authority: "hooks.example".into(),
            path: "/".into(),
            query: Some(query.clone()),
        };
        let headers = RawWebhook::header_map([
            ("content-type", media_type),
            ("x-hook-secret", &text),
            ("webhook-request-origin", &text),
        ]);
        let webhook = RawWebhook::post(url, headers, Bytes::from(body.clone()));
        if let Some(handshake) = provider.find_unsigned_handshake(&webhook) {
            let response = handshake.respond(Some(&secret));
            let is_safe = |text: &str| !text.contains(['<', '>', '&', '\'', '\n', '\r']);
            assert!(response.is_ok_and(|response| is_safe(&response.body)));
        }
        if let Ok(unverified) = provider.parse_signature(webhook, Timestamp::UNIX_EPOCH) {
            assert!(unverified.verify(&secret).is_err());
        }
    }
});
