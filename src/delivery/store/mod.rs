//! Persistence for subscribers, deliveries and attempts, in the log's database.

mod attempts;
mod deliveries;
mod history;
mod leases;
mod subscribers;

pub(super) use attempts::RecordedAttempt;
pub(super) use deliveries::{CreatedDelivery, OutgoingEvent, PendingDelivery};
pub use history::{AttemptView, DeliveryFilter, DeliveryHistory, DeliveryState, DeliveryView};
pub(super) use leases::{ClaimLease, ClaimedDelivery, DueSubscriber};
pub(super) use subscribers::FailureStreak;
pub use subscribers::SubscriberStore;

use crate::db::Database;

/// Deliveries, with the stores of their subscribers and of their history. Every method fails with the error of the database.
#[derive(Clone)]
pub struct DeliveryStore {
    db: Database,
    pub subscribers: SubscriberStore,
    pub history: DeliveryHistory,
}

impl DeliveryStore {
    pub fn new(db: Database) -> Self {
        Self { subscribers: SubscriberStore::new(db.clone()), history: DeliveryHistory::new(db.clone()), db }
    }
}
