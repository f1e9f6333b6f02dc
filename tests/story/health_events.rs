//! Health events about failing subscribers and failed deliveries, with a clock that the test sets.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hookbridge::db::Database;
use hookbridge::delivery::{DeliveryFilter, DispatcherFunction, SubscriberUpdate};
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::actors::dispatch_harness::{DAY, DispatchHarness, RecordingBus, event_ids};
use crate::actors::log::for_each_database;
use crate::actors::receiver::Receiver;

for_each_database! {
    a_rarely_attempted_subscriber_is_reported_in_time
    health_events_that_the_bus_rejected_are_published_later
    a_ping_does_not_suppress_health_events
    the_last_attempt_is_counted_as_given_up
    recorded_attempts_are_logged_when_the_deadline_cuts_off_the_rest
}

fn with_failure_budget(hours: u32) -> SubscriberUpdate {
    SubscriberUpdate { failure_budget: Some(hours), ..SubscriberUpdate::default() }
}

fn function(harness: &DispatchHarness) -> Arc<DispatcherFunction<RecordingBus>> {
    let retention = SignedDuration::from_hours(24);
    let worker = harness.worker.clone();
    Arc::new(DispatcherFunction { worker, name: "dispatcher".into(), retention })
}

async fn a_rarely_attempted_subscriber_is_reported_in_time(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    receiver.respond_with(500);
    harness.subscriber("down", receiver.url("in"), with_failure_budget(100)).await;
    harness.subscriber("idle", receiver.url("idle"), with_failure_budget(100)).await;
    harness.receive_events(event_ids(0..1)).await;
    let idle = DeliveryFilter { subscriber: Some("idle".into()), ..DeliveryFilter::default() };
    assert_eq!(harness.service.store.cancel_deliveries(&idle, None).await.unwrap(), 1);
    let mut health_events = Vec::new();
    for hour in 0..150 {
        harness.set_clock(hour * 3600);
        harness.deliver_due().await;
        harness.sweep().await;
        health_events.extend(harness.bus.take().into_iter().map(|event| (hour, event)));
    }
    // One attempt is made after 96 hours, and the next one almost 10 minutes after 120.
    let expected = [(50, "failing 50".to_owned()), (90, "failing 90".to_owned()), (121, "paused".to_owned())];
    assert_eq!(health_events, expected);
}

async fn health_events_that_the_bus_rejected_are_published_later(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    receiver.respond_with(500);
    harness.subscriber("down", receiver.url("in"), with_failure_budget(24)).await;
    harness.subscriber("gone", receiver.url("gone"), with_failure_budget(24)).await;
    receiver.respond_by(|request| (if request.path == "/gone" { 410 } else { 500 }, vec![], String::new()));
    harness.bus.set_down(true);
    harness.receive_events(event_ids(0..1)).await;
    harness.set_clock(13 * 3600);
    harness.deliver_due().await;
    harness.sweep().await;
    harness.bus.set_down(false);
    harness.sweep().await;
    assert_eq!(harness.bus.take(), [""; 0], "the bus gets no event for 30 s after a failure");
    harness.set_clock(13 * 3600 + 30);
    harness.sweep().await;
    let mut health_events = harness.bus.take();
    health_events.sort();
    assert_eq!(health_events, ["failing 50", "paused"]);
    harness.sweep().await;
    assert_eq!(harness.bus.take(), [""; 0], "reported once");

    harness.bus.set_down(true);
    harness.set_clock(2 * DAY);
    harness.deliver_due().await;
    assert!(
        harness.service.find("down").await.unwrap().paused.is_some(),
        "whether or not the event was published"
    );
    harness.bus.set_down(false);
    harness.set_clock(2 * DAY + 30);
    harness.sweep().await;
    assert_eq!(harness.bus.take(), ["paused"]);

    receiver.respond_with(200);
    assert!(harness.service.send_ping("down").await.unwrap().is_success());
    harness.sweep().await;
    assert_eq!(harness.bus.take(), [""; 0], "the subscriber is still paused");
    harness.bus.set_down(true);
    harness.service.resume("down").await.unwrap();
    harness.deliver_due().await;
    harness.bus.set_down(false);
    harness.set_clock(2 * DAY + 60);
    harness.receive_events(event_ids(1..2)).await;
    assert_eq!(harness.bus.take(), ["recovered"], "with the next successful delivery");
    harness.receive_events(event_ids(2..3)).await;
    harness.sweep().await;
    assert_eq!(harness.bus.take(), [""; 0]);
}

async fn a_ping_does_not_suppress_health_events(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    receiver.respond_with(500);
    harness.subscriber("down", receiver.url("in"), with_failure_budget(20)).await;
    harness.receive_events(event_ids(0..1)).await;
    harness.set_clock(11 * 3600);
    harness.sweep().await;
    assert_eq!(harness.bus.take(), ["failing 50"]);
    receiver.respond_with(200);
    assert!(harness.service.send_ping("down").await.unwrap().is_success());
    harness.deliver_due().await;
    assert_eq!(harness.bus.take(), ["recovered"]);
    harness.service.pause("down").await.unwrap();
    harness.service.resume("down").await.unwrap();
    assert!(harness.service.send_ping("down").await.unwrap().is_success());
    harness.receive_events(event_ids(1..2)).await;
    assert_eq!(harness.bus.take(), ["recovered"]);
    for start in [DAY, DAY + 12 * 3600] {
        receiver.respond_with(500);
        harness.set_clock(start);
        harness.receive_events(event_ids(start..start + 1)).await;
        harness.set_clock(start + 11 * 3600);
        harness.sweep().await;
        assert_eq!(harness.bus.take(), ["failing 50"], "each time the subscriber starts to fail");
        receiver.respond_with(200);
        assert!(harness.service.send_ping("down").await.unwrap().is_success());
    }
}

async fn the_last_attempt_is_counted_as_given_up(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    receiver.respond_with(500);
    harness.subscriber("down", receiver.url("in"), with_failure_budget(1000)).await;
    harness.receive_events(event_ids(0..1)).await;
    let delivery = harness.deliveries(DeliveryFilter::default()).await[0].id;
    let function = function(&harness);
    let attempt_at = async |hours: i64| -> Value {
        harness.set_clock(hours * 3600);
        let retry = json!({"delivery": delivery, "hold": "queue-1", "due": 0}).to_string();
        let message = json!({"Records": [{"messageId": "1", "body": retry}]}).to_string();
        let deadline = SystemTime::now() + Duration::from_secs(60);
        let (_, lines) = function.invoke(&message, "request", deadline).await.unwrap();
        serde_json::from_str(&lines[0]).unwrap()
    };
    let line = attempt_at(144).await;
    assert_eq!((&line["DeliveryFailed"], line.get("DeliveriesGivenUp")), (&json!(1), None));
    let line = attempt_at(168).await;
    assert_eq!((&line["DeliveryFailed"], &line["DeliveriesGivenUp"]), (&json!(1), &json!(1)));
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
    assert!(metrics.contains(&json!({"Name": "DeliveriesGivenUp", "Unit": "Count"})));
    assert_eq!(harness.deliveries(DeliveryFilter::default()).await[0].state.as_str(), "failed");
}

async fn recorded_attempts_are_logged_when_the_deadline_cuts_off_the_rest(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    // A server that accepts connections and never responds.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in", silent.local_addr().unwrap());
    harness.subscriber("silent", url, SubscriberUpdate::default()).await;
    harness.subscriber("quick", receiver.url("in"), SubscriberUpdate::default()).await;
    let envelope = json!({"id": "1", "detail-type": "lead.created", "detail": {}}).to_string();
    let message = json!({"Records": [{"messageId": "1", "body": envelope}]}).to_string();
    let deadline = SystemTime::now() + Duration::from_secs(4);
    let (response, lines) = function(&harness).invoke(&message, "request", deadline).await.unwrap();
    let failures = serde_json::to_value(response).unwrap()["batchItemFailures"].clone();
    assert_eq!(failures, json!([{"itemIdentifier": "1"}]));
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["Delivered"]).collect::<Vec<_>>(), [&json!(1)]);
}
