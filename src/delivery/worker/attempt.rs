//! Attempts of claimed deliveries.
//!
//! A claimed delivery may have to wait until its subscriber's concurrency limit permits the attempt. During this wait, the
//! delivery may be cancelled, or its subscriber paused, deleted or changed. So the worker checks the lease again before it sends
//! the request, unless the last check is younger than [`LEASE_CHECK_TTL`].

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
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

/// The claim under which a worker may attempt a delivery.
#[derive(Debug)]
pub(super) enum Claim {
    /// The delivery is stored, with a lease.
    Stored {
        id: i64,
        /// The time just after the claim. A lease check that started earlier may not contain this delivery's lease.
        claimed_at: Instant,
    },
    /// The delivery belongs to a claimed page.
    Page {
        /// The place of the delivery in the page.
        index: usize,
        /// The id of the delivery; empty until it is stored with a lease.
        id: Arc<OnceLock<i64>>,
        /// When the delivery is skipped if no attempt has started.
        skip_at: Instant,
    },
}

/// A delivery that this worker has claimed, until its attempt is recorded or the delivery is released.
#[derive(Debug)]
pub struct InFlightDelivery {
    pub(super) claim: Claim,
    pub(super) lease: ClaimLease,
    pub(super) subscriber: Arc<PreparedSubscriber>,
    pub(super) event: Arc<OutgoingEvent>,
    /// The number of attempts so far.
    pub(super) attempts: i64,
    /// The start of the delivery's seven days of retries.
    pub(super) first_attempt: Timestamp,
    /// The time just before the subscriber was read from the store.
    pub(super) subscriber_read_at: Instant,
    /// The delivery's slot of the subscriber's concurrency limit; `None` once the attempt is recorded, or if the subscriber could
    /// take no delivery.
    pub(super) slot: Option<InFlightSlot>,
}

impl Claim {
    /// The claim of a delivery that has just been stored or claimed.
    pub(super) fn stored(id: i64) -> Self {
        Self::Stored { id, claimed_at: Instant::now() }
    }

    /// The id of the delivery; `None` if it is not stored with a lease.
    pub(super) fn id(&self) -> Option<i64> {
        match self {
            Self::Stored { id, .. } => Some(*id),
            Self::Page { id, .. } => id.get().copied(),
        }
    }
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
    /// No request was sent: the worker is shutting down, the subscriber is paused or deleted, its circuit opened, a delivery of a
    /// claimed page has waited too long for a permit, or the lease was lost, could not be checked, or would expire during the
    /// attempt.
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
    /// paused or deleted, if its circuit opened after the claim, if the lease was lost, cannot be checked, or would expire before
    /// the end of the attempt, or if a delivery of a claimed page has waited too long.
    pub async fn attempt(&self, mut delivery: InFlightDelivery) -> AttemptOutcome {
        let permit = match (&delivery.slot, &delivery.claim) {
            (None, _) => None,
            (Some(slot), Claim::Stored { .. }) => slot.acquire_permit().await,
            (Some(slot), Claim::Page { skip_at, .. }) => {
                let permit = timeout_at(*skip_at, slot.acquire_permit()).await;
                permit.unwrap_or_else(|_| {
                    slot.add_to_backlog();
                    None
                })
            }
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
        // Boxed, so that a delivery that waits for a permit takes little memory.
        let result = Box::pin(self.client.send(&subscriber, request, started)).await;
        drop(permit);
        delivery.slot.iter_mut().for_each(InFlightSlot::end_attempt);
        AttemptOutcome::Attempted(FinishedAttempt { delivery, started, result, is_given_up: false })
    }

    /// Returns whether this worker still holds the delivery's lease and the subscriber is neither paused nor deleted. Also
    /// updates `delivery.subscriber` to the stored subscriber. One check covers all in-flight deliveries of a subscriber. The
    /// lease of a claimed page needs no check: nothing ends it early.
    async fn refresh_and_check_lease(&self, delivery: &mut InFlightDelivery) -> Result<bool, WorkerError> {
        if delivery.subscriber_read_at.elapsed() < LEASE_CHECK_TTL {
            return Ok(true);
        }
        let id = delivery.subscriber.id;
        let claimed_at = match &delivery.claim {
            Claim::Stored { claimed_at, .. } => Some(*claimed_at),
            Claim::Page { .. } => None,
        };
        let check =
            self.lease_checks.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone();
        let mut check = check.lock().await;
        if check.checked_at.is_none_or(|checked_at| {
            checked_at.elapsed() >= LEASE_CHECK_TTL
                || claimed_at.is_some_and(|claimed_at| checked_at < claimed_at)
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
        Ok(match &delivery.claim {
            Claim::Stored { id, .. } => check.leases.contains(&(*id, delivery.lease.token.clone())),
            Claim::Page { .. } => true,
        })
    }

    /// Releases the leases of stored deliveries that were not attempted, so that any worker can claim these deliveries
    /// immediately.
    pub async fn release(&self, deliveries: Vec<InFlightDelivery>) {
        let mut by_lease: HashMap<String, (ClaimLease, Vec<i64>)> = HashMap::new();
        for delivery in deliveries {
            let id = delivery.claim.id();
            by_lease.entry(delivery.lease.token.clone()).or_insert((delivery.lease, Vec::new())).1.extend(id);
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
