//! Log opened by its address: PostgreSQL URL or file.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;

use super::order::{
    Bounds, CursorSigningKey, EventFilter, EventReader, PageLimit, Position, PositionedEvent,
};
use super::postgres::{DatabaseUrl, DatabaseUrlError};
use super::{
    EventBatch, EventKey, EventStore, LogError, MaintenanceReport, PageRequest, PostgresLog, RecordOutcome,
    RetentionPolicy, Row, Search, SqlExecutor, SqliteLog, Statement, StoredEvent,
};
use crate::files::create_private_folder;

/// The address of a log.
#[derive(Clone, Debug)]
pub enum LogAddress {
    /// A PostgreSQL database, by its URL.
    Postgres(DatabaseUrl),
    /// A local SQLite file.
    File(PathBuf),
}

impl FromStr for LogAddress {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains("://") || text.is_empty() {
            return Ok(Self::Postgres(text.parse()?));
        }
        Ok(Self::File(text.into()))
    }
}

impl std::fmt::Display for LogAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Postgres(url) => write!(f, "{url}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Failure to open or use an existing log. Shown to the user of `--database`.
#[derive(Debug, thiserror::Error)]
pub enum OpenLogError {
    /// The address is not a valid database URL.
    #[error("invalid --database")]
    InvalidAddress(#[from] DatabaseUrlError),
    /// The file does not exist.
    #[error("--database: no log exists at {0}; `hookbridge serve` creates it in its working directory")]
    NotFound(PathBuf),
    /// An operation on the log failed.
    #[error("cannot use the log {address}: {error}")]
    Log {
        /// The address.
        address: String,
        /// The cause.
        error: LogError,
    },
}

/// An open log in either database.
#[derive(Clone)]
pub enum AnyLog {
    /// In PostgreSQL.
    Postgres(PostgresLog),
    /// In a file.
    Sqlite(SqliteLog),
}

impl AnyLog {
    /// Opens an existing log with at most `connections` connections. Returns the log and a function that adds its
    /// address to errors.
    ///
    /// # Errors
    /// The address is not valid, the file does not exist, or the database cannot be opened.
    pub async fn open_existing(
        address: &Path,
        connections: u32,
    ) -> Result<(Self, impl Fn(LogError) -> OpenLogError), OpenLogError> {
        let address: LogAddress = address.to_string_lossy().parse()?;
        if let LogAddress::File(path) = &address
            && !path.exists()
        {
            return Err(OpenLogError::NotFound(path.clone()));
        }
        let address_text = address.to_string();
        let add_address = move |error| OpenLogError::Log { address: address_text.clone(), error };
        let log = Self::open(&address, connections).await.map_err(&add_address)?;
        Ok((log, add_address))
    }

    /// Opens a log with at most `connections` connections. Creates the tables, and for SQLite the file and its folder,
    /// when they are missing.
    ///
    /// # Errors
    /// The database cannot be opened, or the folder or the tables cannot be created.
    pub async fn open(address: &LogAddress, connections: u32) -> Result<Self, LogError> {
        match address {
            LogAddress::Postgres(url) => PostgresLog::open(url, connections).await.map(Self::Postgres),
            LogAddress::File(path) => {
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    let folder_error = |error| LogError::Rejected(format!("{}: {error}", folder.display()));
                    create_private_folder(folder).map_err(folder_error)?;
                }
                SqliteLog::open(path).await.map(Self::Sqlite)
            }
        }
    }
}

impl AnyLog {
    /// Starts to listen for appends by other processes, where the database supports it.
    pub fn listen_for_appends(&self) {
        if let Self::Postgres(log) = self {
            log.listen_for_appends();
        }
    }
}

impl EventStore for AnyLog {
    async fn record(&self, batch: &EventBatch<'_>) -> Result<RecordOutcome, LogError> {
        match self {
            Self::Postgres(log) => log.record(batch).await,
            Self::Sqlite(log) => log.record(batch).await,
        }
    }

    async fn mark_published(&self, batch: i64) -> Result<(), LogError> {
        match self {
            Self::Postgres(log) => log.mark_published(batch).await,
            Self::Sqlite(log) => log.mark_published(batch).await,
        }
    }

    async fn batch_event_keys(&self, batch: i64) -> Result<Vec<EventKey>, LogError> {
        match self {
            Self::Postgres(log) => log.batch_event_keys(batch).await,
            Self::Sqlite(log) => log.batch_event_keys(batch).await,
        }
    }

    async fn find_unrecorded(&self, origins: Vec<String>) -> Result<Vec<String>, LogError> {
        match self {
            Self::Postgres(log) => log.find_unrecorded(origins).await,
            Self::Sqlite(log) => log.find_unrecorded(origins).await,
        }
    }

    async fn search(&self, search: &Search, page: &PageRequest) -> Result<Vec<StoredEvent>, LogError> {
        match self {
            Self::Postgres(log) => log.search(search, page).await,
            Self::Sqlite(log) => log.search(search, page).await,
        }
    }

    async fn count(&self, search: &Search) -> Result<u64, LogError> {
        match self {
            Self::Postgres(log) => log.count(search).await,
            Self::Sqlite(log) => log.count(search).await,
        }
    }

    async fn maintain(&self, retention: &RetentionPolicy) -> Result<MaintenanceReport, LogError> {
        match self {
            Self::Postgres(log) => log.maintain(retention).await,
            Self::Sqlite(log) => log.maintain(retention).await,
        }
    }
}

impl EventReader for AnyLog {
    async fn assign_positions(&self) -> Result<Position, LogError> {
        match self {
            Self::Postgres(log) => log.assign_positions().await,
            Self::Sqlite(log) => log.assign_positions().await,
        }
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        match self {
            Self::Postgres(log) => log.bounds().await,
            Self::Sqlite(log) => log.bounds().await,
        }
    }

    async fn read_events(
        &self,
        positions: Range<Position>,
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, LogError> {
        match self {
            Self::Postgres(log) => log.read_events(positions, filter, page_limit).await,
            Self::Sqlite(log) => log.read_events(positions, filter, page_limit).await,
        }
    }

    async fn first_position_since(&self, time: Timestamp) -> Result<Position, LogError> {
        match self {
            Self::Postgres(log) => log.first_position_since(time).await,
            Self::Sqlite(log) => log.first_position_since(time).await,
        }
    }

    async fn recorded_at(&self, position: Position) -> Result<Option<Timestamp>, LogError> {
        match self {
            Self::Postgres(log) => log.recorded_at(position).await,
            Self::Sqlite(log) => log.recorded_at(position).await,
        }
    }

    async fn find_event(&self, id: &str, sources: &[String]) -> Result<Option<StoredEvent>, LogError> {
        match self {
            Self::Postgres(log) => log.find_event(id, sources).await,
            Self::Sqlite(log) => log.find_event(id, sources).await,
        }
    }

    async fn cursor_signing_key(&self) -> Result<CursorSigningKey, LogError> {
        match self {
            Self::Postgres(log) => log.cursor_signing_key().await,
            Self::Sqlite(log) => log.cursor_signing_key().await,
        }
    }

    async fn wait_for_position(&self, position: Position) -> Result<(), LogError> {
        match self {
            Self::Postgres(log) => log.wait_for_position(position).await,
            Self::Sqlite(log) => log.wait_for_position(position).await,
        }
    }
}

impl SqlExecutor for AnyLog {
    async fn execute_transaction(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, LogError> {
        match self {
            Self::Postgres(log) => log.execute_transaction(statements).await,
            Self::Sqlite(log) => log.execute_transaction(statements).await,
        }
    }

    async fn maintain_partitions(&self, table: &'static str, oldest: Timestamp) -> Result<(), LogError> {
        match self {
            Self::Postgres(log) => log.maintain_partitions(table, oldest).await,
            Self::Sqlite(log) => log.maintain_partitions(table, oldest).await,
        }
    }
}
