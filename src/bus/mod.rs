//! Event buses: EventBridge, a local file, and the spill queue.
//!
//! A [`Bus`] never loses an event that it accepted, and returns before the deadline of the call. It delivers at least
//! once: a retry publishes an event again if the response to the first attempt was lost. Consumers recognise
//! duplicates by the event's `resources`.

mod eventbridge;
#[cfg(feature = "command")]
mod local;
mod spill;

use std::sync::Arc;

use tokio::time::Instant;

pub use eventbridge::EventBridge;
#[cfg(feature = "command")]
pub use local::{LocalBus, OpenBusError};
pub use spill::SpillQueue;

use crate::aws::AwsError;
use crate::event::Event;

/// A destination of events.
pub trait Bus: Send + Sync + 'static {
    /// Publishes one event, and returns before `deadline`. The event is an `Arc`, so that a bus that writes it later
    /// needs no copy.
    ///
    /// # Errors
    /// When the bus rejected the event, or did not confirm it in time. An unconfirmed event may still be published.
    fn publish(
        &self,
        event: &Arc<Event>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
}
