//! The failure budget: how long every attempt to a subscriber may fail before the subscriber is paused.

use jiff::{SignedDuration, Timestamp};

use crate::delivery::store::FailureStreak;
use crate::delivery::subscriber::SubscriberSettings;

/// A health event is published when a failing subscriber has used this percentage of its failure budget. Largest first.
pub(super) const REPORTED_PERCENTAGES: [u8; 2] = [90, 50];

/// Returns the largest of `percentages` (in descending order) that the used part of the failure budget has reached.
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
