//! What subscribers are promised, whichever database keeps account of it: each of these tests runs against PostgreSQL and SQLite,
//! with a real receiver and a clock that is turned by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use hookbridge::dispatch::{
    DeliveryClient, DeliveryFilter, DeliveryState, DeliveryStore, KeyRing, KeySource, SsrfGuard,
    SubscriberService, SubscriberUpdate,
};
use hookbridge::log::SqlExecutor;
use jiff::Timestamp;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

use crate::actors::log::{Stopped, both};
use crate::actors::office::{DAY, Office, START, event, ids};
use crate::actors::receiver::{Received, Receiver};

both! {
    an_event_is_delivered_once_to_each_who_wants_it
    a_delivery_that_always_fails_is_tried_on_the_documented_schedule_for_seven_days
    who_was_down_for_a_day_gets_everything_when_it_is_back
    who_fails_for_too_long_is_told_of_and_paused
    who_is_gone_is_paused_and_who_is_busy_left_alone
    what_is_cancelled_is_never_sent_and_what_is_asked_for_again_is
    a_dispatcher_that_is_stopped_anywhere_loses_nothing
    two_dispatchers_of_the_same_events_deliver_each_once
    after_any_outages_everything_has_come
    what_is_old_is_forgotten
    who_takes_some_and_refuses_others_is_not_asked_again_and_again
    secrets_that_are_rotated_at_once_all_sign
    a_subscriber_stored_by_an_earlier_version_can_be_changed
    concurrent_updates_of_a_subscriber_are_all_kept
    a_missing_key_is_not_reported_as_an_unavailable_database
}

/// An earlier version wrote fewer settings, in another order.
async fn a_subscriber_stored_by_an_earlier_version_can_be_changed(db: impl SqlExecutor + Clone) {
    let (harness, receiver) = (Office::open(db), Receiver::start().await);
    harness.subscriber("a", receiver.url("a"), SubscriberUpdate::default()).await;
    let sql = r#"update {log}subscribers set settings = '{"limit": 3, "types": ["push"]}' where name = 'a'"#;
    harness.db.query(sql, vec![]).await.unwrap();
    let changes = SubscriberUpdate { timeout: Some(5), ..SubscriberUpdate::default() };
    let update = harness.manager.update("a", changes);
    let updated = tokio::time::timeout(std::time::Duration::from_secs(20), update).await;
    let settings = updated.expect("the update ends").unwrap().settings;
    assert_eq!((settings.timeout, settings.limit, settings.types), (5, 3, vec!["push".to_owned()]));
    assert_eq!(harness.manager.find("a").await.unwrap().settings.timeout, 5);
    harness.manager.rotate_secret("a", jiff::SignedDuration::from_hours(1)).await.unwrap();
    assert_eq!(
        harness.manager.reencrypt_secrets().await.unwrap(),
        0,
        "each is encrypted with the current key"
    );
}

async fn concurrent_updates_of_a_subscriber_are_all_kept(db: impl SqlExecutor + Clone) {
    let (harness, receiver) = (Office::open(db), Receiver::start().await);
    harness.subscriber("a", receiver.url("a"), SubscriberUpdate::default()).await;
    let other = harness.another();
    for round in 1..=20 {
        let limit = SubscriberUpdate { limit: Some(round), ..SubscriberUpdate::default() };
        let budget = SubscriberUpdate { failure_budget: Some(100 + round), ..SubscriberUpdate::default() };
        let (one, two) = tokio::join!(harness.manager.update("a", limit), other.manager.update("a", budget));
        one.unwrap();
        two.unwrap();
        let settings = harness.manager.find("a").await.unwrap().settings;
        assert_eq!((settings.limit, settings.failure_budget), (round, 100 + round));
    }
}

async fn a_missing_key_is_not_reported_as_an_unavailable_database(db: impl SqlExecutor + Clone) {
    let folder = tempfile::tempdir().unwrap();
    let poster = DeliveryClient::new(SsrfGuard::new(vec![])).unwrap();
    let keys = KeySource::File(folder.path().join("no-such-key"));
    let dispatcher = hookbridge::dispatch::Dispatcher::new(
        DeliveryStore::new(db.clone()),
        keys,
        poster,
        crate::actors::office::Told::default(),
        Arc::new(Timestamp::now),
    );
    let error =
        dispatcher.create_deliveries(&[event("1", "push", &json!({}))], None).await.unwrap_err().to_string();
    assert!(error.contains("no-such-key") && !error.contains("database"), "{error}");
}

async fn an_event_is_delivered_once_to_each_who_wants_it(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    office.subscriber("all", receiver.url("all"), SubscriberUpdate::default()).await;
    let leads = SubscriberUpdate {
        types: Some(vec!["lead.*".into()]),
        filter: Some(json!({"detail": {"shop": ["shop1", "shop2"]}})),
        ..SubscriberUpdate::default()
    };
    office.subscriber("leads", receiver.url("leads"), leads).await;
    let events = [
        event("1", "lead.created", &json!({"shop": "shop1"})),
        event("2", "lead.created", &json!({"shop": "shop3"})),
        event("3", "order.created", &json!({"shop": "shop1"})),
    ];
    for _ in 0..2 {
        let jobs = office.dispatcher.create_deliveries(&events, None).await.unwrap();
        office.dispatcher.deliver(jobs, &mut Vec::new()).await.unwrap();
    }
    office.pass().await;
    let mut came: Vec<_> =
        receiver.received().iter().map(|one| format!("{} {}", one.path, one.id())).collect();
    came.sort();
    assert_eq!(came, ["/all 1", "/all 2", "/all 3", "/leads 1"]);
    assert_eq!(office.count(DeliveryState::Delivered).await, 4);
    let received = receiver.received();
    let one = received.iter().find(|one| one.path == "/leads").unwrap();
    assert_eq!(one.event()["detail"]["shop"], "shop1");
    assert_eq!(one.header("hookbridge-attempt"), "1");
    let delivery =
        office.deliveries(DeliveryFilter { event: Some("1".into()), ..DeliveryFilter::default() }).await;
    let (_, attempts) = office.manager.store.find_delivery(delivery[0].id).await.unwrap().unwrap();
    assert_eq!(
        (attempts.len(), attempts[0].status, attempts[0].answer.as_deref()),
        (1, Some(200), Some("thanks"))
    );
    assert_eq!(attempts[0].address, Some(receiver.address.to_string()));
}

async fn a_delivery_that_always_fails_is_tried_on_the_documented_schedule_for_seven_days(
    db: impl SqlExecutor + Clone,
) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    receiver.answers(500);
    office
        .subscriber(
            "down",
            receiver.url("in"),
            SubscriberUpdate { failure_budget: Some(1000), ..SubscriberUpdate::default() },
        )
        .await;
    office.come(ids(0..1)).await;
    let mut times = vec![0];
    while let Some(next) = office.deliveries(DeliveryFilter::default()).await[0].next_attempt {
        let seconds = next.as_second() - START;
        office.at(seconds - 1);
        office.pass().await;
        assert_eq!(receiver.received().len(), times.len(), "not a second too early");
        office.clock.store(next.as_microsecond(), Ordering::SeqCst);
        office.pass().await;
        times.push(seconds);
    }
    let documented = [0, 600, 3600, 3 * 3600, DAY, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY, 6 * DAY, 7 * DAY];
    assert_eq!(times.len(), documented.len());
    for (time, documented) in times.iter().zip(documented) {
        let later = time - documented;
        assert!((0..=600.min(documented / 20)).contains(&later), "{time} for {documented}");
    }
    let delivery = office.deliveries(DeliveryFilter::default()).await.remove(0);
    assert_eq!((delivery.state, delivery.attempts, delivery.next_attempt), (DeliveryState::Failed, 11, None));
    let (_, attempts) = office.manager.store.find_delivery(delivery.id).await.unwrap().unwrap();
    let numbers: Vec<_> = attempts.iter().map(|attempt| attempt.number).collect();
    assert_eq!(numbers, (1..=11).collect::<Vec<_>>());
    let started: Vec<_> = attempts.iter().map(|attempt| attempt.started.as_second() - START).collect();
    assert_eq!(started, times);
    let numbers: Vec<_> =
        receiver.received().iter().map(|one| one.header("hookbridge-attempt").to_owned()).collect();
    assert_eq!(numbers, (1..=11).map(|n: i32| n.to_string()).collect::<Vec<_>>());
    assert_eq!(receiver.ids().iter().collect::<BTreeSet<_>>().len(), 1, "one id, whichever attempt");
    office.at(30 * DAY);
    office.pass().await;
    assert_eq!(receiver.received().len(), 11);
}

async fn who_was_down_for_a_day_gets_everything_when_it_is_back(db: impl SqlExecutor + Clone) {
    let (office, receiver, healthy) = (Office::open(db), Receiver::start().await, Receiver::start().await);
    office.subscriber("down", receiver.url("in"), SubscriberUpdate::default()).await;
    office.subscriber("up", healthy.url("in"), SubscriberUpdate::default()).await;
    receiver.answers(503);
    for hour in 0..24 {
        office.at(hour * 3600);
        office.come(ids(hour * 10..hour * 10 + 10)).await;
        for minute in (0..60).step_by(5) {
            office.at(hour * 3600 + minute * 60);
            office.pass().await;
        }
    }
    assert_eq!(healthy.ids().len(), 240, "nobody else has waited");
    let tried = receiver.received().len();
    assert!(tried < 24 * 60, "{tried} attempts: who is down is asked now and then, and not for everything");
    receiver.forget();
    receiver.answers(200);
    let mut minutes = 0;
    while office.count(DeliveryState::Waiting).await > 0 {
        minutes += 1;
        assert!(minutes <= 10, "everything comes soon after it is back");
        office.at(DAY + minutes * 60);
        office.pass().await;
    }
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), ids(0..240).collect());
    assert_eq!(receiver.ids().len(), 240);
    assert_eq!(office.count(DeliveryState::Delivered).await, 480);
}

async fn who_fails_for_too_long_is_told_of_and_paused(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    receiver.answers(500);
    office
        .subscriber(
            "down",
            receiver.url("in"),
            SubscriberUpdate { failure_budget: Some(100), ..SubscriberUpdate::default() },
        )
        .await;
    let mut told = Vec::new();
    for hour in 0..120 {
        office.at(hour * 3600);
        office.come(ids(hour..hour + 1)).await;
        office.pass().await;
        told.extend(office.told.take().into_iter().map(|what| (office.seconds() / 3600, what)));
    }
    let expected = [(50, "failing 50".to_owned()), (90, "failing 90".to_owned()), (100, "paused".to_owned())];
    assert_eq!(told, expected);
    let subscriber = office.manager.find("down").await.unwrap();
    assert_eq!(subscriber.paused.unwrap().reason.as_deref(), Some("every attempt failed for too long"));
    let before = receiver.received().len();
    office.at(130 * 3600);
    office.pass().await;
    assert_eq!(receiver.received().len(), before, "nothing is sent to who is paused");
    receiver.answers(200);
    office.manager.resume("down").await.unwrap();
    office.pass().await;
    assert_eq!(office.told.take(), ["recovered"]);
    assert_eq!(office.count(DeliveryState::Waiting).await, 0, "what waited has come");
    assert_eq!(office.count(DeliveryState::Delivered).await, 120);
    office.come(["more".into()]).await;
    assert_eq!(office.told.take(), [""; 0]);
}

async fn who_is_gone_is_paused_and_who_is_busy_left_alone(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    receiver.answers_by(|one| match one.path.as_str() {
        "/gone" => (410, vec![], String::new()),
        "/busy" => (429, vec![("retry-after", "1800".into())], String::new()),
        "/moved" => (307, vec![("location", "/other".into())], String::new()),
        path => panic!("{path}"),
    });
    for name in ["gone", "busy", "moved"] {
        office.subscriber(name, receiver.url(name), SubscriberUpdate::default()).await;
    }
    office.come(ids(0..1)).await;
    assert_eq!(receiver.received().len(), 3, "a redirect is not followed");
    assert_eq!(office.told.take(), ["paused"]);
    let by_name: BTreeMap<_, _> = office
        .deliveries(DeliveryFilter::default())
        .await
        .into_iter()
        .map(|delivery| (delivery.subscriber.clone().unwrap(), delivery))
        .collect();
    let next = |name: &str| by_name[name].next_attempt.unwrap().as_second() - START;
    assert!(by_name.values().all(|delivery| delivery.state == DeliveryState::Waiting));
    assert_eq!(next("busy"), 1800, "as it has asked");
    assert!((600..=630).contains(&next("moved")));
    assert_eq!(by_name["moved"].error.as_deref(), Some("redirect: redirects are not followed"));
    let gone = office.manager.find("gone").await.unwrap();
    let paused = gone.paused.unwrap();
    assert_eq!((paused.since, paused.reason.as_deref()), (Some(office.now()), Some("it answered 410 Gone")));
    office.at(DAY);
    office.pass().await;
    let to_gone = receiver.received().iter().filter(|one| one.path == "/gone").count();
    assert_eq!(to_gone, 1);
}

async fn what_is_cancelled_is_never_sent_and_what_is_asked_for_again_is(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    receiver.answers(500);
    office.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    office.come(ids(0..4)).await;
    let store = &office.manager.store;
    let of = |event: &str| DeliveryFilter { event: Some(event.into()), ..DeliveryFilter::default() };
    assert_eq!(store.cancel_deliveries(&of("event-0"), None).await.unwrap(), 1);
    assert_eq!(store.cancel_deliveries(&of("event-0"), None).await.unwrap(), 0);
    let id = office.deliveries(of("event-1")).await[0].id;
    assert_eq!(store.cancel_deliveries(&DeliveryFilter::default(), Some(id)).await.unwrap(), 1);
    receiver.forget();
    receiver.answers(200);
    office.at(700);
    office.pass().await;
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), ids(2..4).collect());
    // What was delivered is sent again when somebody asks for it, and so is what was cancelled.
    receiver.forget();
    assert_eq!(
        store.retry_deliveries(&DeliveryFilter::default(), Some(id), office.dispatcher.now()).await.unwrap(),
        1
    );
    let all = DeliveryFilter {
        subscriber: Some("one".into()),
        state: Some(DeliveryState::Delivered),
        ..DeliveryFilter::default()
    };
    assert_eq!(store.retry_deliveries(&all, None, office.dispatcher.now()).await.unwrap(), 2);
    office.pass().await;
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), ids(1..4).collect());
    assert_eq!(office.count(DeliveryState::Delivered).await, 3);
    office.manager.delete("one").await.unwrap();
    assert_eq!(
        store.retry_deliveries(&of("event-0"), None, office.dispatcher.now()).await.unwrap(),
        0,
        "to nobody"
    );
}

async fn a_dispatcher_that_is_stopped_anywhere_loses_nothing(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    office.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    let (mut polls, mut stopped) = (0, true);
    while stopped {
        let (office, n) = (office.another(), i64::try_from(polls).unwrap());
        let mut work = pin!(async {
            office.come(ids(n..n + 1)).await;
            office.pass().await;
        });
        stopped = Stopped { work: work.as_mut(), polls }.await.is_none();
        polls += 1;
    }
    assert!(polls > 3, "{polls}");
    // Nobody acknowledged the events: they come again, later.
    let office = office.another();
    office.at(120);
    let all = i64::try_from(polls).unwrap();
    office.come(ids(0..all)).await;
    for minute in 3..8 {
        office.at(minute * 60);
        office.pass().await;
    }
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), ids(0..all).collect());
    assert_eq!(office.count(DeliveryState::Delivered).await, polls, "and all of it is on record");
}

async fn two_dispatchers_of_the_same_events_deliver_each_once(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    office
        .subscriber(
            "one",
            receiver.url("in"),
            SubscriberUpdate { limit: Some(3), ..SubscriberUpdate::default() },
        )
        .await;
    let offices: Vec<_> = (0..4).map(|_| Arc::new(office.another())).collect();
    let work = offices.iter().map(|office| {
        let office = office.clone();
        tokio::spawn(async move {
            for n in 0..10 {
                office.come(ids(n * 5..n * 5 + 5)).await;
                office.pass().await;
            }
        })
    });
    for one in work.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    office.pass().await;
    assert_eq!(receiver.ids().len(), 50);
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), ids(0..50).collect());
}

async fn after_any_outages_everything_has_come(db: impl SqlExecutor + Clone) {
    // Whether each of three subscribers is up, hour by hour, for five days; then all are.
    let outages = prop::collection::vec(prop::collection::vec(prop::bool::weighted(0.3), 120), 3);
    let mut runner = TestRunner::new(Config { cases: 3, failure_persistence: None, ..Config::default() });
    let outages: Vec<_> = (0..3).map(|_| outages.new_tree(&mut runner).unwrap().current()).collect();
    for (case, outages) in outages.into_iter().enumerate() {
        let (office, receiver) = (Office::open(db.clone()), Receiver::start().await);
        let hour = Arc::new(AtomicI64::new(0));
        let now = hour.clone();
        receiver.answers_by(move |one| {
            let subscriber = one.path.rsplit('-').next().unwrap().parse::<usize>().unwrap();
            let hour = usize::try_from(now.load(Ordering::SeqCst)).unwrap();
            (if *outages[subscriber].get(hour).unwrap_or(&true) { 200 } else { 500 }, vec![], String::new())
        });
        for n in 0..3 {
            office
                .subscriber(
                    &format!("s-{case}-{n}"),
                    receiver.url(&format!("{case}-{n}")),
                    SubscriberUpdate::default(),
                )
                .await;
        }
        let mut sent = BTreeSet::new();
        let mut cancelled = BTreeSet::new();
        for h in 0..124 {
            hour.store(h, Ordering::SeqCst);
            office.at(h * 3600);
            if h < 100 && h % 4 == 0 {
                office.come([format!("{case}-{h}")]).await;
                sent.insert(format!("{case}-{h}"));
            }
            for minute in (0..60).step_by(15) {
                office.at(h * 3600 + minute * 60);
                office.pass().await;
            }
            if h % 40 == 20 {
                // Somebody cancels the newest that waits.
                let waiting =
                    DeliveryFilter { state: Some(DeliveryState::Waiting), ..DeliveryFilter::default() };
                if let Some(one) = office.deliveries(waiting).await.first() {
                    let store = &office.manager.store;
                    assert_eq!(
                        store.cancel_deliveries(&DeliveryFilter::default(), Some(one.id)).await.unwrap(),
                        1
                    );
                    cancelled.insert((
                        one.subscriber.clone().unwrap(),
                        one.event.clone(),
                        receiver.received().len(),
                    ));
                }
            }
        }
        for n in 0..3 {
            let path = format!("/{case}-{n}");
            let all = receiver.received();
            let came: BTreeSet<_> = all.iter().filter(|one| one.path == path).map(Received::id).collect();
            let name = format!("s-{case}-{n}");
            for (_, event, then) in cancelled.iter().filter(|(subscriber, ..)| *subscriber == name) {
                assert!(
                    !all[*then..].iter().any(|one| one.path == path && one.id() == *event),
                    "never after cancel"
                );
            }
            let dropped: BTreeSet<_> =
                cancelled.iter().filter(|(s, ..)| *s == name).map(|(_, e, _)| e.clone()).collect();
            let missing: Vec<_> = sent.difference(&came).filter(|id| !dropped.contains(*id)).collect();
            assert!(missing.is_empty(), "{name}: {missing:?}");
        }
        for n in 0..3 {
            office.manager.delete(&format!("s-{case}-{n}")).await.unwrap();
        }
    }
}

async fn who_takes_some_and_refuses_others_is_not_asked_again_and_again(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    receiver.answers_by(|one| (if one.id().starts_with("bad") { 400 } else { 200 }, vec![], String::new()));
    office.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    office.come((0..5).map(|n| format!("bad-{n}"))).await;
    for minute in 0..300 {
        office.at(minute * 60);
        office.come([format!("good-{minute}")]).await;
        office.pass().await;
    }
    let tried = receiver.ids().iter().filter(|id| id.starts_with("bad")).count();
    assert_eq!(tried, 5 * 4, "at once, after 10 minutes, an hour and three");
    assert_eq!(office.count(DeliveryState::Waiting).await, 5);
}

async fn secrets_that_are_rotated_at_once_all_sign(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Arc::new(Office::open(db)), Receiver::start().await);
    office.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    let work = (0..5).map(|n| {
        let office = office.clone();
        tokio::spawn(async move {
            office.manager.rotate_secret("one", jiff::SignedDuration::from_hours(24)).await.unwrap();
            let limit = SubscriberUpdate { limit: Some(n + 1), ..SubscriberUpdate::default() };
            office.manager.update("one", limit).await.unwrap();
        })
    });
    for one in work.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    office.come(ids(0..1)).await;
    let received = receiver.received();
    assert_eq!(received[0].header("webhook-signature").split(' ').count(), 6);
    // Its keys are changed under it.
    let both = "another key of thirty-two characters\na key of at least thirty-two characters";
    let manager = SubscriberService {
        store: DeliveryStore::new(office.db.clone()),
        keys: KeySource::Static(KeyRing::parse(both).unwrap()),
        client: DeliveryClient::new(SsrfGuard::new(vec![])).unwrap(),
        clock: office.manager.clock.clone(),
    };
    assert_eq!(manager.reencrypt_secrets().await.unwrap(), 6);
    assert_eq!(manager.reencrypt_secrets().await.unwrap(), 0);
    // Who has only the old one owes all the same, and says why nothing is sent.
    office.come(ids(1..2)).await;
    let waiting = office
        .deliveries(DeliveryFilter { event: Some("event-1".into()), ..DeliveryFilter::default() })
        .await;
    assert_eq!(waiting[0].state, DeliveryState::Waiting);
    assert!(
        waiting[0].error.as_ref().unwrap().contains("was encrypted with the key"),
        "{:?}",
        waiting[0].error
    );
}

async fn what_is_old_is_forgotten(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    receiver.answers(500);
    office.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    office.come(ids(0..2)).await;
    receiver.answers(200);
    office.at(600);
    office
        .manager
        .store
        .retry_deliveries(
            &DeliveryFilter { event: Some("event-0".into()), ..DeliveryFilter::default() },
            None,
            office.dispatcher.now(),
        )
        .await
        .unwrap();
    office.manager.pause("one").await.unwrap();
    office.at(7 * DAY + 2 * 3600);
    assert_eq!(
        office.manager.store.fail_expired(office.dispatcher.now()).await.unwrap(),
        2,
        "it waited for seven days"
    );
    office.manager.resume("one").await.unwrap();
    office.come(ids(2..3)).await;
    office.pass().await;
    assert_eq!(receiver.received().len(), 3);
    office.manager.store.delete_expired(Timestamp::from_second(START + DAY).unwrap()).await.unwrap();
    let left = office.deliveries(DeliveryFilter::default()).await;
    assert_eq!(left.iter().map(|one| one.event.as_str()).collect::<Vec<_>>(), ["event-2"]);
    let (_, attempts) = office.manager.store.find_delivery(left[0].id).await.unwrap().unwrap();
    assert_eq!(attempts.len(), 1);
}
