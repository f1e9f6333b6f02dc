//! The core event model.
//!
//! A verified webhook becomes an [`Event`]. Its [`Detail`] is the provider's JSON, byte for byte and never
//! re-serialised. [`Detail`] and [`Event::entry_size`] implement EventBridge's limits on `PutEvents` entries. The local
//! bus applies these limits, too, so that a local run rejects the events that AWS would reject.

mod detail;
mod entry;
mod entry_size;
mod envelope;
mod fields;
mod line_breaks;
mod object;
mod pattern;

pub use detail::{Detail, DetailError, is_too_deep};
pub use entry::EntryError;
pub use envelope::{AwsOriginRef, Envelope};
pub use fields::{Fields, array_elements, find_value, parse_timestamp};
pub use line_breaks::{LineBreaks, strip_line_breaks_field};
pub use object::{RawObject, scalar_text};
pub use pattern::{Pattern, PatternError, glob_match};

use jiff::Timestamp;

/// Maximum length of a `DetailType` in EventBridge, in characters.
pub const MAX_DETAIL_TYPE_CHARS: usize = 128;

/// One event, ready to become an entry of a `PutEvents` request.
#[derive(Clone, PartialEq)]
pub struct Event {
    /// The origin, for example `github.com`.
    pub source: String,
    /// The type of the event, at most [`MAX_DETAIL_TYPE_CHARS`] characters.
    pub detail_type: String,
    /// The provider's JSON object, verbatim.
    pub detail: Detail,
    /// The time of the event, if the provider states it; otherwise EventBridge uses the time of the `PutEvents` call.
    pub time: Option<Timestamp>,
    /// `urn:webhook:<provider>:<delivery id>` if the webhook has a delivery id; otherwise empty.
    pub resources: Vec<String>,
    /// The X-Ray header of the invocation that received the event; `None` outside Lambda.
    pub trace_header: Option<String>,
    /// FIFO subscribers of a newer custom event bus get events with the same id in their order.
    pub group_id: Option<String>,
}

/// Omits the detail, which holds customer data.
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
