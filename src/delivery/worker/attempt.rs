//! Attempts of claimed deliveries.
//!
//! A claimed delivery may have to wait until its subscriber's concurrency limit permits the attempt. During this wait, the
//! delivery may be cancelled, or its subscriber paused, deleted or changed. So the worker checks the lease again before it sends
//! the request, unless the last check is younger than [`LEASE_CHECK_TTL`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::{DeliveryWorker, WorkerError};
use crate::bus::Bus;
use crate::delivery::client::{AttemptResult, DeliveryRequest};
use crate::delivery::concurrency::InFlightSlot;
use crate::delivery::store::{ClaimLease, OutgoingEvent};
use crate::delivery::subscriber::{PreparedSubscriber, SubscriberId};

/// How long the result of a lease check is reused.
const LEASE_CHECK_TTL: Duration = Duration::from_millis(100);
/// The time at the end of a lease that is reserved for recording the attempt.
const RECORD_MARGIN: SignedDuration = SignedDuration::from_secs(10);

/// A delivery that this worker has claimed, until its attempt is recorded or the delivery is released.
#[derive(Debug)]
pub struct InFlightDelivery {
    pub(super) id: i64,
    pub(super) lease: ClaimLease,
    pub(super) subscriber: Arc<PreparedSubscriber>,
    pub(super) event: Arc<OutgoingEvent>,
    /// The number of attempts so far.
    pub(super) attempts: i64,
    /// The start of the delivery's seven days of retries.
    pub(super) first_attempt: Timestamp,
    /// The time just before the subscriber was read from the store.
    pub(super) subscriber_read_at: Instant,
    /// The time just after the claim. A lease check that started earlier may not contain this delivery's lease.
    pub(super) claimed_at: Instant,
    /// The delivery's slot of the subscriber's concurrency limit; `None` once the attempt is recorded.
    pub(super) slot: Option<InFlightSlot>,
}

pub struct FinishedAttempt {
    pub(super) delivery: InFlightDelivery,
    pub(super) started: Timestamp,
    pub(super) result: AttemptResult,
    /// Whether this attempt failed and was the delivery's last one. Set when the attempt is recorded.
    pub(super) is_given_up: bool,
}

pub enum AttemptOutcome {
    Attempted(FinishedAttempt),
    /// No request was sent: the worker is shutting down, the subscriber is paused or deleted, its circuit opened, or the lease
    /// was lost, could not be checked, or would expire during the attempt.
    Skipped(InFlightDelivery),
}

/// The last check of the leases of one subscriber's in-flight deliveries.
#[derive(Default)]
pub(super) struct LeaseCheck {
    /// `None` before the first check.
    checked_at: Option<Instant>,
    /// `None` if the subscriber is paused or deleted.
    subscriber: Option<Arc<PreparedSubscriber>>,
    /// The leases that were valid at the check: the delivery's id and the lease's token.
    leases: HashSet<(i64, String)>,
}

pub(super) type LeaseChecks = std::sync::Mutex<HashMap<SubscriberId, Arc<Mutex<LeaseCheck>>>>;

impl FinishedAttempt {
    /// Whether this attempt failed and was the delivery's last one.
    pub fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    /// Returns the event's id, the event's type and the subscriber's name.
    pub fn labels(&self) -> (&str, &str, &str) {
        (&self.delivery.event.id, &self.delivery.event.detail_type, &self.delivery.subscriber.name)
    }

    pub fn result(&self) -> &AttemptResult {
        &self.result
    }

    /// The event in the form that EventBridge's targets receive.
    pub fn event_json(&self) -> &str {
        &self.delivery.event.json
    }

    /// The number of attempts before this one.
    pub fn previous_attempts(&self) -> i64 {
        self.delivery.attempts
    }
}

impl<B: Bus> DeliveryWorker<B> {
    /// Waits until the subscriber's concurrency limit permits an attempt, then makes it. Skips the delivery if the subscriber is
    /// paused or deleted, if its circuit opened after the claim, or if the lease was lost, cannot be checked, or would expire
    /// before the end of the attempt.
    pub async fn attempt(&self, mut delivery: InFlightDelivery) -> AttemptOutcome {
        let permit = match &delivery.slot {
            Some(slot) => slot.acquire_permit().await,
            None => None,
        };
        let Some(permit) = permit else { return AttemptOutcome::Skipped(delivery) };
        match self.refresh_and_check_lease(&mut delivery).await {
            Ok(true) => {}
            Ok(false) => return AttemptOutcome::Skipped(delivery),
            Err(error) => {
                warn!(error = error.to_string(), "delivery postponed: its claim could not be checked");
                return AttemptOutcome::Skipped(delivery);
            }
        }
        let (subscriber, started) = (delivery.subscriber.clone(), self.now());
        let max_duration = SignedDuration::from_secs(subscriber.settings.timeout.into()) + RECORD_MARGIN;
        if started.checked_add(max_duration).is_ok_and(|end| end > delivery.lease.until) {
            return AttemptOutcome::Skipped(delivery);
        }
        let OutgoingEvent { id, detail_type, json } = &*delivery.event;
        let request = DeliveryRequest {
            event_id: id,
            detail_type,
            event_json: json,
            attempt_number: delivery.attempts + 1,
        };
        let result = self.client.send(&subscriber, request, started).await;
        drop(permit);
        AttemptOutcome::Attempted(FinishedAttempt { delivery, started, result, is_given_up: false })
    }

    /// Returns whether this worker still holds the delivery's lease and the subscriber is neither paused nor deleted. Also
    /// updates `delivery.subscriber` to the stored subscriber. One check covers all in-flight deliveries of a subscriber.
    async fn refresh_and_check_lease(&self, delivery: &mut InFlightDelivery) -> Result<bool, WorkerError> {
        if delivery.subscriber_read_at.elapsed() < LEASE_CHECK_TTL {
            return Ok(true);
        }
        let id = delivery.subscriber.id;
        let check =
            self.lease_checks.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone();
        let mut check = check.lock().await;
        if check.checked_at.is_none_or(|checked_at| {
            checked_at.elapsed() >= LEASE_CHECK_TTL || checked_at < delivery.claimed_at
        }) {
            let checked_at = Instant::now();
            let subscriber = self.subscribers.find(id).await?.filter(|subscriber| !subscriber.is_paused);
            let leases = self.store.active_leases(&self.limits.delivery_ids(id)).await?;
            *check = LeaseCheck { checked_at: Some(checked_at), subscriber, leases };
        }
        let Some(subscriber) = &check.subscriber else {
            self.lease_checks.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            return Ok(false);
        };
        delivery.subscriber = subscriber.clone();
        Ok(check.leases.contains(&(delivery.id, delivery.lease.token.clone())))
    }

    /// Releases the leases of deliveries that were not attempted, so that any worker can claim these deliveries immediately.
    pub async fn release(&self, deliveries: Vec<InFlightDelivery>) {
        let mut by_lease: HashMap<String, (ClaimLease, Vec<i64>)> = HashMap::new();
        for delivery in deliveries {
            by_lease
                .entry(delivery.lease.token.clone())
                .or_insert((delivery.lease, Vec::new()))
                .1
                .push(delivery.id);
        }
        for (lease, deliveries) in by_lease.into_values() {
            if let Err(error) = self.store.release(&lease, &deliveries).await {
                warn!(
                    error = error.to_string(),
                    "failed to release claims; their deliveries wait until they expire"
                );
            }
        }
    }

    /// Starts no further attempts; running attempts may finish.
    pub fn shut_down(&self) {
        self.limits.shut_down();
    }
}

impl AttemptOutcome {
    pub fn partition(outcomes: Vec<Self>) -> (Vec<FinishedAttempt>, Vec<InFlightDelivery>) {
        let (mut finished, mut skipped) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Self::Attempted(attempt) => finished.push(attempt),
                Self::Skipped(delivery) => skipped.push(delivery),
            }
        }
        (finished, skipped)
    }
}
