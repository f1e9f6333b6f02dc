//! A custom event bus of the newer kind: the real SDK in front of our own server, which speaks the bus's wire format.

use std::time::{Duration, SystemTime};

use hookbridge::bridge::RedriveFunction;
use hookbridge::bus::EventBridge;
use hookbridge::providers::FieldLocation;
use serde_json::{Value, json};

use crate::actors::aws::{Queue, endpoint, secret};
use crate::actors::aws_in_memory::AwsInMemory;
use crate::actors::cloud_function::{CloudFunction, config, url_event};
use crate::actors::database::Database;
use crate::actors::event_bus_v2::{BUS_ARN, BusFault, EventBusV2};
use crate::actors::log::{batch, new_event, open_sqlite};
use crate::actors::receiver::Receiver;
use crate::actors::runtime_api::RunningFunction;
use crate::actors::server::{SECRET, Server, hookbridge};
use crate::actors::{github_signature, run, signature, wait_until};

const ID: &str = "72d3162e-cc78-11e3-81ab-4c9367dc0958";
const BODY: &str = r#"{"repository": {"full_name": "acme/demo"}, "n": 1.50}"#;

fn webhook(id: &str) -> Value {
    let signature = github_signature(BODY.as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("x-github-event", "push"),
        ("x-github-delivery", id),
        ("x-hub-signature-256", &signature),
    ];
    url_event(&headers, BODY)
}

async fn function(bus: &EventBusV2, provider: &str) -> (Queue, CloudFunction) {
    let queue = Queue::new();
    let function = CloudFunction::with_endpoint(&endpoint(), provider, &secret(SECRET)).await;
    let function = function.with_spill_queue(&endpoint(), &queue.url).await;
    (queue, function.with_bus(&bus.url, BUS_ARN).await)
}

fn deduplication_ids(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["SystemMetadata"]["DeduplicationId"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_webhook_is_published_with_its_delivery_id_and_its_group() {
    let bus = EventBusV2::start().await;
    let url = bus.url.clone();
    tokio::task::spawn_blocking(move || {
        let secret = secret(SECRET);
        let function = RunningFunction::start_bridge_with(&[
            ("PROVIDER", "github"),
            ("WEBHOOK_SECRET_ARN", &secret),
            ("EVENT_BUS_NAME", BUS_ARN),
            ("EVENT_GROUP", "json:/repository/full_name"),
            ("REPEAT_WINDOW_SECONDS", "0"),
            ("AWS_ENDPOINT_URL_EVENTBRIDGEV2", &url),
        ]);
        let signature = github_signature(BODY.as_bytes());
        for id in [ID, ID, &"a".repeat(128), &"a".repeat(129), "7"] {
            let headers = [
                ("Content-Type", "application/json"),
                ("X-GitHub-Event", "push"),
                ("X-GitHub-Delivery", id),
                ("X-Hub-Signature-256", signature.as_str()),
            ];
            let reply = function.post("/", &headers, BODY);
            assert_eq!(reply, (202, "Message forwarded to Amazon EventBridge".to_owned()), "{id}");
        }
    })
    .await
    .unwrap();
    assert_eq!(bus.requests().len(), 5);
    let published = bus.published();
    assert_eq!(published.len(), 4, "the bus deduplicates the second webhook");
    let expected = json!({
        "Source": "github.com",
        "DetailType": "push",
        "Detail": BODY,
        "Resources": [format!("urn:webhook:github:{ID}")],
        "SystemMetadata": {"DeduplicationId": ID, "EventGroupId": "acme/demo"},
    });
    assert_eq!(published[0], expected);
    let ids = deduplication_ids(&published);
    assert_eq!(ids[1], "a".repeat(128));
    assert!(ids[2].len() == 64 && ids[2].bytes().all(|byte| byte.is_ascii_hexdigit()), "a hash");
    assert!(ids[3].starts_with("github:7:"), "a number is no id by itself");
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_thousand_events_are_published_in_order_with_ten_requests() {
    let bus = EventBusV2::start().await;
    let (queue, function) = function(&bus, "gocardless").await;
    let event = |n: usize| json!({"id": format!("EV{n}"), "created_at": "2026-11-22T10:00:00.5Z"});
    let body = json!({"events": (0..1000).map(event).collect::<Vec<_>>()}).to_string();
    let signature = signature("gocardless", SECRET, "https://x.example/", body.as_bytes());
    let event = url_event(&[("content-type", "application/json"), ("webhook-signature", &signature)], &body);
    for _ in 0..2 {
        let invocation = function.invoke_text(&event.to_string(), Duration::from_secs(60)).await;
        assert_eq!((invocation.status, &invocation.log["outcome"]), (202, &"published".into()));
    }
    assert_eq!(bus.requests().len(), 20);
    assert!(bus.requests().iter().all(|request| request["Entries"].as_array().unwrap().len() == 100));
    let published = bus.published();
    assert_eq!(deduplication_ids(&published), (0..1000).map(|n| format!("EV{n}")).collect::<Vec<_>>());
    assert_eq!(published[0]["Time"], 1_795_341_600.5);
    assert!(queue.is_empty());
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_fault_that_passes_is_retried_and_publishes_once() {
    for fault in [
        BusFault::Error(429, "ThrottlingException"),
        BusFault::Error(500, "InternalException"),
        BusFault::Error(503, "ServiceUnavailableException"),
        BusFault::EntryFails(0, "InternalException"),
        BusFault::EntryFails(0, "ThrottlingException"),
        BusFault::NoResult,
        BusFault::ResponseLost,
    ] {
        let bus = EventBusV2::start().await;
        let (queue, function) = function(&bus, "github").await;
        bus.next([fault]);
        let invocation = function.invoke(&webhook(ID)).await;
        assert_eq!((invocation.status, &invocation.log["outcome"]), (202, &"published".into()), "{fault:?}");
        assert_eq!((bus.requests().len(), bus.published().len()), (2, 1), "{fault:?}");
        assert!(queue.is_empty());
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_event_that_the_bus_rejects_is_spilled_with_its_group_and_redriven() {
    for fault in [
        BusFault::Error(403, "AccessDeniedException"),
        BusFault::Error(404, "ResourceNotFoundException"),
        BusFault::Error(409, "InvalidStateException"),
        BusFault::Error(429, "ThrottlingException"),
        BusFault::EntryFails(0, "AccessDenied"),
    ] {
        let bus = EventBusV2::start().await;
        let (queue, function) = function(&bus, "github").await;
        let function = function.with_event_group(FieldLocation::Header("x-github-event"));
        bus.always(Some(fault));
        let invocation = function.invoke(&webhook(ID)).await;
        assert_eq!((invocation.status, &invocation.log["outcome"]), (202, &"spilled".into()), "{fault:?}");
        assert!(bus.published().is_empty());
        bus.always(None);
        let batch = json!({"Records": [{"messageId": "m", "body": queue.receive()}]}).to_string();
        let redrive = RedriveFunction {
            bus: EventBridge::new(&config(&bus.url).await, BUS_ARN.into()),
            dead_letter_queue: None,
            function_name: "redrive".into(),
        };
        let deadline = SystemTime::now() + Duration::from_secs(3);
        let (response, _) = redrive.invoke(&batch, "request", deadline).await.unwrap();
        assert_eq!(serde_json::to_value(response).unwrap(), json!({"batchItemFailures": []}));
        let published = bus.published();
        assert_eq!(published.len(), 1);
        assert_eq!(published[0]["Detail"], BODY, "byte for byte");
        let metadata = json!({"DeduplicationId": ID, "EventGroupId": "push"});
        assert_eq!(published[0]["SystemMetadata"], metadata);
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn only_the_entry_that_failed_is_published_again() {
    let bus = EventBusV2::start().await;
    let (_queue, function) = function(&bus, "gocardless").await;
    let body = json!({"events": [{"id": "EV0"}, {"id": "EV1"}, {"id": "EV2"}]}).to_string();
    let signature = signature("gocardless", SECRET, "https://x.example/", body.as_bytes());
    let event = url_event(&[("content-type", "application/json"), ("webhook-signature", &signature)], &body);
    bus.next([BusFault::EntryFails(1, "InternalException")]);
    assert_eq!(function.invoke(&event).await.status, 202);
    assert_eq!(deduplication_ids(&bus.published()), ["EV0", "EV2", "EV1"]);
    assert_eq!(bus.requests()[1]["Entries"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_and_replay_publish_on_such_a_bus() {
    let bus = EventBusV2::start().await;
    let url = bus.url.clone();
    let folder = tempfile::tempdir().unwrap();
    let log = open_sqlite(&folder.path().join("log.db")).await;
    let time: jiff::Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
    log.record(&batch("1", vec![new_event("sp-1", time)])).await.unwrap();
    drop(log);
    let requests = bus.clone();
    tokio::task::spawn_blocking(move || {
        let environment = [
            ("AWS_ENDPOINT_URL_EVENTBRIDGEV2", url.as_str()),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("AWS_REGION", "us-east-1"),
        ];
        let flags = ["--bus", &format!("eventbridge:{BUS_ARN}"), "--event-group", "header:x-github-event"];
        let server = Server::start_with_environment(&flags, &environment);
        server.push(1);
        let published = wait_until("the event", || Some(requests.published()).filter(|p| !p.is_empty()));
        assert_eq!(published[0]["SystemMetadata"]["EventGroupId"], "issues");
        let mut replay = hookbridge();
        replay.current_dir(folder.path()).args(["replay", "--database", "log.db", "--to-bus", BUS_ARN]);
        replay.args(["--from", "2026-11-20T00:00:00Z", "--to", "2026-11-21T00:00:00Z"]).envs(environment);
        run(&mut replay);
        // A replay is identified by the second in which it started.
        std::thread::sleep(Duration::from_millis(1100));
        run(&mut replay);
        let published = requests.published();
        let ids = deduplication_ids(&published[1..]);
        assert!(ids.len() == 2 && ids.iter().all(|id| id.starts_with("sp-1@")), "each replay is published");
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn the_recorder_and_the_dispatcher_publish_on_it() {
    let (bus, aws, database) = (EventBusV2::start().await, AwsInMemory::start().await, Database::new().await);
    drop(database.log().await);
    let receiver = Receiver::start().await;
    receiver.respond_with(410);
    aws.create_bucket("archive", None);
    let event = json!({"type": "open", "event_id": "92356927693813856", "timestamp": jiff::Timestamp::now().as_second()});
    let body = json!([{"msys": {"track_event": event}}]).to_string().into_bytes();
    let s3 = aws_sdk_s3::Client::new(&config(&aws.url).await);
    let put = s3.put_object().bucket("archive").key("raw/sparkpost/b1.json").body(body.into());
    put.send().await.unwrap();
    tokio::task::spawn_blocking(move || {
        let (key, queue) =
            (aws.put_secret("key", "a key of at least thirty-two characters"), aws.create_queue());
        let mut create = hookbridge();
        create.env("AWS_ENDPOINT_URL", &aws.url).env("HOOKBRIDGE_DATABASE", &database.url);
        create.args(["subscriber", "create", "gone", "--url", &receiver.url("in")]);
        run(create.args(["--allow-to", "127.0.0.0/8", "--subscriber-key-arn", &key]));
        let environment = [
            ("AWS_ENDPOINT_URL", aws.url.as_str()),
            ("AWS_ENDPOINT_URL_EVENTBRIDGEV2", &bus.url),
            ("AWS_ACCESS_KEY_ID", "test"),
            ("AWS_SECRET_ACCESS_KEY", "test"),
            ("EVENT_BUS_NAME", BUS_ARN),
            ("DATABASE_URL", &database.url),
            ("ARCHIVE_URL", "s3://archive/raw"),
            ("PUBLISH", "true"),
            ("SUBSCRIBER_KEY_ARN", &key),
            ("QUEUE_URL", &queue),
            ("ALLOW_TO", "127.0.0.0/8"),
        ];
        let invoke = |function: &RunningFunction, message: &Value| {
            let event = json!({"Records": [{"messageId": "1", "body": message.to_string()}]});
            let response = function.invoke(&event, SystemTime::now() + Duration::from_secs(20));
            let response: Value = serde_json::from_slice(&response.read_to_end()).unwrap();
            assert_eq!(response["batchItemFailures"], json!([]));
        };
        let recorder = RunningFunction::start(env!("CARGO_BIN_EXE_recorder"), &environment);
        let object = json!({"bucket": {"name": "archive"}, "object": {"key": "raw/sparkpost/b1.json"}});
        let notification = json!({"Records": [{"eventName": "ObjectCreated:Put", "s3": object}]});
        invoke(&recorder, &notification);
        let published = bus.published();
        assert_eq!((published.len(), &published[0]["DetailType"]), (1, &"open".into()));
        assert!(deduplication_ids(&published)[0].starts_with("sparkpost:92356927693813856:"));
        invoke(&recorder, &notification);
        assert_eq!(bus.requests().len(), 1, "a batch is published once");

        let dispatcher = RunningFunction::start(env!("CARGO_BIN_EXE_dispatcher"), &environment);
        let envelope = json!({"id": "e1", "detail-type": "push", "source": "github.com", "time": jiff::Timestamp::now(), "detail": {}});
        invoke(&dispatcher, &envelope);
        let notice = wait_until("the notice", || bus.published().get(1).cloned());
        // A notice has no id, because a subscriber may be paused again.
        let expected = (&"hookbridge.subscriber.paused".into(), &json!({}));
        assert_eq!((&notice["DetailType"], &notice["SystemMetadata"]), expected);
    })
    .await
    .unwrap();
}
