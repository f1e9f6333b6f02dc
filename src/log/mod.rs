//! The event log: stores events, returns them in order, and searches them.
//!
//! An [`EventLog`] records a batch completely or not at all, and only once: recording it again changes nothing. The log skips an
//! event that an earlier batch contained; two events are the same if their id and time are equal. An [`EventLog`] also reads
//! events by position, searches them, and stores the cursors of named consumers.

mod append_watch;
mod consumers;
mod event_log;
mod new_event;
mod order;
mod page;
mod postgres;
mod search;
mod search_columns;
mod sql;
#[cfg(feature = "command")]
mod sqlite;

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

pub use consumers::{Consumer, Lag, LeaseOutcome};
pub use event_log::EventLog;
pub use new_event::{NewEvent, SearchColumns, UNRECOGNIZED_TYPE, content_id, is_recordable, sanitize_text};
pub use order::{Bounds, CursorSigningKey, EventFilter, PageLimit, Position, PositionedEvent, TypePattern};
pub use search::{EventKey, PageRequest, Search, SortOrder, StoredEvent};
pub use search_columns::{COLUMNS, CaseFolding, Column, MatchMode, ValueFormat};

/// Events that are recorded in one transaction.
pub struct EventBatch<'a> {
    /// The URL of the batch in the archive; `None` for events that did not come from the archive.
    pub origin: Option<Cow<'a, str>>,
    /// The events, in the order in which the batch contains them.
    pub events: Vec<NewEvent<'a>>,
    /// The number of events that no parser recognized.
    pub unrecognized_count: usize,
}

/// Result of recording a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// The batch was recorded.
    Inserted {
        /// The id of the batch.
        batch_id: i64,
        /// The number of new events.
        events: usize,
        /// The number of events that were skipped, because the log already had them or the batch contains them twice.
        duplicates: usize,
    },
    /// The batch was recorded earlier; nothing changed.
    AlreadyRecorded {
        /// The id of the batch.
        batch_id: i64,
        /// Whether [`EventLog::mark_published`] was called for this batch.
        is_published: bool,
    },
}

/// Limits on the age and size of the log. The default policy keeps all events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Keeps events that were recorded, or happened, at this time or later; `None` keeps events of every age.
    pub keep_since: Option<Timestamp>,
    /// The maximum size of the log in bytes, indexes included; `None` for no limit. Maintenance removes the oldest events first;
    /// in PostgreSQL it drops whole weeks, but never the current week.
    pub max_bytes: Option<u64>,
}

impl RetentionPolicy {
    /// Keeps events that are at most `age` old, and lets maintenance remove older events.
    #[must_use]
    pub fn with_max_age(self, age: SignedDuration) -> Self {
        Self { keep_since: Timestamp::now().checked_sub(age).ok(), ..self }
    }
}

/// Result of a maintenance run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// The partitions that were created.
    pub created_partitions: Vec<String>,
    /// The partitions that were dropped.
    pub dropped_partitions: Vec<String>,
    /// The number of events that were deleted row by row; events of dropped partitions are not counted.
    pub deleted_events: u64,
}
