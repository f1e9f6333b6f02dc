//! Access to single fields of JSON by JSON pointer (RFC 6901).

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::{Detail, RawObject, scalar_text};

/// The top-level fields of a JSON object. A nested value is parsed only when a caller asks for a pointer through it.
pub struct Fields<'a>(Option<RawObject<'a>>);

impl<'a> Fields<'a> {
    /// Parses the top level of `detail`.
    pub fn parse(detail: &'a Detail) -> Self {
        Self::parse_json(detail.as_str())
    }

    /// Parses the top level of a JSON text. A text that is not an object has no fields.
    pub fn parse_json(json: &'a str) -> Self {
        Self(RawObject::parse(json))
    }

    /// The JSON at `pointer`, for example `/event/id`; `None` if it points to nothing.
    pub fn raw_json(&self, pointer: &str) -> Option<&'a str> {
        let (first, rest) = split_pointer(pointer)?;
        find_value(self.0.as_ref()?.get(&first)?.get(), rest)
    }

    /// The text of the string, number or boolean at `pointer`; `None` if it points to nothing or to another value.
    pub fn text(&self, pointer: &str) -> Option<String> {
        let value: &RawValue = serde_json::from_str(self.raw_json(pointer)?).ok()?;
        // The escapes of a string must be valid Unicode, unlike those of `scalar_text`.
        match value.get().as_bytes().first() {
            Some(b'"') => serde_json::from_str(value.get()).ok(),
            _ => scalar_text(value).map(std::borrow::Cow::into_owned),
        }
    }

    /// The name of the first field that is not one of `names`.
    pub fn first_name_except(&self, names: &[&str]) -> Option<String> {
        let mut fields = self.0.as_ref()?.iter();
        fields.find(|(name, _)| !names.contains(name)).map(|(name, _)| name.to_owned())
    }
}

/// The value in `json`, which may be any JSON, at `pointer`; an empty pointer means `json` itself. `None` if the pointer points to
/// nothing, or the JSON on the way to it is invalid.
pub fn find_value<'a>(json: &'a str, pointer: &str) -> Option<&'a str> {
    let mut value = json;
    let mut rest = pointer;
    while !rest.is_empty() {
        let (name, tail) = split_pointer(rest)?;
        value = match value.trim_start().as_bytes().first()? {
            b'[' => array_elements(value)?.get(name.parse::<usize>().ok()?)?,
            _ => RawObject::parse(value)?.get(&name)?.get(),
        };
        rest = tail;
    }
    Some(value)
}

/// The elements of a JSON array; `None` if `json` is not an array.
pub fn array_elements(json: &str) -> Option<Vec<&str>> {
    let elements: Vec<&RawValue> = serde_json::from_str(json).ok()?;
    Some(elements.into_iter().map(RawValue::get).collect())
}

/// Splits the first name from a JSON pointer; `None` if the pointer does not begin with a slash.
fn split_pointer(pointer: &str) -> Option<(String, &str)> {
    let names = pointer.strip_prefix('/')?;
    let end = names.find('/').unwrap_or(names.len());
    let (name, rest) = names.split_at(end);
    Some((name.replace("~1", "/").replace("~0", "~"), rest))
}

/// Epoch numbers from here on are milliseconds. As seconds, they would be later than the year 5000.
const MIN_MILLISECONDS: i64 = 100_000_000_000;

/// Parses the time in a JSON value or a header: epoch seconds or milliseconds as a number or a string, RFC 3339, with or
/// without the offset of UTC, or RFC 2822.
/// `None` for any other format.
pub fn parse_timestamp(value: &str) -> Option<Timestamp> {
    let text = value.trim().trim_matches('"');
    let whole = text.split_once('.').map_or(text, |(whole, _)| whole);
    if let Ok(number) = whole.parse::<i64>() {
        let is_fraction = text[whole.len()..].bytes().skip(1).all(|byte| byte.is_ascii_digit());
        return match number {
            _ if !is_fraction => None,
            MIN_MILLISECONDS.. => Timestamp::from_millisecond(number).ok(),
            seconds => Timestamp::from_second(seconds).ok(),
        };
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    if let Ok(time) = jiff::fmt::rfc2822::parse(text) {
        return Some(time.timestamp());
    }
    // Some providers omit the offset of UTC.
    let time: jiff::civil::DateTime = text.contains('T').then(|| text.parse().ok())??;
    time.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|time| time.timestamp())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_pointer_leads_to_a_field() {
        let json =
            r#"{"id":"evt_1","event":{"id":"E\u0031","n":7,"a/b":{"~":true}},"n":1.50,"l":[{"x":"y"}]}"#;
        let detail = Detail::parse(json.as_bytes()).unwrap();
        let fields = Fields::parse(&detail);
        assert_eq!(fields.text("/id").as_deref(), Some("evt_1"));
        assert_eq!(fields.text("/event/id").as_deref(), Some("E1"));
        assert_eq!(fields.raw_json("/event/n"), Some("7"));
        assert_eq!(fields.text("/n").as_deref(), Some("1.50"));
        assert_eq!(fields.text("/event/a~1b/~0").as_deref(), Some("true"));
        assert_eq!(fields.text("/l/0/x").as_deref(), Some("y"));
        for pointer in ["", "id", "/id/x", "/absent", "/absent/x", "/l/1", "/l/x", "/event"] {
            assert_eq!(fields.text(pointer), None, "{pointer}");
        }
        assert_eq!(fields.first_name_except(&["id", "n"]).as_deref(), Some("event"));
        assert_eq!(find_value(" [1, 2]", "/1"), Some("2"));
        assert_eq!(array_elements("[1,{}]"), Some(vec!["1", "{}"]));
        assert_eq!(array_elements("{}"), None);
    }

    #[test]
    fn provider_timestamps_are_parsed() {
        let expected = Timestamp::from_second(1_454_442_600).unwrap();
        for text in [
            "1454442600",
            "\"1454442600\"",
            "1454442600000",
            "1454442600.123456",
            "\"2016-02-02T19:50:00Z\"",
            "\"2016-02-02T20:50:00.000+01:00\"",
            "\"2016-02-02T19:50:00.000000\"",
            "\"Tue, 02 Feb 2016 19:50:00 +0000\"",
        ] {
            assert_eq!(parse_timestamp(text), Some(expected), "{text}");
        }
        for text in
            ["", "null", "\"yesterday\"", "9999999999999999999", "{}", "1454442600.5x", "99999999999999999"]
        {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
