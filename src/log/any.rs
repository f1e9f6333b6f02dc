//! A log by its address, as people write it: a PostgreSQL database, or a file.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;

use super::order::{Bounds, CursorKey, Filter, Most, Ordered, Placed, Position};
use super::postgres::{DatabaseUrl, DatabaseUrlError};
use super::{
    Batch, Keep, Key, Log, LogError, Maintained, Page, PostgresLog, Recorded, Row, Search, SqliteLog,
    Statement, Statements, Stored,
};
use crate::files::make_private;

/// Where a log is.
#[derive(Clone, Debug)]
pub enum LogAddress {
    /// A PostgreSQL database.
    Postgres(DatabaseUrl),
    /// A file of this machine.
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

/// Why a log that should be there is not to be used. It is said to who named it with `--database`.
#[derive(Debug, thiserror::Error)]
pub enum NoLog {
    /// The address is none.
    #[error("--database")]
    Address(#[from] DatabaseUrlError),
    /// There is no such file.
    #[error(
        "--database: there is no log at {0}; `hookbridge serve` makes it, in the folder that it is started in"
    )]
    Missing(PathBuf),
    /// The log does not work.
    #[error("the log {log}: {error}")]
    Log {
        /// Its address.
        log: String,
        /// What happened.
        error: LogError,
    },
}

/// An open log.
#[derive(Clone)]
pub enum AnyLog {
    /// In PostgreSQL.
    Postgres(PostgresLog),
    /// In a file.
    Sqlite(SqliteLog),
}

impl AnyLog {
    /// Opens a log that is there, by its address, with `connections` at most; and says how to speak of what fails in it later.
    ///
    /// # Errors
    /// [`NoLog`].
    pub async fn existing(
        address: &Path,
        connections: u32,
    ) -> Result<(Self, impl Fn(LogError) -> NoLog), NoLog> {
        let address: LogAddress = address.to_string_lossy().parse()?;
        if let LogAddress::File(path) = &address
            && !path.exists()
        {
            return Err(NoLog::Missing(path.clone()));
        }
        let name = address.to_string();
        let failed = move |error| NoLog::Log { log: name.clone(), error };
        let log = Self::open(&address, connections).await.map_err(&failed)?;
        Ok((log, failed))
    }

    /// Opens the log, with `connections` at most; makes its tables, and its file and folder, when they are not there.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn open(address: &LogAddress, connections: u32) -> Result<Self, LogError> {
        match address {
            LogAddress::Postgres(url) => PostgresLog::open(url, connections).await.map(Self::Postgres),
            LogAddress::File(path) => {
                if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                    let failed = |error| LogError::Refused(format!("{}: {error}", folder.display()));
                    make_private(folder).map_err(failed)?;
                }
                SqliteLog::open(path).await.map(Self::Sqlite)
            }
        }
    }
}

impl AnyLog {
    /// Learns from the database when another process adds to the log.
    pub fn listen(&self) {
        if let Self::Postgres(log) = self {
            log.listen();
        }
    }
}

impl Log for AnyLog {
    async fn record(&self, batch: &Batch<'_>) -> Result<Recorded, LogError> {
        match self {
            Self::Postgres(log) => log.record(batch).await,
            Self::Sqlite(log) => log.record(batch).await,
        }
    }

    async fn published(&self, batch: i64) -> Result<(), LogError> {
        match self {
            Self::Postgres(log) => log.published(batch).await,
            Self::Sqlite(log) => log.published(batch).await,
        }
    }

    async fn keys(&self, batch: i64) -> Result<Vec<Key>, LogError> {
        match self {
            Self::Postgres(log) => log.keys(batch).await,
            Self::Sqlite(log) => log.keys(batch).await,
        }
    }

    async fn unrecorded(&self, origins: Vec<String>) -> Result<Vec<String>, LogError> {
        match self {
            Self::Postgres(log) => log.unrecorded(origins).await,
            Self::Sqlite(log) => log.unrecorded(origins).await,
        }
    }

    async fn search(&self, search: &Search, page: &Page) -> Result<Vec<Stored>, LogError> {
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

    async fn maintain(&self, keep: &Keep) -> Result<Maintained, LogError> {
        match self {
            Self::Postgres(log) => log.maintain(keep).await,
            Self::Sqlite(log) => log.maintain(keep).await,
        }
    }
}

impl Ordered for AnyLog {
    async fn sequence(&self) -> Result<Position, LogError> {
        match self {
            Self::Postgres(log) => log.sequence().await,
            Self::Sqlite(log) => log.sequence().await,
        }
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        match self {
            Self::Postgres(log) => log.bounds().await,
            Self::Sqlite(log) => log.bounds().await,
        }
    }

    async fn events(
        &self,
        positions: Range<Position>,
        filter: &Filter,
        most: Most,
    ) -> Result<Option<Vec<Placed>>, LogError> {
        match self {
            Self::Postgres(log) => log.events(positions, filter, most).await,
            Self::Sqlite(log) => log.events(positions, filter, most).await,
        }
    }

    async fn since(&self, time: Timestamp) -> Result<Position, LogError> {
        match self {
            Self::Postgres(log) => log.since(time).await,
            Self::Sqlite(log) => log.since(time).await,
        }
    }

    async fn recorded(&self, position: Position) -> Result<Option<Timestamp>, LogError> {
        match self {
            Self::Postgres(log) => log.recorded(position).await,
            Self::Sqlite(log) => log.recorded(position).await,
        }
    }

    async fn find(&self, id: &str, sources: &[String]) -> Result<Option<Stored>, LogError> {
        match self {
            Self::Postgres(log) => log.find(id, sources).await,
            Self::Sqlite(log) => log.find(id, sources).await,
        }
    }

    async fn cursor_key(&self) -> Result<CursorKey, LogError> {
        match self {
            Self::Postgres(log) => log.cursor_key().await,
            Self::Sqlite(log) => log.cursor_key().await,
        }
    }

    async fn reaches(&self, position: Position) -> Result<(), LogError> {
        match self {
            Self::Postgres(log) => log.reaches(position).await,
            Self::Sqlite(log) => log.reaches(position).await,
        }
    }
}

impl Statements for AnyLog {
    async fn transact(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, LogError> {
        match self {
            Self::Postgres(log) => log.transact(statements).await,
            Self::Sqlite(log) => log.transact(statements).await,
        }
    }

    async fn divide(&self, table: &'static str, oldest: Timestamp) -> Result<(), LogError> {
        match self {
            Self::Postgres(log) => log.divide(table, oldest).await,
            Self::Sqlite(log) => log.divide(table, oldest).await,
        }
    }
}
