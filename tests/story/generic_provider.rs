//! Generic settings: they express every scheme of the catalogue that has no code, and a contradiction is named.

use std::collections::BTreeMap;

use hookbridge::providers::{
    self, Algorithm, Encoding, GenericSettings, HeaderFormat, KeyFormat, SecretLocation, SignatureScheme,
    SignedContent, SigningPart, TimestampLocation, WebhookRequest,
};
use hookbridge::secrets::Secret;

use crate::actors::samples::{now, secret_of, signed_sample, url, verify};

/// The settings that describe a scheme of the catalogue; `None` if the scheme has code.
fn generic_settings(scheme: &SignatureScheme) -> Option<BTreeMap<String, String>> {
    let mut settings = BTreeMap::from([("source".to_owned(), "acme.example".to_owned())]);
    let mut set = |name: &str, value: String| settings.insert(name.to_owned(), value);
    let encoding = |encoding: Encoding| match encoding {
        Encoding::Hex => "hex".to_owned(),
        Encoding::Base64 => "base64".to_owned(),
        Encoding::Base64Url => "base64url".to_owned(),
    };
    let algorithm = |algorithm: Algorithm| match algorithm {
        Algorithm::HmacSha1 => "hmac-sha1",
        Algorithm::HmacSha256 => "hmac-sha256",
        Algorithm::HmacSha512 => "hmac-sha512",
        Algorithm::Ed25519 => "ed25519",
        Algorithm::EcdsaP256 => "ecdsa-p256",
        Algorithm::PlainSecret => "token",
    };
    let key = |format: KeyFormat| match format {
        KeyFormat::Text => Some("text".to_owned()),
        KeyFormat::Hex => Some("hex".to_owned()),
        KeyFormat::Base64(prefix) => Some(format!("base64:{prefix}")),
        KeyFormat::P256PublicKey | KeyFormat::Sha1OfPrivateKey => None,
    };
    match scheme {
        SignatureScheme::Header(scheme) => {
            let SignedContent::Parts(parts) = scheme.signed_content else { return None };
            let format = scheme.signatures[0];
            set("scheme", algorithm(format.algorithm).into());
            set("header", scheme.headers.join(","));
            set("prefix", format.prefix.into());
            set("encoding", encoding(scheme.encoding));
            if let Some(key) = key(format.key_format) {
                set("key", key);
            }
            let part = |part: &SigningPart| match *part {
                SigningPart::Body => "{body}",
                SigningPart::Timestamp => "{timestamp}",
                SigningPart::Id => "{id}",
                SigningPart::Url => "{url}",
                SigningPart::Method => "{method}",
                SigningPart::Literal(text) => text,
            };
            set("signed", parts.iter().map(part).collect());
            set("id_header", scheme.id_headers.join(","));
            if let HeaderFormat::List(separator) = scheme.header_format {
                set("separator", if separator == " " { "space".into() } else { separator.to_owned() });
            }
            if let Some(timestamp) = scheme.timestamp {
                match timestamp.location {
                    TimestampLocation::Header(names) => set("timestamp_header", names.join(",")),
                    TimestampLocation::SignatureHeader("") => set("timestamp_prefix", "first".into()),
                    TimestampLocation::SignatureHeader(prefix) => set("timestamp_prefix", prefix.into()),
                    // Linear: the timestamp is an additional check after the verification.
                    TimestampLocation::Body(_) => None,
                };
            }
        }
        SignatureScheme::SharedSecret([SecretLocation::Header(name)]) => {
            set("scheme", "token".into());
            set("header", (*name).to_owned());
        }
        SignatureScheme::SharedSecret([SecretLocation::Basic, ..]) => {
            set("scheme", "basic".into());
        }
        SignatureScheme::SharedSecret([SecretLocation::Bearer, ..]) => {
            set("scheme", "bearer".into());
        }
        SignatureScheme::SharedSecret(_) | SignatureScheme::Form(_) => return None,
        SignatureScheme::Jws(scheme) => {
            set("scheme", "jws".into());
            set("header", scheme.header.into());
            set("body_hash_claim", scheme.body_hash_claim.into());
            set("encoding", encoding(scheme.body_hash_encoding));
        }
        SignatureScheme::Body(scheme) => {
            set("scheme", format!("body-{}", algorithm(scheme.format.algorithm)));
            set("elements", scheme.elements.unwrap_or_default().into());
            set("signature_fields", scheme.signatures.join(","));
            set("signed_fields", scheme.signed_fields.join(","));
            set("separator", scheme.separator.into());
            set("encoding", encoding(scheme.encoding));
            set("key", key(scheme.format.key_format)?);
        }
        SignatureScheme::AnyOf(schemes) => return generic_settings(&schemes[0]),
    }
    Some(settings)
}

#[test]
fn generic_settings_express_every_scheme_without_code() {
    let with_code = ["braintree", "contentful", "hubspot", "mandrill", "twilio"];
    for provider in providers::PROVIDERS {
        let Some(settings) = generic_settings(&provider.signature_scheme) else {
            assert!(with_code.contains(&provider.name), "{}", provider.name);
            continue;
        };
        let label = |setting: &str| setting.to_owned();
        let generic = GenericSettings::new(settings, &label).build("acme");
        let generic = generic.unwrap_or_else(|error| panic!("{}: {error}", provider.name));
        let secret = secret_of(provider);
        for sample in provider.samples {
            let request = signed_sample(provider, sample, &secret, now());
            let result = verify(generic, &request, &secret.verifying, now()).map(drop);
            assert_eq!(result, Ok(()), "{}", provider.name);
            let other = secret_of(provider);
            assert!(verify(generic, &request, &other.verifying, now()).is_err(), "{}", provider.name);
        }
    }
}

#[test]
fn a_contradictory_generic_setting_is_named() {
    let error = |settings: &[(&str, &str)]| {
        let base = [("source", "acme.example"), ("scheme", "hmac-sha256"), ("header", "x-acme-signature")];
        let values = base.iter().chain(settings).map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        let label = |setting: &str| format!("GENERIC_{}", setting.to_uppercase());
        GenericSettings::new(values.collect(), &label).build("acme").unwrap_err().to_string()
    };
    insta::assert_snapshot!(error(&[("source", "")]), @"GENERIC_SOURCE: not set; it names the `source` of the events, for example acme.com");
    insta::assert_snapshot!(error(&[("scheme", "hmac")]), @"GENERIC_SCHEME: unknown scheme 'hmac', expected one of hmac-sha1, hmac-sha256, hmac-sha512, ed25519, ecdsa-p256, token, basic, bearer, standard-webhooks, jws, body-hmac-sha1, body-hmac-sha256, body-token");
    insta::assert_snapshot!(error(&[("header", "")]), @"GENERIC_HEADER: not set; it names the header with the signature, for example x-acme-signature");
    insta::assert_snapshot!(error(&[("header", "a b")]), @"GENERIC_HEADER: 'a b' is not the name of a header");
    insta::assert_snapshot!(error(&[("scheme", "basic")]), @"GENERIC_HEADER: has no meaning with GENERIC_SCHEME=basic; remove one of them");
    insta::assert_snapshot!(error(&[("scheme", "token"), ("signed", "{body}")]), @"GENERIC_SIGNED: has no meaning with GENERIC_SCHEME=token; remove one of them");
    insta::assert_snapshot!(error(&[("signed", "{timestamp}")]), @"GENERIC_SIGNED: {body} is missing, so that any body would be accepted");
    insta::assert_snapshot!(error(&[("signed", "{timestamp}.{body}")]), @"GENERIC_SIGNED: {timestamp} needs GENERIC_TIMESTAMP_HEADER or GENERIC_TIMESTAMP_PREFIX");
    insta::assert_snapshot!(error(&[("signed", "{body}{when}")]), @"GENERIC_SIGNED: unknown part {when}, expected {body}, {timestamp}, {id}, {url} or {method}");
    insta::assert_snapshot!(error(&[("signed", "{body")]), @"GENERIC_SIGNED: a '{' without its '}'");
    insta::assert_snapshot!(error(&[("timestamp_header", "x-time")]), @"GENERIC_TIMESTAMP_HEADER: GENERIC_SIGNED has no {timestamp}: a timestamp that is not signed protects nothing");
    insta::assert_snapshot!(error(&[("timestamp_prefix", "t="), ("signed", "{timestamp}{body}")]), @"GENERIC_TIMESTAMP_PREFIX: needs GENERIC_SEPARATOR, because the header contains the timestamp and the signature");
    insta::assert_snapshot!(error(&[("timestamp_prefix", "t="), ("timestamp_header", "x-time"), ("separator", ",")]), @"GENERIC_TIMESTAMP_PREFIX: contradicts GENERIC_TIMESTAMP_HEADER; remove one of them");
    insta::assert_snapshot!(error(&[("signed", "{id}{body}")]), @"GENERIC_ID_HEADER: not set, but GENERIC_SIGNED has {id}");
    insta::assert_snapshot!(error(&[("id_header", "x-id")]), @"GENERIC_ID_HEADER: GENERIC_SIGNED has no {id}; for an id that is not signed, use GENERIC_DELIVERY_ID=header:NAME");
    insta::assert_snapshot!(error(&[("tolerance_seconds", "60")]), @"GENERIC_TOLERANCE_SECONDS: needs a signed timestamp");
    insta::assert_snapshot!(error(&[("encoding", "base32")]), @"GENERIC_ENCODING: unknown encoding 'base32', expected hex, base64 or base64url");
    insta::assert_snapshot!(error(&[("scheme", "ed25519"), ("key", "text")]), @"GENERIC_KEY: a public key cannot have this format");
    insta::assert_snapshot!(error(&[("event_type", "type")]), @"GENERIC_EVENT_TYPE: 'type' is not header:NAME, json:/POINTER or envelope:/POINTER");
    insta::assert_snapshot!(error(&[("split", "events")]), @"GENERIC_SPLIT: 'events' is not a JSON pointer, which begins with a slash, for example /data/id");
    insta::assert_snapshot!(error(&[("heder", "x")]), @"GENERIC_HEDER: unknown setting; the settings are GENERIC_SOURCE, GENERIC_SCHEME, GENERIC_HEADER, GENERIC_PREFIX, GENERIC_ENCODING, GENERIC_SEPARATOR, GENERIC_KEY, GENERIC_SIGNED, GENERIC_TIMESTAMP_HEADER, GENERIC_TIMESTAMP_PREFIX, GENERIC_TOLERANCE_SECONDS, GENERIC_ID_HEADER, GENERIC_BODY_HASH_CLAIM, GENERIC_SIGNATURE_FIELDS, GENERIC_SIGNED_FIELDS, GENERIC_ELEMENTS, GENERIC_EVENT_TYPE, GENERIC_DELIVERY_ID, GENERIC_EVENT_TIME, GENERIC_SPLIT, GENERIC_HANDSHAKE, GENERIC_SUCCESS");
}

#[test]
fn events_that_share_the_id_of_their_webhook_are_numbered() {
    let values = [
        ("source", "acme.example"),
        ("scheme", "token"),
        ("header", "x-acme-token"),
        ("event_type", "json:/kind"),
        ("delivery_id", "header:X-Acme-Delivery"),
        ("split", "/items"),
    ];
    let values = values.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let label = |setting: &str| setting.to_owned();
    let acme = GenericSettings::new(values.into(), &label).build("acme").unwrap();
    let mut request = WebhookRequest::post(url(acme), r#"{"items":[{"kind":"a"},{"kind":"b"}]}"#);
    request.add_header("content-type", "application/json");
    request.add_header("x-acme-delivery", "d1");
    acme.signature_scheme.sign(&mut request, &Secret::new("s"), now()).unwrap();
    let events = verify(acme, &request, "s", now()).unwrap().to_events(None).unwrap();
    let ids: Vec<&str> = events.iter().map(|event| event.resources[0].as_str()).collect();
    assert_eq!(ids, ["urn:webhook:acme:d1#0", "urn:webhook:acme:d1#1"]);
    assert_eq!(events[1].detail_type, "b");
}
