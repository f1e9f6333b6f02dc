//! Search queries and results.

use jiff::Timestamp;

use crate::event::{AwsOriginRef, Envelope};

/// A range of the log and what an event in it must be. Values of one filter are alternatives; all filters hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The first time that is in.
    pub from: Timestamp,
    /// The first time that is not.
    pub to: Timestamp,
    /// Sources; of none, every one.
    pub sources: Vec<String>,
    /// Ids.
    pub ids: Vec<String>,
    /// Types.
    pub types: Vec<String>,
    /// Values for columns, by their place in [`super::COLUMNS`].
    pub columns: Vec<(usize, Vec<String>)>,
    /// A text that the reason holds anywhere, in any case.
    pub reason_contains: Option<String>,
}

/// Which part of what is found is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// Which comes first.
    pub order: Order,
    /// Only what comes after this one.
    pub after: Option<EventKey>,
    /// How many to pass over.
    pub offset: u64,
    /// How many at most.
    pub limit: u32,
}

/// Which event comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The latest.
    NewestFirst,
    /// The earliest.
    OldestFirst,
}

/// An event's place among all, by time and then by id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventKey {
    /// Its time.
    pub time: Timestamp,
    /// Its id.
    pub id: String,
}

/// An event as it was found.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its time and its id.
    pub key: EventKey,
    /// Who it comes from.
    pub source: String,
    /// What happened.
    pub detail_type: String,
    /// The AWS account that it came through.
    pub account: String,
    /// The AWS region.
    pub region: String,
    /// What it is about.
    pub resources: Vec<String>,
    /// JSON, as it was sent.
    pub detail: String,
}

impl StoredEvent {
    fn envelope(&self) -> Envelope<'_> {
        let through = AwsOriginRef { account: &self.account, region: &self.region };
        let of = (self.source.as_str(), self.detail_type.as_str());
        Envelope::new(&self.key.id, of, through, self.key.time.to_string(), &self.resources)
    }

    /// EventBridge's envelope, behind what is there. The detail keeps every byte.
    pub fn write_json(&self, to: &mut Vec<u8>) {
        // It never fails: the fields are strings.
        let _ = self.envelope().write_json(&self.detail, to);
    }

    /// The same as one line, with its line break; those of the detail become spaces.
    pub fn to_json_line(&self) -> Vec<u8> {
        self.envelope().to_line(&self.detail).unwrap_or_default()
    }
}

/// Shows everything but the detail.
impl std::fmt::Debug for StoredEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stored")
            .field("key", &self.key)
            .field("source", &self.source)
            .field("detail_type", &self.detail_type)
            .field("detail_bytes", &self.detail.len())
            .finish_non_exhaustive()
    }
}
