//! The core event model.
//!
//! An event is what a verified webhook becomes. Its [`Detail`] is the provider's JSON byte for byte; nothing
//! here re-serialises it. The rules that EventBridge sets for an entry (and that the embedded bus keeps too, so
//! that a laptop refuses what AWS would) are in [`Detail`] and [`Event::entry_size`].

mod detail;
mod entry;
mod envelope;
mod fields;
mod line_breaks;
mod object;
mod pattern;

pub use detail::{Detail, DetailError, is_too_deep};
pub use entry::EntryError;
pub use envelope::{AwsOriginRef, Envelope};
pub use fields::{Fields, parse_timestamp};
pub use line_breaks::{LineBreaks, strip_line_breaks_field};
pub use object::{RawObject, scalar_text};
pub use pattern::{Pattern, PatternError, glob_match};

use jiff::Timestamp;

/// The longest `DetailType` that EventBridge takes, in characters.
pub const MAX_DETAIL_TYPE_CHARS: usize = 128;

/// One event, ready to become an entry of a `PutEvents` request.
#[derive(Clone, PartialEq)]
pub struct Event {
    /// Who it comes from, for example `github.com`.
    pub source: String,
    /// What happened, at most [`MAX_DETAIL_TYPE_CHARS`] characters.
    pub detail_type: String,
    /// The provider's JSON object, verbatim.
    pub detail: Detail,
    /// When it happened, where the provider says so; EventBridge fills in the time of the call otherwise.
    pub time: Option<Timestamp>,
    /// What it is about: `urn:webhook:<provider>:<delivery id>` where there is a delivery id.
    pub resources: Vec<String>,
}

impl Event {
    /// The size of this event as an entry, in bytes, by EventBridge's own formula: 14 for a time, and the UTF-8
    /// length of source, detail type, detail and each resource.
    ///
    /// Source: "Calculating PutEvents event entry size", Amazon EventBridge User Guide.
    pub fn entry_size(&self) -> usize {
        let time = if self.time.is_some() { 14 } else { 0 };
        let resources: usize = self.resources.iter().map(String::len).sum();
        time + self.source.len() + self.detail_type.len() + self.detail.as_str().len() + resources
    }
}

/// Shows everything but the detail, which is the provider's customer's data.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event")
            .field("source", &self.source)
            .field("detail_type", &self.detail_type)
            .field("time", &self.time)
            .field("resources", &self.resources)
            .field("detail_bytes", &self.detail.as_str().len())
            .finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_as_large_as_eventbridge_counts_it() {
        let mut event = Event {
            source: "github.com".into(),
            detail_type: "push".into(),
            detail: Detail::parse(r#"{"é":1}"#.as_bytes()).unwrap(),
            time: None,
            resources: vec![],
        };
        assert_eq!(event.entry_size(), 10 + 4 + 8);
        event.time = Some(Timestamp::UNIX_EPOCH);
        event.resources = vec!["urn:webhook:github:1".into()];
        assert_eq!(event.entry_size(), 10 + 4 + 8 + 14 + 20);
    }
}
