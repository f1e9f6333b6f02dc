//! Arbitrary parts of a JSON Web Signature over a body: no webhook passes verification.

#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use hookbridge::providers::{self, RawWebhook};
use hookbridge::secrets::Secret;
use jiff::Timestamp;

libfuzzer_sys::fuzz_target!(|input: (&[u8], &[u8], &[u8], bool, Vec<u8>)| {
    let (header, payload, signature, has_valid_header, body) = input;
    let header = if has_valid_header { br#"{"alg":"HS256"}"# } else { header };
    let jws = [header, payload, signature].map(|part| URL_SAFE_NO_PAD.encode(part)).join(".");
    for (provider, name) in [("netlify", "x-webhook-signature"), ("fusionauth", "x-fusionauth-signature-jwt")] {
        let provider = providers::find_provider(provider).unwrap();
        let headers = RawWebhook::header_map([(name, jws.as_bytes())]);
        let url = "https://hooks.example/".parse().unwrap();
        let webhook = RawWebhook::post(url, headers, Bytes::from(body.clone()));
        if let Ok(unverified) = provider.parse_signature(webhook, Timestamp::UNIX_EPOCH) {
            assert!(unverified.verify(&Secret::new("an unknown secret")).is_err());
        }
    }
});
