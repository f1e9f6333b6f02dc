//! The failure budget: how long every attempt may fail before a subscriber is paused.

use jiff::{SignedDuration, Timestamp};

use crate::delivery::store::FailureStreak;
use crate::delivery::subscriber::SubscriberSettings;

/// The parts of the budget, in percent, that are reported while a subscriber fails, largest first.
pub(super) const REPORTED_PERCENTAGES: [u8; 2] = [90, 50];

/// The largest of `percentages` (in descending order) that the used part of the budget has reached.
pub(super) fn reached_percentage(
    settings: &SubscriberSettings,
    streak: FailureStreak,
    now: Timestamp,
    percentages: &[u8],
) -> Option<u8> {
    let budget = SignedDuration::from_hours(settings.failure_budget.into());
    let used = now.duration_since(streak.since).as_secs_f64() / budget.as_secs_f64();
    percentages.iter().copied().find(|percent| used * 100.0 >= f64::from(*percent))
}
