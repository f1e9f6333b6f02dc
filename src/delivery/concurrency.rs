//! Per-subscriber concurrency limits: a slow subscriber cannot starve the others.
//!
//! A claimed delivery holds an in-flight slot until its attempt ends, and a permit while the attempt runs. The number of a
//! subscriber's permits adapts (AIMD): a timeout or a response with status 429, 502, 503 or 504 halves the number, and each
//! success raises it by one, up to the subscriber's setting `limit`. When the circuit breaker opens, the number falls to one, and
//! slots that were reserved before get no permit.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::subscriber::SubscriberId;

/// The number of in-flight slots per permit. One slot is for the delivery that is being attempted; the others are for deliveries
/// that wait for a permit.
const SLOTS_PER_PERMIT: u32 = 16;
/// How long new deliveries wait for free slots of a slow subscriber, so that it blocks the others only briefly.
const CAPACITY_WAIT: Duration = Duration::from_millis(20);
/// A busy subscriber is fast if it frees more than one of this many used slots in [`CAPACITY_WAIT`]. Then its deliveries in
/// flight take less than a third of a second.
const FAST_SHARE: u32 = 16;
/// New deliveries wait while this many attempts have ended and are not recorded.
const MAX_UNRECORDED: usize = 3000;
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
    /// The number of attempts that have ended and are not recorded.
    unrecorded_count: AtomicUsize,
    /// Notified when at least half of a subscriber's slots are free after a slot was freed, and when few attempts are unrecorded
    /// after one was recorded.
    room_freed: Notify,
    is_shut_down: AtomicBool,
}

/// A place for one claimed delivery, whose attempt may still wait for a permit. The place is free when the attempt ends. Until the
/// slot is dropped, because the attempt is recorded, the event's size counts as in flight.
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
    /// The id of the stored delivery that holds the slot; `None` until such a delivery is assigned.
    delivery_id: Option<i64>,
    /// Whether the attempt has ended, so that only its recording is left.
    has_ended: bool,
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
    /// Whether stored deliveries may be due that no worker has claimed.
    has_backlog: bool,
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
    /// Assigns a stored delivery.
    pub(super) fn assign_delivery(&mut self, delivery_id: i64) {
        self.delivery_id = Some(delivery_id);
        if let Some(state) = self.limits.lock().get_mut(&self.subscriber) {
            state.in_flight_ids.push(delivery_id);
        }
    }

    /// Frees the place of a delivery whose attempt has ended and is to be recorded.
    pub(super) fn end_attempt(&mut self) {
        if !std::mem::replace(&mut self.has_ended, true) {
            self.limits.0.unrecorded_count.fetch_add(1, Relaxed);
            self.free_place();
        }
    }

    /// Notes that the delivery has to wait, so the subscriber has a backlog.
    pub(super) fn add_to_backlog(&self) {
        self.limits.set_backlog(self.subscriber, true);
    }

    fn free_place(&self) {
        let is_half_free = self.limits.lock().get_mut(&self.subscriber).is_some_and(|state| {
            state.used_slots = state.used_slots.saturating_sub(1);
            if let Some(index) = state.in_flight_ids.iter().position(|id| Some(*id) == self.delivery_id) {
                state.in_flight_ids.swap_remove(index);
            }
            state.is_half_free()
        });
        if is_half_free {
            self.limits.0.room_freed.notify_waiters();
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
        let shared = &self.limits.0;
        shared.in_flight_bytes.fetch_sub(self.bytes, Relaxed);
        if let Some(state) = self.limits.lock().get_mut(&self.subscriber) {
            state.in_flight_bytes = state.in_flight_bytes.saturating_sub(self.bytes);
        }
        if !self.has_ended {
            self.free_place();
        } else if shared.unrecorded_count.fetch_sub(1, Relaxed) <= MAX_UNRECORDED {
            shared.room_freed.notify_waiters();
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
            has_backlog: false,
            concurrency,
            permits: Arc::new(Semaphore::new(concurrency as usize)),
            permits_to_forget: 0,
            circuit_open_count: 0,
            circuit_opened: Arc::default(),
        }
    }

    fn free_slots(&self) -> u32 {
        (SLOTS_PER_PERMIT * self.concurrency).saturating_sub(self.used_slots)
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
        self.reserve_with(id, limit, wanted, SubscriberLimit::free_slots)
    }

    /// Reserves a slot for a delivery of a claimed page. However many slots are used, there is one, because such a delivery does not
    /// wait long for a permit. But if the subscriber has a backlog, it has no more slots than usual, so that new deliveries do not
    /// displace older ones. Returns `None` if there is no slot, or if the bytes in flight leave no room.
    pub(super) fn reserve_for_page(&self, id: SubscriberId, limit: u32) -> Option<InFlightSlot> {
        let count_slots = |state: &SubscriberLimit| if state.has_backlog { state.free_slots() } else { 1 };
        self.reserve_with(id, limit, 1, count_slots).pop()
    }

    /// Sets whether a subscriber may have stored deliveries that are due and not claimed.
    pub(super) fn set_backlog(&self, id: SubscriberId, has_backlog: bool) {
        if let Some(state) = self.lock().get_mut(&id) {
            state.has_backlog = has_backlog;
        }
    }

    /// Notes that only the subscribers in `ids` may have a backlog.
    pub(super) fn limit_backlogs_to(&self, ids: &[SubscriberId]) {
        for (id, state) in self.lock().iter_mut() {
            state.has_backlog &= ids.contains(id);
        }
    }

    fn reserve_with(
        &self,
        id: SubscriberId,
        limit: u32,
        wanted: u32,
        count_free_slots: impl Fn(&SubscriberLimit) -> u32,
    ) -> Vec<InFlightSlot> {
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
        let reserved = count_free_slots(state).min(wanted).min(slots_within_byte_limit);
        state.used_slots += reserved;
        let slot = |_| InFlightSlot {
            limits: self.clone(),
            subscriber: id,
            permits: state.permits.clone(),
            circuit_opened: state.circuit_opened.clone(),
            circuit_open_count: state.circuit_open_count,
            bytes: 0,
            delivery_id: None,
            has_ended: false,
        };
        (0..reserved).map(slot).collect()
    }

    /// Returns the ids of a subscriber's deliveries in flight.
    pub(super) fn delivery_ids(&self, id: SubscriberId) -> Vec<i64> {
        self.lock().get(&id).map(|state| state.in_flight_ids.clone()).unwrap_or_default()
    }

    /// Waits until few attempts are unrecorded and every subscriber has at least half of its slots free. Waits only briefly for
    /// a subscriber that is not fast ([`FAST_SHARE`]).
    pub(super) async fn wait_for_capacity(&self) {
        self.wait_until(|| self.0.unrecorded_count.load(Relaxed) < MAX_UNRECORDED).await;
        let mut busy = self.busy_subscribers();
        let is_free = || self.lock().values().all(SubscriberLimit::is_half_free);
        while timeout(CAPACITY_WAIT, self.wait_until(is_free)).await.is_err() {
            let still_busy = self.busy_subscribers();
            let is_fast = |(id, used): (&SubscriberId, &u32)| {
                busy.get(id).is_some_and(|before| before.saturating_sub(*used) > before / FAST_SHARE)
            };
            if !still_busy.iter().all(is_fast) {
                return;
            }
            busy = still_busy;
        }
    }

    /// Waits until `has_room` is true. It may become true only when `room_freed` is notified.
    async fn wait_until(&self, has_room: impl Fn() -> bool) {
        loop {
            let room_freed = self.0.room_freed.notified();
            if has_room() {
                return;
            }
            room_freed.await;
        }
    }

    /// The subscribers with less than half of their slots free, and the number of slots that each uses.
    fn busy_subscribers(&self) -> HashMap<SubscriberId, u32> {
        let limits = self.lock();
        let busy = limits.iter().filter(|(_, limit)| !limit.is_half_free());
        busy.map(|(id, limit)| (*id, limit.used_slots)).collect()
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

    #[test]
    fn a_page_displaces_no_backlog() {
        let limits = SubscriberLimits::default();
        let slots: Vec<_> = (0..40).filter_map(|_| limits.reserve_for_page(1, 2)).collect();
        assert_eq!((slots.len(), limits.reserve(1, 2, 1).len()), (40, 0));
        slots[0].add_to_backlog();
        assert!(limits.reserve_for_page(1, 2).is_none());
        drop(slots);
        let slots: Vec<_> = (0..40).filter_map(|_| limits.reserve_for_page(1, 2)).collect();
        assert_eq!(slots.len(), 32, "as many as for older deliveries");
        limits.limit_backlogs_to(&[2]);
        assert!(limits.reserve_for_page(1, 2).is_some(), "the backlog is claimed");
    }

    #[tokio::test]
    async fn an_unrecorded_attempt_delays_only_new_pages() {
        let limits = SubscriberLimits::default();
        let mut slots = limits.reserve(1, 1, 16);
        slots.iter_mut().for_each(InFlightSlot::end_attempt);
        assert_eq!(limits.reserve(1, 1, 99).len(), 16, "the places are free");
        let mut ended: Vec<_> = (0..MAX_UNRECORDED).filter_map(|_| limits.reserve_for_page(1, 1)).collect();
        ended.iter_mut().for_each(InFlightSlot::end_attempt);
        let mut waiting = std::pin::pin!(limits.wait_for_capacity());
        assert!(timeout(Duration::from_millis(30), &mut waiting).await.is_err());
        drop((slots, ended));
        waiting.await;
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
