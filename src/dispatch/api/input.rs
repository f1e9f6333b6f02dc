//! Request parsing with field-level errors that never echo values.

use jiff::Timestamp;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::input;

/// Reads a body, which is an object of JSON.
pub(super) fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("the body is not an object of JSON".into());
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let read = serde_path_to_error::deserialize(&mut json).map_err(|error| wrong(&error))?;
    json.end().map_err(|_| "the body is more than one object of JSON".to_owned())?;
    Ok(read)
}

/// Reads what a body or a query says.
pub(super) fn read_value<T: DeserializeOwned>(value: Value) -> Result<T, String> {
    serde_path_to_error::deserialize(value).map_err(|error| wrong(&error))
}

/// What is wrong, and with which field. Of what serde says it leaves out the value, which may be a secret.
fn wrong(error: &serde_path_to_error::Error<serde_json::Error>) -> String {
    let (path, text) = (error.path().to_string(), error.inner().to_string());
    let field = if path == "." { String::new() } else { format!("{path}: ") };
    let place = text.rfind(" at line ").unwrap_or(text.len());
    let (what, place) = text.split_at(place);
    let names_a_field = ["unknown field", "missing field", "duplicate field"];
    match what.split_once(", expected ") {
        _ if error.inner().is_syntax() || error.inner().is_eof() => format!("not JSON: {what}{place}"),
        _ if names_a_field.iter().any(|known| what.starts_with(known)) => what.to_owned(),
        Some((_, "u16" | "u32" | "usize" | "i64")) => format!("{field}expected a whole number"),
        Some((_, expected)) => format!("{field}expected {expected}"),
        None => format!("{field}unexpected value"),
    }
}

/// A time, as the commands take it.
pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
    let wrong = |_| D::Error::custom("not a time, expected 2026-11-22 or 2026-11-22T10:00:00Z");
    input::time(&text).map(Some).map_err(wrong)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::dispatch::Changes;

    #[test]
    fn an_error_names_the_field_and_not_what_is_in_it() {
        let error = |body: &str| read::<Changes>(body.as_bytes()).unwrap_err();
        insta::assert_snapshot!(error("[\"hunter2\"]"), @"the body is not an object of JSON");
        insta::assert_snapshot!(error(""), @"the body is not an object of JSON");
        insta::assert_snapshot!(error("{\"url\": \"hunter2\""), @"not JSON: EOF while parsing an object at line 1 column 17");
        insta::assert_snapshot!(error("{\"url\": hunter2}"), @"not JSON: expected value at line 1 column 9");
        insta::assert_snapshot!(error("{} hunter2"), @"the body is more than one object of JSON");
        insta::assert_snapshot!(error("{\"url\": 17}"), @"url: expected a string");
        insta::assert_snapshot!(error("{\"limit\": \"hunter2\"}"), @"limit: expected a whole number");
        insta::assert_snapshot!(error("{\"types\": [\"a\", [\"hunter2\"]]}"), @"types[1]: expected a string");
        insta::assert_snapshot!(error("{\"envelope\": \"hunter2\"}"), @"envelope: expected `event` or `body`");
        insta::assert_snapshot!(error("{\"colour\": \"hunter2\"}"), @"unknown field `colour`, expected one of `url`, `types`, `filter`, `signature`, `envelope`, `limit`, `timeout`, `failure_budget`");
        insta::assert_snapshot!(error("{\"limit\": 1, \"limit\": 2}"), @"duplicate field `limit`");
    }
}
