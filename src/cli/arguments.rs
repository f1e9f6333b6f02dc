//! Parsers of command-line values, and readers of files that arguments name.

use std::io::Read as _;
use std::path::Path;

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

/// Reads a file, or standard input if `path` is `-`.
///
/// # Errors
/// The path and why it cannot be read.
pub(super) fn read_file_or_stdin(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let result = if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes)
    } else {
        std::fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes))
    };
    result.map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(bytes)
}
