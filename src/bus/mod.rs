//! Where events go: an EventBridge bus, or on one machine a file; and a queue where they wait while the bus is down.
//!
//! A [`Bus`] promises that an event it has taken is not lost by it, and that it answers by the deadline it was
//! given. It may take an event twice (an answer can be lost after the event was taken): consumers tell repeats
//! apart by the event's `resources`.

mod eventbridge;
mod failure;
#[cfg(feature = "command")]
mod local;
mod overflow;
mod retry;
mod spill;

use tokio::time::Instant;

pub use eventbridge::EventBridge;
#[cfg(feature = "command")]
pub use local::{LocalBus, OpenError};
pub use overflow::OverflowBucket;
pub use spill::SpillQueue;

use crate::event::Event;

/// Takes events.
pub trait Bus: Send + Sync + 'static {
    /// Puts one event on the bus, and answers before `deadline`.
    ///
    /// # Errors
    /// [`PutError`]: the event was not taken, or nobody can say that it was.
    fn put(&self, event: &Event, deadline: Instant) -> impl Future<Output = Result<(), PutError>> + Send;
}

/// Why an event was not put where it should go. What was said of it is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// Down, slow or over its quota, after every retry that fitted in the time.
    #[error("unavailable (attempts made: {attempts}): {last}")]
    Unavailable {
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        last: String,
    },
    /// Refused for a reason that no retry mends, for example a missing permission.
    #[error("refused: {0}")]
    Refused(String),
    /// The bus cannot read this event.
    #[error("refused as malformed: {0}")]
    Malformed(String),
    /// The bus takes no event of this size.
    #[error("refused as too large")]
    TooLarge,
}
