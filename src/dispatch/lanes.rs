//! How much is in hand for each subscriber: so much at once and no more, so that a slow one does not take the place of others.
//! Who has too much to do is given half as much, and one more with every good attempt.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::subscriber::SubscriberId;

/// The lanes of all subscribers.
#[derive(Default)]
pub(super) struct Lanes(Mutex<HashMap<SubscriberId, Lane>>);

struct Lane {
    in_hand: u32,
    width: u32,
}

impl Lanes {
    fn lanes(&self) -> MutexGuard<'_, HashMap<SubscriberId, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up to `wanted` places of a subscriber that takes `most` at once, and says how many it got.
    pub(super) fn take(&self, id: SubscriberId, most: u32, wanted: u32) -> u32 {
        let mut lanes = self.lanes();
        let lane = lanes.entry(id).or_insert(Lane { in_hand: 0, width: most });
        lane.width = lane.width.min(most);
        let taken = lane.width.saturating_sub(lane.in_hand).min(wanted);
        lane.in_hand += taken;
        taken
    }

    /// Gives places back.
    pub(super) fn give(&self, id: SubscriberId, places: u32) {
        if let Some(lane) = self.lanes().get_mut(&id) {
            lane.in_hand = lane.in_hand.saturating_sub(places);
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
        assert_eq!((lanes.take(1, 4, 3), lanes.take(1, 4, 3), lanes.take(2, 4, 9)), (3, 1, 4));
        lanes.give(1, 4);
        lanes.narrow(1);
        assert_eq!(lanes.take(1, 4, 9), 2);
        lanes.widen(1, 4);
        assert_eq!(lanes.take(1, 4, 9), 1);
        lanes.close(1);
        lanes.give(1, 3);
        assert_eq!((lanes.take(1, 4, 9), lanes.take(1, 4, 9)), (1, 0));
        lanes.widen(1, 1);
        assert_eq!(lanes.take(1, 4, 9), 0, "never more than its most");
    }
}
