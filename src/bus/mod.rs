//! Event buses: EventBridge, a local file, and the spill queue.
//!
//! A [`Bus`] promises that an event it has taken is not lost by it, and that it answers by the deadline it was
//! given. It may take an event twice (an answer can be lost after the event was taken): consumers tell repeats
//! apart by the event's `resources`.

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

use crate::call::CallError;
use crate::event::Event;

/// Takes events.
pub trait Bus: Send + Sync + 'static {
    /// Puts one event on the bus, and answers before `deadline`. The event is shared: a bus that writes it later keeps no copy.
    ///
    /// # Errors
    /// [`CallError`]: the event was not taken, or nobody can say that it was.
    fn publish(
        &self,
        event: &Arc<Event>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), CallError>> + Send;
}
