//! Parses the times that users write in flags and query parameters.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;

/// Parses a time, or a date, which means the start of that day in UTC.
pub fn parse_time_or_date(text: &str) -> Option<Timestamp> {
    let start_of_day = || Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    parse_timestamp_in_range(text).or_else(start_of_day)
}

/// Parses a time. A time in the last or first days of the calendar that [`Timestamp`] cannot represent becomes the last or first
/// one that it can: users write `9999-12-31T23:59:59Z` for "no upper bound".
pub fn parse_timestamp_in_range(text: &str) -> Option<Timestamp> {
    let nearest = || {
        let pieces = Pieces::parse(text).ok()?;
        let has_zone = pieces.offset().is_some() || pieces.time().is_none();
        match pieces.date().year() {
            9999 if has_zone => Some(Timestamp::MAX),
            -9999 if has_zone => Some(Timestamp::MIN),
            _ => None,
        }
    };
    text.parse().ok().or_else(nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_beyond_the_range_is_the_nearest_one() {
        for text in
            ["9999-12-31T00:00:00Z", "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-11:00", "9999-12-31"]
        {
            assert_eq!(parse_time_or_date(text), Some(Timestamp::MAX), "{text}");
        }
        assert_eq!(parse_time_or_date("-009999-01-01T00:00:00Z"), Some(Timestamp::MIN));
        for text in ["9999-12-32", "9999-12-31T00:00", "10000-01-01", "9999", "9999-12-31T25:00:00Z", ""] {
            assert_eq!(parse_time_or_date(text), None, "{text}");
        }
        let time = "9999-12-30T10:00:00Z";
        assert_eq!(parse_time_or_date(time).map(|time| time.to_string()).as_deref(), Some(time));
    }
}
