//! Access to single fields of an event's `detail` by path.

use jiff::Timestamp;

use super::{Detail, RawObject};

/// The top-level fields of a [`Detail`]. A nested object is parsed only when a caller asks for a path through it.
pub struct Fields<'a>(Option<RawObject<'a>>);

impl<'a> Fields<'a> {
    /// Parses the top level of `detail`.
    pub fn parse(detail: &'a Detail) -> Self {
        Self(RawObject::parse(detail.as_str()))
    }

    /// The JSON at `path` (names separated by dots, for example `event.id`); `None` if the path does not exist.
    pub fn raw_json(&self, path: &str) -> Option<&'a str> {
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let mut value = self.0.as_ref()?.get(first)?.get();
        for name in rest.into_iter().flat_map(|rest| rest.split('.')) {
            value = RawObject::parse(value)?.get(name)?.get();
        }
        Some(value)
    }

    /// The string at `path`; `None` if the path does not exist or its value is not a string.
    pub fn string(&self, path: &str) -> Option<String> {
        serde_json::from_str(self.raw_json(path)?).ok()
    }
}

/// Parses the time in a JSON value or a header: epoch seconds as a number or a string, RFC 3339, or RFC 2822. Returns
/// `None` for any other format.
pub fn parse_timestamp(value: &str) -> Option<Timestamp> {
    let text = value.trim().trim_matches('"');
    if let Ok(seconds) = text.parse::<i64>() {
        return Timestamp::from_second(seconds).ok();
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    jiff::fmt::rfc2822::parse(text).ok().map(|time| time.timestamp())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_a_field() {
        let detail = Detail::parse(br#"{"id":"evt_1","event":{"id":"E\u0031","n":7},"n":1}"#).unwrap();
        let fields = Fields::parse(&detail);
        assert_eq!(fields.string("id").as_deref(), Some("evt_1"));
        assert_eq!(fields.string("event.id").as_deref(), Some("E1"));
        assert_eq!(fields.raw_json("event.n"), Some("7"));
        assert_eq!(fields.string("n"), None, "a number is not a string");
        assert_eq!(fields.raw_json("id.x"), None);
        assert_eq!(fields.raw_json("absent.x"), None);
    }

    #[test]
    fn provider_timestamps_are_parsed() {
        let expected = Timestamp::from_second(1_454_442_600).unwrap();
        for text in [
            "1454442600",
            "\"1454442600\"",
            "\"2016-02-02T19:50:00Z\"",
            "\"2016-02-02T20:50:00.000+01:00\"",
            "\"Tue, 02 Feb 2016 19:50:00 +0000\"",
        ] {
            assert_eq!(parse_timestamp(text), Some(expected), "{text}");
        }
        for text in ["", "null", "\"yesterday\"", "99999999999999", "{}"] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }
}
