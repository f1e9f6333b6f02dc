//! Reversible removal of line breaks from JSON.
//!
//! JSON contains line breaks only between tokens, so replacing each line break with a space does not change the JSON's
//! meaning. A line of the bus file stores the offsets of the replaced line breaks, from which a reader restores the JSON
//! byte for byte.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// JSON between the `detail` of an event and the offsets: a comma, and the name of the field that holds the offsets.
pub(super) const LINE_BREAKS_FIELD: &str = ",\"detail-line-breaks\":";

/// Offsets of the line feeds and carriage returns of a text, in bytes.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineBreaks {
    #[serde(rename = "\n", default, skip_serializing_if = "Vec::is_empty")]
    line_feeds: Vec<usize>,
    #[serde(rename = "\r", default, skip_serializing_if = "Vec::is_empty")]
    carriage_returns: Vec<usize>,
}

impl LineBreaks {
    /// Finds the line breaks of a text; `None` if it has none.
    pub fn find(text: &str) -> Option<Self> {
        // Most texts have no line breaks, so one scan for both characters saves two separate scans.
        memchr::memchr2(b'\n', b'\r', text.as_bytes())?;
        let offsets_of = |byte| memchr::memchr_iter(byte, text.as_bytes()).collect();
        Some(Self { line_feeds: offsets_of(b'\n'), carriage_returns: offsets_of(b'\r') })
    }

    /// Restores the original text from its one-line form; `None` if `line` does not have a space at each offset.
    pub fn restore(&self, line: &str) -> Option<String> {
        let mut bytes = line.as_bytes().to_vec();
        for (offsets, byte) in [(&self.line_feeds, b'\n'), (&self.carriage_returns, b'\r')] {
            for offset in offsets {
                let space = bytes.get_mut(*offset).filter(|space| **space == b' ')?;
                *space = byte;
            }
        }
        String::from_utf8(bytes).ok()
    }
}

/// Returns the line of an event without the field that holds the line-break offsets: the event as an EventBridge target
/// receives it.
pub fn strip_line_breaks_field(line: &str) -> Cow<'_, str> {
    let Some((event, field)) = line.rsplit_once(LINE_BREAKS_FIELD) else { return line.into() };
    match field.strip_suffix('}').map(serde_json::from_str::<LineBreaks>) {
        Some(Ok(_)) => format!("{event}}}").into(),
        _ => line.into(),
    }
}

/// Replaces each line break with a space.
pub(super) fn replace_with_spaces(bytes: &mut [u8]) {
    let Some(first) = memchr::memchr2(b'\n', b'\r', bytes) else { return };
    for byte in bytes[first..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
        *byte = b' ';
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_text_round_trips() {
        for text in ["{\n}", "\r\n{ \r\n\n\"é\"\r:\n1 }", "\n"] {
            let mut line = text.as_bytes().to_vec();
            replace_with_spaces(&mut line);
            let line = String::from_utf8(line).unwrap();
            assert!(!line.contains(['\n', '\r']));
            let breaks = LineBreaks::find(text).unwrap();
            let json = serde_json::to_string(&breaks).unwrap();
            assert_eq!(serde_json::from_str::<LineBreaks>(&json).unwrap(), breaks);
            assert_eq!(breaks.restore(&line).as_deref(), Some(text));
        }
        assert_eq!(LineBreaks::find("{ \t}"), None);
    }

    #[test]
    fn only_a_top_level_line_breaks_field_is_stripped() {
        assert_eq!(
            strip_line_breaks_field(r#"{"detail":{ },"detail-line-breaks":{"\n":[1]}}"#),
            r#"{"detail":{ }}"#
        );
        for line in [r#"{"detail":{}}"#, r#"{"detail":{"a":1,"detail-line-breaks":{"\n":[1]}}}"#] {
            assert_eq!(strip_line_breaks_field(line), line);
        }
    }

    #[test]
    fn mismatched_line_breaks_are_not_restored() {
        for (breaks, line) in [(r#"{"\n":[1]}"#, "{}"), (r#"{"\r":[9]}"#, "{ }"), (r#"{"\n":[1,1]}"#, "{ }")]
        {
            assert_eq!(serde_json::from_str::<LineBreaks>(breaks).unwrap().restore(line), None, "{breaks}");
        }
    }
}
