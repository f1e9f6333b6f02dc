//! The retry schedule.
//!
//! A delivery whose first attempt fails is retried 10 minutes, 1 hour, 3 hours and 1 day after that attempt, then daily up to 7
//! days after that attempt. Jitter delays each retry but the last, so that deliveries that failed together are not retried
//! together.

use jiff::{SignedDuration, Timestamp};

/// The due times of the retries, as durations after the first attempt.
pub const RETRY_SCHEDULE: [SignedDuration; 10] = [
    SignedDuration::from_mins(10),
    SignedDuration::from_hours(1),
    SignedDuration::from_hours(3),
    SignedDuration::from_hours(24),
    SignedDuration::from_hours(2 * 24),
    SignedDuration::from_hours(3 * 24),
    SignedDuration::from_hours(4 * 24),
    SignedDuration::from_hours(5 * 24),
    SignedDuration::from_hours(6 * 24),
    RETRY_WINDOW,
];
/// How long a delivery is retried, counted from its first attempt.
pub(super) const RETRY_WINDOW: SignedDuration = SignedDuration::from_hours(7 * 24);
/// The maximum jitter of a retry, as a fraction of the time between the first attempt and the retry.
const JITTER_RATIO: f64 = 0.05;
/// The upper limit of a retry's jitter, even if `JITTER_RATIO` gives more.
const MAX_JITTER: SignedDuration = SignedDuration::from_mins(10);
/// The longest `Retry-After` that is honoured; a longer one is shortened to this.
const MAX_RETRY_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Returns the time of the next attempt for a delivery that was first attempted at `first_attempt` and whose last attempt failed
/// at `now`; `None` if the seven days of retries are over. `retry_after` is the delay that the subscriber requested by
/// `Retry-After`. `random` is a random number from 0 to 1 for the jitter.
pub(super) fn next_attempt(
    first_attempt: Timestamp,
    now: Timestamp,
    retry_after: Option<SignedDuration>,
    random: f64,
) -> Option<Timestamp> {
    let elapsed = now.duration_since(first_attempt);
    let earliest = elapsed + retry_after.unwrap_or_default().clamp(SignedDuration::ZERO, MAX_RETRY_AFTER);
    let scheduled = *RETRY_SCHEDULE.iter().find(|scheduled| **scheduled > elapsed)?;
    let jitter = if scheduled == RETRY_WINDOW {
        SignedDuration::ZERO
    } else {
        MAX_JITTER.min(scheduled.mul_f64(JITTER_RATIO)).mul_f64(random)
    };
    first_attempt.checked_add((scheduled + jitter).max(earliest).min(RETRY_WINDOW)).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// Returns the times of all attempts of a delivery that never succeeds, in seconds after the first attempt.
    fn attempt_seconds(retry_after: Option<i64>, random: f64) -> Vec<i64> {
        let first = Timestamp::from_second(1_700_000_000).unwrap();
        let mut times = vec![first];
        while let Some(time) =
            next_attempt(first, times[times.len() - 1], retry_after.map(SignedDuration::from_secs), random)
        {
            times.push(time);
        }
        times.iter().map(|time| time.duration_since(first).as_secs()).collect()
    }

    #[test]
    fn the_schedule_is_the_documented_one() {
        const DAY: i64 = 86_400;
        let expected = [0, 600, 3600, 10_800, DAY, 2 * DAY, 3 * DAY, 4 * DAY, 5 * DAY, 6 * DAY, 7 * DAY];
        assert_eq!(attempt_seconds(None, 0.0), expected);
        let latest = [0, 630, 3780, 11_340, DAY + 600, 2 * DAY + 600, 3 * DAY + 600, 4 * DAY + 600];
        assert_eq!(attempt_seconds(None, 1.0)[..8], latest);
        assert_eq!(attempt_seconds(None, 1.0).len(), 11);
        assert_eq!(attempt_seconds(None, 1.0)[10], 7 * DAY, "the last attempt has no jitter");
    }

    #[test]
    fn retry_after_is_honoured_within_bounds() {
        assert_eq!(attempt_seconds(Some(60), 0.0), attempt_seconds(None, 0.0), "the schedule waits longer");
        assert_eq!(attempt_seconds(Some(1800), 0.0)[..4], [0, 1800, 3600, 10_800]);
        let capped = attempt_seconds(Some(365 * 86_400), 0.0);
        assert_eq!(capped, [0, 86_400, 172_800, 259_200, 345_600, 432_000, 518_400, 604_800]);
        assert_eq!(attempt_seconds(Some(-5), 0.0), attempt_seconds(None, 0.0));
    }

    #[test]
    fn a_late_attempt_continues_with_the_rest_of_the_schedule() {
        let first = Timestamp::from_second(0).unwrap();
        let next_after = |seconds| next_attempt(first, Timestamp::from_second(seconds).unwrap(), None, 0.0);
        assert_eq!(next_after(2 * 86_400 + 5).unwrap().as_second(), 3 * 86_400);
        assert_eq!(next_after(7 * 86_400), None);
        assert_eq!(next_after(8 * 86_400), None);
    }
}
