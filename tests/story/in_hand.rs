//! What is in hand for a subscriber: how much of it is tried at once, and what becomes of it when something is changed before its
//! turn comes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hookbridge::dispatch::{
    AttemptOutcome, DeliveryFilter, DeliveryState, FinishedAttempt, InFlightDelivery, SubscriberUpdate,
};
use hookbridge::log::SqlExecutor;
use jiff::SignedDuration;
use serde_json::json;
use tokio::time::sleep;

use crate::actors::log::both;
use crate::actors::office::{Office, event, ids};
use crate::actors::receiver::{Received, Receiver};

both! {
    what_is_in_hand_when_too_much_has_failed_is_not_tried
    what_is_cancelled_paused_or_removed_while_it_is_in_hand_is_not_sent
    what_is_changed_while_something_is_in_hand_holds_for_it
    no_more_is_under_way_than_the_limit_says_whoever_else_is_changed
    what_is_in_hand_at_the_end_is_somebody_else_s_at_once
    it_is_known_whether_more_is_due_than_is_in_hand
}

/// Longer than what was looked at is taken to be as it was.
const A_MOMENT: Duration = Duration::from_millis(150);

/// Events of one type, in hand.
async fn in_hand<S: SqlExecutor + Clone>(
    office: &Office<S>,
    detail_type: &str,
    n: i64,
) -> Vec<InFlightDelivery> {
    let events: Vec<_> =
        ids(0..n).map(|id| event(&format!("{detail_type}-{id}"), detail_type, &json!({}))).collect();
    office.dispatcher.create_deliveries(&events, None).await.unwrap()
}

/// Tries them one after the other.
async fn attempted<S: SqlExecutor + Clone>(
    office: &Office<S>,
    jobs: Vec<InFlightDelivery>,
) -> (Vec<FinishedAttempt>, Vec<InFlightDelivery>) {
    let mut outcomes = Vec::new();
    for job in jobs {
        outcomes.push(office.dispatcher.attempt(job).await);
    }
    AttemptOutcome::partition(outcomes)
}

fn wants(detail_type: &str) -> SubscriberUpdate {
    SubscriberUpdate { types: Some(vec![detail_type.into()]), limit: Some(1), ..SubscriberUpdate::default() }
}

fn of(subscriber: &str) -> DeliveryFilter {
    DeliveryFilter { subscriber: Some(subscriber.into()), ..DeliveryFilter::default() }
}

async fn what_is_in_hand_when_too_much_has_failed_is_not_tried(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    let one_at_a_time = SubscriberUpdate { limit: Some(1), ..SubscriberUpdate::default() };
    office.subscriber("down", receiver.url("in"), one_at_a_time).await;
    receiver.answers(500);
    let events: Vec<_> = ids(0..16).map(|id| event(&id, "lead.created", &json!({}))).collect();
    let mut jobs = office.dispatcher.create_deliveries(&events, None).await.unwrap();
    assert_eq!(jobs.len(), 16, "all of it is in hand");
    let rest = jobs.split_off(10);
    let (mut finished, untried) = attempted(&office, jobs).await;
    assert_eq!((finished.len(), untried.len()), (10, 0));
    office.dispatcher.record(&mut finished).await.unwrap();
    let (finished, untried) = attempted(&office, rest).await;
    assert_eq!((finished.len(), untried.len()), (0, 6));
    office.dispatcher.release(untried).await;
    assert_eq!(receiver.received().len(), 10);
    // What was not tried has spent no attempt.
    receiver.answers(200);
    for seconds in [120, 125] {
        office.at(seconds);
        office.pass().await;
    }
    let delivered = office.deliveries(DeliveryFilter::default()).await;
    let first_try = delivered.iter().filter(|delivery| delivery.attempts == 1).count();
    assert_eq!((office.count(DeliveryState::Delivered).await, first_try), (16, 6));
    // Nor is tried what would be somebody else's before it was answered: it is due again when somebody lets go of it.
    let jobs = office
        .dispatcher
        .create_deliveries(&[event("late", "lead.created", &json!({}))], None)
        .await
        .unwrap();
    for seconds in [65, 89] {
        office.at(125 + seconds);
        office.pass().await;
        assert_eq!(office.count(DeliveryState::Delivered).await, 16, "{seconds}");
    }
    let (_, untried) = attempted(&office, jobs).await;
    assert_eq!(untried.len(), 1);
    office.dispatcher.release(untried).await;
    office.pass().await;
    assert_eq!(office.count(DeliveryState::Delivered).await, 17);
}

async fn what_is_cancelled_paused_or_removed_while_it_is_in_hand_is_not_sent(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    let mut jobs = Vec::new();
    for name in ["cancelled", "paused", "removed"] {
        office.subscriber(name, receiver.url(name), wants(name)).await;
        jobs.extend(in_hand(&office, name, 3).await);
    }
    sleep(A_MOMENT).await;
    assert_eq!(office.manager.store.cancel_deliveries(&of("cancelled"), None).await.unwrap(), 3);
    office.manager.pause("paused").await.unwrap();
    office.manager.delete("removed").await.unwrap();
    // What is asked for again is in other hands.
    let again = office.deliveries(of("cancelled")).await[0].id;
    assert_eq!(
        office
            .manager
            .store
            .retry_deliveries(&DeliveryFilter::default(), Some(again), office.now())
            .await
            .unwrap(),
        1
    );
    let (finished, untried) = attempted(&office, jobs).await;
    assert_eq!((finished.len(), untried.len(), receiver.received().len()), (0, 9, 0));
    office.dispatcher.release(untried).await;
    office.manager.resume("paused").await.unwrap();
    office.pass().await;
    let mut came: Vec<_> = receiver
        .received()
        .iter()
        .map(|one| format!("{} {}", one.path, one.header("hookbridge-attempt")))
        .collect();
    came.sort();
    assert_eq!(came, ["/cancelled 1", "/paused 1", "/paused 1", "/paused 1"]);
}

async fn what_is_changed_while_something_is_in_hand_holds_for_it(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    office.subscriber("moves", receiver.url("old"), wants("a")).await;
    let jobs = in_hand(&office, "a", 2).await;
    sleep(A_MOMENT).await;
    let moved = SubscriberUpdate { url: Some(receiver.url("new")), ..SubscriberUpdate::default() };
    office.manager.update("moves", moved).await.unwrap();
    office.manager.rotate_secret("moves", SignedDuration::from_hours(1)).await.unwrap();
    let (mut finished, _) = attempted(&office, jobs).await;
    office.dispatcher.record(&mut finished).await.unwrap();
    let received = receiver.received();
    assert!(received.len() == 2 && received.iter().all(|one| one.path == "/new"), "{received:?}");
    let signatures = |one: &Received| one.header("webhook-signature").split(' ').count();
    assert!(received.iter().all(|one| signatures(one) == 2), "of the new secret and the old one");
    assert_eq!(office.count(DeliveryState::Delivered).await, 2);
}

async fn no_more_is_under_way_than_the_limit_says_whoever_else_is_changed(
    db: impl SqlExecutor + Clone + 'static,
) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    let (under_way, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (now, seen) = (under_way, most.clone());
    receiver.answers_by(move |_| {
        seen.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        now.fetch_sub(1, Ordering::SeqCst);
        (200, vec![], String::new())
    });
    office.subscriber("slow", receiver.url("in"), wants("slow*")).await;
    office.subscriber("other", receiver.url("in"), wants("other")).await;
    let mut deliveries = tokio::task::JoinSet::new();
    for n in 0..8 {
        let jobs = in_hand(&office, &format!("slow-{n}"), 2).await;
        let dispatcher = office.dispatcher.clone();
        deliveries.spawn(async move {
            let mut recorded = Vec::new();
            dispatcher.deliver(jobs, &mut recorded).await.unwrap();
            recorded.len()
        });
        office.manager.pause("other").await.unwrap();
        office.manager.resume("other").await.unwrap();
    }
    assert_eq!(deliveries.join_all().await.iter().sum::<usize>(), 16);
    assert_eq!((most.load(Ordering::SeqCst), receiver.received().len()), (1, 16));
}

async fn what_is_in_hand_at_the_end_is_somebody_else_s_at_once(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    office.subscriber("one", receiver.url("in"), wants("a")).await;
    let jobs = in_hand(&office, "a", 5).await;
    office.dispatcher.shut_down();
    let (finished, untried) = attempted(&office, jobs).await;
    assert_eq!((finished.len(), untried.len()), (0, 5));
    office.dispatcher.release(untried).await;
    office.another().pass().await;
    assert_eq!((receiver.received().len(), office.count(DeliveryState::Delivered).await), (5, 5));
    assert_eq!(in_hand(&office, "a", 6).await.len(), 0, "it has ended");
}

async fn it_is_known_whether_more_is_due_than_is_in_hand(db: impl SqlExecutor + Clone) {
    let (office, receiver) = (Office::open(db), Receiver::start().await);
    office.subscriber("one", receiver.url("in"), wants("a")).await;
    let jobs = in_hand(&office, "a", 36).await;
    assert_eq!((jobs.len(), office.dispatcher.has_more_due()), (16, true));
    assert_eq!(office.dispatcher.claim_due().await.unwrap().len(), 0);
    assert!(office.dispatcher.has_more_due(), "there was no room");
    office.dispatcher.deliver(jobs, &mut Vec::new()).await.unwrap();
    for (expected, more) in [(16, true), (4, false), (0, false)] {
        let jobs = office.dispatcher.claim_due().await.unwrap();
        assert_eq!((jobs.len(), office.dispatcher.has_more_due()), (expected, more));
        office.dispatcher.deliver(jobs, &mut Vec::new()).await.unwrap();
    }
    assert_eq!((receiver.received().len(), office.count(DeliveryState::Delivered).await), (36, 36));
}
