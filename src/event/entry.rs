//! `PutEvents` entries as JSON: the messages of the spill queue.
//!
//! `aws events put-events --entries` accepts the same JSON, so that an operator can also publish the messages of a
//! queue by hand. Source: "PutEventsRequestEntry", Amazon EventBridge API Reference.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Detail, DetailError, Event};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    detail_type: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    resources: Cow<'a, [String]>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    trace_header: Option<Cow<'a, str>>,
    /// No field of an entry of the classic bus.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    event_group_id: Option<Cow<'a, str>>,
    /// The JSON of the `detail`, as a string that preserves every byte.
    #[serde(borrow)]
    detail: Cow<'a, str>,
}

/// Why a text is not a valid entry. The message states the position, never the content.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// The text is not the JSON of an entry.
    #[error("not the JSON of an entry (line {line}, column {column})")]
    InvalidEntry {
        /// Line of the error, 1-based.
        line: usize,
        /// Column of the error, 1-based.
        column: usize,
    },
    /// The detail is invalid.
    #[error("its Detail: {0}")]
    Detail(#[from] DetailError),
}

impl Event {
    /// Serialises the event as the JSON of an entry.
    ///
    /// # Errors
    /// Never in practice, because all fields are strings.
    pub fn to_entry(&self) -> Result<String, serde_json::Error> {
        let text = serde_json::to_string(&Entry {
            source: Cow::Borrowed(&self.source),
            detail_type: Cow::Borrowed(&self.detail_type),
            time: self.time,
            resources: Cow::Borrowed(&self.resources),
            trace_header: self.trace_header.as_deref().map(Cow::Borrowed),
            event_group_id: self.group_id.as_deref().map(Cow::Borrowed),
            detail: Cow::Borrowed(self.detail.as_str()),
        })?;
        // JSON allows U+FFFE and U+FFFF, and SQS messages do not ("SendMessage", Amazon SQS API Reference), so escape them.
        Ok(if text.contains(['\u{fffe}', '\u{ffff}']) {
            text.replace('\u{fffe}', "\\ufffe").replace('\u{ffff}', "\\uffff")
        } else {
            text
        })
    }

    /// Parses the JSON that [`Event::to_entry`] wrote.
    ///
    /// # Errors
    /// When the text is not an entry, or its detail is invalid.
    pub fn from_entry(text: &str) -> Result<Self, EntryError> {
        let entry: Entry<'_> = serde_json::from_str(text)
            .map_err(|e| EntryError::InvalidEntry { line: e.line(), column: e.column() })?;
        Ok(Self {
            source: entry.source.into_owned(),
            detail_type: entry.detail_type.into_owned(),
            detail: Detail::from_bytes(entry.detail.into_owned().into())?,
            time: entry.time,
            resources: entry.resources.into_owned(),
            trace_header: entry.trace_header.map(Cow::into_owned),
            group_id: entry.event_group_id.map(Cow::into_owned),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_entry_round_trips_byte_for_byte() {
        let event = Event {
            source: "github.com".into(),
            detail_type: "push".into(),
            detail: Detail::parse("{\n \"a\": \"\\\"\u{fffe}\u{ffff}Grüße\", \"n\": 1.50}".as_bytes())
                .unwrap(),
            time: Some("2026-11-22T07:00:00.5Z".parse().unwrap()),
            resources: vec!["urn:webhook:github:1".into()],
            trace_header: Some("Root=1-5759e988-bd862e3fe1be46a994272793".into()),
            group_id: None,
        };
        let text = event.to_entry().unwrap();
        insta::assert_snapshot!(text, @r#"{"Source":"github.com","DetailType":"push","Time":"2026-11-22T07:00:00.5Z","Resources":["urn:webhook:github:1"],"TraceHeader":"Root=1-5759e988-bd862e3fe1be46a994272793","Detail":"{\n \"a\": \"\\\"\ufffe\uffffGrüße\", \"n\": 1.50}"}"#);
        assert_eq!(Event::from_entry(&text).unwrap(), event);
        let grouped = Event { group_id: Some("orders".into()), ..event.clone() };
        assert_eq!(Event::from_entry(&grouped.to_entry().unwrap()).unwrap(), grouped);
        let bare = Event { time: None, resources: vec![], trace_header: None, ..event };
        assert_eq!(Event::from_entry(&bare.to_entry().unwrap()).unwrap(), bare);
    }

    #[test]
    fn an_invalid_entry_is_rejected_with_its_position() {
        let error_text = |text: &str| Event::from_entry(text).unwrap_err().to_string();
        insta::assert_snapshot!(error_text("secret"), @"not the JSON of an entry (line 1, column 1)");
        insta::assert_snapshot!(error_text("{}"), @"not the JSON of an entry (line 1, column 2)");
        insta::assert_snapshot!(error_text(r#"{"Source":"a","DetailType":"b","Detail":"[1]"}"#), @"its Detail: an array where an object is needed");
        insta::assert_snapshot!(error_text(r#"{"Source":"a","DetailType":"b","Detail":{"a":1}}"#), @"not the JSON of an entry (line 1, column 40)");
    }
}
