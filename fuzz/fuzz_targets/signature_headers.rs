//! Arbitrary bytes as the signature, content type, query and body of a webhook of every provider: no webhook passes
//! verification.

#![no_main]

use bytes::Bytes;
use hookbridge::providers::{self, RawWebhook, RequestUrl, SecretLocation, SignatureScheme, TimestampLocation};
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
        let mut headers: Vec<(String, &[u8])> = header_names(&provider.signature_scheme)
            .into_iter()
            .map(|name| (name.replace('*', "1"), signature))
            .collect();
        headers.push(("content-type".into(), content_type));
        let headers = RawWebhook::header_map(headers);
        let webhook = RawWebhook::post(url, headers, Bytes::from(body.clone()));
        if let Ok(claim) = provider.parse_signature(webhook, Timestamp::UNIX_EPOCH) {
            assert!(claim.verify(&Secret::new("an unknown secret")).is_err());
        }
    }
});

/// The headers that a scheme reads.
fn header_names(scheme: &SignatureScheme) -> Vec<&'static str> {
    match scheme {
        SignatureScheme::Header(scheme) => {
            let timestamps = match scheme.timestamp.map(|timestamp| timestamp.location) {
                Some(TimestampLocation::Header(names)) => names,
                _ => &[],
            };
            [scheme.headers, scheme.id_headers, timestamps].concat()
        }
        SignatureScheme::SharedSecret(locations) => locations
            .iter()
            .map(|location| match location {
                SecretLocation::Header(name) => name,
                _ => "authorization",
            })
            .collect(),
        SignatureScheme::Jws(scheme) => vec![scheme.header],
        SignatureScheme::Body(_) | SignatureScheme::Form(_) => Vec::new(),
        SignatureScheme::AnyOf(schemes) => schemes.iter().flat_map(header_names).collect(),
    }
}
