//! Per-subscriber concurrency limits: a slow subscriber cannot starve the others.
//!
//! A claimed delivery holds an in-flight slot until its attempt is recorded, and a permit while the attempt runs. The number of a
//! subscriber's permits adapts (AIMD): a timeout or a response with status 429, 502, 503 or 504 halves the number, and each
//! success raises it by one, up to the subscriber's setting `limit`. When the circuit breaker opens, the number falls to one, and
//! slots that were reserved before get no permit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::subscriber::SubscriberId;

/// The number of in-flight slots per permit. One slot is for the delivery that is being attempted; the others are for deliveries
/// that wait for a permit or whose attempt is being recorded.
const SLOTS_PER_PERMIT: u32 = 16;
/// The maximum total size of the events in flight, for all subscribers together. A subscriber that has no delivery in flight may
/// always have one, even beyond this limit.
const MAX_IN_FLIGHT_BYTES: usize = 64 << 20;
/// The maximum total size of the events in flight for one subscriber.
const MAX_IN_FLIGHT_BYTES_PER_SUBSCRIBER: usize = MAX_IN_FLIGHT_BYTES / 4;
/// The size that is assumed for an event until its size is known; few events are larger.
const ASSUMED_EVENT_BYTES: usize = 256 << 10;

#[derive(Clone, Default)]
pub(super) struct SubscriberLimits(Arc<SharedLimits>);

#[derive(Default)]
struct SharedLimits {
    limits: Mutex<HashMap<SubscriberId, SubscriberLimit>>,
    in_flight_bytes: AtomicUsize,
    /// Notified when a slot is freed and at least half of its subscriber's slots are free.
    room_freed: Notify,
    is_shut_down: AtomicBool,
}

/// A place for one claimed delivery, whose attempt may still wait for a permit. Dropping the slot frees the place.
pub(super) struct InFlightSlot {
    limits: SubscriberLimits,
    subscriber: SubscriberId,
    permits: Arc<Semaphore>,
    /// Notified when the subscriber's circuit opens.
    circuit_opened: Arc<Notify>,
    /// The subscriber's `circuit_open_count` when the slot was reserved.
    circuit_open_count: u64,
    /// The size of the delivery's event; 0 until the size is known.
    bytes: usize,
    /// The id of the delivery that holds the slot; `None` until a delivery is assigned.
    delivery_id: Option<i64>,
}

/// Permission to run one attempt. Dropping the permit returns it to the subscriber's permits.
pub(super) struct AttemptPermit {
    limits: SubscriberLimits,
    subscriber: SubscriberId,
    /// `None` only while the `AttemptPermit` is being dropped.
    permit: Option<OwnedSemaphorePermit>,
}

struct SubscriberLimit {
    used_slots: u32,
    in_flight_bytes: usize,
    in_flight_ids: Vec<i64>,
    /// The maximum number of attempts that run at the same time.
    concurrency: u32,
    permits: Arc<Semaphore>,
    /// The number of permits in use that are removed when their attempts end, because `concurrency` was lowered meanwhile.
    permits_to_forget: u32,
    /// How often the circuit has opened. A slot is revoked if the circuit has opened since the slot was reserved.
    circuit_open_count: u64,
    /// Notified when the circuit opens.
    circuit_opened: Arc<Notify>,
}

impl InFlightSlot {
    pub(super) fn assign_delivery(&mut self, delivery_id: i64) {
        self.delivery_id = Some(delivery_id);
        if let Some(state) = self.limits.lock().get_mut(&self.subscriber) {
            state.in_flight_ids.push(delivery_id);
        }
    }

    /// Adds the event's size to the bytes in flight, which limit the reservation of further slots.
    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.limits.0.in_flight_bytes.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
        if let Some(state) = self.limits.lock().get_mut(&self.subscriber) {
            state.in_flight_bytes += bytes;
        }
    }

    /// Waits for a permit; `None` if the circuit opened after the slot was reserved.
    pub(super) async fn acquire_permit(&self) -> Option<AttemptPermit> {
        let circuit_opened = self.circuit_opened.notified();
        if self.is_revoked() {
            return None;
        }
        let permit = tokio::select! {
            permit = self.permits.clone().acquire_owned() => permit.ok()?,
            () = circuit_opened => return None,
        };
        let permit =
            AttemptPermit { limits: self.limits.clone(), subscriber: self.subscriber, permit: Some(permit) };
        (!self.is_revoked()).then_some(permit)
    }

    fn is_revoked(&self) -> bool {
        self.limits
            .lock()
            .get(&self.subscriber)
            .is_none_or(|state| state.circuit_open_count != self.circuit_open_count)
    }
}

impl Drop for InFlightSlot {
    fn drop(&mut self) {
        self.limits.0.in_flight_bytes.fetch_sub(self.bytes, Relaxed);
        let is_half_free = self.limits.lock().get_mut(&self.subscriber).is_some_and(|state| {
            state.used_slots = state.used_slots.saturating_sub(1);
            state.in_flight_bytes = state.in_flight_bytes.saturating_sub(self.bytes);
            if let Some(index) = state.in_flight_ids.iter().position(|id| Some(*id) == self.delivery_id) {
                state.in_flight_ids.swap_remove(index);
            }
            state.is_half_free()
        });
        if is_half_free {
            self.limits.0.room_freed.notify_waiters();
        }
    }
}

impl std::fmt::Debug for InFlightSlot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("InFlightSlot").field(&self.subscriber).finish()
    }
}

impl Drop for AttemptPermit {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        // The permit is returned while the lock is held, so that the next holder of the lock sees the right number of permits.
        let mut limits = self.limits.lock();
        match limits.get_mut(&self.subscriber) {
            Some(state) if state.permits_to_forget > 0 => {
                state.permits_to_forget -= 1;
                permit.forget();
            }
            _ => drop(permit),
        }
    }
}

impl SubscriberLimit {
    fn new(concurrency: u32) -> Self {
        Self {
            used_slots: 0,
            in_flight_bytes: 0,
            in_flight_ids: Vec::new(),
            concurrency,
            permits: Arc::new(Semaphore::new(concurrency as usize)),
            permits_to_forget: 0,
            circuit_open_count: 0,
            circuit_opened: Arc::default(),
        }
    }

    /// Whether at least half of the slots are free.
    fn is_half_free(&self) -> bool {
        self.used_slots <= SLOTS_PER_PERMIT * self.concurrency / 2
    }

    fn set_concurrency(&mut self, concurrency: u32) {
        if concurrency > self.concurrency {
            let added = concurrency - self.concurrency;
            let reclaimed = added.min(self.permits_to_forget);
            self.permits_to_forget -= reclaimed;
            self.permits.add_permits((added - reclaimed) as usize);
        } else {
            let removed = self.concurrency - concurrency;
            // `forget_permits` removes only idle permits. The other permits to remove are in use: `permits_to_forget` counts
            // them, and each is removed when its attempt ends.
            let forgotten = u32::try_from(self.permits.forget_permits(removed as usize)).unwrap_or(removed);
            self.permits_to_forget += removed - forgotten;
        }
        self.concurrency = concurrency;
    }

    fn open_circuit(&mut self) {
        self.set_concurrency(1);
        self.circuit_open_count += 1;
        self.circuit_opened.notify_waiters();
    }
}

impl SubscriberLimits {
    fn lock(&self) -> MutexGuard<'_, HashMap<SubscriberId, SubscriberLimit>> {
        self.0.limits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves up to `wanted` slots for a subscriber whose setting `limit` is `limit`. Returns fewer if there are fewer free
    /// slots, or if the bytes in flight leave no room.
    pub(super) fn reserve(&self, id: SubscriberId, limit: u32, wanted: u32) -> Vec<InFlightSlot> {
        let mut limits = self.lock();
        if self.0.is_shut_down.load(Relaxed) {
            return Vec::new();
        }
        let state = limits.entry(id).or_insert_with(|| SubscriberLimit::new(limit));
        if limit < state.concurrency {
            state.set_concurrency(limit);
        }
        let free_bytes = MAX_IN_FLIGHT_BYTES.saturating_sub(self.0.in_flight_bytes.load(Relaxed));
        let free_bytes =
            free_bytes.min(MAX_IN_FLIGHT_BYTES_PER_SUBSCRIBER.saturating_sub(state.in_flight_bytes));
        let slots_within_byte_limit = u32::try_from(free_bytes / ASSUMED_EVENT_BYTES).unwrap_or(u32::MAX);
        let slots_within_byte_limit = slots_within_byte_limit.max(u32::from(state.used_slots == 0));
        let free_slots = (SLOTS_PER_PERMIT * state.concurrency).saturating_sub(state.used_slots);
        let reserved = free_slots.min(wanted).min(slots_within_byte_limit);
        state.used_slots += reserved;
        let slot = |_| InFlightSlot {
            limits: self.clone(),
            subscriber: id,
            permits: state.permits.clone(),
            circuit_opened: state.circuit_opened.clone(),
            circuit_open_count: state.circuit_open_count,
            bytes: 0,
            delivery_id: None,
        };
        (0..reserved).map(slot).collect()
    }

    /// Returns the ids of a subscriber's deliveries in flight.
    pub(super) fn delivery_ids(&self, id: SubscriberId) -> Vec<i64> {
        self.lock().get(&id).map(|state| state.in_flight_ids.clone()).unwrap_or_default()
    }

    /// Waits until every subscriber has at least half of its slots free.
    pub(super) async fn wait_for_capacity(&self) {
        loop {
            let room_freed = self.0.room_freed.notified();
            if self.lock().values().all(SubscriberLimit::is_half_free) {
                return;
            }
            room_freed.await;
        }
    }

    /// Raises a subscriber's number of permits by one, up to `limit`.
    pub(super) fn raise_concurrency(&self, id: SubscriberId, limit: u32) {
        if let Some(state) = self.lock().get_mut(&id) {
            state.set_concurrency((state.concurrency + 1).min(limit));
        }
    }

    /// Halves a subscriber's number of permits, but leaves at least one.
    pub(super) fn halve_concurrency(&self, id: SubscriberId) {
        if let Some(state) = self.lock().get_mut(&id) {
            state.set_concurrency((state.concurrency / 2).max(1));
        }
    }

    /// Lowers a subscriber's number of permits to one and revokes its reserved slots.
    pub(super) fn open_circuit(&self, id: SubscriberId) {
        if let Some(state) = self.lock().get_mut(&id) {
            state.open_circuit();
        }
    }

    /// Revokes all slots and lets no further slot be reserved.
    pub(super) fn shut_down(&self) {
        self.0.is_shut_down.store(true, Relaxed);
        self.lock().values_mut().for_each(SubscriberLimit::open_circuit);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Returns the permits that `slots` can acquire immediately.
    async fn available_permits(slots: &[InFlightSlot]) -> Vec<AttemptPermit> {
        let mut permits = Vec::new();
        for slot in slots {
            permits.extend(timeout(Duration::ZERO, slot.acquire_permit()).await.ok().flatten());
        }
        permits
    }

    #[test]
    fn slots_are_limited_by_the_subscriber_s_concurrency() {
        let limits = SubscriberLimits::default();
        let (first, second) = (limits.reserve(1, 2, 30), limits.reserve(1, 2, 3));
        assert_eq!((first.len(), second.len(), limits.reserve(2, 1, 99).len()), (30, 2, 16));
        drop((first, second));
        limits.halve_concurrency(1);
        let slots = limits.reserve(1, 2, 99);
        assert_eq!((slots.len(), slots.iter().any(InFlightSlot::is_revoked)), (16, false));
        limits.open_circuit(1);
        assert!(slots.iter().all(InFlightSlot::is_revoked));
        drop(slots);
        assert!(!limits.reserve(1, 2, 1)[0].is_revoked(), "the slot was reserved after the circuit opened");
        limits.shut_down();
        assert_eq!((limits.reserve(1, 2, 1).len(), limits.reserve(3, 2, 1).len()), (0, 0));
    }

    #[tokio::test]
    async fn concurrent_attempts_never_exceed_the_limit() {
        let limits = SubscriberLimits::default();
        let slots = limits.reserve(1, 4, 9);
        let mut running = available_permits(&slots).await;
        assert_eq!(running.len(), 4);
        // Halving stops no running attempt: surplus permits are removed as attempts end.
        limits.halve_concurrency(1);
        running.truncate(3);
        assert_eq!(available_permits(&slots).await.len(), 0);
        running.truncate(1);
        assert_eq!(available_permits(&slots).await.len(), 1);
        limits.halve_concurrency(1);
        limits.halve_concurrency(1);
        assert_eq!(available_permits(&slots).await.len(), 0, "the running attempt has the only permit");
        limits.raise_concurrency(1, 4);
        limits.raise_concurrency(1, 4);
        assert_eq!(available_permits(&slots).await.len(), 2);
        limits.raise_concurrency(1, 3);
        limits.raise_concurrency(1, 3);
        assert_eq!(available_permits(&slots).await.len(), 2, "never more than the setting `limit`");
        drop(running);
        assert_eq!(available_permits(&slots).await.len(), 3);
        // A lowered setting `limit` applies from the next reservation of a slot on.
        drop(limits.reserve(1, 1, 1));
        assert_eq!(available_permits(&slots).await.len(), 1);
        limits.open_circuit(1);
        assert_eq!(available_permits(&slots).await.len(), 0);
        assert_eq!(
            available_permits(&limits.reserve(1, 4, 9)).await.len(),
            1,
            "one attempt at a time after the circuit opened"
        );
    }

    #[tokio::test]
    async fn waiting_attempts_are_revoked_when_the_circuit_opens() {
        let limits = SubscriberLimits::default();
        let slots = limits.reserve(1, 1, 2);
        let running = slots[0].acquire_permit().await.unwrap();
        let open_circuit = async {
            tokio::task::yield_now().await;
            limits.open_circuit(1);
        };
        assert!(tokio::join!(slots[1].acquire_permit(), open_circuit).0.is_none());
        drop(running);
        assert_eq!(
            available_permits(&limits.reserve(1, 1, 9)).await.len(),
            1,
            "the permit that a revoked slot returned is not an extra one"
        );
    }

    #[tokio::test]
    async fn running_attempts_count_against_a_lowered_limit() {
        let limits = SubscriberLimits::default();
        let slots = limits.reserve(1, 3, 3);
        let mut running = available_permits(&slots).await;
        limits.open_circuit(1);
        let slots = limits.reserve(1, 3, 9);
        assert_eq!(available_permits(&slots).await.len(), 0);
        limits.raise_concurrency(1, 3);
        limits.raise_concurrency(1, 3);
        assert_eq!(available_permits(&slots).await.len(), 0, "three attempts are running");
        running.pop();
        assert_eq!(available_permits(&slots).await.len(), 1);
        drop(running);
        assert_eq!(available_permits(&slots).await.len(), 3);
    }

    #[test]
    fn large_events_leave_fewer_slots() {
        let limits = SubscriberLimits::default();
        assert_eq!(limits.reserve(1, 1000, 1000).len(), 64, "64 times 256 KB are 16 MB");
        let mut first = limits.reserve(1, 1000, 1);
        first[0].add_bytes(MAX_IN_FLIGHT_BYTES_PER_SUBSCRIBER - ASSUMED_EVENT_BYTES);
        assert_eq!(
            (limits.reserve(1, 1000, 9).len(), limits.reserve(2, 1000, 9).len()),
            (1, 9),
            "other subscribers are not affected"
        );
        first[0].add_bytes(MAX_IN_FLIGHT_BYTES - MAX_IN_FLIGHT_BYTES_PER_SUBSCRIBER);
        let second = limits.reserve(2, 1000, 9);
        assert_eq!((limits.reserve(1, 1000, 9).len(), second.len()), (0, 1));
        first[0].add_bytes(ASSUMED_EVENT_BYTES);
        assert_eq!(
            (limits.reserve(2, 1000, 9).len(), limits.reserve(3, 1000, 9).len()),
            (0, 1),
            "a subscriber may always have a delivery in flight"
        );
        drop((first, second));
        assert_eq!(limits.reserve(2, 1000, 9).len(), 9);
    }

    #[test]
    fn deliveries_in_flight_are_listed() {
        let limits = SubscriberLimits::default();
        let mut slots = limits.reserve(1, 4, 3);
        for (slot, delivery) in slots.iter_mut().zip([7, 8, 9]) {
            slot.assign_delivery(delivery);
        }
        drop(slots.remove(1));
        assert_eq!((limits.delivery_ids(1), limits.delivery_ids(2)), (vec![7, 9], vec![]));
    }
}
