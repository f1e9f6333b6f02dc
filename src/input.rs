//! Command-line value parsers.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::log::TypePattern;

/// Parses a time, or a date: the start of that day in UTC.
pub fn parse_time(text: &str) -> Result<Timestamp, String> {
    let date = || text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok().map(|start| start.timestamp());
    let invalid = || format!("invalid time '{text}', expected 2026-11-22 or 2026-11-22T10:00:00Z");
    text.parse().ok().or_else(date).ok_or_else(invalid)
}

/// Parses an event type, or a prefix of types that ends with `*`.
pub fn parse_type_pattern(text: &str) -> Result<TypePattern, String> {
    match text.find('*') {
        Some(index) if index + 1 < text.len() => Err(format!("'{text}' may contain * only at its end")),
        _ => Ok(TypePattern(text.to_owned())),
    }
}

/// Parses an event type without `*`.
pub fn parse_event_type(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err(format!("'{text}' may not contain *: name the whole type"));
    }
    Ok(text.to_owned())
}
