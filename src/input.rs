//! Command-line value parsers.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::log::TypePattern;

/// A time as a person writes it; a date is its beginning, in UTC.
///
/// # Errors
/// What it should be.
pub fn time(text: &str) -> Result<Timestamp, String> {
    let date = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp());
    let wrong = || format!("'{text}' is neither a date (2026-11-22) nor a time (2026-11-22T10:00:00Z)");
    text.parse().ok().or_else(date).ok_or_else(wrong)
}

/// A type of events, or with `*` at its end all that begin so.
///
/// # Errors
/// When there is a `*` before its end.
pub fn type_pattern(text: &str) -> Result<TypePattern, String> {
    match text.find('*') {
        Some(at) if at + 1 < text.len() => Err(format!("'{text}' has a * before its end")),
        _ => Ok(TypePattern(text.to_owned())),
    }
}

/// A type of events in full.
///
/// # Errors
/// When there is a `*` in it.
pub fn whole_type(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err(format!("'{text}' has a *, and a type is written in full here"));
    }
    Ok(text.to_owned())
}
