//! What somebody is told of subscribers that fail and of what is given up, with a clock that is turned by hand.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use hookbridge::dispatch::{DeliveryFilter, DispatcherFunction, SubscriberUpdate};
use hookbridge::log::SqlExecutor;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::actors::log::both;
use crate::actors::office::{DAY, Office, Told, ids};
use crate::actors::receiver::Receiver;

both! {
    somebody_is_told_in_time_of_who_is_seldom_tried
    what_the_bus_did_not_take_is_told_later
    a_test_takes_nothing_from_what_is_told
    the_last_attempt_says_that_its_delivery_is_given_up
    what_was_tried_is_told_also_when_the_time_is_over_for_the_rest
}

fn within(hours: u32) -> SubscriberUpdate {
    SubscriberUpdate { failure_budget: Some(hours), ..SubscriberUpdate::default() }
}

fn function<S: SqlExecutor + Clone>(office: &Office<S>) -> Arc<DispatcherFunction<S, Told>> {
    let retention = SignedDuration::from_hours(24);
    let dispatcher = office.dispatcher.clone();
    Arc::new(DispatcherFunction { dispatcher, name: "dispatcher".into(), retention })
}

async fn somebody_is_told_in_time_of_who_is_seldom_tried(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    receiver.answers(500);
    office.subscriber("down", receiver.url("in"), within(100)).await;
    office.subscriber("idle", receiver.url("idle"), within(100)).await;
    office.come(ids(0..1)).await;
    let owed = DeliveryFilter { subscriber: Some("idle".into()), ..DeliveryFilter::default() };
    assert_eq!(office.manager.store.cancel_deliveries(&owed, None).await.unwrap(), 1);
    let mut told = Vec::new();
    for hour in 0..150 {
        office.at(hour * 3600);
        office.pass().await;
        office.sweep().await;
        told.extend(office.told.take().into_iter().map(|what| (hour, what)));
    }
    // One attempt comes after 96 hours, and the next one not quite 10 minutes after 120.
    let expected = [(50, "failing 50".to_owned()), (90, "failing 90".to_owned()), (121, "paused".to_owned())];
    assert_eq!(told, expected);
}

async fn what_the_bus_did_not_take_is_told_later(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    receiver.answers(500);
    office.subscriber("down", receiver.url("in"), within(24)).await;
    office.subscriber("gone", receiver.url("gone"), within(24)).await;
    receiver.answers_by(|one| (if one.path == "/gone" { 410 } else { 500 }, vec![], String::new()));
    office.told.is_down(true);
    office.come(ids(0..1)).await;
    office.at(13 * 3600);
    office.pass().await;
    office.sweep().await;
    office.told.is_down(false);
    office.sweep().await;
    assert_eq!(office.told.take(), [""; 0], "who has failed is left alone for half a minute");
    office.at(13 * 3600 + 30);
    office.sweep().await;
    let mut told = office.told.take();
    told.sort();
    assert_eq!(told, ["failing 50", "paused"]);
    office.sweep().await;
    assert_eq!(office.told.take(), [""; 0], "once it was told");

    office.told.is_down(true);
    office.at(2 * DAY);
    office.pass().await;
    assert!(office.manager.find("down").await.unwrap().paused.is_some(), "told or not");
    office.told.is_down(false);
    office.at(2 * DAY + 30);
    office.sweep().await;
    assert_eq!(office.told.take(), ["paused"]);

    receiver.answers(200);
    assert!(office.manager.send_ping("down").await.unwrap().is_success());
    office.sweep().await;
    assert_eq!(office.told.take(), [""; 0], "it is paused still");
    office.told.is_down(true);
    office.manager.resume("down").await.unwrap();
    office.pass().await;
    office.told.is_down(false);
    office.at(2 * DAY + 60);
    office.come(ids(1..2)).await;
    assert_eq!(office.told.take(), ["recovered"], "with what is good next");
    office.come(ids(2..3)).await;
    office.sweep().await;
    assert_eq!(office.told.take(), [""; 0]);
}

async fn a_test_takes_nothing_from_what_is_told(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    receiver.answers(500);
    office.subscriber("down", receiver.url("in"), within(20)).await;
    office.come(ids(0..1)).await;
    office.at(11 * 3600);
    office.sweep().await;
    assert_eq!(office.told.take(), ["failing 50"]);
    receiver.answers(200);
    assert!(office.manager.send_ping("down").await.unwrap().is_success());
    office.pass().await;
    assert_eq!(office.told.take(), ["recovered"]);
    office.manager.pause("down").await.unwrap();
    office.manager.resume("down").await.unwrap();
    assert!(office.manager.send_ping("down").await.unwrap().is_success());
    office.come(ids(1..2)).await;
    assert_eq!(office.told.take(), ["recovered"]);
    for begin in [DAY, DAY + 12 * 3600] {
        receiver.answers(500);
        office.at(begin);
        office.come(ids(begin..begin + 1)).await;
        office.at(begin + 11 * 3600);
        office.sweep().await;
        assert_eq!(office.told.take(), ["failing 50"], "each time it begins to fail");
        receiver.answers(200);
        assert!(office.manager.send_ping("down").await.unwrap().is_success());
    }
}

async fn the_last_attempt_says_that_its_delivery_is_given_up(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    receiver.answers(500);
    office.subscriber("down", receiver.url("in"), within(1000)).await;
    office.come(ids(0..1)).await;
    let delivery = office.deliveries(DeliveryFilter::default()).await[0].id;
    let function = function(&office);
    let last_line = async |hours: i64| -> Value {
        office.at(hours * 3600);
        let retry = json!({"delivery": delivery, "hold": "queue-1", "due": 0}).to_string();
        let message = json!({"Records": [{"messageId": "1", "body": retry}]}).to_string();
        let deadline = SystemTime::now() + Duration::from_secs(60);
        let (_, lines) = function.invoke(&message, "request", deadline).await.unwrap();
        serde_json::from_str(&lines[0]).unwrap()
    };
    let line = last_line(144).await;
    assert_eq!((&line["DeliveryFailed"], line.get("DeliveriesGivenUp")), (&json!(1), None));
    let line = last_line(168).await;
    assert_eq!((&line["DeliveryFailed"], &line["DeliveriesGivenUp"]), (&json!(1), &json!(1)));
    let metrics = line["_aws"]["CloudWatchMetrics"][0]["Metrics"].as_array().unwrap();
    assert!(metrics.contains(&json!({"Name": "DeliveriesGivenUp", "Unit": "Count"})));
    assert_eq!(office.deliveries(DeliveryFilter::default()).await[0].state.as_str(), "failed");
}

async fn what_was_tried_is_told_also_when_the_time_is_over_for_the_rest(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    // It takes a connection, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in", silent.local_addr().unwrap());
    office.subscriber("silent", url, SubscriberUpdate::default()).await;
    office.subscriber("quick", receiver.url("in"), SubscriberUpdate::default()).await;
    let envelope = json!({"id": "1", "detail-type": "lead.created", "detail": {}}).to_string();
    let message = json!({"Records": [{"messageId": "1", "body": envelope}]}).to_string();
    let deadline = SystemTime::now() + Duration::from_secs(4);
    let (answer, lines) = function(&office).invoke(&message, "request", deadline).await.unwrap();
    let failures = serde_json::to_value(answer).unwrap()["batchItemFailures"].clone();
    assert_eq!(failures, json!([{"itemIdentifier": "1"}]));
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["Delivered"]).collect::<Vec<_>>(), [&json!(1)]);
}
