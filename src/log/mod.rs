//! The log: every event that was recorded, in tables of a database, to be searched and read.
//!
//! An [`EventStore`] promises that a batch it has recorded is there as a whole and once: the same batch again changes nothing,
//! and an event that came in another batch already is not recorded a second time. Two events are the same when their
//! id and their time are.

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
pub use new_event::{NewEvent, SearchColumns, is_recordable, sanitize_text};
pub use order::{
    Bounds, CursorKey, EventFilter, EventReader, PageLimit, Position, PositionedEvent, TypePattern,
};
pub use postgres::PostgresLog;
pub use search::{EventKey, Order, PageRequest, Search, StoredEvent};
#[cfg(feature = "command")]
pub use sqlite::SqliteLog;
pub use statements::{InputRows, Row, SqlExecutor, SqlValue, Statement};

/// Records that are recorded together or not at all.
pub struct EventBatch<'a> {
    /// Where it lies in the archive, as a URL; none for events that came without one.
    pub origin: Option<Cow<'a, str>>,
    /// What is in it, in its order.
    pub events: Vec<NewEvent<'a>>,
    /// How many of them were not understood.
    pub unrecognized: usize,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordOutcome {
    /// It is in the log now.
    Inserted {
        /// Its number.
        batch: i64,
        /// Records that are new.
        events: usize,
        /// Records that were in the log already, or twice in the batch.
        repeats: usize,
    },
    /// It was recorded before; nothing has changed.
    AlreadyRecorded {
        /// Its number.
        batch: i64,
        /// Whether [`EventStore::mark_published`] was called for it.
        published: bool,
    },
}

/// Keeps records.
pub trait EventStore: Send + Sync + 'static {
    /// Records a batch, whole and once.
    ///
    /// # Errors
    /// [`LogError`]: it was not recorded, or nobody can say that it was; recording it again is safe.
    fn record(&self, batch: &EventBatch<'_>) -> impl Future<Output = Result<RecordOutcome, LogError>> + Send;

    /// Remembers that the events of a batch are on the bus.
    ///
    /// # Errors
    /// [`LogError`].
    fn mark_published(&self, batch: i64) -> impl Future<Output = Result<(), LogError>> + Send;

    /// The keys of the events that are in the log by this batch, and not by one before it.
    ///
    /// # Errors
    /// [`LogError`].
    fn batch_event_keys(&self, batch: i64) -> impl Future<Output = Result<Vec<EventKey>, LogError>> + Send;

    /// Those of these origins that no batch was recorded of.
    ///
    /// # Errors
    /// [`LogError`].
    fn find_unrecorded(
        &self,
        origins: Vec<String>,
    ) -> impl Future<Output = Result<Vec<String>, LogError>> + Send;

    /// The events that a search finds, a page of them.
    ///
    /// # Errors
    /// [`LogError`].
    fn search(
        &self,
        search: &Search,
        page: &PageRequest,
    ) -> impl Future<Output = Result<Vec<StoredEvent>, LogError>> + Send;

    /// How many events a search finds.
    ///
    /// # Errors
    /// [`LogError`].
    fn count(&self, search: &Search) -> impl Future<Output = Result<u64, LogError>> + Send;

    /// Creates upcoming partitions and applies retention.
    ///
    /// # Errors
    /// [`LogError`]; what was done until then stays done.
    fn maintain(
        &self,
        keep: &RetentionPolicy,
    ) -> impl Future<Output = Result<MaintenanceReport, LogError>> + Send;
}

/// How much of the log is kept; by default all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RetentionPolicy {
    /// What was recorded, or happened, at this time or later.
    pub keep_since: Option<Timestamp>,
    /// So many bytes at most, with indexes: what is oldest goes first. In PostgreSQL whole weeks go, and this one stays.
    pub max_bytes: Option<u64>,
}

impl RetentionPolicy {
    /// What is not older than this.
    #[must_use]
    pub fn with_max_age(self, age: SignedDuration) -> Self {
        Self { keep_since: Timestamp::now().checked_sub(age).ok(), ..self }
    }
}

/// What was done to keep the log in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MaintenanceReport {
    /// Weeks that have a table now.
    pub created_partitions: Vec<String>,
    /// Weeks whose table was dropped.
    pub dropped_partitions: Vec<String>,
    /// Events that were deleted one by one.
    pub deleted_events: u64,
}

/// A time from microseconds since 1970, as it was stored.
fn timestamp_from_micros(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
