//! Invalid requests from the internet: each has its status, and none is published.
//!
//! Requests are sent over a socket to a running server, because no client library would send most of them. `function.rs` tests
//! requests that only a Function URL event can represent.

use hookbridge::providers::{self, RequestUrl, WebhookRequest};
use hookbridge::secrets::Secret;
use jiff::{Timestamp, ToSpan as _};

use crate::actors::github_signature;
use crate::actors::raw_http;
use crate::actors::server::{SECRET, Server};

const JSON: (&str, &[u8]) = ("content-type", b"application/json");
const FORM: (&str, &[u8]) = ("content-type", b"application/x-www-form-urlencoded");
const BODY: &[u8] = br#"{"zen":"Half measures are as bad as nothing at all."}"#;
const INVALID_SIGNATURE: &str = "Invalid Signature";

/// Posts a webhook with a valid GitHub signature.
fn post_signed(server: &Server, media_type: &[u8], body: &[u8]) -> (u16, String) {
    let signature = github_signature(body);
    let headers = [("content-type", media_type), ("x-hub-signature-256", signature.as_bytes())];
    let reply = server.post("github", &headers, body);
    (reply.status, reply.body)
}

#[test]
fn every_invalid_github_signature_is_401() {
    let server = Server::start();
    let valid = github_signature(BODY);
    let digits = valid.strip_prefix("sha256=").unwrap();
    let sha1 = format!("sha1={}", &digits[..40]);
    let invalid: Vec<Vec<u8>> = vec![
        b"".to_vec(),
        b"sha256=".to_vec(),
        valid[..valid.len() - 1].into(),
        valid[..valid.len() - 2].into(),
        format!("{valid}0").into(),
        format!("{valid}00").into(),
        valid.to_uppercase().into(),
        valid.replace("sha256", "sha1").into(),
        sha1.into(),
        digits.into(),
        format!("sha256={}", "0".repeat(64)).into(),
        format!("sha256= {digits}").into(),
        format!("{valid},{valid}").into(),
        format!("sha256={}", "ü".repeat(32)).into(),
        b"sha256=\xff\xfe\xff".to_vec(),
        format!("sha256={}", "0".repeat(20_000)).into(),
        github_signature(b"{}").into(),
    ];
    for header in &invalid {
        let reply = server.post("github", &[JSON, ("x-hub-signature-256", header)], BODY);
        assert_eq!(
            (reply.status, reply.body.as_str()),
            (401, INVALID_SIGNATURE),
            "{}",
            String::from_utf8_lossy(header)
        );
    }
    let repeated_header =
        [JSON, ("x-hub-signature-256", valid.as_bytes()), ("x-hub-signature-256", valid.as_bytes())];
    let other_header = [JSON, ("x-hub-signature", valid.as_bytes())];
    for headers in [&[][..], &[JSON], &repeated_header, &other_header] {
        let reply = server.post("github", headers, BODY);
        assert_eq!((reply.status, reply.body.as_str()), (401, INVALID_SIGNATURE));
    }
    assert_eq!(
        server.post("github", &[JSON], b"\xff not json").status,
        401,
        "an unverified body is not parsed"
    );
    assert_eq!(server.post("github", &[JSON, ("x-hub-signature-256", valid.as_bytes())], BODY).status, 202);
    assert_eq!(server.events().len(), 1);
}

#[test]
fn a_verified_body_that_is_not_an_event_is_400_with_the_reason() {
    let server = Server::start();
    let reason = |media_type: &str, body: &[u8]| {
        let (status, body) = post_signed(&server, media_type.as_bytes(), body);
        assert_eq!(status, 400, "{body}");
        body
    };
    let json = "application/json";
    insta::assert_snapshot!(reason(json, b""), @"Invalid JSON payload: the JSON ends too early at line 1 column 0");
    insta::assert_snapshot!(reason(json, b"payload={}"), @"Invalid JSON payload: not JSON at line 1 column 1");
    insta::assert_snapshot!(reason(json, b"[{}]"), @"Invalid JSON payload: an array where an object is needed");
    insta::assert_snapshot!(reason(json, b"7"), @"Invalid JSON payload: a number where an object is needed");
    insta::assert_snapshot!(reason(json, b"{\"a\":\"\xff\xfe\"}"), @"Invalid JSON payload: not UTF-8 (byte 6)");
    insta::assert_snapshot!(reason(json, b"\xef\xbb\xbf{}"), @"Invalid JSON payload: not JSON at line 1 column 1");
    let deep = format!("{}{}", "{\"a\":".repeat(2000), "1".to_owned() + &"}".repeat(2000));
    insta::assert_snapshot!(reason(json, deep.as_bytes()), @"Invalid JSON payload: nested deeper than 1000 levels, which EventBridge refuses");
    insta::assert_snapshot!(reason("text/plain", BODY), @"Unsupported content-type");
    insta::assert_snapshot!(reason("", BODY), @"Unsupported content-type");
    insta::assert_snapshot!(reason("application/+json", BODY), @"Unsupported content-type");
    insta::assert_snapshot!(reason("text/vnd.x+json", BODY), @"Unsupported content-type");
    insta::assert_snapshot!(reason("application/json-lines", BODY), @"Unsupported content-type");
    let form = "application/x-www-form-urlencoded";
    insta::assert_snapshot!(reason(form, b"x=y"), @"Invalid JSON payload: the form does not begin with the field 'payload'");
    insta::assert_snapshot!(reason(form, b"payload=%5B%5D"), @"Invalid JSON payload: an array where an object is needed");
    insta::assert_snapshot!(reason(form, b"payload=%FF"), @"Invalid JSON payload: not UTF-8 (byte 0)");
    // A recorded JSON body with its signature, replayed as a form.
    let json = br#"{"comment":"&payload=%7B%22forged%22%3Atrue%7D&"}"#;
    insta::assert_snapshot!(reason(form, json), @"Invalid JSON payload: the form does not begin with the field 'payload'");
    assert_eq!(server.events().len(), 0);
}

#[test]
fn content_type_case_and_parameters_are_accepted() {
    let server = Server::start();
    for media_type in [
        "Application/JSON; Charset=UTF-8",
        "application/json ;charset=utf-8",
        "APPLICATION/JSON;",
        "application/vnd.x.v1+JSON; charset=utf-8",
    ] {
        assert_eq!(post_signed(&server, media_type.as_bytes(), BODY).0, 202, "{media_type}");
    }
    let (status, _) =
        post_signed(&server, b"Application/X-WWW-Form-UrlEncoded", b"payload=%7B%22a%22%3A1%7D");
    assert_eq!(status, 202);
    assert_eq!(server.events()[4]["detail"]["a"], 1);
}

#[test]
fn the_entry_limit_is_accepted_and_one_byte_more_is_413() {
    let server = Server::start();
    let body_of_entry_size = |size: usize| {
        // Source and DetailType count, too.
        let overhead = "github.com".len() + "github-webhook-lambda".len() + r#"{"a":""}"#.len();
        format!(r#"{{"a":"{}"}}"#, "x".repeat(size - overhead)).into_bytes()
    };
    assert_eq!(post_signed(&server, b"application/json", &body_of_entry_size(262_144)).0, 202);
    let (status, body) = post_signed(&server, b"application/json", &body_of_entry_size(262_145));
    assert_eq!(status, 413);
    assert_eq!(body, "Too large for an EventBridge entry: 262145 bytes, the limit is 262144");
    assert_eq!(post_signed(&server, b"application/json", &body_of_entry_size(5_000_000)).0, 413);
    assert_eq!(server.post("github", &[JSON], &vec![b'x'; 5_000_000]).status, 401);
    assert_eq!(
        post_signed(&server, b"application/json", &body_of_entry_size(7_000_000)),
        (413, "Payload Too Large\n".into())
    );
    assert_eq!(server.events().len(), 1);
}

#[test]
fn an_endless_chunked_body_is_cut_off() {
    let server = Server::start();
    let mut bytes = b"POST /hooks/github HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nx-hub-signature-256: x\r\n\r\n".to_vec();
    let chunk = format!("{:x}\r\n{}\r\n", 100_000, "x".repeat(100_000));
    bytes.extend_from_slice(chunk.repeat(70).as_bytes());
    bytes.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(raw_http::exchange(server.address, &bytes).unwrap().status, 413);
    let broken = b"POST /hooks/github HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\nx-hub-signature-256: x\r\n\r\nzz\r\n";
    assert_eq!(raw_http::exchange(server.address, broken).unwrap().status, 400);
    assert!(server.events().is_empty());
}

#[test]
fn methods_other_than_post_are_405() {
    let server = Server::start();
    let signature = github_signature(BODY);
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "POSTS"] {
        let headers = [JSON, ("x-hub-signature-256", signature.as_bytes())];
        let request = raw_http::request(method, "/hooks/github", "x", &headers, BODY);
        let reply = raw_http::exchange(server.address, &request).unwrap();
        assert_eq!((reply.status, reply.header("allow").as_deref()), (405, Some("POST")), "{method}");
    }
    let head = raw_http::request("HEAD", "/hooks/github", "x", &[], b"");
    let head = String::from_utf8(head).unwrap().replace("HTTP/1.1\r\n", "HTTP/1.1\r\nconnection: close\r\n");
    let reply = {
        use std::io::{Read as _, Write as _};
        let mut stream = std::net::TcpStream::connect(server.address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        text
    };
    assert!(reply.starts_with("HTTP/1.1 405") && reply.contains("allow: POST"), "{reply}");
    assert_eq!(server.events().len(), 0);
}

#[test]
fn an_invalid_delivery_id_or_type_is_omitted_and_the_webhook_accepted() {
    let server = Server::start();
    let signature = github_signature(BODY);
    let long = "d".repeat(10_000);
    let invalid: [&[u8]; 5] = [b"a b", b"\x09", "d\u{e9}".as_bytes(), long.as_bytes(), b""];
    for id in invalid {
        let headers = [
            JSON,
            ("x-hub-signature-256", signature.as_bytes()),
            ("x-github-delivery", id),
            ("x-github-event", id),
        ];
        assert_eq!(server.post("github", &headers, BODY).status, 202);
    }
    let control_character: [(&str, &[u8]); 3] =
        [JSON, ("x-hub-signature-256", signature.as_bytes()), ("x-github-delivery", b"a\x01b")];
    assert_eq!(
        server.post("github", &control_character, BODY).status,
        400,
        "not HTTP: the server's parser rejects it"
    );
    let events = server.events();
    assert_eq!(events.len(), invalid.len());
    for event in &events {
        assert_eq!(event["resources"].as_array().unwrap().len(), 0);
    }
    assert_eq!(events[0]["detail-type"], "a b");
    assert_eq!(events[3]["detail-type"], "github-webhook-lambda");
    assert_eq!(events[4]["detail-type"], "github-webhook-lambda");
}

#[test]
fn a_stripe_timestamp_out_of_tolerance_is_401_in_both_directions() {
    let server = Server::start();
    let stripe = providers::find_provider("stripe").unwrap();
    let body = br#"{"id":"evt_1","object":"event","type":"charge.succeeded"}"#;
    let sign_at = |time: Timestamp| {
        let url = "https://x.example/".parse().unwrap();
        let request = WebhookRequest::post(url, &body[..]);
        stripe.signature_scheme.signature(request, &Secret::new(SECRET), time).unwrap()
    };
    let post =
        |header: &str| server.post("stripe", &[JSON, ("stripe-signature", header.as_bytes())], body).status;
    let now = Timestamp::now();
    assert_eq!(post(&sign_at(now)), 202);
    assert_eq!(post(&sign_at(now - 290.seconds())), 202);
    assert_eq!(post(&sign_at(now + 290.seconds())), 202);
    assert_eq!(post(&sign_at(now - 310.seconds())), 401);
    assert_eq!(post(&sign_at(now + 310.seconds())), 401);
    assert_eq!(post(&sign_at(now + 24.hours())), 401, "a day ahead");

    let valid = sign_at(now);
    let (time, v1) = valid.split_once(',').unwrap();
    let wrong_v1 = format!("v1={}", "0".repeat(64));
    assert_eq!(post(&format!("{time},{wrong_v1},{v1}")), 202, "any v1 may match");
    assert_eq!(post(&format!("{time},{v1},v0={}", "0".repeat(64))), 202, "v0 is ignored");
    assert_eq!(post(&format!("{time},{}", v1.replace("v1", "v0"))), 401);
    assert_eq!(post(&format!("{time},{time},{v1}")), 401, "two timestamps");
    assert_eq!(post(&format!("t=-1,{v1}")), 401);
    assert_eq!(post(&format!("t=99999999999999999999,{v1}")), 401);
    assert_eq!(post(&format!("t=,{v1}")), 401);
    assert_eq!(post(v1), 401);
    assert_eq!(post(time), 401);
    assert_eq!(post(&format!("{time},v1=")), 401, "an empty v1");
    assert_eq!(post(&format!("{time},v1=abc,{v1},v1=")), 202, "an invalid v1 does not invalidate the others");
    assert_eq!(server.events().len(), 6);
}

/// Twilio's signature of the URL of `path` and of the fields of `form`; without a form, of a JSON body.
fn twilio_signature(server: &Server, path: &str, form: Option<&str>) -> String {
    let twilio = providers::find_provider("twilio").unwrap();
    let url: RequestUrl = format!("http://{}{path}", server.address).parse().unwrap();
    let media_type = if form.is_some() { FORM } else { JSON };
    let body = form.unwrap_or_default().to_owned();
    let mut request = WebhookRequest::post(url, body);
    request.add_header(media_type.0, String::from_utf8_lossy(media_type.1));
    twilio.signature_scheme.signature(request, &Secret::new(SECRET), Timestamp::now()).unwrap()
}

#[test]
fn a_twilio_form_signature_does_not_cover_a_json_body() {
    let server = Server::start();
    let post = |path: &str, media_type, signature: &str, body: &[u8]| {
        let headers = [media_type, ("x-twilio-signature", signature.as_bytes())];
        let bytes = raw_http::request("POST", path, &server.address.to_string(), &headers, body);
        raw_http::exchange(server.address, &bytes).unwrap().status
    };
    let path = "/hooks/twilio";
    let form = "Body=hello&From=%2B1";
    let form_signature = twilio_signature(&server, path, Some(form));
    assert_eq!(post(path, FORM, &form_signature, form.as_bytes()), 202);
    assert_eq!(
        post(path, FORM, &form_signature, b"From=%2B1&Body=hello"),
        202,
        "the order of a form is not signed"
    );
    assert_eq!(post(path, FORM, &form_signature, b"Body=hullo&From=%2B1"), 401);
    assert_eq!(post(path, FORM, &form_signature, b"Body=hello"), 401);

    // The signature of an empty form covers only the URL, so it must not verify any other body.
    let url_signature = twilio_signature(&server, path, Some(""));
    assert_eq!(
        post(path, JSON, &form_signature, br#"{"replayed":true}"#),
        401,
        "a form's signature with a JSON body"
    );
    assert_eq!(
        post(path, JSON, &url_signature, br#"{"replayed":true}"#),
        401,
        "a URL's signature with a JSON body"
    );
    assert_eq!(post(path, ("content-type", b"text/plain"), &url_signature, b"replayed"), 401);
    assert_eq!(post(path, FORM, &url_signature, b""), 400, "an empty form");

    // For JSON, the URL contains the hash of the body, exactly once.
    let hash_of = |body: &[u8]| hex::encode(<sha2::Sha256 as sha2::Digest>::digest(body));
    let json = br#"{"a":1}"#;
    let path_with_hash = format!("{path}?x=1&bodySHA256={}", hash_of(json));
    let hash_signature = {
        let twilio = providers::find_provider("twilio").unwrap();
        let url: RequestUrl = format!("http://{}{path_with_hash}", server.address).parse().unwrap();
        let mut request = WebhookRequest::post(url, &json[..]);
        request.add_header(JSON.0, String::from_utf8_lossy(JSON.1));
        twilio.signature_scheme.signature(request, &Secret::new(SECRET), Timestamp::now()).unwrap()
    };
    assert_eq!(post(&path_with_hash, JSON, &hash_signature, json), 202);
    assert_eq!(post(&path_with_hash, JSON, &hash_signature, br#"{"a":2}"#), 401);
    assert_eq!(post(&path_with_hash, FORM, &hash_signature, b""), 401, "as an empty form");
    assert_eq!(post(&path_with_hash, FORM, &hash_signature, b"a=b"), 401, "as a form");
    // A hash within the query could be part of a signed parameter's text.
    let path_with_hash_in_middle = format!("{path}?bodySHA256={}&From=1", hash_of(json));
    let middle_signature = {
        use hmac::{Hmac, KeyInit as _, Mac as _};
        let mut mac = Hmac::<sha1::Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(format!("http://{}{path_with_hash_in_middle}", server.address).as_bytes());
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, mac.finalize().into_bytes())
    };
    assert_eq!(post(&path_with_hash_in_middle, JSON, &middle_signature, json), 401);
    // More fields than any Twilio form: rejected before they are parsed.
    let many_fields = "a&".repeat(2_000_000);
    assert_eq!(post(path, FORM, &form_signature, many_fields.as_bytes()), 401);
    let path_with_two_hashes = format!("{path_with_hash}&bodySHA256={}", hash_of(b"{}"));
    assert_eq!(post(&path_with_two_hashes, JSON, &hash_signature, b"{}"), 401);
    assert_eq!(server.events().len(), 3);
}

#[test]
fn a_twilio_form_becomes_an_object_of_strings() {
    let server = Server::start();
    let path = "/hooks/twilio?shop=1";
    let post = |form: &str| {
        let signature = twilio_signature(&server, path, Some(form));
        let headers =
            [FORM, ("x-twilio-signature", signature.as_bytes()), ("i-twilio-idempotency-token", b"5f5e")];
        let bytes = raw_http::request("POST", path, &server.address.to_string(), &headers, form.as_bytes());
        raw_http::exchange(server.address, &bytes).unwrap().status
    };
    assert_eq!(post("Body=a+%22b%22%0A%C3%BC&Digits=2&Empty=&Digits=1&Digits=1"), 202);
    assert_eq!(post("PayloadType=application%2Fjson&Payload=%7B%22error%22%3A+12300%7D&Sid=NO1"), 202);
    assert_eq!(post("PayloadType=application%2Fjson&Payload=%7Bbroken"), 202);
    assert_eq!(post("Payload=%7B%22a%22%3A1%7D&Timestamp=Tue%2C+02+Feb+2016+19%3A50%3A00+%2B0000"), 202);
    assert_eq!(post("Body=%FF"), 400, "not UTF-8");
    let events = server.events();
    assert_eq!(events.len(), 4);
    assert_eq!(events[0]["resources"][0], "urn:webhook:twilio:5f5e");
    assert_eq!(events[0]["detail-type"], "twilio-webhook-lambda");
    insta::assert_snapshot!(events[0]["detail"].to_string(), @r#"{"Body":"a \"b\"\nü","Digits":["2","1","1"],"Empty":""}"#);
    insta::assert_snapshot!(events[1]["detail"].to_string(), @r#"{"Payload":{"error":12300},"PayloadType":"application/json","Sid":"NO1"}"#);
    assert_eq!(events[2]["detail"]["Payload"], "{broken");
    assert_eq!(events[3]["detail"]["Payload"], r#"{"a":1}"#);
    assert_eq!(events[3]["time"], "2016-02-02T19:50:00Z");
}
