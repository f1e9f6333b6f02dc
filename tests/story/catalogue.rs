//! Every provider of the catalogue: its samples verify and become events, and every change of what is signed is rejected.

use std::collections::BTreeMap;

use hookbridge::bridge::{Outcome, WebhookHandler};
use hookbridge::event::Event;
use hookbridge::providers::{
    self, Algorithm, BODY_NOT_SIGNED_URN, Encoding, FieldLocation, GeneratedSecret, GenericSettings,
    HeaderFormat, HeaderSignature, KeyFormat, Provider, RequestUrl, SampleWebhook, SecretLocation,
    SignatureScheme, SignedContent, SigningPart, TimestampLocation, UrlSpellings, VerificationError,
    VerifiedWebhook, WebhookRequest,
};
use hookbridge::secrets::{Secret, StaticSecret};
use hookbridge::serve::test_webhook::TestWebhook;
use jiff::{SignedDuration, Timestamp};

use crate::actors::dispatch_harness::RecordingBus;

fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

fn url(provider: &Provider) -> RequestUrl {
    format!("https://hooks.example/in/{}?x=1", provider.name).parse().unwrap()
}

fn secret_of(provider: &Provider) -> GeneratedSecret {
    provider.signature_scheme.generate_secret().unwrap()
}

/// The sample as `provider` sends it at `time`.
fn signed_sample(
    provider: &'static Provider,
    sample: &SampleWebhook,
    secret: &GeneratedSecret,
    time: Timestamp,
) -> WebhookRequest {
    let event = (provider.event_type.is_some() && provider.name != "twilio").then_some(sample.event_type);
    let webhook = TestWebhook { provider, event, body: None, url: url(provider) };
    webhook.sign(&Secret::new(secret.signing.as_str()), time).unwrap()
}

fn verify(
    provider: &'static Provider,
    request: &WebhookRequest,
    secret: &str,
    time: Timestamp,
) -> Result<VerifiedWebhook, VerificationError> {
    let unverified = provider.parse_signature(request.to_raw(), time)?;
    unverified.verify(&Secret::new(secret)).map_err(|unverified| unverified.error())
}

fn events(provider: &'static Provider, request: &WebhookRequest, secret: &GeneratedSecret) -> Vec<Event> {
    verify(provider, request, &secret.verifying, now()).unwrap().to_events().unwrap()
}

/// The providers whose webhooks become events in the bridge.
fn event_providers() -> impl Iterator<Item = &'static Provider> {
    providers::PROVIDERS.into_iter().filter(|provider| !provider.sends_batches())
}

#[test]
fn the_catalogue_is_sorted_and_complete() {
    let names: Vec<&str> = providers::PROVIDERS.iter().map(|provider| provider.name).collect();
    assert!(names.is_sorted() && names.len() >= 65, "{names:?}");
    for provider in providers::PROVIDERS {
        let name = provider.name;
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'), "{name}");
        assert!(provider.documentation.starts_with("https://"), "{name}");
        assert!(provider.secret_hint.ends_with('.') && provider.source.contains('.'), "{name}");
        assert!(!provider.samples.is_empty(), "{name}");
        let same_source = providers::PROVIDERS.iter().filter(|other| other.source == provider.source);
        assert_eq!(same_source.count(), 1, "{name}: the source of events identifies their provider");
        for sample in provider.samples {
            for placeholder in [sample.id_placeholder, sample.time_placeholder] {
                assert!(sample.body.contains(placeholder), "{name}: {placeholder}");
            }
        }
    }
}

#[test]
fn every_sample_verifies_and_becomes_events_of_its_type() {
    for provider in event_providers() {
        let secret = secret_of(provider);
        for sample in provider.samples {
            let request = signed_sample(provider, sample, &secret, now());
            let events = events(provider, &request, &secret);
            let label = format!("{} {}", provider.name, sample.event_type);
            let first = events.first().unwrap_or_else(|| panic!("{label}: no event"));
            let expected = match provider.event_type {
                Some(_) => sample.event_type.to_owned(),
                None => provider.default_event_type(),
            };
            let expected = if provider.name == "twilio" { provider.default_event_type() } else { expected };
            assert_eq!(first.detail_type, expected, "{label}");
            assert_eq!(first.source, provider.source, "{label}");
            let is_marked = first.resources.iter().any(|urn| urn == BODY_NOT_SIGNED_URN);
            assert_eq!(is_marked, !provider.signature_scheme.covers_body(), "{label}");
            let urn = format!("urn:webhook:{}:", provider.name);
            let has_id = first.resources.iter().any(|resource| resource.starts_with(&urn));
            // Some types have no id, but not the default sample.
            let is_default = sample.event_type == provider.samples[0].event_type;
            assert!(has_id || !is_default || provider.delivery_id.is_none(), "{label}: no delivery id");
            if let Some(time) = first.time.filter(|_| !sample.time_placeholder.is_empty()) {
                let age = now().duration_since(time);
                // Linear's timestamp is not the time of the event.
                let is_recent = age.abs() <= SignedDuration::from_secs(1) || provider.name == "linear";
                assert!(is_recent, "{label}: {time}");
            }
        }
    }
}

#[test]
fn a_secret_may_contain_several_keys() {
    for provider in providers::PROVIDERS {
        let (secret, other) = (secret_of(provider), secret_of(provider));
        let request = signed_sample(provider, &provider.samples[0], &secret, now());
        let is_accepted = |keys: &[&str]| verify(provider, &request, &keys.join("\n"), now()).is_ok();
        let (key, other) = (secret.verifying.as_str(), other.verifying.as_str());
        assert!(is_accepted(&[key]) && is_accepted(&[key, other]), "{}", provider.name);
        assert!(is_accepted(&[other, key, ""]), "{}", provider.name);
        assert!(!is_accepted(&[other]) && !is_accepted(&["", ""]), "{}", provider.name);
    }
}

/// The scheme of a provider with signatures in headers: of several, the one that `send` uses.
fn header_signature(scheme: &'static SignatureScheme) -> Option<&'static HeaderSignature> {
    match scheme {
        SignatureScheme::Header(scheme) => Some(scheme),
        SignatureScheme::AnyOf(schemes) => header_signature(&schemes[0]),
        _ => None,
    }
}

fn flip_bit(text: &str, index: usize, bit: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[index] ^= 1 << bit;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[test]
fn a_flipped_bit_in_the_body_is_rejected() {
    for provider in providers::PROVIDERS {
        if matches!(provider.signature_scheme, SignatureScheme::SharedSecret(_) | SignatureScheme::Body(_)) {
            continue;
        }
        let secret = secret_of(provider);
        let request = signed_sample(provider, &provider.samples[0], &secret, now());
        for index in 0..request.body.len() {
            let mut body = request.body.to_vec();
            body[index] ^= 1 << (index % 8);
            let changed = WebhookRequest { body: body.into(), ..request.clone() };
            // A form is signed decoded: another spelling of the same fields is the same content.
            let fields = |request: &WebhookRequest| {
                let mut fields = providers::Form::parse(&request.body).pairs().to_vec();
                fields.sort();
                fields
            };
            let is_form = matches!(provider.name, "twilio" | "mandrill");
            if is_form && fields(&changed) == fields(&request) {
                continue;
            }
            let result = verify(provider, &changed, &secret.verifying, now());
            assert!(result.is_err(), "{}: byte {index} of the body", provider.name);
        }
    }
}

#[test]
fn a_flipped_bit_in_a_signature_header_is_rejected() {
    for provider in providers::PROVIDERS {
        let secret = secret_of(provider);
        let unsigned: Vec<String> = {
            let fields = [provider.event_type, provider.delivery_id, provider.event_time];
            let headers = fields.into_iter().flatten().filter_map(FieldLocation::first_header);
            let signed_ids = header_signature(&provider.signature_scheme).map_or(&[][..], |s| s.id_headers);
            headers.filter(|name| !signed_ids.contains(name)).map(str::to_owned).collect()
        };
        let sample = &provider.samples[0];
        let request = signed_sample(provider, sample, &secret, now());
        for (position, (name, value)) in request.headers.iter().enumerate() {
            let is_of_sample = sample.headers.iter().any(|(header, _)| header == name);
            if name == "content-type" || unsigned.contains(name) || is_of_sample {
                continue;
            }
            for index in 0..value.len() {
                let mut changed = request.clone();
                changed.headers[position].1 = flip_bit(value, index, index % 7);
                let is_same_text = |left: &str, right: &str| left.eq_ignore_ascii_case(right);
                // The name of an authentication scheme is case-insensitive.
                if name == "authorization" && is_same_text(&changed.headers[position].1, value) {
                    continue;
                }
                let result = verify(provider, &changed, &secret.verifying, now());
                assert!(result.is_err(), "{}: byte {index} of the header {name}", provider.name);
            }
        }
    }
}

#[test]
fn another_url_is_rejected_if_the_url_is_signed() {
    for name in ["contentful", "hubspot", "mandrill", "square", "trello", "twilio"] {
        let provider = providers::find_provider(name).unwrap();
        let secret = secret_of(provider);
        let request = signed_sample(provider, &provider.samples[0], &secret, now());
        let text = request.url.to_string();
        // Contentful does not sign the host.
        let start = if name == "contentful" { text.find("/in/").unwrap() } else { "https://".len() };
        for index in start..text.len() {
            let Ok(url) = flip_bit(&text, index, 0).parse::<RequestUrl>() else { continue };
            let changed = WebhookRequest { url, ..request.clone() };
            let result = verify(provider, &changed, &secret.verifying, now());
            assert!(result.is_err(), "{name}: byte {index} of the URL");
        }
    }
}

#[test]
fn a_timestamp_is_accepted_up_to_both_edges_of_the_tolerance() {
    let mut checked = 0;
    for provider in providers::PROVIDERS {
        let Some(timestamp) = header_signature(&provider.signature_scheme).and_then(|s| s.timestamp) else {
            continue;
        };
        if timestamp.tolerance.is_unlimited() || matches!(timestamp.location, TimestampLocation::Body(_)) {
            continue;
        }
        let secret = secret_of(provider);
        let result_at = |seconds: i64| {
            let signed_at = now() - SignedDuration::from_secs(seconds);
            let request = signed_sample(provider, &provider.samples[0], &secret, signed_at);
            verify(provider, &request, &secret.verifying, now()).map(drop)
        };
        let (past, future) = (timestamp.tolerance.past_seconds, timestamp.tolerance.future_seconds);
        for (age, is_accepted) in [(past, true), (past + 1, false), (-future, true), (-future - 1, false)] {
            let expected = if is_accepted { Ok(()) } else { Err(VerificationError::TimestampOutOfTolerance) };
            assert_eq!(result_at(age), expected, "{} at an age of {age} s", provider.name);
        }
        checked += 1;
    }
    assert!(checked >= 20, "{checked}");
}

#[test]
fn a_timestamp_in_the_signed_body_is_checked() {
    let linear = providers::find_provider("linear").unwrap();
    let secret = secret_of(linear);
    let result_at = |age: i64| {
        let millis = (now() - SignedDuration::from_secs(age)).as_millisecond();
        let body = format!(r#"{{"action":"create","type":"Issue","webhookTimestamp":{millis}}}"#);
        let mut request = WebhookRequest::post(url(linear), body);
        request.add_header("content-type", "application/json");
        let signing = Secret::new(secret.signing.as_str());
        linear.signature_scheme.sign(&mut request, &signing, now()).unwrap();
        verify(linear, &request, &secret.verifying, now()).map(drop)
    };
    assert_eq!(result_at(8 * 3600), Ok(()));
    assert_eq!(result_at(8 * 3600 + 1), Err(VerificationError::TimestampOutOfTolerance));
    assert_eq!(result_at(-60), Ok(()));
    assert_eq!(result_at(-61), Err(VerificationError::TimestampOutOfTolerance));
}

#[test]
fn a_missing_repeated_or_oversized_signature_is_rejected() {
    for provider in providers::PROVIDERS {
        let secret = secret_of(provider);
        let request = signed_sample(provider, &provider.samples[0], &secret, now());
        let error = |request: &WebhookRequest| {
            verify(provider, request, &secret.verifying, now()).map(drop).unwrap_err()
        };
        if matches!(provider.signature_scheme, SignatureScheme::Body(_)) {
            for body in ["", "{}", "[]", "{", "\u{0}", r#"{"value":[]}"#, r#"{"notificationItems":[{}]}"#] {
                let unsigned = WebhookRequest { body: body.as_bytes().to_vec().into(), ..request.clone() };
                error(&unsigned);
            }
            continue;
        }
        let is_in_query = request.url.query != url(provider).query;
        if provider.name != "twilio" && is_in_query {
            let unsigned = WebhookRequest { url: url(provider), ..request.clone() };
            assert_eq!(error(&unsigned), VerificationError::MissingSignature, "{}", provider.name);
            continue;
        }
        let mut unsigned = request.clone();
        let (name, value) = unsigned.headers.pop().unwrap();
        assert_eq!(error(&unsigned), VerificationError::MissingSignature, "{}", provider.name);
        let with = |values: &[String]| {
            let mut request = unsigned.clone();
            request.headers.extend(values.iter().map(|value| (name.clone(), value.clone())));
            request
        };
        let oversized = format!("{value}{}", "a".repeat(5000));
        for values in
            [vec![value.clone(), value.clone()], vec![oversized], vec![String::new()], vec!["=".into()]]
        {
            let changed = with(&values);
            let wrong = [VerificationError::MalformedSignature, VerificationError::SignatureMismatch];
            assert!(wrong.contains(&error(&changed)), "{}: {} values", provider.name, values.len());
        }
    }
}

#[test]
fn events_of_one_webhook_have_the_ids_of_their_elements_or_numbers() {
    let resources = |name: &str, body: &str| {
        let provider = providers::find_provider(name).unwrap();
        let secret = secret_of(provider);
        let webhook =
            TestWebhook { provider, event: None, body: Some(body.to_owned().into()), url: url(provider) };
        let mut request = webhook.sign(&Secret::new(secret.signing.as_str()), now()).unwrap();
        for (header, value) in &mut request.headers {
            if provider.delivery_id.and_then(FieldLocation::first_header) == Some(header.as_str()) {
                *value = "d1".into();
            }
        }
        let events = events(provider, &request, &secret);
        let describe = |event: &Event| format!("{} {}", event.detail_type, event.resources.join(" "));
        events.iter().map(describe).collect::<Vec<_>>()
    };
    assert_eq!(
        resources(
            "sendgrid",
            r#"[{"event":"open","sg_event_id":"a"},{"event":"click","sg_event_id":"b"},{}]"#
        ),
        ["open urn:webhook:sendgrid:a", "click urn:webhook:sendgrid:b", "sendgrid-webhook-lambda "]
    );
    assert_eq!(
        resources("cloudevents", r#"[{"type":"a","id":"1"},{"type":"b"}]"#),
        ["a urn:webhook:cloudevents:1", "b "]
    );
    assert_eq!(resources("gocardless", r#"{"events":[]}"#), [] as [String; 0]);
    assert_eq!(
        resources("gocardless", r#"{"meta":{}}"#),
        ["gocardless-webhook-lambda "],
        "no array: one event"
    );
    assert_eq!(
        resources(
            "twilio",
            r#"[{"type":"com.twilio.messaging","id":"EZ1"},{"type":"com.twilio.voice","id":"EZ2"}]"#
        ),
        ["com.twilio.messaging urn:webhook:twilio:EZ1", "com.twilio.voice urn:webhook:twilio:EZ2"]
    );
}

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
        KeyFormat::P256PublicKey => None,
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
        SignatureScheme::SharedSecret(_) => return None,
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
    let with_code = ["contentful", "hubspot", "mandrill", "twilio"];
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
    let events = verify(acme, &request, "s", now()).unwrap().to_events().unwrap();
    let ids: Vec<&str> = events.iter().map(|event| event.resources[0].as_str()).collect();
    assert_eq!(ids, ["urn:webhook:acme:d1#0", "urn:webhook:acme:d1#1"]);
    assert_eq!(events[1].detail_type, "b");
}

/// Handles a request with the provider's handler, as the function and `serve` do.
async fn handle(provider: &'static Provider, secret: &str, request: &WebhookRequest) -> (Outcome, String) {
    let bus = RecordingBus::default();
    let handler = WebhookHandler {
        provider,
        secrets: StaticSecret::new(Secret::new(secret)),
        bus: bus.clone(),
        max_entry_bytes: 262_144,
        overflow_store: None,
        spill_queue: None,
        archive: None,
    };
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(5);
    let record = handler.handle(request.to_raw(), None, deadline).await;
    let response = record.response();
    let headers: Vec<String> = response
        .headers
        .iter()
        .filter(|(name, _)| *name != "x-content-type-options")
        .map(|(name, value)| format!("{name}: {value}\n"))
        .collect();
    if matches!(record.outcome, Outcome::Handshake(_)) {
        assert!(bus.take_events().is_empty(), "{}: a handshake is never published", provider.name);
    }
    (
        record.outcome,
        format!("{} {}\n{}{}", response.status, response.media_type, headers.concat(), response.body),
    )
}

#[tokio::test]
async fn every_handshake_is_answered_as_documented() {
    let answer =
        async |name: &str, method: &str, query: &str, headers: &[(&str, &str)], body: &str, sign: bool| {
            let provider = providers::find_provider(name).unwrap();
            let url = format!("https://hooks.example/{query}").parse().unwrap();
            let mut request = WebhookRequest::post(url, body.to_owned());
            request.method = method.parse().unwrap();
            for (header, value) in headers {
                request.add_header(header, *value);
            }
            let secret = match name {
                "x" | "zoom" => "secret".to_owned(),
                "meta" => "key\nverify-token=mine".to_owned(),
                _ => String::new(),
            };
            let generated = secret_of(provider);
            let (signing, verifying) = match secret.is_empty() {
                true => (generated.signing, generated.verifying),
                false => (secret.clone(), secret),
            };
            if sign {
                let signing = Secret::new(signing.as_str());
                provider.signature_scheme.sign(&mut request, &signing, Timestamp::now()).unwrap();
            }
            handle(provider, &verifying, &request).await.1
        };
    let json = &[("content-type", "application/json")][..];
    assert_eq!(
        answer(
            "slack",
            "POST",
            "",
            json,
            r#"{"type":"url_verification","token":"t","challenge":"3eZbrw1a"}"#,
            true
        )
        .await,
        "200 text/plain; charset=utf-8\n3eZbrw1a"
    );
    assert_eq!(
        answer("slack", "POST", "", json, r#"{"type":"url_verification","challenge":"3eZbrw1a"}"#, false)
            .await,
        "401 text/plain; charset=utf-8\nInvalid Signature"
    );
    assert_eq!(
        answer("discord", "POST", "", json, r#"{"version":1,"application_id":"1","type":0}"#, true).await,
        "204 text/plain; charset=utf-8\n"
    );
    assert_eq!(
        answer(
            "zoom",
            "POST",
            "",
            json,
            r#"{"event":"endpoint.url_validation","payload":{"plainToken":"qgg8vlvZRS6UYooatFL8Aw"}}"#,
            true
        )
        .await,
        "200 application/json\n{\"encryptedToken\":\"72cef096bfd47c0b8664df30d07721641e4abd7e885ba432204260db477a9a3e\",\"plainToken\":\"qgg8vlvZRS6UYooatFL8Aw\"}"
    );
    assert_eq!(
        answer(
            "twitch",
            "POST",
            "",
            &[("twitch-eventsub-message-type", "webhook_callback_verification")],
            r#"{"challenge":"pogchamp-kappa-360noscope-vohiyo","subscription":{}}"#,
            true
        )
        .await,
        "200 text/plain; charset=utf-8\npogchamp-kappa-360noscope-vohiyo"
    );
    assert_eq!(
        answer(
            "meta",
            "GET",
            "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=mine",
            &[],
            "",
            false
        )
        .await,
        "200 text/plain; charset=utf-8\n1158201444"
    );
    assert_eq!(
        answer(
            "meta",
            "GET",
            "?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=yours",
            &[],
            "",
            false
        )
        .await,
        "401 text/plain; charset=utf-8\nInvalid Signature"
    );
    assert_eq!(
        answer("meta", "GET", "?hub.mode=subscribe&hub.challenge=1158201444", &[], "", false).await,
        "401 text/plain; charset=utf-8\nInvalid Signature"
    );
    assert_eq!(
        answer("meta", "GET", "?hub.challenge=%3Cscript%3E&hub.verify_token=mine", &[], "", false).await,
        "405 text/plain; charset=utf-8\nallow: GET, POST\nMethod Not Allowed"
    );
    assert_eq!(
        answer("dropbox", "GET", "?challenge=x-y_Z9", &[], "", false).await,
        "200 text/plain; charset=utf-8\nx-y_Z9"
    );
    assert_eq!(
        answer("x", "GET", "?crc_token=abc123", &[], "", false).await,
        "200 application/json\n{\"response_token\":\"sha256=WuWsgCoaXJT7aD4b+hIfn3AKJplSE/8vwcUD60PsccY=\"}"
    );
    assert_eq!(
        answer("x", "GET", "?crc_token=%7B%22a%22%3A1%7D", &[], "", false).await,
        "405 text/plain; charset=utf-8\nallow: GET, POST\nMethod Not Allowed"
    );
    assert_eq!(
        answer("okta", "GET", "", &[("x-okta-verification-challenge", "ORVcoTvB2uF2")], "", false).await,
        "200 application/json\n{\"verification\":\"ORVcoTvB2uF2\"}"
    );
    assert_eq!(
        answer("asana", "POST", "", &[("x-hook-secret", "b537207f20cbfa02357cf448134da559")], "{}", false)
            .await,
        "200 text/plain; charset=utf-8\nx-hook-secret: b537207f20cbfa02357cf448134da559\n"
    );
    assert_eq!(
        answer(
            "notion",
            "POST",
            "",
            json,
            r#"{"verification_token":"secret_tMrlL1qK5vuQAh1b6cZGhFChZTSYJlce98V0pYn7yBl"}"#,
            false
        )
        .await,
        "200 text/plain; charset=utf-8\n"
    );
    assert_eq!(answer("trello", "HEAD", "", &[], "", false).await, "200 text/plain; charset=utf-8\n");
    assert_eq!(
        answer(
            "woocommerce",
            "POST",
            "",
            &[("content-type", "application/x-www-form-urlencoded")],
            "webhook_id=142",
            false
        )
        .await,
        "200 text/plain; charset=utf-8\n"
    );
    assert_eq!(
        answer(
            "woocommerce",
            "POST",
            "",
            &[("content-type", "application/x-www-form-urlencoded")],
            "webhook_id=142&a=b",
            false
        )
        .await,
        "401 text/plain; charset=utf-8\nInvalid Signature"
    );
    assert_eq!(
        answer(
            "cloudevents",
            "OPTIONS",
            "",
            &[("webhook-request-origin", "eventemitter.example.com"), ("webhook-request-rate", "120")],
            "",
            false
        )
        .await,
        "200 text/plain; charset=utf-8\nallow: POST, OPTIONS\nwebhook-allowed-origin: eventemitter.example.com\nwebhook-allowed-rate: *\n"
    );
    assert_eq!(
        answer(
            "microsoft-graph",
            "POST",
            "?validationToken=Validation%3a+Testing+client+application%0a",
            &[],
            "",
            false
        )
        .await,
        "401 text/plain; charset=utf-8\nInvalid Signature"
    );
    assert_eq!(
        answer(
            "microsoft-graph",
            "POST",
            "?validationToken=Validation%3a+Testing+client+Request-Id%3a+62f0",
            &[],
            "",
            false
        )
        .await,
        "200 text/plain; charset=utf-8\nValidation: Testing client Request-Id: 62f0"
    );
    assert_eq!(answer("azure-event-grid", "POST", "", &[("aeg-event-type", "SubscriptionValidation"), json[0]], r#"[{"id":"1","eventType":"Microsoft.EventGrid.SubscriptionValidationEvent","data":{"validationCode":"512d38b6-c7b8-40c8-89fe-f46f9e9622b6","validationUrl":"https://x.example:553/"}}]"#, true).await, "200 application/json\n{\"validationResponse\":\"512d38b6-c7b8-40c8-89fe-f46f9e9622b6\"}");
    assert_eq!(
        answer(
            "xero",
            "POST",
            "",
            json,
            r#"{"events":[],"firstEventSequence":0,"lastEventSequence":0,"entropy":"S0"}"#,
            true
        )
        .await,
        "200 text/plain; charset=utf-8\n"
    );
    assert_eq!(
        answer(
            "xero",
            "POST",
            "",
            &[json[0], ("x-xero-signature", "d3Jvbmc=")],
            r#"{"events":[],"entropy":"S0"}"#,
            false
        )
        .await,
        "401 text/plain; charset=utf-8\n"
    );
    assert_eq!(
        answer("github", "GET", "", &[], "", false).await,
        "405 text/plain; charset=utf-8\nallow: POST\nMethod Not Allowed"
    );
    assert_eq!(
        answer("meta", "GET", "", &[], "", false).await,
        "405 text/plain; charset=utf-8\nallow: GET, POST\nMethod Not Allowed"
    );
}

#[test]
fn the_public_url_replaces_the_received_url_in_signatures() {
    let square = providers::find_provider("square").unwrap();
    let secret = secret_of(square);
    let request = signed_sample(square, &square.samples[0], &secret, now());
    let received = || hookbridge::lambda::ReceivedUrl {
        scheme: "https",
        authority: "id.lambda-url.us-east-1.on.aws".into(),
        path: "/in/square".into(),
        path_with_stage: None,
        query: hookbridge::lambda::ReceivedQuery::AsSent("x=1".into()),
    };
    let public_url = "https://hooks.example/in/square?x=1".parse().unwrap();
    let headers = providers::RawWebhook::header_map(request.headers.iter().map(|(n, v)| (n, v)));
    let is_verified = |urls: UrlSpellings| {
        let webhook =
            providers::RawWebhook::new(http::Method::POST, urls, headers.clone(), request.body.clone());
        let unverified = square.parse_signature(webhook, now()).unwrap();
        unverified.verify(&Secret::new(secret.verifying.as_str())).is_ok()
    };
    assert!(is_verified(UrlSpellings::new(received(), Some(&public_url))));
    assert!(!is_verified(UrlSpellings::new(received(), None)));
}
