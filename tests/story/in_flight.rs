//! In-flight deliveries: the concurrency limit, and changes to a delivery or its subscriber between its claim and its attempt.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookbridge::db::Database;
use hookbridge::delivery::{
    AttemptOutcome, DeliveryFilter, DeliveryState, FinishedAttempt, InFlightDelivery, SubscriberUpdate,
};
use jiff::SignedDuration;
use serde_json::json;
use tokio::time::sleep;

use crate::actors::dispatch_harness::{DispatchHarness, arrived_event, deliver, event_ids};
use crate::actors::log::for_each_database;
use crate::actors::receiver::{ReceivedRequest, Receiver};

for_each_database! {
    an_open_circuit_skips_in_flight_deliveries
    in_flight_deliveries_that_are_cancelled_paused_or_deleted_are_not_sent
    a_changed_subscriber_applies_to_in_flight_deliveries
    the_concurrency_limit_holds_while_subscribers_change
    claims_are_released_at_shutdown
    more_due_deliveries_than_slots_are_reported
}

/// Longer than the time for which the dispatcher relies on a lease check.
const LEASE_CHECK_EXPIRY: Duration = Duration::from_millis(150);

/// Creates and claims the deliveries of `n` events of one type.
async fn claim_deliveries(harness: &DispatchHarness, detail_type: &str, n: i64) -> Vec<InFlightDelivery> {
    let events: Vec<_> = event_ids(0..n)
        .map(|id| arrived_event(&format!("{detail_type}-{id}"), detail_type, &json!({})))
        .collect();
    harness.worker.create_deliveries(&events).await.unwrap()
}

/// Attempts deliveries one after the other; returns the finished attempts and the skipped deliveries.
async fn attempt_all(
    harness: &DispatchHarness,
    jobs: Vec<InFlightDelivery>,
) -> (Vec<FinishedAttempt>, Vec<InFlightDelivery>) {
    let mut outcomes = Vec::new();
    for job in jobs {
        outcomes.push(harness.worker.attempt(job).await);
    }
    AttemptOutcome::partition(outcomes)
}

fn subscriber_update(detail_type: &str) -> SubscriberUpdate {
    SubscriberUpdate { types: Some(vec![detail_type.into()]), limit: Some(1), ..SubscriberUpdate::default() }
}

fn deliveries_of(subscriber: &str) -> DeliveryFilter {
    DeliveryFilter { subscriber: Some(subscriber.into()), ..DeliveryFilter::default() }
}

async fn an_open_circuit_skips_in_flight_deliveries(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    let one_at_a_time = SubscriberUpdate { limit: Some(1), ..SubscriberUpdate::default() };
    harness.subscriber("down", receiver.url("in"), one_at_a_time).await;
    receiver.respond_with(500);
    let events: Vec<_> = event_ids(0..16).map(|id| arrived_event(&id, "lead.created", &json!({}))).collect();
    let mut jobs = harness.worker.create_deliveries(&events).await.unwrap();
    assert_eq!(jobs.len(), 16, "all are claimed");
    let remaining_jobs = jobs.split_off(10);
    let (mut finished, skipped) = attempt_all(&harness, jobs).await;
    assert_eq!((finished.len(), skipped.len()), (10, 0));
    harness.worker.record(&mut finished).await.unwrap();
    let (finished, skipped) = attempt_all(&harness, remaining_jobs).await;
    assert_eq!((finished.len(), skipped.len()), (0, 6));
    harness.worker.release(skipped).await;
    assert_eq!(receiver.received().len(), 10);
    // A skipped delivery has used no attempt.
    receiver.respond_with(200);
    for seconds in [120, 125] {
        harness.set_clock(seconds);
        harness.deliver_due().await;
    }
    let delivered = harness.deliveries(DeliveryFilter::default()).await;
    let first_try = delivered.iter().filter(|delivery| delivery.attempts == 1).count();
    assert_eq!((harness.count(DeliveryState::Delivered).await, first_try), (16, 6));
    // A delivery whose lease would expire during the attempt is skipped; it is due again once its lease is released.
    let jobs =
        harness.worker.create_deliveries(&[arrived_event("late", "lead.created", &json!({}))]).await.unwrap();
    for seconds in [65, 89] {
        harness.set_clock(125 + seconds);
        harness.deliver_due().await;
        assert_eq!(harness.count(DeliveryState::Delivered).await, 16, "{seconds}");
    }
    let (_, skipped) = attempt_all(&harness, jobs).await;
    assert_eq!(skipped.len(), 1);
    harness.worker.release(skipped).await;
    harness.deliver_due().await;
    assert_eq!(harness.count(DeliveryState::Delivered).await, 17);
}

async fn in_flight_deliveries_that_are_cancelled_paused_or_deleted_are_not_sent(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    let mut jobs = Vec::new();
    for name in ["cancelled", "paused", "removed"] {
        harness.subscriber(name, receiver.url(name), subscriber_update(name)).await;
        jobs.extend(claim_deliveries(&harness, name, 3).await);
    }
    sleep(LEASE_CHECK_EXPIRY).await;
    assert_eq!(harness.service.store.cancel_deliveries(&deliveries_of("cancelled"), None).await.unwrap(), 3);
    harness.service.pause("paused").await.unwrap();
    harness.service.delete("removed").await.unwrap();
    // A retried delivery is claimed by another worker.
    let retried_id = harness.deliveries(deliveries_of("cancelled")).await[0].id;
    assert_eq!(
        harness
            .service
            .store
            .retry_deliveries(&DeliveryFilter::default(), Some(retried_id), harness.now())
            .await
            .unwrap(),
        1
    );
    let (finished, skipped) = attempt_all(&harness, jobs).await;
    assert_eq!((finished.len(), skipped.len(), receiver.received().len()), (0, 9, 0));
    harness.worker.release(skipped).await;
    harness.service.resume("paused").await.unwrap();
    harness.deliver_due().await;
    let mut requests: Vec<_> = receiver
        .received()
        .iter()
        .map(|request| format!("{} {}", request.path, request.header("hookbridge-attempt")))
        .collect();
    requests.sort();
    assert_eq!(requests, ["/cancelled 1", "/paused 1", "/paused 1", "/paused 1"]);
}

async fn a_changed_subscriber_applies_to_in_flight_deliveries(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness.subscriber("moves", receiver.url("old"), subscriber_update("a")).await;
    let jobs = claim_deliveries(&harness, "a", 2).await;
    sleep(LEASE_CHECK_EXPIRY).await;
    let new_url = SubscriberUpdate { url: Some(receiver.url("new")), ..SubscriberUpdate::default() };
    harness.service.update("moves", new_url).await.unwrap();
    harness.service.rotate_secret("moves", SignedDuration::from_hours(1)).await.unwrap();
    let (mut finished, _) = attempt_all(&harness, jobs).await;
    harness.worker.record(&mut finished).await.unwrap();
    let received = receiver.received();
    assert!(received.len() == 2 && received.iter().all(|request| request.path == "/new"), "{received:?}");
    let signatures = |request: &ReceivedRequest| request.header("webhook-signature").split(' ').count();
    assert!(
        received.iter().all(|request| signatures(request) == 2),
        "signed with the new and the old secret"
    );
    assert_eq!(harness.count(DeliveryState::Delivered).await, 2);
}

async fn the_concurrency_limit_holds_while_subscribers_change(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    let (in_flight, max_in_flight) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let max = max_in_flight.clone();
    receiver.respond_by(move |_| {
        max.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        in_flight.fetch_sub(1, Ordering::SeqCst);
        (200, vec![], String::new())
    });
    harness.subscriber("slow", receiver.url("in"), subscriber_update("slow*")).await;
    harness.subscriber("other", receiver.url("in"), subscriber_update("other")).await;
    let mut deliveries = tokio::task::JoinSet::new();
    for n in 0..8 {
        let jobs = claim_deliveries(&harness, &format!("slow-{n}"), 2).await;
        let worker = harness.worker.clone();
        deliveries.spawn(async move { deliver(&worker, jobs).await });
        harness.service.pause("other").await.unwrap();
        harness.service.resume("other").await.unwrap();
    }
    assert_eq!(deliveries.join_all().await.iter().sum::<usize>(), 16);
    assert_eq!((max_in_flight.load(Ordering::SeqCst), receiver.received().len()), (1, 16));
}

async fn claims_are_released_at_shutdown(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness.subscriber("one", receiver.url("in"), subscriber_update("a")).await;
    let jobs = claim_deliveries(&harness, "a", 5).await;
    harness.worker.shut_down();
    let (finished, skipped) = attempt_all(&harness, jobs).await;
    assert_eq!((finished.len(), skipped.len()), (0, 5));
    harness.worker.release(skipped).await;
    harness.another_worker().deliver_due().await;
    assert_eq!((receiver.received().len(), harness.count(DeliveryState::Delivered).await), (5, 5));
    assert_eq!(claim_deliveries(&harness, "a", 6).await.len(), 0, "a stopped dispatcher claims nothing");
}

async fn more_due_deliveries_than_slots_are_reported(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness.subscriber("one", receiver.url("in"), subscriber_update("a")).await;
    let jobs = claim_deliveries(&harness, "a", 36).await;
    assert_eq!((jobs.len(), harness.worker.has_more_due()), (16, true));
    assert_eq!(harness.worker.claim_due().await.unwrap().len(), 0);
    assert!(harness.worker.has_more_due(), "there was no free slot");
    harness.deliver(jobs).await;
    for (expected, has_more) in [(16, true), (4, false), (0, false)] {
        let jobs = harness.worker.claim_due().await.unwrap();
        assert_eq!((jobs.len(), harness.worker.has_more_due()), (expected, has_more));
        harness.deliver(jobs).await;
    }
    assert_eq!((receiver.received().len(), harness.count(DeliveryState::Delivered).await), (36, 36));
}
