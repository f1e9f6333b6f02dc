//! The delivery worker: creates deliveries for events, leases due ones, attempts them, and records the results.
//!
//! `hookbridge serve` and the function `dispatcher` run the same worker. An [`AttemptRunner`] attempts the claimed deliveries
//! (module `attempt`) and records the attempts (module `record`). The module `subscribers` caches the subscribers that deliveries go to, and the
//! module `sweep` wakes workers for retries.
//!
//! A worker leases a delivery for each attempt. In one transaction, the worker records an attempt and the time of the next one.
//! If a worker dies, its leases expire and another worker attempts the deliveries again. So an attempt can be repeated, but no
//! delivery is lost. A delivery is stored before its first attempt, or its event belongs to a page of the log that the worker
//! has claimed (module `page`).

mod attempt;
mod page;
mod record;
mod runner;
mod subscribers;
mod sweep;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::warn;

use crate::aws::AwsError;
use crate::bus::Bus;
use crate::db::DatabaseError;
use crate::delivery::client::DeliveryClient;
use crate::delivery::concurrency::{InFlightSlot, SubscriberLimits};
use crate::delivery::encryption::{KeySource, KeySourceError};
use crate::delivery::health::{HealthEvent, HealthMonitor, circuit_breaker};
use crate::delivery::store::{
    ClaimLease, ClaimedDelivery, CreatedDelivery, DeliveryStore, DueSubscriber, OutgoingEvent,
    PendingDelivery,
};
use crate::delivery::subscriber::{PreparedSubscriber, SubscriberId};
use crate::delivery::wake_queue::WakeQueue;
use crate::log::StoredEvent;
use attempt::Claim;
pub use attempt::{AttemptOutcome, FinishedAttempt, InFlightDelivery};
pub use page::ClaimedPage;
pub use runner::AttemptRunner;
use subscribers::{PreparedSubscribers, SubscriberCache};
pub use sweep::SweepReport;

/// How long the lease of a claimed delivery lasts: longer than making and recording any attempt takes.
const CLAIM_LEASE: SignedDuration = SignedDuration::from_secs(90);
/// The maximum number of deliveries of one subscriber that are claimed at once.
const CLAIM_BATCH_SIZE: u32 = 500;

/// Returns the current time. Tests pass a clock of their own.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

pub struct DeliveryWorker<B> {
    store: DeliveryStore,
    subscribers: SubscriberCache,
    client: DeliveryClient,
    health: HealthMonitor<B>,
    clock: Clock,
    /// Wakes a worker when retries are due; `None` if the caller polls [`DeliveryWorker::claim_due`] instead.
    wake_queue: Option<WakeQueue>,
    limits: SubscriberLimits,
    lease_checks: attempt::LeaseChecks,
    /// Whether due deliveries may be left that have not been claimed.
    has_more_due: AtomicBool,
    /// Notified when deliveries that could not be claimed before may be claimed now.
    claimable: Notify,
}

/// Why deliveries were not created or claimed, or a sweep was not completed.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The keys that decrypt the subscribers' secrets could not be read from their source.
    #[error(transparent)]
    Keys(#[from] KeySourceError),
    #[error("retry queue: {0}")]
    Queue(#[from] AwsError),
}

/// An event whose deliveries are to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArrivedEvent {
    pub id: String,
    pub detail_type: String,
    /// The whole event as JSON, in the form that EventBridge's targets receive.
    pub json: String,
}

impl ArrivedEvent {
    pub fn from_stored(event: StoredEvent) -> Self {
        let mut json = Vec::new();
        event.write_json(&mut json);
        let json = String::from_utf8(json)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        Self { id: event.key.id, detail_type: event.detail_type, json }
    }
}

impl<B: Bus> DeliveryWorker<B> {
    /// Creates a worker. It publishes subscriber health events on `bus`.
    pub fn new(store: DeliveryStore, keys: KeySource, client: DeliveryClient, bus: B, clock: Clock) -> Self {
        let limits = SubscriberLimits::default();
        let (lease_checks, has_more_due, claimable, bus_down_until) = Default::default();
        let health = HealthMonitor {
            store: store.clone(),
            limits: limits.clone(),
            bus,
            clock: clock.clone(),
            bus_down_until,
        };
        Self {
            subscribers: SubscriberCache::new(store.subscribers.clone(), keys, clock.clone()),
            store,
            client,
            health,
            clock,
            wake_queue: None,
            limits,
            lease_checks,
            has_more_due,
            claimable,
        }
    }

    /// Makes the worker send messages to `queue` that wake a worker when retries become due. Without a queue, the caller must
    /// poll [`DeliveryWorker::claim_due`].
    #[must_use]
    pub fn with_wake_queue(self, queue: WakeQueue) -> Self {
        Self { wake_queue: Some(queue), ..self }
    }

    /// Sends a message that wakes a worker immediately. Does nothing if this worker has no wake queue.
    ///
    /// # Errors
    /// SQS did not accept the message; the next sweep wakes a worker.
    pub async fn wake(&self) -> Result<(), AwsError> {
        match &self.wake_queue {
            Some(queue) => queue.send(vec![self.now()], self.now()).await,
            None => Ok(()),
        }
    }

    pub fn store(&self) -> &DeliveryStore {
        &self.store
    }

    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Stores a delivery of each event to each matching subscriber, unless this delivery exists. Returns the new deliveries that
    /// this worker must attempt now.
    ///
    /// # Errors
    /// The transaction failed. The call may be repeated, because deliveries that exist are not created again.
    pub async fn create_deliveries(
        &self,
        events: &[ArrivedEvent],
    ) -> Result<Vec<InFlightDelivery>, WorkerError> {
        let (read_at, subscribers) = (Instant::now(), self.subscribers.all().await?);
        let (mut outgoing_events, mut pairs) = (Vec::new(), Vec::new());
        for event in events {
            let matching = matching_subscribers(event, &subscribers);
            if !matching.is_empty() {
                outgoing_events.push(OutgoingEvent {
                    id: event.id.clone(),
                    detail_type: event.detail_type.clone(),
                    json: event.json.clone(),
                });
                pairs.extend(matching.into_iter().map(|subscriber| (event, subscriber)));
            }
        }
        if pairs.is_empty() {
            return Ok(Vec::new());
        }
        let inactive_subscribers = self.store.subscribers.list_inactive().await?;
        let mut slots: HashMap<(String, SubscriberId), InFlightSlot> = HashMap::new();
        let pending: Vec<_> = pairs
            .into_iter()
            .map(|(event, subscriber)| {
                let id = subscriber.id;
                let slot = match inactive_subscribers.contains(&id) {
                    true => None,
                    false => {
                        let slot = self.limits.reserve(id, subscriber.settings.limit, 1).pop();
                        self.with_bytes(slot, &event.json)
                    }
                };
                let is_claimed = slot.is_some();
                slots.extend(slot.map(|slot| ((event.id.clone(), id), slot)));
                PendingDelivery { event_id: event.id.as_str(), subscriber: id, is_claimed }
            })
            .collect();
        let now = self.now();
        let lease = ClaimLease::new(CLAIM_LEASE, now);
        // The store returns only the new deliveries with a lease. Every other delivery is attempted by the worker that claims it.
        let created_deliveries =
            self.store.create_deliveries(&outgoing_events, &pending, &lease, now).await?;
        let events_by_id: HashMap<&str, Arc<OutgoingEvent>> =
            outgoing_events.iter().map(|event| (event.id.as_str(), Arc::new(event.clone()))).collect();
        let to_in_flight = |created: CreatedDelivery| {
            let event = events_by_id.get(created.event_id.as_str())?.clone();
            let mut slot = slots.remove(&(created.event_id, created.subscriber))?;
            slot.assign_delivery(created.id);
            Some(InFlightDelivery {
                claim: Claim::stored(created.id),
                lease: lease.clone(),
                subscriber: subscribers.get(&created.subscriber)?.clone(),
                event,
                attempts: 0,
                first_attempt: now,
                subscriber_read_at: read_at,
                slot: Some(slot),
            })
        };
        Ok(created_deliveries.into_iter().filter_map(to_in_flight).collect())
    }

    /// Adds the event's size to a slot that was reserved for it; without a slot, notes that the delivery is left for a later claim.
    fn with_bytes(&self, mut slot: Option<InFlightSlot>, json: &str) -> Option<InFlightSlot> {
        match &mut slot {
            Some(slot) => slot.add_bytes(json.len()),
            None => self.has_more_due.store(true, Relaxed),
        }
        slot
    }

    /// Claims due deliveries of all subscribers: for each, at most as many as it has free in-flight slots.
    ///
    /// # Errors
    /// The database or the key source failed before any delivery was claimed.
    pub async fn claim_due(&self) -> Result<Vec<InFlightDelivery>, WorkerError> {
        self.has_more_due.store(false, Relaxed);
        let now = self.now();
        let mut deliveries = Vec::new();
        let due_subscribers = self.store.due_subscribers(now, now).await?;
        self.limits.limit_backlogs_to(&due_subscribers.iter().map(|due| due.subscriber).collect::<Vec<_>>());
        if due_subscribers.is_empty() {
            return Ok(deliveries);
        }
        let (read_at, subscribers) = (Instant::now(), self.subscribers.all().await?);
        for due in due_subscribers {
            let Some(subscriber) = subscribers.get(&due.subscriber) else { continue };
            match self.claim_subscriber((subscriber, read_at), due, now).await {
                Ok(claimed) => deliveries.extend(claimed),
                // The error is returned only if no delivery has been claimed yet, because claimed deliveries must be attempted.
                Err(error) if deliveries.is_empty() => return Err(error.into()),
                Err(error) => {
                    warn!(error = error.to_string(), "failed to claim all due deliveries");
                    break;
                }
            }
        }
        Ok(deliveries)
    }

    /// Claims due deliveries of one subscriber: at most as many as it has free in-flight slots, and only one if it needs a probe.
    async fn claim_subscriber(
        &self,
        (subscriber, read_at): (&Arc<PreparedSubscriber>, Instant),
        due: DueSubscriber,
        now: Timestamp,
    ) -> Result<Vec<InFlightDelivery>, DatabaseError> {
        let wanted = if due.needs_probe { 1 } else { CLAIM_BATCH_SIZE };
        let slots = self.limits.reserve(subscriber.id, subscriber.settings.limit, wanted);
        if slots.is_empty() {
            self.has_more_due.store(true, Relaxed);
            self.limits.set_backlog(subscriber.id, true);
            return Ok(Vec::new());
        }
        if due.needs_probe
            && !self
                .store
                .subscribers
                .acquire_probe(subscriber.id, now, circuit_breaker::OPEN_DURATION)
                .await?
        {
            return Ok(Vec::new());
        }
        let lease = ClaimLease::new(CLAIM_LEASE, now);
        let claimed = self.store.claim(due, slots.len(), &lease, (now, now)).await?;
        let may_have_more = claimed.len() == slots.len();
        self.limits.set_backlog(subscriber.id, may_have_more);
        if may_have_more {
            self.has_more_due.store(true, Relaxed);
        }
        let to_in_flight = |(claimed, slot)| self.in_flight((subscriber, read_at), &lease, claimed, slot);
        Ok(claimed.into_iter().zip(slots).map(to_in_flight).collect())
    }

    fn in_flight(
        &self,
        (subscriber, read_at): (&Arc<PreparedSubscriber>, Instant),
        lease: &ClaimLease,
        claimed: ClaimedDelivery,
        mut slot: InFlightSlot,
    ) -> InFlightDelivery {
        slot.assign_delivery(claimed.id);
        slot.add_bytes(claimed.event.json.len());
        InFlightDelivery {
            claim: Claim::stored(claimed.id),
            lease: lease.clone(),
            subscriber: subscriber.clone(),
            event: Arc::new(claimed.event),
            attempts: claimed.attempts,
            first_attempt: claimed.first_attempt,
            subscriber_read_at: read_at,
            slot: Some(slot),
        }
    }

    /// Whether due deliveries may be left that have not been claimed, because a limit was reached or a subscriber recovered.
    pub fn has_more_due(&self) -> bool {
        self.has_more_due.load(Relaxed)
    }

    /// Waits until every subscriber has half of its in-flight slots free, but for a slow subscriber only briefly.
    pub async fn wait_for_capacity(&self) {
        self.limits.wait_for_capacity().await;
    }
}

/// Returns the subscribers that receive an event.
fn matching_subscribers<'s>(
    event: &ArrivedEvent,
    subscribers: &'s PreparedSubscribers,
) -> Vec<&'s Arc<PreparedSubscriber>> {
    let mut parsed_event = None;
    subscribers.values().filter(|subscriber| receives(subscriber, event, &mut parsed_event)).collect()
}

/// Whether a subscriber receives an event: its event types and filter match the event, and it may receive health events if the
/// event is one. The event's JSON is parsed, into `parsed_event`, only if a subscriber has a filter.
pub(super) fn receives(
    subscriber: &PreparedSubscriber,
    event: &ArrivedEvent,
    parsed_event: &mut Option<Value>,
) -> bool {
    // A health event goes only to subscribers that list a type beginning with `hookbridge.`. It never goes to the subscriber
    // that it is about: a failed delivery of the event would cause the next event (a loop).
    let is_eligible = !HealthEvent::is_health_event(&event.detail_type)
        || subscriber.settings.types.iter().any(|glob| glob.starts_with("hookbridge."))
            && !HealthEvent::is_about(&event.json, &subscriber.name);
    is_eligible
        && subscriber.matches(&event.detail_type, || {
            parsed_event.get_or_insert_with(|| serde_json::from_str(&event.json).unwrap_or_default())
        })
}
