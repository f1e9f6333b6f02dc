//! Search queries and results.

use jiff::Timestamp;

use crate::db::{DatabaseError, Row};
use crate::event::{AwsOriginRef, Envelope};

/// A search: a time range and filters. An event must match every filter. An event matches a filter if it matches one of the
/// filter's values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// Start of the time range (inclusive).
    pub from: Timestamp,
    /// End of the time range (exclusive).
    pub to: Timestamp,
    /// The accepted sources; empty accepts all.
    pub sources: Vec<String>,
    /// The accepted event ids; empty accepts all.
    pub ids: Vec<String>,
    /// The accepted detail types; empty accepts all.
    pub types: Vec<String>,
    /// The accepted values of search columns, with the index of each column in [`super::COLUMNS`].
    pub columns: Vec<(usize, Vec<String>)>,
    /// Text that the event's bounce reason must contain, in any case; `None` accepts every event.
    pub reason_contains: Option<String>,
}

/// Selects one page of the search results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// The sort order.
    pub order: SortOrder,
    /// If set, only events that come after this key in the sort order are returned.
    pub after: Option<EventKey>,
    /// The number of events to skip before the page.
    pub offset: u64,
    /// The maximum number of events in the page.
    pub limit: u32,
}

/// Sort order of search results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SortOrder {
    /// Newest events first.
    NewestFirst,
    /// Oldest events first.
    OldestFirst,
}

/// The sort key and identity of an event: time, then id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventKey {
    /// The event time.
    pub time: Timestamp,
    /// The event id.
    pub id: String,
}

/// A recorded event.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The event's time and id.
    pub key: EventKey,
    /// The source, for example `sparkpost.com`.
    pub source: String,
    /// The detail type, for example `bounce`.
    pub detail_type: String,
    /// The AWS account that received the event; may be empty.
    pub account: String,
    /// The AWS region that received the event; may be empty.
    pub region: String,
    /// The resources, usually URNs.
    pub resources: Vec<String>,
    /// The event's `detail` as JSON text, unchanged.
    pub detail: String,
}

impl StoredEvent {
    /// Reads an event from a row that a query of [`super::sql::search_query`] returned.
    pub(super) fn from_row(row: &Row) -> Result<Self, DatabaseError> {
        Ok(Self {
            key: EventKey { time: row.get("micros")?, id: row.get("id")? },
            source: row.get("source")?,
            detail_type: row.get("type")?,
            account: row.get("account")?,
            region: row.get("region")?,
            resources: row.get("resources")?,
            detail: row.get("detail")?,
        })
    }

    fn envelope(&self) -> Envelope<'_> {
        let origin = AwsOriginRef { account: &self.account, region: &self.region };
        let source_and_type = (self.source.as_str(), self.detail_type.as_str());
        Envelope::new(&self.key.id, source_and_type, origin, self.key.time.to_string(), &self.resources)
    }

    /// Appends the event as an EventBridge envelope to `buffer`. The `detail` stays byte for byte the same.
    pub fn write_json(&self, buffer: &mut Vec<u8>) {
        // Serializing an envelope of strings does not fail.
        let _ = self.envelope().write_json(&self.detail, buffer);
    }

    /// Returns the envelope as one line that ends in a line break. Line breaks in the `detail` become spaces.
    pub fn to_json_line(&self) -> Vec<u8> {
        self.envelope().to_line(&self.detail).unwrap_or_default()
    }
}

/// The `Debug` output omits the `detail`, which may contain personal data.
impl std::fmt::Debug for StoredEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredEvent")
            .field("key", &self.key)
            .field("source", &self.source)
            .field("detail_type", &self.detail_type)
            .field("detail_bytes", &self.detail.len())
            .finish_non_exhaustive()
    }
}
