//! Arbitrary settings of a generic provider: an error names one of the settings, and a provider without one verifies nothing with an
//! unknown secret. Each provider lives as long as the process, so run this target with `-detect_leaks=0`.

#![no_main]

use std::collections::BTreeMap;

use bytes::Bytes;
use hookbridge::providers::{GENERIC_SETTINGS, GenericSettings, RawWebhook};
use hookbridge::secrets::Secret;
use jiff::Timestamp;

/// Values that are valid for some setting, so that arbitrary input reaches the later checks.
const VALUES: [&str; 16] = [
    "hmac-sha256",
    "ed25519",
    "token",
    "jws",
    "body-hmac-sha1",
    "standard-webhooks",
    "x-signature",
    "x-time",
    "{timestamp}.{body}",
    "{id}{url}{method}{body}",
    "space",
    "t=",
    "base64",
    "json:/type",
    "/events",
    "300",
];

libfuzzer_sys::fuzz_target!(|input: (Vec<(u8, u8, String)>, String, Vec<u8>)| {
    let (settings, header, body) = input;
    let mut values = BTreeMap::from([("source".to_owned(), "acme.example".to_owned())]);
    for (name, value, text) in settings {
        let name = GENERIC_SETTINGS[usize::from(name) % GENERIC_SETTINGS.len()];
        let value = VALUES.get(usize::from(value) % (VALUES.len() + 1)).map_or(text, |value| (*value).to_owned());
        values.insert(name.to_owned(), value);
    }
    let label = |setting: &str| setting.to_owned();
    match GenericSettings::new(values, &label).build("acme") {
        Err(error) => assert!(GENERIC_SETTINGS.contains(&error.setting.as_str()), "{error}"),
        Ok(provider) => {
            let names = ["x-signature", "x-time", "authorization"];
            let headers = RawWebhook::header_map(names.map(|name| (name, header.as_bytes())));
            let url = "https://hooks.example/".parse().unwrap();
            let webhook = RawWebhook::post(url, headers, Bytes::from(body));
            if let Ok(unverified) = provider.parse_signature(webhook, Timestamp::UNIX_EPOCH) {
                assert!(unverified.verify(&Secret::new("an unknown secret")).is_err());
            }
        }
    }
});
