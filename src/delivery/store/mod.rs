//! Persistence for subscribers, deliveries and attempts, in the log's database.

mod attempts;
mod audit;
mod deliveries;
mod subscribers;

pub(super) use attempts::RecordedAttempt;
pub use audit::{AttemptView, DeliveryFilter, DeliveryState, DeliveryView};
pub(super) use deliveries::{
    ClaimLease, ClaimedDelivery, CreatedDelivery, DueSubscriber, OutgoingEvent, PendingDelivery,
};
pub(super) use subscribers::FailureStreak;

#[derive(Clone)]
pub struct DeliveryStore<S> {
    db: S,
}

impl<S> DeliveryStore<S> {
    pub fn new(db: S) -> Self {
        Self { db }
    }
}
