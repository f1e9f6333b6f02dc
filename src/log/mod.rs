//! The event log: recorded events, searchable and in order.
//!
//! An [`EventStore`] records a batch completely or not at all, and only once: recording it again changes nothing. It
//! skips an event that an earlier batch contained; two events are the same when their id and time are equal.
//! [`EventReader`] reads events by position, [`ConsumerStore`] stores the cursors of named consumers, and
//! [`SqlExecutor`] lets other modules keep their tables in the same database.

#[cfg(feature = "command")]
mod any;
mod append_watch;
mod columns;
mod consumers;
mod error;
mod migrations;
mod new_event;
mod order;
mod page;
pub mod postgres;
mod search;
mod sql;
#[cfg(feature = "command")]
mod sqlite;
mod statements;
mod week;

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

#[cfg(feature = "command")]
pub use any::{AnyLog, LogAddress, OpenLogError};
pub use columns::{COLUMNS, CaseFolding, Column, MatchMode};
pub use consumers::{Consumer, ConsumerStore, Lag, LeaseOutcome};
pub use error::LogError;
pub use new_event::{NewEvent, SearchColumns, UNRECOGNIZED_TYPE, content_id, is_recordable, sanitize_text};
pub use order::{
    Bounds, CursorSigningKey, EventFilter, EventReader, PageLimit, Position, PositionedEvent, TypePattern,
};
pub use postgres::PostgresLog;
pub use search::{EventKey, PageRequest, Search, SortOrder, StoredEvent};
#[cfg(feature = "command")]
pub use sqlite::SqliteLog;
pub use statements::{InputRows, Row, SqlExecutor, SqlValue, Statement};

/// Events that are recorded in one transaction.
pub struct EventBatch<'a> {
    /// The URL of the batch in the archive; `None` for events that did not come from the archive.
    pub origin: Option<Cow<'a, str>>,
    /// The events, in the order of the batch.
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
        /// The number of events that the log already had or that the batch repeats.
        duplicates: usize,
    },
    /// The batch was recorded earlier; nothing changed.
    AlreadyRecorded {
        /// The id of the batch.
        batch_id: i64,
        /// Whether [`EventStore::mark_published`] was called for it.
        is_published: bool,
    },
}

/// Records and searches events.
pub trait EventStore: Send + Sync + 'static {
    /// Records a batch completely or not at all, and only once.
    ///
    /// # Errors
    /// The batch was not recorded, or the outcome is unknown. Recording it again is safe.
    fn record(&self, batch: &EventBatch<'_>) -> impl Future<Output = Result<RecordOutcome, LogError>> + Send;

    /// Stores that the events of a batch were published to the bus.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn mark_published(&self, batch: i64) -> impl Future<Output = Result<(), LogError>> + Send;

    /// Returns the keys of the events that this batch added, without those of earlier batches.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn batch_event_keys(&self, batch: i64) -> impl Future<Output = Result<Vec<EventKey>, LogError>> + Send;

    /// Returns the origins that have no recorded batch.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn find_unrecorded(
        &self,
        origins: Vec<String>,
    ) -> impl Future<Output = Result<Vec<String>, LogError>> + Send;

    /// Returns one page of the events that match a search.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn search(
        &self,
        search: &Search,
        page: &PageRequest,
    ) -> impl Future<Output = Result<Vec<StoredEvent>, LogError>> + Send;

    /// Counts the events that match a search.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn count(&self, search: &Search) -> impl Future<Output = Result<u64, LogError>> + Send;

    /// Creates upcoming partitions and applies retention.
    ///
    /// # Errors
    /// The database failed. Steps that completed before the failure stay in effect.
    fn maintain(
        &self,
        retention: &RetentionPolicy,
    ) -> impl Future<Output = Result<MaintenanceReport, LogError>> + Send;
}

/// Limits on the age and size of the log; by default all events are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// Keeps events that were recorded, or happened, at this time or later.
    pub keep_since: Option<Timestamp>,
    /// The maximum size in bytes, indexes included; the oldest events are removed first. PostgreSQL drops whole weeks
    /// and keeps the current one.
    pub max_bytes: Option<u64>,
}

impl RetentionPolicy {
    /// Keeps events up to this age.
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
    /// The number of events that were deleted row by row.
    pub deleted_events: u64,
}

/// Converts stored microseconds since 1970; an invalid value becomes the epoch.
fn timestamp_from_micros(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
