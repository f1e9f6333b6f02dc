//! Properties of all bodies and secrets: signed samples verify, and one flipped bit fails verification.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use hookbridge::bridge::webhook_from_http_request;
use hookbridge::event::{Detail, Event};
use hookbridge::lambda::HttpRequest;
use hookbridge::providers::email::sparkpost::SPARKPOST;
use hookbridge::providers::{self, Form, Provider, RawWebhook, RequestUrl, WebhookRequest};
use hookbridge::recorder;
use hookbridge::secrets::Secret;
use hookbridge::serve::test_webhook::TestWebhook;
use jiff::Timestamp;
use proptest::prelude::*;

const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_second(NOW).unwrap()
}

/// Providers whose schemes have nothing in common, and whose secrets are arbitrary text. `catalogue` tests every provider.
fn any_provider() -> impl Strategy<Value = &'static Provider> {
    let names = ["github", "slack", "sparkpost", "square", "stripe", "twilio"];
    prop::sample::select(names.map(|name| providers::find_provider(name).unwrap()).to_vec())
}

/// A provider that signs webhooks, rather than only sending its secret.
fn any_signing_provider() -> impl Strategy<Value = &'static Provider> {
    any_provider().prop_filter("signs", |p| p.name != "sparkpost")
}

/// A secret of arbitrary bytes. It contains no line break, which would separate two keys.
fn any_secret() -> impl Strategy<Value = Vec<u8>> {
    let bytes = prop_oneof![0..10_u8, 11..=255_u8];
    prop::collection::vec(bytes, 1..80).prop_filter("not only a line break", |secret| secret != b"\r")
}

fn any_url() -> impl Strategy<Value = RequestUrl> {
    let pattern = "https?://[a-z]{1,8}\\.example(:[1-9][0-9]{1,3})?/[a-z%/.]{0,12}(\\?[a-z0-9=&%]{0,12})?";
    pattern.prop_map(|text| text.parse().unwrap())
}

/// Arbitrary bytes; half of them begin like JSON, which Twilio signs in another way.
fn any_body(min_length: usize) -> impl Strategy<Value = Vec<u8>> {
    let bytes = || prop::collection::vec(any::<u8>(), min_length..400);
    prop_oneof![bytes(), bytes().prop_map(|rest| [b"{", rest.as_slice()].concat())]
}

fn sign(provider: &'static Provider, secret: &[u8], url: RequestUrl, body: Vec<u8>) -> WebhookRequest {
    let webhook = TestWebhook { provider, event: None, body: Some(body.into()), url, recorded: None };
    webhook.sign(&Secret::new(secret), now()).unwrap()
}

fn is_verified(provider: &'static Provider, secret: &[u8], signed: &WebhookRequest) -> bool {
    provider
        .parse_signature(signed.to_raw(), now())
        .is_ok_and(|unverified| unverified.verify(&Secret::new(secret)).is_ok())
}

/// The signed content of a body: Twilio signs the parameters of a form, not its encoding.
fn signed_content(provider: &Provider, signed: &WebhookRequest) -> Vec<Vec<u8>> {
    let is_form =
        signed.headers.iter().any(|(name, value)| *name == "content-type" && value.ends_with("urlencoded"));
    if provider.name != "twilio" || !is_form {
        return vec![signed.body.to_vec()];
    }
    let mut pairs = Form::parse(&signed.body).pairs().to_vec();
    pairs.sort();
    pairs.dedup();
    pairs.into_iter().map(|(name, value)| [name, value].concat()).collect()
}

/// JSON that partly has the shape of an event.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
        "[0-9]{1,12}".prop_map(Into::into),
    ];
    let name = prop_oneof![
        Just("msys".to_owned()),
        Just("message_event".to_owned()),
        Just("type".to_owned()),
        Just("event_id".to_owned()),
        Just("timestamp".to_owned()),
        Just("rcpt_to".to_owned()),
        any::<String>(),
    ];
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
            prop::collection::vec((name.clone(), inner), 0..6)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_batch_element_is_recorded_verbatim(
        elements in prop::collection::vec(any_json(), 0..6),
        as_event in any::<bool>(),
    ) {
        let wrap = |element: serde_json::Value| if as_event {
            serde_json::json!({"msys": {"message_event": element}})
        } else {
            element
        };
        let elements: Vec<_> = elements.into_iter().map(wrap).collect();
        let body = serde_json::Value::from(elements.clone()).to_string();
        let batch = recorder::parse_batch(SPARKPOST.batch_format().unwrap(), None, &body, now());
        let pings = elements.iter().filter(|element| element["msys"] == serde_json::json!({})).count();
        prop_assert_eq!(batch.events.len(), elements.len() - pings);
        let recorded_elements = elements.iter().filter(|element| element["msys"] != serde_json::json!({}));
        for (event, element) in batch.events.iter().zip(recorded_elements) {
            prop_assert_eq!(&*event.detail, element.to_string());
        }
    }

    #[test]
    fn signed_samples_verify(
        provider in any_provider(),
        secret in any_secret(),
        url in any_url(),
        body in any_body(0),
    ) {
        let signed = sign(provider, &secret, url, body);
        prop_assert!(is_verified(provider, &secret, &signed));
    }

    #[test]
    fn a_flipped_bit_in_the_body_fails_verification(
        provider in any_signing_provider(),
        secret in any_secret(),
        url in any_url(),
        body in any_body(1),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let mut signed = sign(provider, &secret, url, body);
        let before = signed_content(provider, &signed);
        let mut flipped = signed.body.to_vec();
        flipped[at.index(signed.body.len())] ^= 1 << bit;
        signed.body = Bytes::from(flipped);
        prop_assume!(signed_content(provider, &signed) != before);
        prop_assert!(!is_verified(provider, &secret, &signed));
    }

    #[test]
    fn a_flipped_bit_in_the_signature_fails_verification(
        provider in any_signing_provider(),
        secret in any_secret(),
        url in any_url(),
        body in prop::collection::vec(any::<u8>(), 0..400),
        at in any::<prop::sample::Index>(),
        bit in 0..7_u32,
    ) {
        let mut signed = sign(provider, &secret, url, body);
        let (_, value) = signed.headers.last_mut().unwrap();
        let mut bytes = value.clone().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        *value = String::from_utf8(bytes).unwrap();
        prop_assert!(!is_verified(provider, &secret, &signed));
    }

    #[test]
    fn a_flipped_bit_in_the_credentials_fails_verification(
        secret in "[a-z]{1,9}:.{0,20}|[A-Za-z0-9._~+/-]{1,40}=?",
        url in any_url(),
        at in any::<prop::sample::Index>(),
        bit in 0..7_u32,
    ) {
        let sparkpost = providers::find_provider("sparkpost").unwrap();
        let mut signed = sign(sparkpost, secret.as_bytes(), url, b"[]".to_vec());
        let (_, value) = signed.headers.last_mut().unwrap();
        // The scheme's name is case-insensitive.
        let scheme = value.find(' ').unwrap();
        let at = scheme + at.index(value.len() - scheme);
        let mut bytes = value.clone().into_bytes();
        bytes[at] ^= 1 << bit;
        *value = String::from_utf8(bytes).unwrap();
        prop_assert!(!is_verified(sparkpost, secret.as_bytes(), &signed));
    }

    #[test]
    fn a_flipped_bit_in_the_secret_fails_verification(
        provider in any_provider(),
        secret in any_secret(),
        url in any_url(),
        body in prop::collection::vec(any::<u8>(), 0..400),
        at in any::<prop::sample::Index>(),
        bit in 0..8_u32,
    ) {
        let signed = sign(provider, &secret, url, body);
        let mut flipped = secret.clone();
        flipped[at.index(secret.len())] ^= 1 << bit;
        // A line break is not part of a key, nor a carriage return at its end, and an HMAC pads its key with zeros.
        let ends_alike = |secret: &[u8]| secret.ends_with(b"\0") || secret.ends_with(b"\r");
        prop_assume!(!flipped.contains(&b'\n') && !ends_alike(&flipped) && !ends_alike(&secret));
        prop_assert!(!is_verified(provider, &flipped, &signed));
    }

    #[test]
    fn a_changed_url_fails_verification_if_the_url_is_signed(
        secret in any_secret(),
        url in any_url(),
        body in "[A-Za-z]{1,9}=[a-z+%]{0,20}",
        suffix in "[a-z]{1,4}",
    ) {
        let twilio = providers::find_provider("twilio").unwrap();
        let mut signed = sign(twilio, &secret, url, body.into_bytes());
        signed.url.path.push_str(&suffix);
        prop_assert!(!is_verified(twilio, &secret, &signed));
    }

    #[test]
    fn a_flipped_bit_in_the_url_fails_verification_if_the_url_is_signed(
        secret in any_secret(),
        url in any_url(),
        body in any_body(1),
        at in any::<prop::sample::Index>(),
        bit in 0..7_u32,
    ) {
        let twilio = providers::find_provider("twilio").unwrap();
        let signed = sign(twilio, &secret, url, body);
        // The port is optional and not signed.
        let host = signed.url.authority.split(':').next().unwrap().len();
        let (path, query) = (signed.url.path.len(), signed.url.query.as_ref().map_or(0, String::len));
        let at = at.index(host + path + query);
        let flip = |text: &str, at: usize| {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] ^= 1 << bit;
            String::from_utf8(bytes).unwrap()
        };
        let mut flipped = signed;
        if at < host {
            flipped.url.authority = flip(&flipped.url.authority, at);
        } else if at < host + path {
            flipped.url.path = flip(&flipped.url.path, at - host);
        } else {
            flipped.url.query = flipped.url.query.map(|query| flip(&query, at - host - path));
        }
        prop_assert!(!is_verified(twilio, &secret, &flipped), "{}", flipped.url);
    }

    #[test]
    fn a_function_url_event_preserves_every_byte(
        provider in any_signing_provider(),
        secret in any_secret(),
        url in any_url(),
        body in any_body(0),
    ) {
        // Lambda does not distinguish an empty query from none.
        let query = url.query.filter(|query| !query.is_empty());
        let https = RequestUrl { scheme: "https", query, ..url };
        let signed = sign(provider, &secret, https, body);
        let headers: serde_json::Map<String, serde_json::Value> =
            signed.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
        let event = serde_json::json!({
            "version": "2.0",
            "rawPath": signed.url.path,
            "rawQueryString": signed.url.query.clone().unwrap_or_default(),
            "headers": headers,
            "requestContext": {"domainName": signed.url.authority, "http": {"method": "POST"}},
            "body": BASE64.encode(&signed.body),
            "isBase64Encoded": true,
        });
        let request = HttpRequest::parse(&event.to_string()).unwrap();
        let webhook = webhook_from_http_request(request, None).unwrap();
        let unverified = provider.parse_signature(webhook, now()).unwrap();
        let verified = unverified.verify(&Secret::new(secret.as_slice())).unwrap();
        prop_assert_eq!(verified.body(), &signed.body);
    }

    #[test]
    fn any_json_object_is_a_detail_byte_for_byte(
        fields in prop::collection::hash_map(".{0,10}", any_finite_json(), 0..8),
        space in "[ \t\r\n]{0,3}",
    ) {
        let text = format!("{space}{}{space}", serde_json::to_string(&fields).unwrap());
        let detail = Detail::parse(text.as_bytes());
        prop_assert_eq!(detail.unwrap().as_str().to_owned(), text);
    }

    #[test]
    fn a_spilled_event_round_trips(
        detail in prop::collection::hash_map(".{0,10}", any_finite_json(), 0..8),
        detail_type in ".{0,40}",
        resources in prop::collection::vec(".{0,20}", 0..3),
        second in prop::option::of(0..4_000_000_000_i64),
    ) {
        let event = Event {
            source: "x.example".into(),
            detail_type,
            detail: Detail::parse(serde_json::to_string(&detail).unwrap().as_bytes()).unwrap(),
            time: second.map(|second| Timestamp::from_second(second).unwrap()),
            resources,
            trace_header: second.map(|second| format!("Root=1-{second:x}")),
            group_id: None,
        };
        let entry = event.to_entry().unwrap();
        prop_assert!(!entry.contains(['\u{fffe}', '\u{ffff}']), "characters that SQS does not accept");
        prop_assert_eq!(Event::from_entry(&entry).unwrap(), event);
    }

    #[test]
    fn no_input_makes_a_parser_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = Detail::parse(&bytes);
        let form = Form::parse(&bytes);
        prop_assert!(form.pairs().len() <= bytes.len());
        for provider in providers::PROVIDERS {
            let names = ["authorization", "x-hub-signature-256", "stripe-signature", "x-webhook-signature"];
            let headers = RawWebhook::header_map(names.map(|name| (name, &bytes)));
            let url: RequestUrl = "https://x.example/".parse().unwrap();
            let webhook = RawWebhook::post(url, headers, Bytes::from(bytes.clone()));
            let _ = provider.parse_signature(webhook, now());
        }
        if let Ok(text) = String::from_utf8(bytes) {
            let _ = text.parse::<RequestUrl>();
            let _ = hookbridge::event::parse_timestamp(&text);
            let _ = Event::from_entry(&text);
        }
    }
}

/// JSON whose numbers are within the range of finite floats, and whose strings have no line breaks.
fn any_finite_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        (-1e300..1e300_f64).prop_map(Into::into),
        ".{0,20}".prop_map(Into::into),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::hash_map(".{0,8}", inner, 0..6)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    })
}
