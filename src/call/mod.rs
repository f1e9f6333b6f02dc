//! Retries for external calls, and classification of AWS errors.

mod failure;
mod retry;

pub use failure::Failure;
pub(crate) use failure::{Class, said};
pub use retry::retried;
#[cfg(feature = "command")]
pub use retry::retried_for;

/// Why a call did not do what it should. What was said of it is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
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
    /// What was sent cannot be read.
    #[error("refused as malformed: {0}")]
    Malformed(String),
    /// Nothing of this size is taken.
    #[error("refused as too large")]
    TooLarge,
}
