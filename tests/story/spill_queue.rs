//! Spilling: events that the bus does not accept wait in the spill queue, and `redrive` publishes them.

use std::time::{Duration, SystemTime};

use hookbridge::bridge::RedriveFunction;
use hookbridge::bus::{EventBridge, SpillQueue};
use serde_json::{Value, json};

use crate::actors::aws::{Queue, aws, endpoint, name, secret};
use crate::actors::cloud_function::{CloudFunction, config, url_event};
use crate::actors::fault_proxy::{Fault, FaultProxy};
use crate::actors::github_signature;
use crate::actors::server::SECRET;

const BODY: &str = "{\"who\":\"\\\"Grüße\\\" \u{fffe}\"}";

fn signed_event(event_type: &str) -> Value {
    let signature = github_signature(BODY.as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", event_type),
        ("x-github-delivery", "72d3162e"),
        ("x-hub-signature-256", &signature),
    ];
    url_event(&headers, BODY)
}

async fn function() -> (FaultProxy, Queue, CloudFunction) {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let queue = Queue::new();
    let function = CloudFunction::with_endpoint(&proxy.url(), "github", &secret(SECRET)).await;
    let function = function.with_spill_queue(&proxy.url(), &queue.url).await;
    (proxy, queue, function)
}

/// A batch of messages as SQS sends it to a function.
fn batch(bodies: &[&str]) -> String {
    let message = |(n, body): (usize, &&str)| json!({"messageId": format!("m{n}"), "body": body});
    json!({"Records": bodies.iter().enumerate().map(message).collect::<Vec<_>>()}).to_string()
}

/// The failures that `redrive` returns for a batch, and its log, with a deadline in 3 s.
async fn redrive(proxy: &FaultProxy, batch: &str) -> (Value, Vec<Value>) {
    let bus = EventBridge::new(&config(&proxy.url()).await, "default".into());
    let redrive = RedriveFunction { bus, dead_letter_queue: None, function_name: "redrive".into() };
    let deadline = SystemTime::now() + Duration::from_secs(3);
    let (response, lines) = redrive.invoke(batch, "request", deadline).await.unwrap();
    let lines = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    (serde_json::to_value(response).unwrap(), lines)
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_unpublished_event_is_spilled_as_an_entry() {
    for fault in [
        Fault::Throttled,
        Fault::InternalError,
        Fault::Slow(Duration::from_secs(60)),
        Fault::EntryFailed("InternalFailure"),
        Fault::ClientError("AccessDeniedException"),
    ] {
        let (proxy, queue, function) = function().await;
        proxy.always("PutEvents", fault);
        let before = jiff::Timestamp::now();
        let invocation =
            function.invoke_text(&signed_event("push").to_string(), Duration::from_secs(30)).await;
        assert_eq!(
            (invocation.status, invocation.body.as_str()),
            (202, "Message forwarded to Amazon EventBridge")
        );
        assert_eq!(
            (&invocation.log["outcome"], &invocation.log["reason"]),
            (&"spilled".into(), &"bus".into()),
            "{fault:?}"
        );
        assert_eq!((&invocation.log["Spilled"], &invocation.log["Failed"]), (&1.into(), &Value::Null));
        assert!(invocation.log["_aws"].to_string().contains("\"Spilled\""), "Spilled is a metric");
        assert!(
            invocation.elapsed < Duration::from_secs(10),
            "the function responds early: {:?}",
            invocation.elapsed
        );
        let (entry, reason) = queue.receive_with_reason();
        assert_eq!(invocation.log["error"], *reason);
        let entry: Value = serde_json::from_str(&entry).unwrap();
        assert_eq!(entry["Detail"], BODY, "byte for byte");
        assert_eq!((&entry["Source"], &entry["DetailType"]), (&"github.com".into(), &"push".into()));
        assert_eq!(entry["Resources"], json!(["urn:webhook:github:72d3162e"]));
        let time: jiff::Timestamp = entry["Time"].as_str().unwrap().parse().unwrap();
        let age_at_spill =
            invocation.elapsed.as_millis() - u128::try_from(time.duration_since(before).as_millis()).unwrap();
        let is_slow = matches!(fault, Fault::Slow(_));
        assert!(!is_slow || age_at_spill > 1400, "the entry has the time of arrival, not of spilling");
        assert!(queue.is_empty());
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn permanently_rejected_events_are_not_spilled() {
    let (proxy, queue, function) = function().await;
    for (fault, status) in [(Fault::EntryFailed("MalformedDetail"), 400), (Fault::TotalSize, 413)] {
        proxy.next("PutEvents", [fault]);
        assert_eq!(function.invoke(&signed_event("push")).await.status, status);
    }
    assert_eq!(proxy.calls("SendMessage"), 0);
    assert_eq!(function.invoke(&signed_event("push")).await.log["outcome"], "published");
    assert!(queue.is_empty());
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_transient_queue_failure_is_retried_and_a_lasting_one_is_500() {
    let (proxy, queue, function) = function().await;
    proxy.always("PutEvents", Fault::InternalError);
    proxy.next("SendMessage", [Fault::Throttled, Fault::Truncated]);
    assert_eq!(function.invoke(&signed_event("push")).await.log["outcome"], "spilled");
    queue.receive();
    for fault in
        [Fault::InternalError, Fault::Slow(Duration::from_secs(60)), Fault::ClientError("AccessDenied")]
    {
        proxy.always("SendMessage", fault);
        let failed = function.invoke(&signed_event("push")).await;
        assert_eq!((failed.status, &failed.headers["retry-after"]), (500, &"30".into()), "{fault:?}");
        assert_eq!((&failed.log["outcome"], &failed.log["reason"]), (&"failed".into(), &"bus".into()));
        assert!(failed.elapsed < Duration::from_secs(5), "{:?}", failed.elapsed);
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_event_too_large_for_the_region_is_stored_and_its_claim_check_spilled() {
    let (proxy, queue, mut function) = function().await;
    let bucket = name("overflow");
    aws(&["s3", "mb", &format!("s3://{bucket}")]);
    function = function.with_overflow_bucket(&proxy.url(), &bucket).await.with_max_entry_bytes(1_048_576);
    proxy.always("PutEvents", Fault::Throttled);
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(300_000));
    let signature = github_signature(body.as_bytes());
    let headers = [("content-type", "application/json"), ("x-hub-signature-256", signature.as_str())];
    assert_eq!(function.invoke(&url_event(&headers, &body)).await.log["outcome"], "spilled");
    let entry: Value = serde_json::from_str(&queue.receive()).unwrap();
    let claim_check: Value = serde_json::from_str(entry["Detail"].as_str().unwrap()).unwrap();
    assert_eq!(claim_check["overflow"]["size"], body.len());
    assert_eq!(function.invoke(&signed_event("push")).await.log["outcome"], "spilled");
    let entry: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!(entry["Detail"], BODY, "a detail within every bus's limit is spilled unchanged");
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn redrive_publishes_a_spilled_event_unchanged() {
    let (proxy, queue, function) = function().await;
    let event_type = name("push");
    let rule = Queue::for_rule("default", &json!({"detail-type": [event_type]}));
    proxy.always("PutEvents", Fault::Throttled);
    function.invoke(&signed_event(&event_type)).await;
    let message = queue.receive();
    let arrived_at: jiff::Timestamp =
        serde_json::from_str::<Value>(&message).unwrap()["Time"].as_str().unwrap().parse().unwrap();
    proxy.always("PutEvents", Fault::None);
    let (response, log) = redrive(&proxy, &batch(&[&message])).await;
    assert_eq!(response, json!({"batchItemFailures": []}));
    assert_eq!(
        (&log[0]["outcome"], &log[0]["resources"][0]),
        (&"published".into(), &"urn:webhook:github:72d3162e".into())
    );
    let event: Value = serde_json::from_str(&rule.receive()).unwrap();
    assert_eq!(event["detail"], serde_json::from_str::<Value>(BODY).unwrap());
    assert_eq!(event["time"], arrived_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn redrive_returns_only_unpublished_events_to_the_queue() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let entry = r#"{"Source":"x","DetailType":"push","Resources":["urn:webhook:x:1"],"Detail":"{}"}"#;
    let failed_ids = |response: &Value| {
        response["batchItemFailures"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["itemIdentifier"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };

    proxy.next("PutEvents", [Fault::ClientError("AccessDeniedException"), Fault::Throttled]);
    let (response, log) = redrive(&proxy, &batch(&[entry, "no entry: secret", entry, "{}"])).await;
    assert_eq!(failed_ids(&response), ["m0", "m1", "m3"]);
    assert_eq!(log[1]["error"], "not the JSON of an entry (line 1, column 2)");
    assert_eq!((&log[0]["resources"][0], &log[1]["resources"]), (&"urn:webhook:x:1".into(), &Value::Null));
    assert!(log.iter().all(|line| !line.to_string().contains("secret")));
    assert_eq!(proxy.calls("PutEvents"), 3, "a rejected event is not retried, a throttled one is");

    proxy.always("PutEvents", Fault::Slow(Duration::from_secs(60)));
    let started = std::time::Instant::now();
    let (response, _) = redrive(&proxy, &batch(&[entry; 10])).await;
    assert_eq!(failed_ids(&response).len(), 10);
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "the other events are not attempted while the bus is down"
    );
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_message_that_the_bus_never_accepts_is_a_dead_letter_at_once() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let dead_letters = Queue::new();
    let config = config(&proxy.url()).await;
    let redrive = RedriveFunction {
        bus: EventBridge::new(&config, "default".into()),
        dead_letter_queue: Some(SpillQueue::new(&config, dead_letters.url.clone())),
        function_name: "redrive".into(),
    };
    let entry = r#"{"Source":"x","DetailType":"push","Detail":"{}"}"#;
    let invoke = async |body: &str| {
        let deadline = SystemTime::now() + Duration::from_secs(3);
        let (response, lines) = redrive.invoke(&batch(&[body]), "request", deadline).await.unwrap();
        let log: Value = serde_json::from_str(&lines[0]).unwrap();
        let response = serde_json::to_value(response).unwrap();
        let failures = response["batchItemFailures"].as_array().unwrap().len();
        (failures, log["outcome"].as_str().unwrap().to_owned())
    };
    for (fault, reason) in [
        (
            Fault::EntryFailed("InvalidArgument"),
            "rejected as invalid: InvalidArgument: made by the fault proxy",
        ),
        (Fault::EntryFailed("MalformedDetail"), "rejected as malformed: MalformedDetail"),
        (Fault::TotalSize, "rejected as too large"),
    ] {
        proxy.next("PutEvents", [fault]);
        assert_eq!(invoke(entry).await, (0, "dead-letter".to_owned()), "{fault:?}");
        assert_eq!(dead_letters.receive_with_reason(), (entry.to_owned(), reason.to_owned()));
    }
    let (body, reason) = ("no entry", "not the JSON of an entry (line 1, column 2)");
    assert_eq!(invoke(body).await, (0, "dead-letter".to_owned()));
    assert_eq!(dead_letters.receive_with_reason(), (body.to_owned(), reason.to_owned()));
    // A permission may be restored, so its lack is not final.
    proxy.next("PutEvents", [Fault::ClientError("AccessDeniedException")]);
    assert_eq!(invoke(entry).await, (1, "kept".to_owned()));
    proxy.next("PutEvents", [Fault::EntryFailed("InvalidArgument")]);
    proxy.next("SendMessage", [Fault::ClientError("AccessDenied")]);
    assert_eq!(invoke(entry).await, (1, "kept".to_owned()), "no message is lost");
    assert!(dead_letters.is_empty());
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn redrive_rejects_events_that_are_not_from_sqs() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let bus = EventBridge::new(&config(&proxy.url()).await, "default".into());
    let redrive = RedriveFunction { bus, dead_letter_queue: None, function_name: "redrive".into() };
    for event in ["{}", "[]", "{\"Records\":[{\"messageId\":\"m\"}]}"] {
        assert!(redrive.invoke(event, "request", SystemTime::now()).await.is_err(), "{event}");
    }
}
