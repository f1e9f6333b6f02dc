//! Claimed pages: new events of the log are attempted before their deliveries are stored, and none is lost.

use std::collections::BTreeSet;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hookbridge::db::Database;
use hookbridge::delivery::{ArrivedEvent, AttemptRunner, DeliveryFilter, DeliveryState, SubscriberUpdate};
use hookbridge::log::Position;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::actors::database::Database as PostgresDatabase;
use crate::actors::dispatch_harness::{DispatchHarness, arrived_event, event_ids};
use crate::actors::log::{InterruptedFuture, for_each_database};
use crate::actors::receiver::Receiver;
use crate::actors::server::{Server, hookbridge};

for_each_database! {
    a_delivery_of_a_page_is_stored_with_its_attempt
    a_page_belongs_to_one_worker
    a_worker_interrupted_at_any_step_loses_no_delivery_of_a_page
    deliveries_that_take_long_are_stored_before_they_end
    deliveries_that_are_not_attempted_are_stored
    a_late_attempt_changes_nothing_after_a_takeover
}

const LOOPBACK: &str = "127.0.0.0/8";
/// Longer than a delivery of a page stays unstored.
const STORE_TIMEOUT: Duration = Duration::from_secs(10);

/// The events of these positions.
fn events(positions: Range<Position>) -> Vec<ArrivedEvent> {
    event_ids(positions).map(|id| arrived_event(&id, "lead.created", &json!({}))).collect()
}

/// Claims a page and attempts its deliveries; false if another worker has claimed it.
async fn deliver_page(harness: &DispatchHarness, positions: Range<Position>) -> bool {
    let Some(page) = harness.worker.claim_page(events(positions.clone()), positions).await.unwrap() else {
        return false;
    };
    let runner = AttemptRunner::start(harness.worker.clone(), |_| {});
    runner.submit_page(page);
    runner.finish().await;
    true
}

/// Takes over all pages whose claims have expired, as `hookbridge serve` does, and returns their number.
async fn take_over_pages(harness: &DispatchHarness) -> usize {
    let mut count = 0;
    while let Some(claim) = harness.worker.take_over_page().await.unwrap() {
        let deliveries = harness.worker.create_deliveries(&events(claim.positions())).await.unwrap();
        harness.worker.store().end_page_claim(&claim).await.unwrap();
        harness.deliver(deliveries).await;
        count += 1;
    }
    count
}

async fn a_delivery_of_a_page_is_stored_with_its_attempt(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    for name in ["one", "two"] {
        harness.subscriber(name, receiver.url(name), SubscriberUpdate::default()).await;
    }
    // A delivery that was stored before, by a replay, is not attempted again.
    harness.receive_events(event_ids(3..4)).await;
    assert_eq!(receiver.received().len(), 2);
    harness.worker.store().advance_position(1).await.unwrap();
    let page = harness.worker.claim_page(events(1..5), 1..5).await.unwrap().unwrap();
    assert_eq!(harness.deliveries(DeliveryFilter::default()).await.len(), 2, "nothing is stored yet");
    let runner = AttemptRunner::start(harness.worker.clone(), |_| {});
    runner.submit_page(page);
    runner.finish().await;
    let ids = receiver.ids();
    assert_eq!((ids.len(), ids.into_iter().collect()), (8, event_ids(1..5).collect::<BTreeSet<_>>()));
    let deliveries = harness.deliveries(DeliveryFilter::default()).await;
    assert_eq!(deliveries.len(), 8);
    for delivery in deliveries {
        assert_eq!((delivery.state, delivery.attempts), (DeliveryState::Delivered, 1));
        assert_eq!((delivery.status, &*delivery.detail_type), (Some(200), "lead.created"));
        let (_, attempts) = harness.service.store.history.find(delivery.id).await.unwrap().unwrap();
        assert_eq!((attempts.len(), attempts[0].response_body.as_deref()), (1, Some("thanks")));
    }
    harness.set_clock(1000);
    assert_eq!(take_over_pages(&harness).await, 0, "the claim has ended");
    // A failed attempt is repeated on the schedule.
    receiver.clear();
    receiver.respond_with(500);
    assert!(deliver_page(&harness, 5..6).await);
    receiver.respond_with(200);
    harness.set_clock(1000 + 660);
    harness.deliver_due().await;
    assert_eq!(receiver.received().len(), 4);
    let attempts: Vec<_> = harness.deliveries(DeliveryFilter::default()).await[..2]
        .iter()
        .map(|d| (d.state, d.attempts))
        .collect();
    assert_eq!(attempts, [(DeliveryState::Delivered, 2); 2]);
}

async fn a_page_belongs_to_one_worker(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    harness.worker.store().advance_position(0).await.unwrap();
    let claimed_count = Arc::new(AtomicUsize::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (harness, claimed_count) = (harness.another_worker(), claimed_count.clone());
        workers.spawn(async move {
            loop {
                let position = harness.worker.store().position().await.unwrap().unwrap();
                if position == 60 {
                    return;
                }
                if deliver_page(&harness, position..position + 5).await {
                    claimed_count.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
    }
    workers.join_all().await;
    assert_eq!(claimed_count.load(Ordering::SeqCst), 12);
    let ids = receiver.ids();
    assert_eq!((ids.len(), ids.into_iter().collect()), (60, event_ids(0..60).collect::<BTreeSet<_>>()));
    assert_eq!(harness.count(DeliveryState::Delivered).await, 60);
}

async fn a_worker_interrupted_at_any_step_loses_no_delivery_of_a_page(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    harness.worker.store().advance_position(0).await.unwrap();
    receiver.respond_by(|_| {
        std::thread::sleep(Duration::from_millis(3));
        (200, vec![], String::new())
    });
    // Interrupted while it claims the page, then ever later in its attempts and their recording.
    let (mut polls, mut interrupted) = (0, true);
    while interrupted {
        let harness = harness.another_worker();
        let position = harness.worker.store().position().await.unwrap().unwrap();
        let mut future = pin!(deliver_page(&harness, position..position + 2));
        interrupted = InterruptedFuture { future: future.as_mut(), polls }.await.is_none();
        polls += 1;
    }
    assert!(polls > 3, "{polls}");
    for milliseconds in 0..40 {
        let harness = harness.another_worker();
        let position = harness.worker.store().position().await.unwrap().unwrap();
        let page = harness.worker.claim_page(events(position..position + 2), position..position + 2).await;
        let runner = AttemptRunner::start(harness.worker.clone(), |_| {});
        runner.submit_page(page.unwrap().unwrap());
        let _ = tokio::time::timeout(Duration::from_millis(milliseconds), runner.finish()).await;
    }
    let end = harness.worker.store().position().await.unwrap().unwrap();
    // The claims of the interrupted workers expire.
    assert_eq!(take_over_pages(&harness).await, 0);
    harness.set_clock(120);
    assert!(take_over_pages(&harness).await > 0);
    harness.deliver_due().await;
    assert_eq!(receiver.ids().into_iter().collect::<BTreeSet<_>>(), event_ids(0..end).collect());
    let delivered = harness.count(DeliveryState::Delivered).await;
    assert_eq!(delivered, usize::try_from(end).unwrap(), "every delivery is recorded, once");
}

async fn deliveries_that_take_long_are_stored_before_they_end(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    let (release, is_released) = tokio::sync::watch::channel(false);
    let blocked = is_released.clone();
    receiver.respond_by(move |_| {
        while !*blocked.borrow() {
            std::thread::sleep(Duration::from_millis(10));
        }
        (200, vec![], String::new())
    });
    let one_at_a_time = SubscriberUpdate { limit: Some(1), ..SubscriberUpdate::default() };
    harness.subscriber("slow", receiver.url("in"), one_at_a_time).await;
    harness.worker.store().advance_position(0).await.unwrap();
    let page = harness.worker.claim_page(events(0..4), 0..4).await.unwrap().unwrap();
    let runner = AttemptRunner::start(harness.worker.clone(), |_| {});
    runner.submit_page(page);
    let started = Instant::now();
    while harness.count(DeliveryState::Pending).await < 4 {
        assert!(started.elapsed() < STORE_TIMEOUT, "the deliveries are not stored");
        sleep(Duration::from_millis(20)).await;
    }
    // The claim of the page has ended. Another worker may attempt the deliveries that wait, but not the one in flight.
    let other = harness.another_worker();
    other.set_clock(5);
    assert_eq!(other.worker.claim_due().await.unwrap().len(), 3);
    other.set_clock(1000);
    assert_eq!(take_over_pages(&other).await, 0);
    harness.set_clock(5);
    release.send(true).unwrap();
    runner.finish().await;
    assert_eq!(harness.count(DeliveryState::Delivered).await, 1);
    harness.set_clock(100);
    harness.deliver_due().await;
    assert_eq!((harness.count(DeliveryState::Delivered).await, receiver.received().len()), (4, 4));
}

async fn deliveries_that_are_not_attempted_are_stored(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    for name in ["paused", "paused-later", "deleted-later"] {
        harness.subscriber(name, receiver.url(name), SubscriberUpdate::default()).await;
    }
    harness.service.pause("paused").await.unwrap();
    harness.worker.store().advance_position(0).await.unwrap();
    let page = harness.worker.claim_page(events(0..2), 0..2).await.unwrap().unwrap();
    // Longer than the worker relies on a check of the subscriber.
    sleep(Duration::from_millis(150)).await;
    harness.service.pause("paused-later").await.unwrap();
    harness.service.delete("deleted-later").await.unwrap();
    let runner = AttemptRunner::start(harness.worker.clone(), |_| {});
    runner.submit_page(page);
    runner.finish().await;
    assert_eq!(receiver.received().len(), 0);
    let states = [DeliveryState::Pending, DeliveryState::Cancelled, DeliveryState::Delivered];
    let mut counts = Vec::new();
    for state in states {
        counts.push(harness.count(state).await);
    }
    assert_eq!(counts, [4, 2, 0]);
    for name in ["paused", "paused-later"] {
        harness.service.resume(name).await.unwrap();
    }
    harness.deliver_due().await;
    assert_eq!((receiver.received().len(), harness.count(DeliveryState::Delivered).await), (4, 4));
    // A worker that shuts down stores what it does not attempt.
    let page = harness.worker.claim_page(events(2..4), 2..4).await.unwrap().unwrap();
    harness.worker.shut_down();
    let runner = AttemptRunner::start(harness.worker.clone(), |_| {});
    runner.submit_page(page);
    runner.finish().await;
    assert_eq!((receiver.received().len(), harness.count(DeliveryState::Pending).await), (4, 4));
    harness.another_worker().deliver_due().await;
    assert_eq!((receiver.received().len(), harness.count(DeliveryState::Delivered).await), (8, 8));
}

async fn a_late_attempt_changes_nothing_after_a_takeover(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    let (release, is_released) = tokio::sync::watch::channel(false);
    let (blocked, request_count) = (is_released.clone(), Arc::new(AtomicUsize::new(0)));
    let counter = request_count.clone();
    receiver.respond_by(move |_| {
        // Only the first request is slow.
        let is_first = counter.fetch_add(1, Ordering::SeqCst) == 0;
        while is_first && !*blocked.borrow() {
            std::thread::sleep(Duration::from_millis(10));
        }
        (if is_first { 500 } else { 200 }, vec![], String::new())
    });
    harness.subscriber("one", receiver.url("in"), SubscriberUpdate::default()).await;
    harness.worker.store().advance_position(0).await.unwrap();
    let page = harness.worker.claim_page(events(0..1), 0..1).await.unwrap().unwrap();
    let runner = AttemptRunner::start(harness.worker.clone(), |_| {});
    // The claim expires before the first attempt has started to be stored.
    let other = harness.another_worker();
    runner.submit_page(page);
    while request_count.load(Ordering::SeqCst) == 0 {
        sleep(Duration::from_millis(5)).await;
    }
    other.set_clock(100);
    take_over_pages(&other).await;
    other.deliver_due().await;
    release.send(true).unwrap();
    runner.finish().await;
    let deliveries = harness.deliveries(DeliveryFilter::default()).await;
    assert_eq!(deliveries.len(), 1);
    assert_eq!((deliveries[0].state, receiver.received().len()), (DeliveryState::Delivered, 2));
    let (_, attempts) = harness.service.store.history.find(deliveries[0].id).await.unwrap().unwrap();
    let mut statuses: Vec<_> = attempts.iter().map(|attempt| attempt.status).collect();
    statuses.sort();
    assert_eq!(statuses, [Some(200), Some(500)], "both attempts are recorded");
    harness.set_clock(2 * 86_400);
    harness.deliver_due().await;
    assert_eq!(receiver.received().len(), 2);
}

/// Two servers on one database deliver each event once; when one is killed, the other delivers what that one had claimed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn a_server_delivers_what_a_killed_one_had_claimed() {
    let (database, receiver) = (PostgresDatabase::new().await, Receiver::start().await);
    let (url, received) = (receiver.url("in"), receiver.clone());
    // The second half of the events is in flight until a server is killed.
    let is_killed = Arc::new(AtomicBool::new(false));
    let may_respond = is_killed.clone();
    receiver.respond_by(move |request| {
        let is_slow = request.event()["detail"]["n"].as_u64().unwrap() >= 200;
        while is_slow && !may_respond.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(10));
        }
        (200, vec![], String::new())
    });
    let numbers = move || -> Vec<u64> {
        received.received().iter().map(|request| request.event()["detail"]["n"].as_u64().unwrap()).collect()
    };
    let count = |numbers: &[u64]| numbers.iter().collect::<BTreeSet<_>>().len();
    tokio::task::spawn_blocking(move || {
        // Both use one key file, which decrypts the subscribers' secrets.
        let keys = tempfile::tempdir().unwrap();
        let key_file = keys.path().join("subscriber.key").display().to_string();
        let flags =
            ["--allow-to", LOOPBACK, "--quiet", "--database", &database.url, "--subscriber-key", &key_file];
        let mut servers = [Server::start_with(&flags), Server::start_with(&flags)];
        let create = ["subscriber", "create", "ci", "--url", &url, "--json"];
        let created = hookbridge()
            .args(create)
            .args(["--database", &database.url, "--subscriber-key", &key_file, "--allow-to", LOOPBACK])
            .output()
            .unwrap();
        assert!(created.status.success(), "{created:?}");
        assert!(serde_json::from_slice::<Value>(&created.stdout).is_ok());
        for n in 0..200 {
            servers[n % 2].push(n);
        }
        let deadline = Instant::now() + Duration::from_secs(60);
        while count(&numbers()) < 200 {
            assert!(Instant::now() < deadline, "{} of 200 events are delivered", count(&numbers()));
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(numbers().len(), 200, "each is delivered once");
        for n in 200..400 {
            servers[n % 2].push(n);
        }
        servers[0].signal("KILL");
        assert!(!servers[0].wait_for_exit().success());
        is_killed.store(true, Ordering::SeqCst);
        // The killed server's claims expire after 90 seconds. What it had not recorded is in its write-ahead file.
        let [killed, _other] = servers;
        let _restarted = killed.start_in_same_folder(&flags);
        let deadline = Instant::now() + Duration::from_secs(150);
        while count(&numbers()) < 400 {
            assert!(Instant::now() < deadline, "{} of 400 events are delivered", count(&numbers()));
            std::thread::sleep(Duration::from_millis(100));
        }
    })
    .await
    .unwrap();
}
