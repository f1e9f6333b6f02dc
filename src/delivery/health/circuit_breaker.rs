//! The circuit breaker: after ten consecutive failures, a subscriber gets only one attempt (a probe) every two minutes, until an
//! attempt succeeds.

use jiff::{SignedDuration, Timestamp};

/// The number of consecutive failures at which the circuit opens.
pub(in crate::delivery) const FAILURE_THRESHOLD: i64 = 10;
/// How long an open circuit waits before it lets the next probe through.
pub(in crate::delivery) const OPEN_DURATION: SignedDuration = SignedDuration::from_mins(2);

/// Returns the time at which a circuit that opens at `now` lets the next probe through.
pub(in crate::delivery) fn open_until(now: Timestamp) -> Timestamp {
    now.checked_add(OPEN_DURATION).unwrap_or(now)
}
