//! The circuit breaker: after consecutive failures a subscriber gets only one probe in two minutes, until a probe succeeds.

use jiff::{SignedDuration, Timestamp};

/// The number of consecutive failures at which the circuit opens.
pub(in crate::delivery) const FAILURE_THRESHOLD: i64 = 10;
/// How long the circuit stays open before the next probe.
pub(in crate::delivery) const OPEN_DURATION: SignedDuration = SignedDuration::from_mins(2);

/// The time at which a circuit that opens at `now` lets the next probe through.
pub(in crate::delivery) fn open_until(now: Timestamp) -> Timestamp {
    now.checked_add(OPEN_DURATION).unwrap_or(now)
}
