//! What is in hand for each subscriber: so much and no more, so that a slow one does not take the place of others, and of that
//! so many attempts at once. Who has too much to do is given half as much, and one more with every good attempt; where too much
//! has failed, what is in hand is not tried any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

use super::subscriber::SubscriberId;

/// Deliveries that are in hand for each attempt that may be under way: those that are being recorded, and those that come next.
const PER_TURN: u32 = 16;
/// Bytes that are in hand for all subscribers together, and for one, at most; but one delivery of each is in hand in any case.
const MOST_BYTES: usize = 64 << 20;
const MOST_OF_ONE: usize = MOST_BYTES / 4;
/// The size that is assumed of what is not known yet: few events are larger.
const ASSUMED: usize = 256 << 10;

/// The lanes of all subscribers.
#[derive(Clone, Default)]
pub(super) struct Lanes(Arc<All>);

#[derive(Default)]
struct All {
    lanes: Mutex<HashMap<SubscriberId, Lane>>,
    bytes: AtomicUsize,
    freed: Notify,
    has_ended: AtomicBool,
}

/// A place in a lane, which is given back with it.
pub(super) struct Place {
    lanes: Lanes,
    id: SubscriberId,
    turns: Arc<Semaphore>,
    closing: Arc<Notify>,
    closed: u64,
    bytes: usize,
    delivery: Option<i64>,
}

/// A turn to try something, which is given back with it.
pub(super) struct Turn {
    lanes: Lanes,
    id: SubscriberId,
    permit: Option<OwnedSemaphorePermit>,
}

struct Lane {
    in_hand: u32,
    bytes: usize,
    /// The deliveries that are in hand.
    deliveries: Vec<i64>,
    /// Attempts that may be under way at once.
    width: u32,
    turns: Arc<Semaphore>,
    /// Permits to forget on return, after the limit was lowered.
    surplus: u32,
    /// How often it was closed.
    closed: u64,
    /// Told when it is.
    closing: Arc<Notify>,
}

impl Place {
    /// Notes which delivery has the place.
    pub(super) fn hold(&mut self, delivery: i64) {
        self.delivery = Some(delivery);
        if let Some(lane) = self.lanes.lanes().get_mut(&self.id) {
            lane.deliveries.push(delivery);
        }
    }

    /// Notes how large what has the place is.
    pub(super) fn weigh(&mut self, bytes: usize) {
        self.lanes.0.bytes.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
        if let Some(lane) = self.lanes.lanes().get_mut(&self.id) {
            lane.bytes += bytes;
        }
    }

    /// Waits for a turn; `None` when the lane was closed since the place was taken.
    pub(super) async fn turn(&self) -> Option<Turn> {
        let closing = self.closing.notified();
        if self.is_closed() {
            return None;
        }
        let permit = tokio::select! {
            permit = self.turns.clone().acquire_owned() => permit.ok()?,
            () = closing => return None,
        };
        let turn = Turn { lanes: self.lanes.clone(), id: self.id, permit: Some(permit) };
        (!self.is_closed()).then_some(turn)
    }

    /// Whether the circuit opened since this slot was taken.
    fn is_closed(&self) -> bool {
        self.lanes.lanes().get(&self.id).is_none_or(|lane| lane.closed != self.closed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lanes.0.bytes.fetch_sub(self.bytes, Relaxed);
        let has_room = self.lanes.lanes().get_mut(&self.id).is_some_and(|lane| {
            lane.in_hand = lane.in_hand.saturating_sub(1);
            lane.bytes = lane.bytes.saturating_sub(self.bytes);
            if let Some(index) = lane.deliveries.iter().position(|one| Some(*one) == self.delivery) {
                lane.deliveries.swap_remove(index);
            }
            lane.has_room()
        });
        if has_room {
            self.lanes.0.freed.notify_waiters();
        }
    }
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Place").field(&self.id).finish()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else { return };
        // Given back before anybody else looks at the lane.
        let mut lanes = self.lanes.lanes();
        match lanes.get_mut(&self.id) {
            Some(lane) if lane.surplus > 0 => {
                lane.surplus -= 1;
                permit.forget();
            }
            _ => drop(permit),
        }
    }
}

impl Lane {
    fn new(width: u32) -> Self {
        let turns = Arc::new(Semaphore::new(width as usize));
        let (in_hand, bytes, deliveries, surplus, closed, closing) = Default::default();
        Self { in_hand, bytes, deliveries, width, turns, surplus, closed, closing }
    }

    fn has_room(&self) -> bool {
        self.in_hand <= PER_TURN * self.width / 2
    }

    fn set_width(&mut self, width: u32) {
        if width > self.width {
            let more = width - self.width;
            let kept = more.min(self.surplus);
            self.surplus -= kept;
            self.turns.add_permits((more - kept) as usize);
        } else {
            let fewer = self.width - width;
            // Those that are under way now are not given again.
            let forgotten = u32::try_from(self.turns.forget_permits(fewer as usize)).unwrap_or(fewer);
            self.surplus += fewer - forgotten;
        }
        self.width = width;
    }

    fn close(&mut self) {
        self.set_width(1);
        self.closed += 1;
        self.closing.notify_waiters();
    }
}

impl Lanes {
    fn lanes(&self) -> MutexGuard<'_, HashMap<SubscriberId, Lane>> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to `wanted` places of a subscriber that takes `limit` attempts at once.
    pub(super) fn take(&self, id: SubscriberId, limit: u32, wanted: u32) -> Vec<Place> {
        let mut lanes = self.lanes();
        if self.0.has_ended.load(Relaxed) {
            return Vec::new();
        }
        let lane = lanes.entry(id).or_insert_with(|| Lane::new(limit));
        if limit < lane.width {
            lane.set_width(limit);
        }
        let left = MOST_BYTES.saturating_sub(self.0.bytes.load(Relaxed));
        let left = left.min(MOST_OF_ONE.saturating_sub(lane.bytes)) / ASSUMED;
        let left = u32::try_from(left).unwrap_or(u32::MAX).max(u32::from(lane.in_hand == 0));
        let taken = (PER_TURN * lane.width).saturating_sub(lane.in_hand).min(wanted).min(left);
        lane.in_hand += taken;
        let place = |_| Place {
            lanes: self.clone(),
            id,
            turns: lane.turns.clone(),
            closing: lane.closing.clone(),
            closed: lane.closed,
            bytes: 0,
            delivery: None,
        };
        (0..taken).map(place).collect()
    }

    /// The deliveries that a subscriber has in hand.
    pub(super) fn deliveries(&self, id: SubscriberId) -> Vec<i64> {
        self.lanes().get(&id).map(|lane| lane.deliveries.clone()).unwrap_or_default()
    }

    /// Waits until half of every lane is free.
    pub(super) async fn room(&self) {
        loop {
            let freed = self.0.freed.notified();
            if self.lanes().values().all(Lane::has_room) {
                return;
            }
            freed.await;
        }
    }

    /// Makes a lane wider, up to `limit`.
    pub(super) fn widen(&self, id: SubscriberId, limit: u32) {
        if let Some(lane) = self.lanes().get_mut(&id) {
            lane.set_width((lane.width + 1).min(limit));
        }
    }

    /// Makes a lane half as wide.
    pub(super) fn narrow(&self, id: SubscriberId) {
        if let Some(lane) = self.lanes().get_mut(&id) {
            lane.set_width((lane.width / 2).max(1));
        }
    }

    /// Makes a lane as narrow as can be: too much has failed. Who has a place in it already gets no turn any more.
    pub(super) fn close(&self, id: SubscriberId) {
        if let Some(lane) = self.lanes().get_mut(&id) {
            lane.close();
        }
    }

    /// Ends all of it: nobody gets a turn or a place any more.
    pub(super) fn end(&self) {
        self.0.has_ended.store(true, Relaxed);
        self.lanes().values_mut().for_each(Lane::close);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// Turns that are had at once.
    async fn turns(places: &[Place]) -> Vec<Turn> {
        let mut turns = Vec::new();
        for place in places {
            turns.extend(timeout(Duration::ZERO, place.turn()).await.ok().flatten());
        }
        turns
    }

    #[test]
    fn a_lane_holds_as_much_as_its_subscriber_bears() {
        let lanes = Lanes::default();
        let (first, second) = (lanes.take(1, 2, 30), lanes.take(1, 2, 3));
        assert_eq!((first.len(), second.len(), lanes.take(2, 1, 99).len()), (30, 2, 16));
        drop((first, second));
        lanes.narrow(1);
        let some = lanes.take(1, 2, 99);
        assert_eq!((some.len(), some.iter().any(Place::is_closed)), (16, false));
        lanes.close(1);
        assert!(some.iter().all(Place::is_closed));
        drop(some);
        assert!(!lanes.take(1, 2, 1)[0].is_closed(), "it was taken afterwards");
        lanes.end();
        assert_eq!((lanes.take(1, 2, 1).len(), lanes.take(3, 2, 1).len()), (0, 0));
    }

    #[tokio::test]
    async fn no_more_is_tried_at_once_than_the_lane_is_wide() {
        let lanes = Lanes::default();
        let places = lanes.take(1, 4, 9);
        let mut under_way = turns(&places).await;
        assert_eq!(under_way.len(), 4);
        // Half as many, as soon as the others have come back.
        lanes.narrow(1);
        under_way.truncate(3);
        assert_eq!(turns(&places).await.len(), 0);
        under_way.truncate(1);
        assert_eq!(turns(&places).await.len(), 1);
        lanes.narrow(1);
        lanes.narrow(1);
        assert_eq!(turns(&places).await.len(), 0, "that one is under way");
        lanes.widen(1, 4);
        lanes.widen(1, 4);
        assert_eq!(turns(&places).await.len(), 2);
        lanes.widen(1, 3);
        lanes.widen(1, 3);
        assert_eq!(turns(&places).await.len(), 2, "never more than its limit");
        drop(under_way);
        assert_eq!(turns(&places).await.len(), 3);
        // What a limit was lowered to holds when the next place is taken.
        drop(lanes.take(1, 1, 1));
        assert_eq!(turns(&places).await.len(), 1);
        lanes.close(1);
        assert_eq!(turns(&places).await.len(), 0);
        assert_eq!(turns(&lanes.take(1, 4, 9)).await.len(), 1, "one at a time to begin with");
    }

    #[tokio::test]
    async fn who_waits_for_a_turn_is_told_when_there_is_none_any_more() {
        let lanes = Lanes::default();
        let places = lanes.take(1, 1, 2);
        let under_way = places[0].turn().await.unwrap();
        let waiting = async {
            tokio::task::yield_now().await;
            lanes.close(1);
        };
        assert!(tokio::join!(places[1].turn(), waiting).0.is_none());
        drop(under_way);
        assert_eq!(turns(&lanes.take(1, 1, 9)).await.len(), 1, "an old turn adds none");
    }

    #[tokio::test]
    async fn what_was_under_way_when_a_lane_was_closed_counts() {
        let lanes = Lanes::default();
        let places = lanes.take(1, 3, 3);
        let mut under_way = turns(&places).await;
        lanes.close(1);
        let places = lanes.take(1, 3, 9);
        assert_eq!(turns(&places).await.len(), 0);
        lanes.widen(1, 3);
        lanes.widen(1, 3);
        assert_eq!(turns(&places).await.len(), 0, "three are under way");
        under_way.pop();
        assert_eq!(turns(&places).await.len(), 1);
        drop(under_way);
        assert_eq!(turns(&places).await.len(), 3);
    }

    #[test]
    fn what_is_large_leaves_room_for_less() {
        let lanes = Lanes::default();
        assert_eq!(lanes.take(1, 1000, 1000).len(), 64, "a quarter");
        let mut one = lanes.take(1, 1000, 1);
        one[0].weigh(MOST_OF_ONE - ASSUMED);
        assert_eq!((lanes.take(1, 1000, 9).len(), lanes.take(2, 1000, 9).len()), (1, 9), "nor the others'");
        one[0].weigh(MOST_BYTES - MOST_OF_ONE);
        let two = lanes.take(2, 1000, 9);
        assert_eq!((lanes.take(1, 1000, 9).len(), two.len()), (0, 1));
        one[0].weigh(ASSUMED);
        assert_eq!((lanes.take(2, 1000, 9).len(), lanes.take(3, 1000, 9).len()), (0, 1), "one in any case");
        drop((one, two));
        assert_eq!(lanes.take(2, 1000, 9).len(), 9);
    }

    #[test]
    fn what_is_in_hand_is_known() {
        let lanes = Lanes::default();
        let mut places = lanes.take(1, 4, 3);
        for (place, delivery) in places.iter_mut().zip([7, 8, 9]) {
            place.hold(delivery);
        }
        drop(places.remove(1));
        assert_eq!((lanes.deliveries(1), lanes.deliveries(2)), (vec![7, 9], vec![]));
    }
}
