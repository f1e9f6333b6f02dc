//! The log: every event that was recorded, in tables of a database, to be searched and read.
//!
//! A [`Log`] promises that a batch it has recorded is there as a whole and once: the same batch again changes nothing,
//! and an event that came in another batch already is not recorded a second time. Two events are the same when their
//! id and their time are.

#[cfg(feature = "command")]
mod any;
mod columns;
mod consumers;
mod error;
mod growth;
mod migrations;
mod order;
pub mod postgres;
mod record;
mod search;
mod sql;
#[cfg(feature = "command")]
mod sqlite;
mod statements;
mod week;
mod window;

use std::borrow::Cow;

use jiff::{SignedDuration, Timestamp};

#[cfg(feature = "command")]
pub use any::{AnyLog, LogAddress, NoLog};
pub use columns::{COLUMNS, Column, Lowercase, Matching};
pub use consumers::{Consumer, Consumers, Lag, Leased};
pub use error::LogError;
pub use order::{Bounds, CursorKey, Filter, Most, Ordered, Placed, Position, TypePattern};
pub use postgres::PostgresLog;
pub use record::{Found, Record, can_be_recorded, storable};
pub use search::{Key, Order, Page, Search, Stored};
#[cfg(feature = "command")]
pub use sqlite::SqliteLog;
pub use statements::{Row, Rows, Statement, Statements, Value};

/// Records that are recorded together or not at all.
pub struct Batch<'a> {
    /// Where it lies in the archive, as a URL; none for events that came without one.
    pub origin: Option<Cow<'a, str>>,
    /// What is in it, in its order.
    pub records: Vec<Record<'a>>,
    /// How many of them were not understood.
    pub unrecognized: usize,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It is in the log now.
    New {
        /// Its number.
        batch: i64,
        /// Records that are new.
        events: usize,
        /// Records that were in the log already, or twice in the batch.
        repeats: usize,
    },
    /// It was recorded before; nothing has changed.
    Before {
        /// Its number.
        batch: i64,
        /// Whether [`Log::published`] was called for it.
        published: bool,
    },
}

/// Keeps records.
pub trait Log: Send + Sync + 'static {
    /// Records a batch, whole and once.
    ///
    /// # Errors
    /// [`LogError`]: it was not recorded, or nobody can say that it was; recording it again is safe.
    fn record(&self, batch: &Batch<'_>) -> impl Future<Output = Result<Recorded, LogError>> + Send;

    /// Remembers that the events of a batch are on the bus.
    ///
    /// # Errors
    /// [`LogError`].
    fn published(&self, batch: i64) -> impl Future<Output = Result<(), LogError>> + Send;

    /// The keys of the events that are in the log by this batch, and not by one before it.
    ///
    /// # Errors
    /// [`LogError`].
    fn keys(&self, batch: i64) -> impl Future<Output = Result<Vec<Key>, LogError>> + Send;

    /// Those of these origins that no batch was recorded of.
    ///
    /// # Errors
    /// [`LogError`].
    fn unrecorded(&self, origins: Vec<String>) -> impl Future<Output = Result<Vec<String>, LogError>> + Send;

    /// The events that a search finds, a page of them.
    ///
    /// # Errors
    /// [`LogError`].
    fn search(
        &self,
        search: &Search,
        page: &Page,
    ) -> impl Future<Output = Result<Vec<Stored>, LogError>> + Send;

    /// How many events a search finds.
    ///
    /// # Errors
    /// [`LogError`].
    fn count(&self, search: &Search) -> impl Future<Output = Result<u64, LogError>> + Send;

    /// Makes room for what will come, and removes what need not be kept.
    ///
    /// # Errors
    /// [`LogError`]; what was done until then stays done.
    fn maintain(&self, keep: &Keep) -> impl Future<Output = Result<Maintained, LogError>> + Send;
}

/// How much of the log is kept; by default all of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keep {
    /// What was recorded, or happened, at this time or later.
    pub since: Option<Timestamp>,
    /// So many bytes at most, with indexes: what is oldest goes first. In PostgreSQL whole weeks go, and this one stays.
    pub bytes: Option<u64>,
}

impl Keep {
    /// What is not older than this.
    #[must_use]
    pub fn not_older(self, age: SignedDuration) -> Self {
        Self { since: Timestamp::now().checked_sub(age).ok(), ..self }
    }
}

/// What was done to keep the log in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Maintained {
    /// Weeks that have a table now.
    pub made: Vec<String>,
    /// Weeks whose table was dropped.
    pub dropped: Vec<String>,
    /// Events that were deleted one by one.
    pub deleted: u64,
}

/// A time from microseconds since 1970, as it was stored.
fn time_of(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(Timestamp::UNIX_EPOCH)
}
