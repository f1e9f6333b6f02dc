//! How much is in hand for each subscriber: so much at once and no more, so that a slow one does not take the place of others.
//! Who has too much to do is given half as much, and one more with every good attempt; where too much has failed, what is in
//! hand is not tried any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::subscriber::SubscriberId;

/// Bytes that are in hand for all subscribers together, at most; but one delivery of each is in hand in any case.
const MOST_BYTES: usize = 64 << 20;
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
}

/// A place in a lane, which is given back with it.
pub(super) struct Place {
    lanes: Lanes,
    id: SubscriberId,
    closed: u64,
    bytes: usize,
}

impl Place {
    /// Whether its lane was closed since it was taken.
    pub(super) fn is_closed(&self) -> bool {
        self.lanes.lanes().get(&self.id).is_some_and(|lane| lane.closed != self.closed)
    }

    /// Notes how large what has the place is.
    pub(super) fn weigh(&mut self, bytes: usize) {
        self.lanes.0.bytes.fetch_add(bytes, Relaxed);
        self.bytes += bytes;
    }

    /// How many turns of `limit` an attempt takes: more than one where the lane is narrower than that.
    pub(super) fn turns(&self, limit: u32) -> u32 {
        self.lanes.lanes().get(&self.id).map_or(1, |lane| limit.div_ceil(lane.width.max(1)).max(1))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.lanes.0.bytes.fetch_sub(self.bytes, Relaxed);
        let has_room = self.lanes.lanes().get_mut(&self.id).is_some_and(|lane| {
            lane.in_hand = lane.in_hand.saturating_sub(1);
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

struct Lane {
    in_hand: u32,
    width: u32,
    /// How often it was closed.
    closed: u64,
}

impl Lane {
    fn has_room(&self) -> bool {
        self.in_hand <= self.width / 2
    }
}

impl Lanes {
    fn lanes(&self) -> MutexGuard<'_, HashMap<SubscriberId, Lane>> {
        self.0.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to `wanted` places of a subscriber that takes `most` at once.
    pub(super) fn take(&self, id: SubscriberId, most: u32, wanted: u32) -> Vec<Place> {
        let mut lanes = self.lanes();
        let lane = lanes.entry(id).or_insert(Lane { in_hand: 0, width: most, closed: 0 });
        lane.width = lane.width.min(most);
        let left = MOST_BYTES.saturating_sub(self.0.bytes.load(Relaxed)) / ASSUMED;
        let left = u32::try_from(left).unwrap_or(u32::MAX).max(u32::from(lane.in_hand == 0));
        let taken = lane.width.saturating_sub(lane.in_hand).min(wanted).min(left);
        lane.in_hand += taken;
        let closed = lane.closed;
        (0..taken).map(|_| Place { lanes: self.clone(), id, closed, bytes: 0 }).collect()
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

    /// Makes a lane wider, up to `most`.
    pub(super) fn widen(&self, id: SubscriberId, most: u32) {
        if let Some(lane) = self.lanes().get_mut(&id) {
            lane.width = (lane.width + 1).min(most);
        }
    }

    /// Makes a lane half as wide.
    pub(super) fn narrow(&self, id: SubscriberId) {
        if let Some(lane) = self.lanes().get_mut(&id) {
            lane.width = (lane.width / 2).max(1);
        }
    }

    /// Makes a lane as narrow as can be: too much has failed. Who has a place in it already is told.
    pub(super) fn close(&self, id: SubscriberId) {
        if let Some(lane) = self.lanes().get_mut(&id) {
            lane.width = 1;
            lane.closed += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_holds_as_much_as_its_subscriber_bears() {
        let lanes = Lanes::default();
        let (first, second) = (lanes.take(1, 4, 3), lanes.take(1, 4, 3));
        assert_eq!((first.len(), second.len(), lanes.take(2, 4, 9).len()), (3, 1, 4));
        drop((first, second));
        lanes.narrow(1);
        let two = lanes.take(1, 4, 9);
        assert_eq!(two.len(), 2);
        lanes.widen(1, 4);
        let one = lanes.take(1, 4, 9);
        assert_eq!((one.len(), one[0].turns(16), one[0].turns(2)), (1, 6, 1), "3 of 16, and 2 of 2 at once");
        lanes.close(1);
        assert!(two.iter().chain(&one).all(Place::is_closed));
        drop((two, one));
        let last = lanes.take(1, 4, 9);
        assert_eq!((last.len(), lanes.take(1, 4, 9).len()), (1, 0));
        assert!(!last[0].is_closed(), "it was taken afterwards");
        lanes.widen(1, 1);
        assert_eq!(lanes.take(1, 1, 9).len(), 0, "never more than its most");
    }

    #[test]
    fn what_is_large_leaves_room_for_less() {
        let lanes = Lanes::default();
        assert_eq!(lanes.take(1, 1000, 1000).len(), 256);
        let mut one = lanes.take(1, 1000, 1);
        one[0].weigh(MOST_BYTES - ASSUMED);
        assert_eq!((lanes.take(1, 1000, 9).len(), lanes.take(2, 1000, 9).len()), (1, 1));
        one[0].weigh(ASSUMED);
        assert_eq!((lanes.take(1, 1000, 9).len(), lanes.take(2, 1000, 9).len()), (0, 1), "one in any case");
        drop(one);
        assert_eq!(lanes.take(2, 1000, 9).len(), 9);
    }
}
