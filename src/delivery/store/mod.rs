//! Storage of subscribers, deliveries and attempts, in the database of the event log.

mod attempts;
mod deliveries;
mod history;
mod leases;
mod pages;
mod subscribers;

pub(super) use attempts::{NewDelivery, RecordedAttempt, Records};
pub use deliveries::DeliveryStore;
pub(super) use deliveries::{CreatedDelivery, OutgoingEvent, PendingDelivery};
pub use history::{AttemptView, DeliveryFilter, DeliveryHistory, DeliveryState, DeliveryView};
pub(super) use leases::{ClaimLease, ClaimedDelivery, DueSubscriber};
pub use pages::PageClaim;
pub(super) use subscribers::FailureStreak;
pub use subscribers::SubscriberStore;
