//! What a person writes on the command line.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// A time as a person writes it; a date is its beginning, in UTC.
///
/// # Errors
/// What it should be.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let date = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp());
    let wrong = || format!("'{text}' is neither a date (2026-11-22) nor a time (2026-11-22T10:00:00Z)");
    text.parse().ok().or_else(date).ok_or_else(wrong)
}
