//! The function behind every front door that AWS has: Function URL, HTTP API, REST API and load balancer.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::actors::aws::{Queue, endpoint, name, secret};
use crate::actors::cloud_function::CloudFunction;
use crate::actors::database::Database;
use crate::actors::fault_proxy::FaultProxy;
use crate::actors::front_door::{FRONT_DOORS, FrontDoor, Request};
use crate::actors::runtime_api::RunningFunction;
use crate::actors::server::{SECRET, Server};
use crate::actors::{github_signature, signature};

const BODY: &[u8] = br#"{"zen":"Design for failure."}"#;
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A request of Twilio to `url`, the URL as configured, which goes to the path `/in` with `query`.
struct TwilioRequest<'a> {
    door: FrontDoor,
    method: &'a str,
    signed_url: &'a str,
    query: &'a str,
    extra_header: Option<(&'a str, &'a str)>,
}

impl TwilioRequest<'_> {
    fn event(&self) -> Value {
        let is_get = self.method == "GET";
        let body: &[u8] = if is_get { b"" } else { b"AccountSid=AC1&Body=hello+there" };
        let signed = match is_get {
            true => self.signed_url.to_owned(),
            false => format!("{}AccountSidAC1Bodyhello there", self.signed_url),
        };
        let signature = hmac_sha1(&signed);
        let mut headers = vec![("X-Twilio-Signature", signature.as_str())];
        headers.extend((!is_get).then_some(FORM));
        headers.extend(self.extra_header);
        let (method, query) = (self.method, self.query);
        self.door.event(&Request { method, path: "/in", query, headers: &headers, body })
    }
}

fn hmac_sha1(signed: &str) -> String {
    use hmac::{KeyInit as _, Mac as _};
    let mut mac = hmac::Hmac::<sha1::Sha1>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn every_front_door_gets_its_own_response_format() {
    let secret_arn = secret(SECRET);
    let event_type = name("push");
    let queue = Queue::for_rule("default", &json!({"source": ["github.com"], "detail-type": [event_type]}));
    tokio::task::spawn_blocking(move || {
        // The test sends a webhook several times and waits for each event.
        let variables =
            [("PROVIDER", "github"), ("WEBHOOK_SECRET_ARN", &secret_arn), ("REPEAT_WINDOW_SECONDS", "0")];
        let function = RunningFunction::start_bridge_with(&variables);
        let invoke = |event: &Value| -> Value {
            let response = function.invoke(event, SystemTime::now() + Duration::from_secs(8));
            serde_json::from_slice(&response.read_to_end()).unwrap()
        };
        for door in FRONT_DOORS {
            let respond = |method, headers: &[_]| {
                let request = Request { method, path: "/", query: "a=1", headers, body: BODY };
                door.read_response(&invoke(&door.event(&request)))
            };
            let delivery_id = format!("{door:?}");
            let signature = github_signature(BODY);
            let json_headers = [
                ("Content-Type", "application/json"),
                ("X-GitHub-Event", event_type.as_str()),
                ("X-GitHub-Delivery", delivery_id.as_str()),
                ("X-Hub-Signature-256", signature.as_str()),
            ];
            let (status, headers, body) = respond("POST", &json_headers);
            assert_eq!((status, body.as_str()), (202, "Message forwarded to Amazon EventBridge"), "{door:?}");
            assert_eq!(headers["content-type"], "text/plain; charset=utf-8");
            let received: Value = serde_json::from_str(&queue.receive()).unwrap();
            assert_eq!(received["resources"], json!([format!("urn:webhook:github:{door:?}")]));
            assert_eq!(received["detail"], json!({"zen": "Design for failure."}));
            // A form is not text, so most front doors encode it in base64.
            let form = b"payload=%7B%22a%22%3A1%7D";
            let signature = github_signature(form);
            let form_headers =
                [FORM, ("X-GitHub-Event", event_type.as_str()), ("X-Hub-Signature-256", signature.as_str())];
            let request =
                Request { method: "POST", path: "/", query: "", headers: &form_headers, body: form };
            assert_eq!(door.read_response(&invoke(&door.event(&request))).0, 202, "{door:?}");
            let received: Value = serde_json::from_str(&queue.receive()).unwrap();
            assert_eq!(received["detail"], json!({"a": 1}));
            assert_eq!(respond("POST", &json_headers[..3]).0, 401, "{door:?}: no signature");
            let (status, headers, _) = respond("PUT", &json_headers);
            assert_eq!((status, headers["allow"].as_str()), (405, Some("POST")), "{door:?}");
            // A repeated signature header: a load balancer without multi-value headers reports only the last one.
            let mut repeated = json_headers.to_vec();
            repeated.insert(0, ("X-Hub-Signature-256", "sha256=00"));
            let expected = if door == FrontDoor::Alb { 202 } else { 401 };
            assert_eq!(respond("POST", &repeated).0, expected, "{door:?}");
            if expected == 202 {
                queue.receive();
            }
            // Invalid base64 and a header with a control character do not end the process.
            let request =
                Request { method: "POST", path: "/", query: "", headers: &json_headers, body: BODY };
            let mut event = door.event(&request);
            event["isBase64Encoded"] = true.into();
            event["body"] = "%%%".into();
            assert_eq!(door.read_response(&invoke(&event)).0, 401, "{door:?}");
            let mut event = door.event(&request);
            for name in ["headers", "multiValueHeaders"] {
                for (_, value) in event[name].as_object_mut().into_iter().flatten() {
                    let is_signature = value.to_string().contains("sha256=");
                    *value = match value.clone() {
                        Value::Array(_) if is_signature => json!(["sha256=\u{1}"]),
                        Value::String(_) if is_signature => json!("sha256=\u{1}"),
                        other => other,
                    };
                }
            }
            assert_eq!(door.read_response(&invoke(&event)).0, 401, "{door:?}: a control character");
            let mut event = door.event(&request);
            event["multiValueQueryStringParameters"] = json!({"a": []});
            assert_eq!(door.read_response(&invoke(&event)).0, 202, "{door:?}: a name without values");
            queue.receive();
        }
        for event in [json!({}), json!([]), json!("text"), json!({"requestContext": {"elb": {}}})] {
            assert_eq!(invoke(&event)["statusCode"], 400, "{event}");
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_health_check_of_a_load_balancer_costs_nothing() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let function = CloudFunction::with_endpoint(&proxy.url(), "twilio", &secret(SECRET)).await;
    let headers = [("User-Agent", "ELB-HealthChecker/2.0")];
    let request = Request { method: "GET", path: "/", query: "", headers: &headers, body: b"" };
    for door in [FrontDoor::Alb, FrontDoor::AlbMultiValue] {
        // A load balancer adds headers to the requests of clients, but not to its own.
        let mut event = door.event(&request);
        let client_event = event.clone();
        for name in ["headers", "multiValueHeaders"] {
            if let Some(headers) = event[name].as_object_mut() {
                headers.retain(|name, _| name == "user-agent");
            }
        }
        let (response, line) = function.invoke_raw(&event).await;
        assert_eq!((door.read_response(&response).0, line), (200, None));
        let (response, line) = function.invoke_raw(&client_event).await;
        assert_eq!((door.read_response(&response).0, line.is_some()), (405, true), "a client's request");
    }
    assert_eq!(proxy.calls("GetSecretValue"), 0);
    // Behind another front door this is a request without a signature.
    let (response, line) = function.invoke_raw(&FrontDoor::FunctionUrl.event(&request)).await;
    assert_eq!((response["statusCode"].as_u64(), line.is_some()), (Some(405), true));
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_signed_url_verifies_behind_every_front_door() {
    let function = CloudFunction::with_endpoint(&endpoint(), "twilio", &secret(SECRET)).await;
    for door in FRONT_DOORS {
        for (signed, sent, what) in [
            ("", "", "no query"),
            ("shop=1", "shop=1", "one parameter"),
            ("b=2&a=1", "b=2&a=1", "an order that is not alphabetical"),
            ("c=3&b=2&a=1", "c=3&b=2&a=1", "three parameters"),
            ("a=x%20y", "a=x%20y", "an encoded space"),
            ("a=x+y", "a=x+y", "a plus"),
            ("a=b,c:d/e", "a=b,c:d/e", "punctuation as typed"),
            ("a=%C3%BC%2C", "a=%C3%BC%2C", "encoded punctuation"),
        ] {
            let signed_url = door.url("/in", signed);
            let request = TwilioRequest {
                door,
                method: "POST",
                signed_url: &signed_url,
                query: sent,
                extra_header: None,
            };
            assert_eq!(function.invoke(&request.event()).await.status, 202, "{door:?}: {what}");
            let forged = TwilioRequest { signed_url: &door.url("/in", "shop=2"), ..request };
            assert_eq!(function.invoke(&forged.event()).await.status, 401, "{door:?}: {what}");
        }
        let signed_url = door.url("/in", "").replace("https://", "https://me:p%40ss@");
        let credentials = format!("Basic {}", BASE64.encode("me:p@ss"));
        let request = TwilioRequest {
            door,
            method: "POST",
            signed_url: &signed_url,
            query: "",
            extra_header: Some(("Authorization", &credentials)),
        };
        assert_eq!(function.invoke(&request.event()).await.status, 202, "{door:?}: credentials");
        let without = TwilioRequest { extra_header: None, ..request };
        assert_eq!(function.invoke(&without.event()).await.status, 401, "{door:?}: no credentials");
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_url_as_typed_at_twilio_verifies_in_whatever_order_it_arrives() {
    let typed = "https://hooks.example/in?d=4&c=3&b=x%2Cy&a=1";
    let function = CloudFunction::with_endpoint(&endpoint(), "twilio", &secret(SECRET)).await;
    let function = function.with_public_url(typed);
    for door in FRONT_DOORS {
        let status = async |signed_url: &str, query: &str| {
            let request = TwilioRequest { door, method: "POST", signed_url, query, extra_header: None };
            function.invoke(&request.event()).await.status
        };
        assert_eq!(status(typed, "a=1&b=x,y&c=3&d=4").await, 202, "{door:?}: sorted");
        assert_eq!(status(typed, "d=4&c=3&b=x%2Cy&a=1").await, 202, "{door:?}: as typed");
        assert_eq!(status(typed, "a=1&b=x,y&c=3").await, 401, "{door:?}: a parameter is missing");
        assert_eq!(status(typed, "a=1&b=x,y&c=3&d=5").await, 401, "{door:?}: another value");
        assert_eq!(status(typed, "a=1&b=x,y&c=3&d=4&e=5").await, 401, "{door:?}: a parameter more");
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_twilio_webhook_with_get_becomes_an_event_of_its_query() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let function = CloudFunction::with_endpoint(&proxy.url(), "twilio", &secret(SECRET)).await;
    for door in FRONT_DOORS {
        let query = "AccountSid=AC1&Body=hello%20there&From=%2B1555";
        let signed_url = door.url("/in", query);
        let request =
            TwilioRequest { door, method: "GET", signed_url: &signed_url, query, extra_header: None };
        assert_eq!(function.invoke(&request.event()).await.status, 202, "{door:?}");
        let published: Value = serde_json::from_str(proxy.published().last().unwrap()).unwrap();
        let detail: Value =
            serde_json::from_str(published["Entries"][0]["Detail"].as_str().unwrap()).unwrap();
        assert_eq!(detail, json!({"AccountSid": "AC1", "Body": "hello there", "From": "+1555"}), "{door:?}");
        let other_query = TwilioRequest { query: "AccountSid=AC1&Body=forged&From=%2B1555", ..request };
        assert_eq!(function.invoke(&other_query.event()).await.status, 401, "{door:?}");
    }
    // The signature of a form covers the URL and the form's fields without separators, and must not verify them as a URL.
    let door = FrontDoor::FunctionUrl;
    let signature = signature("twilio", SECRET, &door.url("/in", "x=1"), b"");
    let request = |path: &'static str, query: &'static str, method: &'static str| {
        let headers = [("X-Twilio-Signature", signature.as_str())];
        door.event(&Request { method, path, query, headers: &headers, body: b"" })
    };
    assert_eq!(function.invoke(&request("/in", "x=1", "GET")).await.status, 202);
    let captured = hmac_sha1(&format!("{}AccountSidAC1Bodyhi?Body=forgedFrom+1", door.url("/in", "")));
    let headers = [("X-Twilio-Signature", captured.as_str())];
    let (path, query) = ("/inAccountSidAC1Bodyhi", "Body=forgedFrom+1");
    let event = door.event(&Request { method: "GET", path, query, headers: &headers, body: b"" });
    let response = function.invoke(&event).await;
    assert_eq!((response.status, &response.log["reason"]), (401, &"body-not-covered".into()));
    // The same content, with its beginning in the credentials, which arrive in an unsigned header.
    let host = door.host();
    let text = format!("https://{host}/inAccountSidAC1Bodyx:y@{host}/in?Body=forged&z=From+1");
    let captured = hmac_sha1(&text);
    let credentials = format!("Basic {}", BASE64.encode(format!("{host}/inAccountSidAC1Bodyx:y")));
    let headers = [("X-Twilio-Signature", captured.as_str()), ("Authorization", credentials.as_str())];
    let query = "Body=forged&z=From+1";
    let event = door.event(&Request { method: "GET", path: "/in", query, headers: &headers, body: b"" });
    assert_eq!(function.invoke(&event).await.status, 401);
    // The signature of a GET, which covers the URL only, must not verify a form without content.
    for body in [&b"="[..], b"&=", b"=&="] {
        let headers = [("X-Twilio-Signature", signature.as_str()), FORM];
        let event =
            door.event(&Request { method: "POST", path: "/in", query: "x=1", headers: &headers, body });
        assert_eq!(function.invoke(&event).await.status, 401);
    }
    // No other provider sends GET, and an unsigned GET is no webhook.
    let unsigned = door.event(&Request { method: "GET", path: "/in", query: "x=1", headers: &[], body: b"" });
    let response = function.invoke(&unsigned).await;
    assert_eq!((response.status, response.headers["allow"].as_str()), (405, Some("GET, POST")));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn the_api_answers_behind_every_front_door() {
    let database = Database::new().await;
    tokio::task::spawn_blocking(move || {
        // A function whose URL streams answers other front doors without streaming.
        let environment = [("DATABASE_URL", database.url.as_str()), ("RESPONSE_STREAM", "true")];
        let function = RunningFunction::start(env!("CARGO_BIN_EXE_feed"), &environment);
        let invoke =
            |event: &Value| function.invoke(event, SystemTime::now() + Duration::from_secs(20)).read_to_end();
        let request = Request { method: "GET", path: "/events", query: "limit=1", headers: &[], body: b"" };
        for door in FRONT_DOORS {
            let mut event = door.event(&request);
            let response = invoke(&event);
            if matches!(door, FrontDoor::FunctionUrl | FrontDoor::HttpApiV2) {
                assert!(response.starts_with(br#"{"statusCode":401"#), "{door:?}");
                continue;
            }
            let response: Value = serde_json::from_slice(&response).unwrap();
            let (status, headers, body) = door.read_response(&response);
            assert_eq!((status, &headers["content-type"]), (401, &"application/json".into()), "{door:?}");
            assert!(body.contains("error"), "{body}");
            if matches!(door, FrontDoor::HttpApiV1 | FrontDoor::RestApi) {
                event["requestContext"]["identity"]["userArn"] = "arn:aws:iam::000000000000:user/me".into();
                let (status, _, body) = door.read_response(&serde_json::from_slice(&invoke(&event)).unwrap());
                assert_eq!(status, 200, "{door:?}: {body}");
            }
        }
        let health_check = [("User-Agent", "ELB-HealthChecker/2.0")];
        let request = Request { headers: &health_check, ..request };
        let mut event = FrontDoor::Alb.event(&request);
        event["headers"] = json!({"user-agent": "ELB-HealthChecker/2.0"});
        let response = serde_json::from_slice(&invoke(&event)).unwrap();
        assert_eq!(FrontDoor::Alb.read_response(&response).0, 200);
        assert!(invoke(&json!({"not": "a request"})).starts_with(br#"{"statusCode":400"#));
    })
    .await
    .unwrap();
}

#[test]
fn serve_accepts_a_twilio_webhook_with_get_and_a_url_as_typed() {
    let typed = "https://hooks.example/hooks/twilio?b=2&a=1";
    let server = Server::start_with(&["--public-url", typed]);
    let send = |method: &str, query: &str, signed: &str, body: &[u8]| {
        let signature = hmac_sha1(signed);
        let headers = [(FORM.0, FORM.1.as_bytes()), ("x-twilio-signature", signature.as_bytes())];
        let headers = if method == "GET" { &headers[1..] } else { &headers[..] };
        server.request(method, &format!("/hooks/twilio?{query}"), headers, body).status
    };
    assert_eq!(send("POST", "a=1&b=2", &format!("{typed}Bodyhi"), b"Body=hi"), 202);
    assert_eq!(send("GET", "a=1&b=2&Body=hi", &format!("{typed}&Body=hi"), b""), 202);
    assert_eq!(send("GET", "a=1&b=2&Body=ho", &format!("{typed}&Body=hi"), b""), 401);
    assert_eq!(server.request("GET", "/hooks/twilio?a=1", &[], b"").status, 405);
    assert_eq!(
        server.request("GET", "/hooks/github", &[("x-hub-signature-256", b"sha256=00")], b"").status,
        405
    );
    let events = server.events();
    assert_eq!(events.len(), 2);
    assert_eq!(events[0]["detail"], json!({"Body": "hi"}));
    assert_eq!(events[1]["detail"], json!({"a": "1", "b": "2", "Body": "hi"}));
}
