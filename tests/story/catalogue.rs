//! Every provider of the catalogue: its samples verify and become events, and every change of what is signed is rejected.

use crate::actors::samples::{now, secret_of, signed_sample, url, verify};
use hookbridge::event::Event;
use hookbridge::providers::{
    self, BODY_NOT_SIGNED_URN, FieldLocation, FormField, GeneratedSecret, HeaderSignature, Provider,
    RequestUrl, SignatureScheme, TimestampLocation, UrlSpellings, VerificationError, WebhookRequest,
};
use hookbridge::secrets::Secret;
use hookbridge::serve::test_webhook::{RecordedWebhook, TestWebhook};
use jiff::SignedDuration;

fn events(provider: &'static Provider, request: &WebhookRequest, secret: &GeneratedSecret) -> Vec<Event> {
    verify(provider, request, &secret.verifying, now()).unwrap().to_events(None).unwrap()
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

/// `listen --sign-as` sends such webhooks.
#[test]
fn an_event_becomes_its_webhook_again() {
    for provider in event_providers() {
        let secret = secret_of(provider);
        for sample in provider.samples {
            // An event does not contain the headers of a CloudEvent in binary mode.
            if sample.headers.iter().any(|(name, _)| *name == "ce-type") {
                continue;
            }
            let request = signed_sample(provider, sample, &secret, now());
            for event in events(provider, &request, &secret) {
                let label = format!("{} {}", provider.name, event.detail_type);
                let id = event.resources.iter().find_map(|urn| provider.delivery_id_from_urn(urn));
                let id = id.and_then(|id| id.split('#').next());
                // The webhook's time may be in one of the sample's headers.
                let time_headers = provider.event_time.map_or(Vec::new(), FieldLocation::headers);
                let time_in_header = sample.headers.iter().any(|(name, _)| time_headers.contains(name));
                let later = now() + SignedDuration::from_hours(1);
                let time = if time_in_header { Some(later) } else { event.time };
                let recorded = RecordedWebhook { delivery_id: id.unwrap_or("1"), time: later };
                let detail = event.detail.as_str();
                let webhook =
                    TestWebhook::with_event(provider, &event.detail_type, detail, recorded, url(provider));
                let rebuilt = webhook.sign(&Secret::new(secret.signing.as_str()), now()).unwrap();
                let one_event = provider.split.is_none() && provider.signature_scheme.covers_body();
                if one_event && !["braintree", "twilio"].contains(&provider.name) {
                    assert_eq!(rebuilt.body, request.body, "{label}: byte for byte");
                }
                let rebuilt_events = events(provider, &rebuilt, &secret);
                let [again] = &rebuilt_events[..] else { panic!("{label}: {} events", rebuilt_events.len()) };
                assert_eq!(again.detail_type, event.detail_type, "{label}");
                assert_eq!(again.detail.as_str(), event.detail.as_str(), "{label}");
                assert_eq!(again.time, time, "{label}");
                let number = |urn: &str| urn.split('#').next().unwrap().to_owned();
                let resources =
                    |event: &Event| event.resources.iter().map(|urn| number(urn)).collect::<Vec<_>>();
                assert_eq!(resources(again), resources(&event), "{label}");
            }
        }
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
            let is_form = matches!(provider.name, "braintree" | "twilio" | "mandrill");
            if is_form && sorted_fields(&changed.body) == sorted_fields(&request.body) {
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
        if matches!(provider.signature_scheme, SignatureScheme::Body(_) | SignatureScheme::Form(_)) {
            for body in [
                "",
                "bt_signature=&bt_payload=x",
                "bt_signature=a%7C00",
                "{}",
                "[]",
                "{",
                "\u{0}",
                r#"{"value":[]}"#,
                r#"{"notificationItems":[{}]}"#,
            ] {
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
        let webhook = TestWebhook {
            provider,
            event: None,
            body: Some(body.to_owned().into()),
            url: url(provider),
            recorded: None,
        };
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

/// The decoded names and values of a form, sorted, without the name of the key before Braintree's signature.
fn sorted_fields(body: &[u8]) -> Vec<FormField<'_>> {
    let mut fields = providers::Form::parse(body).pairs().to_vec();
    for (name, value) in &mut fields {
        if **name == *b"bt_signature" {
            *value = value.splitn(2, |byte| *byte == b'|').last().unwrap().to_vec().into();
        }
    }
    fields.sort();
    fields
}
