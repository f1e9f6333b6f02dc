//! The `Detail` of an event.
//!
//! A detail is a JSON object within EventBridge's limits, stored byte for byte.

use bytes::Bytes;
use bytes_utils::Str;
use serde::de::IgnoredAny;

/// The nesting depth up to which EventBridge accepts a `Detail`. Source of this limit and of the integer range: "PutEvents",
/// Amazon EventBridge API Reference.
const MAX_DEPTH: usize = 1000;

/// A JSON object that EventBridge accepts, exactly as the sender wrote it: at most 1,000 levels deep, with every
/// integer in the signed 64-bit range.
#[derive(Clone, PartialEq, Eq)]
pub struct Detail(Str);

/// Why a text is not a valid [`Detail`]. The message states the position, never the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DetailError {
    /// The bytes are not UTF-8.
    #[error("not UTF-8 (byte {offset})")]
    InvalidUtf8 {
        /// Offset of the first invalid byte.
        offset: usize,
    },
    /// The text is not JSON.
    #[error("{problem} at line {line} column {column}")]
    InvalidJson {
        /// Whether the JSON is incomplete or invalid.
        problem: &'static str,
        /// Line of the error, 1-based.
        line: usize,
        /// Column of the error, 1-based.
        column: usize,
    },
    /// The JSON is not an object.
    #[error("{0} where an object is needed")]
    NotAnObject(&'static str),
    /// The nesting exceeds EventBridge's limit.
    #[error("nested deeper than {MAX_DEPTH} levels, which EventBridge refuses")]
    TooDeep,
    /// An integer exceeds EventBridge's range.
    #[error("an integer outside the signed 64-bit range (byte {offset}), which EventBridge refuses")]
    IntegerOutOfRange {
        /// Offset of the number, in bytes.
        offset: usize,
    },
}

impl Detail {
    /// Validates and copies a JSON object.
    ///
    /// # Errors
    /// When the bytes are not a JSON object within EventBridge's limits.
    pub fn parse(bytes: &[u8]) -> Result<Self, DetailError> {
        Self::from_bytes(Bytes::copy_from_slice(bytes))
    }

    /// Validates a JSON object without copying it.
    ///
    /// # Errors
    /// As for [`Detail::parse`].
    pub fn from_bytes(bytes: Bytes) -> Result<Self, DetailError> {
        let text = Str::from_inner(bytes)
            .map_err(|e| DetailError::InvalidUtf8 { offset: e.utf8_error().valid_up_to() })?;
        serde_json::from_str::<IgnoredAny>(&text).map_err(|e| DetailError::InvalidJson {
            problem: if e.is_eof() { "the JSON ends too early" } else { "not JSON" },
            line: e.line(),
            column: e.column(),
        })?;
        match text.trim_start().as_bytes().first() {
            Some(b'{') => {}
            Some(b'[') => return Err(DetailError::NotAnObject("an array")),
            Some(b'"') => return Err(DetailError::NotAnObject("a string")),
            Some(b'n') => return Err(DetailError::NotAnObject("null")),
            Some(b't' | b'f') => return Err(DetailError::NotAnObject("a boolean")),
            _ => return Err(DetailError::NotAnObject("a number")),
        }
        check_limits(text.as_bytes())?;
        Ok(Self(text))
    }

    /// The JSON, byte for byte as received.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The JSON as shared bytes.
    pub fn bytes(&self) -> Bytes {
        self.0.inner().clone()
    }
}

/// Omits the content, which holds customer data.
impl std::fmt::Debug for Detail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Detail({} bytes)", self.0.len())
    }
}

/// Whether `json`, which must be valid, is nested deeper than EventBridge accepts.
pub fn is_too_deep(json: &str) -> bool {
    // Each nesting level takes two brackets, so a text of at most `2 * MAX_DEPTH` bytes cannot exceed the limit.
    json.len() > 2 * MAX_DEPTH && scan(json.as_bytes(), |_, _| Ok(())).is_err()
}

/// Scans `json`, which must be valid, and calls `check_number` with the offset and the text of each number. Fails if
/// a check fails, or if the nesting exceeds EventBridge's limit.
fn scan(
    json: &[u8],
    check_number: impl Fn(usize, &[u8]) -> Result<(), DetailError>,
) -> Result<(), DetailError> {
    let (mut depth, mut offset) = (0_usize, 0);
    while offset < json.len() {
        match json[offset] {
            b'"' => offset += string_length(&json[offset..]) - 1,
            b'{' | b'[' if depth == MAX_DEPTH => return Err(DetailError::TooDeep),
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'-' | b'0'..=b'9' => {
                let length = number_length(&json[offset..]);
                check_number(offset, &json[offset..offset + length])?;
                offset += length - 1;
            }
            _ => {}
        }
        offset += 1;
    }
    Ok(())
}

fn number_length(json: &[u8]) -> usize {
    let is_number_byte = |b: &u8| matches!(b, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
    json.iter().position(|b| !is_number_byte(b)).unwrap_or(json.len())
}

/// Checks the nesting depth and the integers of `json`, which must be valid.
fn check_limits(json: &[u8]) -> Result<(), DetailError> {
    scan(json, |offset, number| {
        if is_accepted_number(number) { Ok(()) } else { Err(DetailError::IntegerOutOfRange { offset }) }
    })
}

/// Length of the string at the start of `json`, including its quotes.
fn string_length(json: &[u8]) -> usize {
    let mut offset = 1;
    while let Some(distance) = json.get(offset..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        offset += distance;
        if json[offset] == b'"' {
            return offset + 1;
        }
        // Skip a backslash and the character that it escapes.
        offset += 2;
    }
    json.len()
}

/// Whether EventBridge accepts a number: every number with a fraction or exponent, and signed 64-bit integers.
fn is_accepted_number(number: &[u8]) -> bool {
    number.len() < 19
        || number.iter().any(|b| matches!(b, b'.' | b'e' | b'E'))
        || std::str::from_utf8(number).is_ok_and(|n| n.parse::<i64>().is_ok())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn error_text(text: &str) -> String {
        Detail::parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn an_object_is_preserved_byte_for_byte() {
        for text in
            [r#"{}"#, " { \"a\" :\t1.0e5 }\r\n", r#"{"a":{"b":[1,"\"}{",-9223372036854775808]},"a":2}"#]
        {
            assert_eq!(Detail::parse(text.as_bytes()).unwrap().as_str(), text);
        }
    }

    #[test]
    fn an_error_names_the_position_and_never_the_content() {
        assert_eq!(Detail::parse(b"{\"a\":\"\xff\"}").unwrap_err(), DetailError::InvalidUtf8 { offset: 6 });
        assert_eq!(error_text(""), "the JSON ends too early at line 1 column 0");
        assert_eq!(error_text("{\"a\":1,\n secret"), "not JSON at line 2 column 2");
        assert_eq!(error_text("{} {}"), "not JSON at line 1 column 4");
        assert_eq!(error_text("[{}]"), "an array where an object is needed");
        assert_eq!(error_text("17"), "a number where an object is needed");
        assert_eq!(error_text("null"), "null where an object is needed");
        assert_eq!(error_text("true"), "a boolean where an object is needed");
        assert_eq!(error_text("\"{}\""), "a string where an object is needed");
    }

    #[test]
    fn details_that_eventbridge_rejects_are_rejected_locally() {
        let nested = |levels: usize| format!("{}1{}", "{\"a\":".repeat(levels), "}".repeat(levels));
        assert!(Detail::parse(nested(1000).as_bytes()).is_ok());
        assert_eq!(Detail::parse(nested(1001).as_bytes()).unwrap_err(), DetailError::TooDeep);
        assert!(Detail::parse(br#"{"n":9223372036854775807,"m":1e300,"s":"99999999999999999999"}"#).is_ok());
        let error = Detail::parse(br#"{"n":9223372036854775808}"#).unwrap_err();
        assert_eq!(error, DetailError::IntegerOutOfRange { offset: 5 });
    }
}
