//! Input that only a Function URL event can contain, and the function's log line.

use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::actors::aws::{Queue, endpoint, name, secret};
use crate::actors::cloud_function::{CloudFunction, TRACE_HEADER, url_event};
use crate::actors::fault_proxy::FaultProxy;
use crate::actors::runtime_api::RunningFunction;
use crate::actors::server::SECRET;
use crate::actors::{github_signature, signature, wait_until};

const BODY: &str = r#"{"zen":"Design for failure."}"#;

fn signed_event(body: &str) -> Value {
    let signature = github_signature(body.as_bytes());
    url_event(&[("content-type", "application/json"), ("x-hub-signature-256", &signature)], body)
}

/// Replaces the existing value at `pointer`.
fn with_value(mut event: Value, pointer: &str, value: Value) -> Value {
    *event.pointer_mut(pointer).unwrap() = value;
    event
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn every_invocation_is_answered_from_the_status_table() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let function = CloudFunction::with_endpoint(&proxy.url(), "github", &secret(SECRET)).await;
    let header = |value: &str| with_value(signed_event(BODY), "/headers/x-hub-signature-256", value.into());
    let cases = [
        (200, json!({}), 400),
        (201, json!([]), 400),
        (202, json!({"requestContext": {"http": {"method": "PO ST"}}}), 400),
        (203, json!({"requestContext": {"http": {"method": "POST"}}}), 401),
        (204, json!({"requestContext": {"http": {"method": "POST"}}, "headers": null, "body": null}), 401),
        (205, with_value(signed_event(BODY), "/requestContext/http/method", "GET".into()), 405),
        (206, with_value(signed_event(BODY), "/isBase64Encoded", true.into()), 401),
        (
            207,
            with_value(
                with_value(signed_event(BODY), "/isBase64Encoded", true.into()),
                "/body",
                "%%%".into(),
            ),
            401,
        ),
        (208, with_value(signed_event(BODY), "/isBase64Encoded", "yes".into()), 400),
        (209, header("sha256=\u{0001}"), 401),
        (210, header("sha256=ü"), 401),
        (211, header("sha256=\u{fffd}\u{fffd}"), 401),
        (212, header(&format!("{0},{0}", github_signature(BODY.as_bytes()))), 401),
        (213, with_value(signed_event(BODY), "/headers/content-type", "a\nb".into()), 400),
        (214, with_value(signed_event(BODY), "/requestContext/domainName", "[[[ /\\".into()), 202),
        (215, with_value(signed_event(BODY), "/rawPath", "no\u{0}slash".into()), 202),
        (216, with_value(signed_event(BODY), "/rawQueryString", "%zz&=&?#\u{0}".into()), 202),
        (217, signed_event(BODY), 202),
    ];
    for (case, event, status) in cases {
        let published = proxy.published().len();
        assert_eq!(function.invoke(&event).await.status, status, "case {case}");
        let expected = published + usize::from(status == 202);
        assert_eq!(proxy.published().len(), expected, "case {case}: nothing but a 202 is published");
    }
    let mut event = signed_event(BODY);
    event["isBase64Encoded"] = true.into();
    event["body"] = BASE64.encode(BODY).into();
    assert_eq!(function.invoke(&event).await.status, 202);
    event["headers"]["x-github-delivery"] = "a\u{0}b".into();
    event["headers"]["bad name\n"] = "x".into();
    assert_eq!(function.invoke(&event).await.status, 202, "an invalid header is ignored");
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn the_log_line_states_the_outcome_and_no_content() {
    let function = CloudFunction::with_endpoint(&endpoint(), "github", &secret(SECRET)).await;
    let mut event = signed_event(BODY);
    event["headers"]["x-github-event"] = "ping".into();
    event["headers"]["x-github-delivery"] = "72d3162e".into();
    let published = function.invoke(&event).await;
    let line = |mut log: Value| {
        log["_aws"]["Timestamp"].as_i64().expect("a number");
        if let Some(latency) = log.get_mut("Latency") {
            latency.as_f64().expect("a number");
            *latency = 0.into();
        }
        log["_aws"]["Timestamp"] = 0.into();
        log.to_string()
    };
    insta::assert_snapshot!(line(published.log), @r#"{"Latency":0,"Published":1,"Received":1,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["function"]],"Metrics":[{"Name":"Received"},{"Name":"Latency"},{"Name":"Published"}],"Namespace":"hookbridge"}],"Timestamp":0},"bytes":29,"delivery_id":"72d3162e","event_type":"ping","function":"function","outcome":"published","request_id":"request"}"#);
    event["body"] = "{}".into();
    let rejected = function.invoke(&event).await;
    let rejected = line(rejected.log);
    insta::assert_snapshot!(rejected, @r#"{"Received":1,"Refused":1,"_aws":{"CloudWatchMetrics":[{"Dimensions":[["function"],["function","reason"]],"Metrics":[{"Name":"Received"},{"Name":"Refused"}],"Namespace":"hookbridge"}],"Timestamp":0},"bytes":2,"function":"function","outcome":"refused","reason":"wrong-signature","request_id":"request","status":401}"#);
    for secret in [SECRET, "zen", &github_signature(BODY.as_bytes())[7..]] {
        assert!(!rejected.contains(secret));
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn the_detail_arrives_byte_for_byte_and_a_rule_of_the_quick_start_matches() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let function = CloudFunction::with_endpoint(&proxy.url(), "stripe", &secret(SECRET)).await;
    let event_type = name("charge");
    let queue = Queue::for_rule("default", &json!({"source": ["stripe.com"], "detail-type": [event_type]}));
    // Stripe sends multi-line JSON; numbers and escapes must stay as they are.
    let body = format!(
        "{{\n  \"id\": \"evt_1\",\n  \"created\": 1686089970,\n  \"amount\": 1.50,\n  \"big\": 1234567890123456789,\n  \"u\": \"\\u00fc\",\n  \"type\": \"{event_type}\"\n}}"
    );
    let signature = signature("stripe", SECRET, "https://x.example/", body.as_bytes());
    let headers =
        [("content-type", "application/json; charset=utf-8"), ("stripe-signature", signature.as_str())];
    assert_eq!(function.invoke(&url_event(&headers, &body)).await.status, 202);
    let request: Value = serde_json::from_str(&proxy.published()[0]).unwrap();
    assert_eq!(request["Entries"][0]["Detail"], *body, "byte for byte");
    let received: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!(received["resources"], json!(["urn:webhook:stripe:evt_1"]));
    assert_eq!(received["time"], "2023-06-06T22:19:30Z");
    assert_eq!(received["detail"], serde_json::from_str::<Value>(&body).unwrap());
    assert!(queue.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_flood_of_refused_requests_has_ten_lines_a_second_and_all_are_counted() {
    const REQUESTS: u64 = 3000;
    let secret_arn = secret(SECRET);
    tokio::task::spawn_blocking(move || {
        let function = RunningFunction::start_bridge("github", &secret_arn);
        let mut forged = signed_event(BODY);
        forged["headers"].as_object_mut().unwrap().remove("x-hub-signature-256");
        let started = Instant::now();
        let invoke = |event: &Value| {
            function.invoke(event, SystemTime::now() + Duration::from_secs(8)).read_to_end();
        };
        (0..REQUESTS).for_each(|_| invoke(&forged));
        let elapsed = started.elapsed().as_secs() + 1;
        // A genuine webhook has its line, whatever the flood.
        invoke(&signed_event(BODY));
        let lines = || -> Vec<Value> {
            function.log_lines().iter().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let refused = || lines().iter().filter_map(|line| line["Refused"].as_u64()).sum::<u64>();
        wait_until("all refusals are counted", || (refused() == REQUESTS).then_some(()));
        let lines = lines();
        assert!(lines.len() as u64 <= 10 * elapsed + 2, "{} lines in {elapsed} s", lines.len());
        assert!(lines.iter().any(|line| line["omitted"].as_u64() > Some(0)));
        assert_eq!(lines.iter().filter(|line| line["outcome"] == "published").count(), 1);
    })
    .await
    .unwrap();
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_event_continues_the_trace_of_its_invocation() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let function = CloudFunction::with_endpoint(&proxy.url(), "github", &secret(SECRET)).await;
    assert_eq!(function.invoke(&signed_event(BODY)).await.status, 202);
    let request: Value = serde_json::from_str(&proxy.published()[0]).unwrap();
    assert_eq!(request["Entries"][0]["TraceHeader"], TRACE_HEADER);
}
