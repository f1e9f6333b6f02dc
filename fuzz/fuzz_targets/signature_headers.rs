//! Arbitrary bytes as the signature, content type, query and body of a webhook of every provider: no webhook passes
//! verification.

#![no_main]

use bytes::Bytes;
use hookbridge::providers::{self, RawWebhook, RequestUrl};
use hookbridge::secrets::Secret;
use jiff::Timestamp;

libfuzzer_sys::fuzz_target!(|input: (&[u8], &[u8], String, Vec<u8>)| {
    let (signature, content_type, query, body) = input;
    for provider in providers::PROVIDERS {
        let url = RequestUrl {
            scheme: "https",
            authority: "hooks.example".into(),
            path: "/".into(),
            query: Some(query.clone()),
        };
        let headers =
            RawWebhook::header_map([(provider.signature_scheme.header, signature), ("content-type", content_type)]);
        let webhook = RawWebhook::post(url, headers, Bytes::from(body.clone()));
        if let Ok(claim) = provider.parse_signature(webhook, Timestamp::UNIX_EPOCH) {
            assert!(claim.verify(&Secret::new("an unknown secret")).is_err());
        }
    }
});
