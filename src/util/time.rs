//! Parses the times that users write in flags and query parameters.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Parses a time, or a date, which means the start of that day in UTC.
pub fn parse_time_or_date(text: &str) -> Option<Timestamp> {
    let start_of_day = || Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    text.parse().ok().or_else(start_of_day)
}
