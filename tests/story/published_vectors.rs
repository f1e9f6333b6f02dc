//! Signatures that the providers published are accepted, and variants of them rejected.

use bytes::Bytes;
use hookbridge::providers::{self, RawWebhook, RequestUrl};
use hookbridge::secrets::Secret;
use jiff::Timestamp;
use serde_json::Value;

/// Whether a webhook with these headers and its content type verifies.
fn is_verified(provider: &str, secret: &str, url: &str, headers: &[(String, String)], body: &str) -> bool {
    let provider = providers::find_provider(provider).unwrap();
    let url: RequestUrl = url.parse().unwrap();
    let webhook =
        RawWebhook::post(url, RawWebhook::header_map(headers.iter().cloned()), Bytes::from(body.to_owned()));
    provider
        .parse_signature(webhook, Timestamp::now())
        .is_ok_and(|unverified| unverified.verify(&Secret::new(secret)).is_ok())
}

fn header(vector: &Value) -> (String, String) {
    let (name, value) = vector["header"].as_str().unwrap().split_once(": ").unwrap();
    (name.to_lowercase(), value.to_owned())
}

fn vectors_of(provider: &str) -> Vec<Value> {
    let vectors: Vec<Value> = serde_json::from_str(include_str!("../vectors/signatures.json")).unwrap();
    vectors.into_iter().filter(|vector| vector["provider"] == provider).collect()
}

#[test]
fn github_s_published_signatures_are_accepted() {
    let vectors = vectors_of("github");
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let check = |secret: &str, body: &str| {
            is_verified("github", secret, "https://x.example/", &[header(&vector)], body)
        };
        let (secret, body) = (vector["secret"].as_str().unwrap(), vector["body"].as_str().unwrap());
        assert!(check(secret, body));
        assert!(!check(secret, &format!("{body} ")));
        assert!(!check(&format!("{secret} "), body));
    }
}

#[test]
fn twilio_s_published_signatures_are_accepted() {
    let vectors = vectors_of("twilio");
    assert_eq!(vectors.len(), 6);
    for vector in vectors {
        let (body, media_type) = match &vector["params"] {
            Value::Null => (vector["body"].as_str().unwrap().to_owned(), "application/json"),
            params => (form(params), "application/x-www-form-urlencoded"),
        };
        let headers = [header(&vector), ("content-type".into(), media_type.into())];
        let url = vector["url"].as_str().unwrap();
        let check = |token: &str, url: &str, body: &str| is_verified("twilio", token, url, &headers, body);
        let token = vector["token"].as_str().unwrap();
        assert!(check(token, url, &body), "{}", vector["note"]);
        assert!(!check("another token", url, &body));
        assert!(!check(token, url, &format!("{body}&x=y")));
        assert!(!check(token, &url.replace("foo=1", "foo=2"), &body));
    }
}

fn form(params: &Value) -> String {
    let pairs: Vec<(String, String)> = match params {
        Value::Object(object) => {
            object.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect()
        }
        pairs => serde_json::from_value(pairs.clone()).unwrap(),
    };
    let encode = |text: &str| text.replace('+', "%2B");
    pairs.iter().map(|(n, v)| format!("{}={}", encode(n), encode(v))).collect::<Vec<_>>().join("&")
}
