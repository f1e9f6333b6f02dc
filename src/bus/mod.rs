//! Where events go: an EventBridge bus, or on one machine a file.
//!
//! A [`Bus`] promises that an event it has taken is not lost by it, and that it answers by the deadline it was
//! given. It may take an event twice (an answer can be lost after the event was taken): consumers tell repeats
//! apart by the event's `resources`.

mod eventbridge;
#[cfg(feature = "command")]
mod local;
mod retry;

use tokio::time::Instant;

pub use eventbridge::EventBridge;
#[cfg(feature = "command")]
pub use local::{LocalBus, OpenError};

use crate::event::Event;

/// Takes events.
pub trait Bus: Send + Sync + 'static {
    /// Puts one event on the bus, and answers before `deadline`.
    ///
    /// # Errors
    /// [`PutError`]: the event was not taken, or nobody can say that it was.
    fn put(&self, event: Event, deadline: Instant) -> impl Future<Output = Result<(), PutError>> + Send;
}

/// Why an event was not put on the bus. What the bus said is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PutError {
    /// Down, slow or over its quota, after every retry that fitted in the time.
    #[error("the bus is unavailable (attempts made: {attempts}): {last}")]
    Unavailable {
        /// How often it was tried.
        attempts: u32,
        /// What went wrong the last time.
        last: String,
    },
    /// Refused for a reason that no retry mends, for example a missing permission.
    #[error("the bus refused the event: {0}")]
    Refused(String),
    /// The bus cannot read this event.
    #[error("the bus refused the event as malformed: {0}")]
    Malformed(String),
    /// The bus takes no event of this size.
    #[error("the bus refused the event as too large")]
    TooLarge,
}
