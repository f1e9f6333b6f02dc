//! Weeks, from Monday to Monday in UTC, and the names of the weekly partitions of PostgreSQL tables.

use jiff::{Timestamp, ToSpan as _, civil, tz::TimeZone};

const SECONDS_PER_WEEK: i64 = 7 * 86_400;
/// The name of the log's table of events.
const EVENTS_TABLE: &str = "events";
/// The start of week 0, in seconds since 1970. 1970-01-01 was a Thursday, so the Monday before it was three days earlier.
const FIRST_MONDAY_EPOCH_SECONDS: i64 = -3 * 86_400;

/// A week, identified by the number of weeks since the week of 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Week(i64);

impl Week {
    /// Returns the week that contains a time.
    pub(crate) fn containing(time: Timestamp) -> Self {
        Self((time.as_second() - FIRST_MONDAY_EPOCH_SECONDS).div_euclid(SECONDS_PER_WEEK))
    }

    /// Returns the week that is `weeks` weeks later.
    pub(crate) fn add_weeks(self, weeks: i64) -> Self {
        Self(self.0 + weeks)
    }

    /// Returns the date of the week's Monday.
    pub(crate) fn monday(self) -> civil::Date {
        let start = FIRST_MONDAY_EPOCH_SECONDS + self.0 * SECONDS_PER_WEEK;
        let epoch = civil::date(1970, 1, 1);
        epoch.checked_add((start / 86_400).days()).unwrap_or(epoch)
    }

    /// Returns the start of the week: Monday, 00:00 UTC.
    pub(crate) fn start(self) -> Timestamp {
        self.monday().to_zoned(TimeZone::UTC).map_or(Timestamp::UNIX_EPOCH, |start| start.timestamp())
    }

    /// Returns the name of the week's `events` partition: `events_YYYYMMDD`, with the date of its Monday.
    pub(crate) fn events_partition_name(self) -> String {
        self.partition_name(EVENTS_TABLE)
    }

    /// Returns the week of an `events` partition with this name; `None` if the name is not one of a weekly partition.
    pub(crate) fn from_events_partition_name(name: &str) -> Option<Self> {
        Self::from_partition_name(name, EVENTS_TABLE)
    }

    /// Returns the name of the week's partition of `table`: the table's name, an underscore and the date of the week's Monday.
    pub(crate) fn partition_name(self, table: &str) -> String {
        format!("{table}_{}", self.monday().strftime("%Y%m%d"))
    }

    /// Returns the week of the partition of `table` with this name; `None` if the name is not one of a weekly partition.
    pub(crate) fn from_partition_name(name: &str, table: &str) -> Option<Self> {
        let date = civil::Date::strptime("%Y%m%d", name.strip_prefix(table)?.strip_prefix('_')?).ok()?;
        let week = Self::containing(date.to_zoned(TimeZone::UTC).ok()?.timestamp());
        (week.monday() == date).then_some(week)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_week_starts_on_monday_utc() {
        let week_of = |time: &str| Week::containing(time.parse().unwrap());
        assert_eq!(week_of("2026-11-22T23:59:59.999Z").monday(), civil::date(2026, 11, 16));
        assert_eq!(week_of("2026-11-23T00:00:00Z").monday(), civil::date(2026, 11, 23));
        assert_eq!(week_of("1969-12-31T23:59:59Z").monday(), civil::date(1969, 12, 29));
        let week = week_of("2026-11-22T10:00:00Z");
        assert_eq!(week.start().to_string(), "2026-11-16T00:00:00Z");
        assert_eq!(week.add_weeks(1).start().to_string(), "2026-11-23T00:00:00Z");
        assert_eq!(week.events_partition_name(), "events_20261116");
        assert_eq!(Week::from_events_partition_name("events_20261116"), Some(week));
        assert_eq!(Week::from_events_partition_name("events_20261117"), None, "a Tuesday");
        assert_eq!(Week::from_events_partition_name("events_default"), None);
    }
}
