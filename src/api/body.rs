//! Parses request bodies. An error names the field and never quotes its value.

use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::error::ApiError;
use crate::util::time::parse_time_or_date;

/// Parses a request body, which must be a JSON object.
pub(crate) fn parse_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    parse_object(body).map_err(ApiError::BadRequest)
}

fn parse_object<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("the body is not a JSON object".into());
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| field_error(&error))?;
    deserializer.end().map_err(|_| "the body has text after the JSON object".to_owned())?;
    Ok(parsed)
}

/// Deserializes a JSON value. An error names the field and never quotes its value.
pub(super) fn parse_value<T: DeserializeOwned>(value: Value) -> Result<T, ApiError> {
    serde_path_to_error::deserialize(value).map_err(|error| ApiError::BadRequest(field_error(&error)))
}

/// Describes an error by the field and the expected type. serde's message may quote the field's value, which may be a secret. So
/// the description contains only parts of serde's message that never include a value.
fn field_error(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let (path, text) = (error.path().to_string(), error.inner().to_string());
    let field = if path == "." { String::new() } else { format!("{path}: ") };
    let position_start = text.rfind(" at line ").unwrap_or(text.len());
    let (message, position) = text.split_at(position_start);
    let field_error_prefixes = ["unknown field", "missing field", "duplicate field"];
    match message.split_once(", expected ") {
        _ if error.inner().is_syntax() || error.inner().is_eof() => format!("not JSON: {message}{position}"),
        _ if field_error_prefixes.iter().any(|prefix| message.starts_with(prefix)) => message.to_owned(),
        Some((_, "u16" | "u32" | "usize" | "i64")) => format!("{field}expected a whole number"),
        Some((_, expected)) => format!("{field}expected {expected}"),
        None => format!("{field}unexpected value"),
    }
}

/// Deserializes an optional time or date, in the formats that the command line accepts: `2026-11-22T10:00:00Z` or `2026-11-22`.
pub(super) fn deserialize_time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    let invalid = || D::Error::custom("invalid time, expected 2026-11-22 or 2026-11-22T10:00:00Z");
    parse_time_or_date(&text).map(Some).ok_or_else(invalid)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::delivery::SubscriberUpdate;

    #[test]
    fn an_error_names_the_field_and_not_its_value() {
        let error = |body: &str| parse_object::<SubscriberUpdate>(body.as_bytes()).unwrap_err();
        insta::assert_snapshot!(error("[\"hunter2\"]"), @"the body is not a JSON object");
        insta::assert_snapshot!(error(""), @"the body is not a JSON object");
        insta::assert_snapshot!(error("{\"url\": \"hunter2\""), @"not JSON: EOF while parsing an object at line 1 column 17");
        insta::assert_snapshot!(error("{\"url\": hunter2}"), @"not JSON: expected value at line 1 column 9");
        insta::assert_snapshot!(error("{} hunter2"), @"the body has text after the JSON object");
        insta::assert_snapshot!(error("{\"url\": 17}"), @"url: expected a string");
        insta::assert_snapshot!(error("{\"limit\": \"hunter2\"}"), @"limit: expected a whole number");
        insta::assert_snapshot!(error("{\"types\": [\"a\", [\"hunter2\"]]}"), @"types[1]: expected a string");
        insta::assert_snapshot!(error("{\"envelope\": \"hunter2\"}"), @"envelope: expected `event` or `body`");
        insta::assert_snapshot!(error("{\"colour\": \"hunter2\"}"), @"unknown field `colour`, expected one of `url`, `types`, `filter`, `signature`, `envelope`, `limit`, `timeout`, `failure_budget`");
        insta::assert_snapshot!(error("{\"limit\": 1, \"limit\": 2}"), @"duplicate field `limit`");
    }
}
