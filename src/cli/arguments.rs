//! Parsers of command-line values.

use jiff::Timestamp;

use crate::log::TypePattern;
use crate::util::time::parse_time_or_date;

/// Parses a time, or a date, which means the start of that day in UTC.
pub(super) fn parse_time(text: &str) -> Result<Timestamp, String> {
    let invalid = || format!("invalid time '{text}', expected 2026-11-22 or 2026-11-22T10:00:00Z");
    parse_time_or_date(text).ok_or_else(invalid)
}

/// Parses an event type, or a prefix of types that ends with `*`.
pub(super) fn parse_type_pattern(text: &str) -> Result<TypePattern, String> {
    match text.find('*') {
        Some(index) if index + 1 < text.len() => Err(format!("'{text}' may contain * only at its end")),
        _ => Ok(TypePattern(text.to_owned())),
    }
}

/// Parses an event type without `*`.
pub(super) fn parse_event_type(text: &str) -> Result<String, String> {
    if text.contains('*') {
        return Err(format!("'{text}' may not contain *: name the whole type"));
    }
    Ok(text.to_owned())
}
