//! Persistence for deliveries and their attempts.

mod attempts;
mod audit;
mod deliveries;
mod subscribers;

pub(super) use attempts::Attempted;
pub use audit::{DeliveryFilter, DeliveryView, State, TriedView};
pub(super) use deliveries::{Claimed, Hold, Made, Message, Owed, Ready};
pub(super) use subscribers::Failing;

/// The store, in a database that runs its statements.
#[derive(Clone)]
pub struct Store<S> {
    db: S,
}

impl<S> Store<S> {
    /// The one in this database.
    pub fn new(db: S) -> Self {
        Self { db }
    }
}
