//! How much is in hand for each subscriber: so much at once and no more, so that a slow one does not take the place of others.
//! Who has too much to do is given half as much, and one more with every good attempt.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::subscriber::SubscriberId;

/// The lanes of all subscribers.
#[derive(Clone, Default)]
pub(super) struct Lanes(Arc<Mutex<HashMap<SubscriberId, Lane>>>);

/// A place in a lane, which is given back with it.
pub(super) struct Place {
    lanes: Lanes,
    id: SubscriberId,
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(lane) = self.lanes.lanes().get_mut(&self.id) {
            lane.in_hand = lane.in_hand.saturating_sub(1);
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
}

impl Lanes {
    fn lanes(&self) -> MutexGuard<'_, HashMap<SubscriberId, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to `wanted` places of a subscriber that takes `most` at once.
    pub(super) fn take(&self, id: SubscriberId, most: u32, wanted: u32) -> Vec<Place> {
        let mut lanes = self.lanes();
        let lane = lanes.entry(id).or_insert(Lane { in_hand: 0, width: most });
        lane.width = lane.width.min(most);
        let taken = lane.width.saturating_sub(lane.in_hand).min(wanted);
        lane.in_hand += taken;
        (0..taken).map(|_| Place { lanes: self.clone(), id }).collect()
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

    /// Makes a lane as narrow as can be: too much has failed.
    pub(super) fn close(&self, id: SubscriberId) {
        if let Some(lane) = self.lanes().get_mut(&id) {
            lane.width = 1;
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
        assert_eq!(one.len(), 1);
        lanes.close(1);
        drop((two, one));
        let last = lanes.take(1, 4, 9);
        assert_eq!((last.len(), lanes.take(1, 4, 9).len()), (1, 0));
        lanes.widen(1, 1);
        assert_eq!(lanes.take(1, 1, 9).len(), 0, "never more than its most");
    }
}
