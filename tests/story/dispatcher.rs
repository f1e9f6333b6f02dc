//! The dispatcher's guarantees, each tested on PostgreSQL and SQLite, with a real receiver and a clock that the test sets.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hookbridge::db::Database;
use hookbridge::delivery::{
    DeliveryClient, DeliveryFilter, DeliveryState, DeliveryStore, KeyRing, KeySource, PauseReason, SsrfGuard,
    SubscriberService, SubscriberUpdate,
};
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::actors::dispatch_harness::{CLOCK_START, DAY, DispatchHarness, arrived_event, event_ids};
use crate::actors::log::{InterruptedFuture, for_each_database};
use crate::actors::receiver::{ReceivedRequest, Receiver};

for_each_database! {
    an_event_is_delivered_once_to_each_matching_subscriber
    a_failing_delivery_is_attempted_on_the_documented_schedule_for_seven_days
    a_subscriber_down_for_a_day_receives_its_backlog_on_recovery
    a_subscriber_that_uses_up_its_failure_budget_is_reported_and_paused
    a_410_pauses_a_subscriber_and_a_429_delays_it
    cancelled_deliveries_are_not_sent_and_retried_ones_are
    a_dispatcher_interrupted_at_any_step_loses_no_delivery
    concurrent_dispatchers_deliver_each_event_once
    after_random_outages_every_event_is_delivered
    expired_deliveries_are_deleted
    intermittent_failures_do_not_trigger_repeated_backlog_retries
    secrets_rotated_concurrently_all_sign
    a_subscriber_stored_by_an_earlier_version_can_be_changed
    concurrent_updates_of_a_subscriber_are_all_kept
    a_missing_key_is_not_reported_as_an_unavailable_database
}

/// An earlier version wrote fewer settings, in another order.
async fn a_subscriber_stored_by_an_earlier_version_can_be_changed(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness.subscriber("a", receiver.url("a"), SubscriberUpdate::default()).await;
    let schema = harness.db.dialect().schema;
    let sql = format!(
        r#"update {schema}subscribers set settings = '{{"limit": 3, "types": ["push"]}}' where name = 'a'"#
    );
    harness.db.execute(sql, vec![]).await.unwrap();
    let changes = SubscriberUpdate { timeout: Some(5), ..SubscriberUpdate::default() };
    let update = harness.service.update("a", changes);
    let updated = tokio::time::timeout(std::time::Duration::from_secs(20), update).await;
    let settings = updated.expect("the update ends").unwrap().settings;
    assert_eq!((settings.timeout, settings.limit, settings.types), (5, 3, vec!["push".to_owned()]));
    assert_eq!(harness.service.find("a").await.unwrap().settings.timeout, 5);
    harness.service.rotate_secret("a", jiff::SignedDuration::from_hours(1)).await.unwrap();
    assert_eq!(
        harness.service.reencrypt_secrets().await.unwrap(),
        0,
        "every secret is already encrypted with the current key"
    );
}

async fn concurrent_updates_of_a_subscriber_are_all_kept(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness.subscriber("a", receiver.url("a"), SubscriberUpdate::default()).await;
    let second = harness.another_worker();
    for round in 1..=20 {
        let limit = SubscriberUpdate { limit: Some(round), ..SubscriberUpdate::default() };
        let budget = SubscriberUpdate { failure_budget: Some(100 + round), ..SubscriberUpdate::default() };
        let (first_result, second_result) =
            tokio::join!(harness.service.update("a", limit), second.service.update("a", budget));
        first_result.unwrap();
        second_result.unwrap();
        let settings = harness.service.find("a").await.unwrap().settings;
        assert_eq!((settings.limit, settings.failure_budget), (round, 100 + round));
    }
}

async fn a_missing_key_is_not_reported_as_an_unavailable_database(db: Database) {
    let folder = tempfile::tempdir().unwrap();
    let client = DeliveryClient::new(SsrfGuard::new(vec![])).unwrap();
    let keys = KeySource::File(folder.path().join("no-such-key"));
    let dispatcher = hookbridge::delivery::DeliveryWorker::new(
        DeliveryStore::new(db.clone()),
        keys,
        client,
        crate::actors::dispatch_harness::RecordingBus::default(),
        Arc::new(Timestamp::now),
    );
    let error = dispatcher
        .create_deliveries(&[arrived_event("1", "push", &json!({}))])
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("no-such-key") && !error.contains("database"), "{error}");
}

async fn an_event_is_delivered_once_to_each_matching_subscriber(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness.subscriber("all", receiver.url("all"), SubscriberUpdate::default()).await;
    let leads = SubscriberUpdate {
        types: Some(vec!["lead.*".into()]),
        filter: Some(json!({"detail": {"shop": ["shop1", "shop2"]}})),
        ..SubscriberUpdate::default()
    };
    harness.subscriber("leads", receiver.url("leads"), leads).await;
    let events = [
        arrived_event("1", "lead.created", &json!({"shop": "shop1"})),
        arrived_event("2", "lead.created", &json!({"shop": "shop3"})),
        arrived_event("3", "order.created", &json!({"shop": "shop1"})),
    ];
    for _ in 0..2 {
        let jobs = harness.worker.create_deliveries(&events).await.unwrap();
        harness.deliver(jobs).await;
    }
    harness.deliver_due().await;
    let mut deliveries: Vec<_> =
        receiver.received().iter().map(|request| format!("{} {}", request.path, request.id())).collect();
    deliveries.sort();
    assert_eq!(deliveries, ["/all 1", "/all 2", "/all 3", "/leads 1"]);
    assert_eq!(harness.count(DeliveryState::Delivered).await, 4);
    let received = receiver.received();
    let request = received.iter().find(|request| request.path == "/leads").unwrap();
    assert_eq!(request.event()["detail"]["shop"], "shop1");
    assert_eq!(request.header("hookbridge-attempt"), "1");
    let matching =
        harness.deliveries(DeliveryFilter { event: Some("1".into()), ..DeliveryFilter::default() }).await;
    let (_, attempts) = harness.service.store.history.find(matching[0].id).await.unwrap().unwrap();
    assert_eq!(
        (attempts.len(), attempts[0].status, attempts[0].response_body.as_deref()),
        (1, Some(200), Some("thanks"))
    );
    assert_eq!(attempts[0].address, Some(receiver.address.to_string()));
}

async fn a_failing_delivery_is_attempted_on_the_documented_schedule_for_seven_days(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    receiver.respond_with(500);
    harness
        .subscriber(
            "down",
            receiver.url("in"),
            SubscriberUpdate { failure_budget: Some(1000), ..SubscriberUpdate::default() },
        )
        .await;
    harness.receive_events(event_ids(0..1)).await;
    let mut times = vec![0];
    while let Some(next) = harness.deliveries(DeliveryFilter::default()).await[0].next_attempt {
        let seconds = next.as_second() - CLOCK_START;
        harness.set_clock(seconds - 1);
        harness.deliver_due().await;
        assert_eq!(receiver.received().len(), times.len(), "no attempt is early");
        harness.clock.store(next.as_microsecond(), Ordering::SeqCst);
        harness.deliver_due().await;
        times.push(seconds);
    }
    let documented = [0, 600, 3600, 3 * 3600, DAY, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY, 6 * DAY, 7 * DAY];
    assert_eq!(times.len(), documented.len());
    for (time, documented) in times.iter().zip(documented) {
        let delay = time - documented;
        assert!((0..=600.min(documented / 20)).contains(&delay), "{time} for {documented}");
    }
    let delivery = harness.deliveries(DeliveryFilter::default()).await.remove(0);
    assert_eq!((delivery.state, delivery.attempts, delivery.next_attempt), (DeliveryState::Failed, 11, None));
    let (_, attempts) = harness.service.store.history.find(delivery.id).await.unwrap().unwrap();
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>());
    let started: Vec<_> = attempts.iter().map(|attempt| attempt.started.as_second() - CLOCK_START).collect();
    assert_eq!(started, times);
    let numbers: Vec<_> =
        receiver.received().iter().map(|request| request.header("hookbridge-attempt").to_owned()).collect();
    assert_eq!(numbers, (1..=11).map(|n: i32| n.to_string()).collect::<Vec<_>>());
    assert_eq!(receiver.ids().iter().collect::<BTreeSet<_>>().len(), 1, "every attempt has the same id");
    harness.set_clock(30 * DAY);
    harness.deliver_due().await;
    assert_eq!(receiver.received().len(), 11);
}

async fn a_subscriber_down_for_a_day_receives_its_backlog_on_recovery(db: Database) {
    let (harness, receiver, healthy) =
        (DispatchHarness::open(db), Receiver::start().await, Receiver::start().await);
    harness.subscriber("down", receiver.url("in"), SubscriberUpdate::default()).await;
    harness.subscriber("up", healthy.url("in"), SubscriberUpdate::default()).await;
    receiver.respond_with(503);
    for hour in 0..24 {
        harness.set_clock(hour * 3600);
        harness.receive_events(event_ids(hour * 10..hour * 10 + 10)).await;
        for minute in (0..60).step_by(5) {
            harness.set_clock(hour * 3600 + minute * 60);
            harness.deliver_due().await;
        }
    }
    assert_eq!(healthy.ids().len(), 240, "no other subscriber was delayed");
    let attempts = receiver.received().len();
    assert!(
        attempts < 24 * 60,
        "{attempts} attempts: a failing subscriber gets an occasional attempt, not one per event"
    );
    receiver.clear();
    receiver.respond_with(200);
    let mut minutes = 0;
    while harness.count(DeliveryState::Pending).await > 0 {
        minutes += 1;
        assert!(minutes <= 10, "the backlog is delivered soon after the recovery");
        harness.set_clock(DAY + minutes * 60);
        harness.deliver_due().await;
    }
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), event_ids(0..240).collect());
    assert_eq!(receiver.ids().len(), 240);
    assert_eq!(harness.count(DeliveryState::Delivered).await, 480);
}

async fn a_subscriber_that_uses_up_its_failure_budget_is_reported_and_paused(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    receiver.respond_with(500);
    harness
        .subscriber(
            "down",
            receiver.url("in"),
            SubscriberUpdate { failure_budget: Some(100), ..SubscriberUpdate::default() },
        )
        .await;
    let mut health_events = Vec::new();
    for hour in 0..120 {
        harness.set_clock(hour * 3600);
        harness.receive_events(event_ids(hour..hour + 1)).await;
        harness.deliver_due().await;
        health_events.extend(harness.bus.take().into_iter().map(|event| (harness.seconds() / 3600, event)));
    }
    let expected = [(50, "failing 50".to_owned()), (90, "failing 90".to_owned()), (100, "paused".to_owned())];
    assert_eq!(health_events, expected);
    let subscriber = harness.service.find("down").await.unwrap();
    assert_eq!(
        subscriber.paused.unwrap().reason.map(PauseReason::as_str),
        Some("every attempt failed for too long")
    );
    let before = receiver.received().len();
    harness.set_clock(130 * 3600);
    harness.deliver_due().await;
    assert_eq!(receiver.received().len(), before, "nothing is sent to a paused subscriber");
    receiver.respond_with(200);
    harness.service.resume("down").await.unwrap();
    harness.deliver_due().await;
    assert_eq!(harness.bus.take(), ["recovered"]);
    assert_eq!(harness.count(DeliveryState::Pending).await, 0, "the backlog is delivered");
    assert_eq!(harness.count(DeliveryState::Delivered).await, 120);
    harness.receive_events(["more".into()]).await;
    assert_eq!(harness.bus.take(), [""; 0]);
}

async fn a_410_pauses_a_subscriber_and_a_429_delays_it(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    receiver.respond_by(|request| match request.path.as_str() {
        "/gone" => (410, vec![], String::new()),
        "/busy" => (429, vec![("retry-after", "1800".into())], String::new()),
        "/moved" => (307, vec![("location", "/other".into())], String::new()),
        path => panic!("{path}"),
    });
    for name in ["gone", "busy", "moved"] {
        harness.subscriber(name, receiver.url(name), SubscriberUpdate::default()).await;
    }
    harness.receive_events(event_ids(0..1)).await;
    assert_eq!(receiver.received().len(), 3, "a redirect is not followed");
    assert_eq!(harness.bus.take(), ["paused"]);
    let by_name: BTreeMap<_, _> = harness
        .deliveries(DeliveryFilter::default())
        .await
        .into_iter()
        .map(|delivery| (delivery.subscriber.clone().unwrap(), delivery))
        .collect();
    let next = |name: &str| by_name[name].next_attempt.unwrap().as_second() - CLOCK_START;
    assert!(by_name.values().all(|delivery| delivery.state == DeliveryState::Pending));
    assert_eq!(next("busy"), 1800, "as Retry-After says");
    assert!((600..=630).contains(&next("moved")));
    assert_eq!(by_name["moved"].error.as_deref(), Some("redirect: redirects are not followed"));
    let gone = harness.service.find("gone").await.unwrap();
    let paused = gone.paused.unwrap();
    assert_eq!(
        (paused.since, paused.reason.map(PauseReason::as_str)),
        (Some(harness.now()), Some("it answered 410 Gone"))
    );
    harness.set_clock(DAY);
    harness.deliver_due().await;
    let to_gone = receiver.received().iter().filter(|request| request.path == "/gone").count();
    assert_eq!(to_gone, 1);
}

async fn cancelled_deliveries_are_not_sent_and_retried_ones_are(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    receiver.respond_with(500);
    harness.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    harness.receive_events(event_ids(0..4)).await;
    let store = &harness.service.store;
    let of_event = |event: &str| DeliveryFilter { event: Some(event.into()), ..DeliveryFilter::default() };
    assert_eq!(store.cancel_deliveries(&of_event("event-0"), None).await.unwrap(), 1);
    assert_eq!(store.cancel_deliveries(&of_event("event-0"), None).await.unwrap(), 0);
    let id = harness.deliveries(of_event("event-1")).await[0].id;
    assert_eq!(store.cancel_deliveries(&DeliveryFilter::default(), Some(id)).await.unwrap(), 1);
    receiver.clear();
    receiver.respond_with(200);
    harness.set_clock(700);
    harness.deliver_due().await;
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), event_ids(2..4).collect());
    // Delivered and cancelled deliveries are sent again after a retry.
    receiver.clear();
    assert_eq!(
        store.retry_deliveries(&DeliveryFilter::default(), Some(id), harness.worker.now()).await.unwrap(),
        1
    );
    let delivered = DeliveryFilter {
        subscriber: Some("one".into()),
        state: Some(DeliveryState::Delivered),
        ..DeliveryFilter::default()
    };
    assert_eq!(store.retry_deliveries(&delivered, None, harness.worker.now()).await.unwrap(), 2);
    harness.deliver_due().await;
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), event_ids(1..4).collect());
    assert_eq!(harness.count(DeliveryState::Delivered).await, 3);
    harness.service.delete("one").await.unwrap();
    assert_eq!(
        store.retry_deliveries(&of_event("event-0"), None, harness.worker.now()).await.unwrap(),
        0,
        "a deleted subscriber receives nothing"
    );
}

async fn a_dispatcher_interrupted_at_any_step_loses_no_delivery(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    let (mut polls, mut interrupted) = (0, true);
    while interrupted {
        let (harness, n) = (harness.another_worker(), i64::try_from(polls).unwrap());
        let mut future = pin!(async {
            harness.receive_events(event_ids(n..n + 1)).await;
            harness.deliver_due().await;
        });
        interrupted = InterruptedFuture { future: future.as_mut(), polls }.await.is_none();
        polls += 1;
    }
    assert!(polls > 3, "{polls}");
    // The events were not acknowledged, so they arrive again, later.
    let harness = harness.another_worker();
    harness.set_clock(120);
    let event_count = i64::try_from(polls).unwrap();
    harness.receive_events(event_ids(0..event_count)).await;
    for minute in 3..8 {
        harness.set_clock(minute * 60);
        harness.deliver_due().await;
    }
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), event_ids(0..event_count).collect());
    assert_eq!(harness.count(DeliveryState::Delivered).await, polls, "every delivery is recorded");
}

async fn concurrent_dispatchers_deliver_each_event_once(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness
        .subscriber(
            "one",
            receiver.url("in"),
            SubscriberUpdate { limit: Some(3), ..SubscriberUpdate::default() },
        )
        .await;
    let harnesses: Vec<_> = (0..4).map(|_| Arc::new(harness.another_worker())).collect();
    let tasks = harnesses.iter().map(|harness| {
        let harness = harness.clone();
        tokio::spawn(async move {
            for n in 0..10 {
                harness.receive_events(event_ids(n * 5..n * 5 + 5)).await;
                harness.deliver_due().await;
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    harness.deliver_due().await;
    assert_eq!(receiver.ids().len(), 50);
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), event_ids(0..50).collect());
}

async fn after_random_outages_every_event_is_delivered(db: Database) {
    // Whether each of three subscribers is up, hour by hour, for five days; then all are.
    let outages = prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.3), 120), 3);
    let mut runner = TestRunner::new(Config { cases: 3, failure_persistence: None, ..Config::default() });
    let outages: Vec<_> = (0..3).map(|_| outages.new_tree(&mut runner).unwrap().current()).collect();
    for (case, outages) in outages.into_iter().enumerate() {
        let (harness, receiver) = (DispatchHarness::open(db.clone()), Receiver::start().await);
        let hour = Arc::new(AtomicI64::new(0));
        let now = hour.clone();
        receiver.respond_by(move |request| {
            let subscriber = request.path.rsplit('-').next().unwrap().parse::<usize>().unwrap();
            let hour = usize::try_from(now.load(Ordering::SeqCst)).unwrap();
            (if *outages[subscriber].get(hour).unwrap_or(&true) { 200 } else { 500 }, vec![], String::new())
        });
        for n in 0..3 {
            harness
                .subscriber(
                    &format!("s-{case}-{n}"),
                    receiver.url(&format!("{case}-{n}")),
                    SubscriberUpdate::default(),
                )
                .await;
        }
        let mut sent = BTreeSet::new();
        let mut cancelled = BTreeSet::new();
        for hour_number in 0..124 {
            hour.store(hour_number, Ordering::SeqCst);
            harness.set_clock(hour_number * 3600);
            if hour_number < 100 && hour_number % 4 == 0 {
                harness.receive_events([format!("{case}-{hour_number}")]).await;
                sent.insert(format!("{case}-{hour_number}"));
            }
            for minute in (0..60).step_by(15) {
                harness.set_clock(hour_number * 3600 + minute * 60);
                harness.deliver_due().await;
            }
            if hour_number % 40 == 20 {
                // Cancels the newest pending delivery.
                let waiting =
                    DeliveryFilter { state: Some(DeliveryState::Pending), ..DeliveryFilter::default() };
                if let Some(delivery) = harness.deliveries(waiting).await.first() {
                    let store = &harness.service.store;
                    assert_eq!(
                        store.cancel_deliveries(&DeliveryFilter::default(), Some(delivery.id)).await.unwrap(),
                        1
                    );
                    cancelled.insert((
                        delivery.subscriber.clone().unwrap(),
                        delivery.event.clone(),
                        receiver.received().len(),
                    ));
                }
            }
        }
        for n in 0..3 {
            let path = format!("/{case}-{n}");
            let received = receiver.received();
            let received_ids: BTreeSet<_> =
                received.iter().filter(|request| request.path == path).map(ReceivedRequest::id).collect();
            let name = format!("s-{case}-{n}");
            for (_, event, received_count) in cancelled.iter().filter(|(subscriber, ..)| *subscriber == name)
            {
                assert!(
                    !received[*received_count..]
                        .iter()
                        .any(|request| request.path == path && request.id() == *event),
                    "nothing is sent after a cancellation"
                );
            }
            let cancelled_ids: BTreeSet<_> = cancelled
                .iter()
                .filter(|(subscriber, ..)| *subscriber == name)
                .map(|(_, event, _)| event.clone())
                .collect();
            let missing: Vec<_> =
                sent.difference(&received_ids).filter(|id| !cancelled_ids.contains(*id)).collect();
            assert!(missing.is_empty(), "{name}: {missing:?}");
        }
        for n in 0..3 {
            harness.service.delete(&format!("s-{case}-{n}")).await.unwrap();
        }
    }
}

async fn intermittent_failures_do_not_trigger_repeated_backlog_retries(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    receiver.respond_by(|request| {
        (if request.id().starts_with("bad") { 400 } else { 200 }, vec![], String::new())
    });
    harness.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    harness.receive_events((0..5).map(|n| format!("bad-{n}"))).await;
    for minute in 0..300 {
        harness.set_clock(minute * 60);
        harness.receive_events([format!("good-{minute}")]).await;
        harness.deliver_due().await;
    }
    let failed_attempts = receiver.ids().iter().filter(|id| id.starts_with("bad")).count();
    assert_eq!(failed_attempts, 5 * 4, "at once, after 10 minutes, after 1 hour and after 3 hours");
    assert_eq!(harness.count(DeliveryState::Pending).await, 5);
}

async fn secrets_rotated_concurrently_all_sign(db: Database) {
    let (harness, receiver) = (Arc::new(DispatchHarness::open(db)), Receiver::start().await);
    harness.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    let tasks = (0..5).map(|n| {
        let harness = harness.clone();
        tokio::spawn(async move {
            harness.service.rotate_secret("one", jiff::SignedDuration::from_hours(24)).await.unwrap();
            let limit = SubscriberUpdate { limit: Some(n + 1), ..SubscriberUpdate::default() };
            harness.service.update("one", limit).await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    harness.receive_events(event_ids(0..1)).await;
    let received = receiver.received();
    assert_eq!(received[0].header("webhook-signature").split(' ').count(), 6);
    // The encryption keys change while the dispatcher runs.
    let keys = "another key of thirty-two characters\na key of at least thirty-two characters";
    let service = SubscriberService {
        store: DeliveryStore::new(harness.db.clone()),
        keys: KeySource::Static(KeyRing::parse(keys).unwrap()),
        client: DeliveryClient::new(SsrfGuard::new(vec![])).unwrap(),
        clock: harness.service.clock.clone(),
    };
    assert_eq!(service.reencrypt_secrets().await.unwrap(), 6);
    assert_eq!(service.reencrypt_secrets().await.unwrap(), 0);
    // A dispatcher with only the old key still creates deliveries, and records why they are not sent.
    harness.receive_events(event_ids(1..2)).await;
    let pending = harness
        .deliveries(DeliveryFilter { event: Some("event-1".into()), ..DeliveryFilter::default() })
        .await;
    assert_eq!(pending[0].state, DeliveryState::Pending);
    assert!(
        pending[0].error.as_ref().unwrap().contains("was encrypted with the key"),
        "{:?}",
        pending[0].error
    );
}

async fn expired_deliveries_are_deleted(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    receiver.respond_with(500);
    harness.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    harness.receive_events(event_ids(0..2)).await;
    receiver.respond_with(200);
    harness.set_clock(600);
    harness
        .service
        .store
        .retry_deliveries(
            &DeliveryFilter { event: Some("event-0".into()), ..DeliveryFilter::default() },
            None,
            harness.worker.now(),
        )
        .await
        .unwrap();
    harness.service.pause("one").await.unwrap();
    harness.set_clock(7 * DAY + 2 * 3600);
    assert_eq!(
        harness.service.store.fail_expired(harness.worker.now()).await.unwrap(),
        2,
        "both were pending for seven days"
    );
    harness.service.resume("one").await.unwrap();
    harness.receive_events(event_ids(2..3)).await;
    harness.deliver_due().await;
    assert_eq!(receiver.received().len(), 3);
    harness.service.store.delete_expired(Timestamp::from_second(CLOCK_START + DAY).unwrap()).await.unwrap();
    let remaining = harness.deliveries(DeliveryFilter::default()).await;
    assert_eq!(remaining.iter().map(|delivery| delivery.event.as_str()).collect::<Vec<_>>(), ["event-2"]);
    let (_, attempts) = harness.service.store.history.find(remaining[0].id).await.unwrap().unwrap();
    assert_eq!(attempts.len(), 1);
}
