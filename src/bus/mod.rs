//! Event buses: EventBridge, a local file, and the spill queue.
//!
//! A [`Bus`] never loses an event that it accepted. It delivers each event at least once: if the response to an attempt was lost,
//! a retry publishes the event again. Consumers recognise duplicates by the id in the event's `resources`.

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
    /// Publishes one event, and returns before `deadline`. The event is an `Arc`, so that a bus that writes the event later needs
    /// no copy of it.
    ///
    /// # Errors
    /// The bus rejected the event, or did not confirm it before `deadline`. An unconfirmed event may still be published.
    fn publish(
        &self,
        event: &Arc<Event>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
}
