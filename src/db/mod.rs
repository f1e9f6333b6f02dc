//! The database: PostgreSQL 15 or later. The command `hookbridge` can also use a SQLite file.
//!
//! A [`Database`] owns the connection pool. It runs statements that PostgreSQL and SQLite both understand: their text is built
//! with the [`SqlDialect`] of the database, their values are bound, and result rows are read by column name. A module whose SQL
//! differs between PostgreSQL and SQLite uses the `Pool` instead (`Database::with_pool`).
//!
//! When PostgreSQL rejects credentials that came from Secrets Manager, [`Database`] reads the secret again, reconnects, and
//! repeats the operation once.

mod address;
mod credentials;
mod error;
mod migrations;
mod partitions;
mod postgres;
mod row;
#[cfg(feature = "command")]
mod sqlite;
mod statement;
mod week;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::Mutex;
use tracing::warn;

pub use address::DatabaseAddress;
#[cfg(feature = "command")]
pub use address::OpenDatabaseError;
pub use error::DatabaseError;
pub(crate) use postgres::{CancelSafeConnection, DATABASE_TIMEOUT, PostgresPool};
pub use postgres::{DatabaseUrl, DatabaseUrlError};
pub use row::{FromColumn, Row, timestamp_from_micros};
#[cfg(feature = "command")]
pub(crate) use sqlite::SqliteFile;
pub use statement::{InputRows, MAX_INPUT_ROWS, ReadLimits, SqlDialect, SqlValue, Statement};
pub(crate) use week::Week;

use crate::secrets::SecretsManager;

/// The maximum number of database connections of one instance of a Lambda function.
const FUNCTION_CONNECTIONS: u32 = 4;

/// A database with its connection pool. Clones share the pool. If the database fails, a method returns the database's error.
#[derive(Clone)]
pub struct Database {
    connector: Arc<Connector>,
    /// How long an operation waits for a connection.
    acquire_timeout: Duration,
}

struct Connector {
    source: ConnectionSource,
    max_connections: u32,
    /// `None` while no pool is open.
    pool: RwLock<Option<Pool>>,
    /// Held while the pool is opened, so that concurrent operations open one pool.
    open_lock: Mutex<()>,
}

enum ConnectionSource {
    Address(DatabaseAddress),
    /// A secret with the credentials, and optionally a URL whose host, port and database replace those in the secret's JSON.
    Secret(Option<DatabaseUrl>, SecretsManager),
}

/// An open connection pool.
#[derive(Clone)]
pub(crate) enum Pool {
    Postgres(PostgresPool),
    #[cfg(feature = "command")]
    Sqlite(SqliteFile),
}

/// A connection from the pool, for statements that must run on the same connection.
pub(crate) enum Session<'c> {
    Postgres(&'c mut sqlx::PgConnection),
    #[cfg(feature = "command")]
    Sqlite(&'c mut sqlx::SqliteConnection),
}

impl Session<'_> {
    /// Runs one statement, and converts each row as it arrives, so that its memory is free for the next rows.
    pub(crate) async fn fetch<T: Send + Unpin>(
        &mut self,
        statement: &Statement,
        from_row: impl FnMut(Row) -> Result<T, DatabaseError> + Send,
    ) -> Result<Vec<T>, DatabaseError> {
        match self {
            Self::Postgres(connection) => postgres::fetch_mapped(connection, statement, from_row).await,
            #[cfg(feature = "command")]
            Self::Sqlite(connection) => sqlite::fetch_mapped(connection, statement, from_row).await,
        }
    }
}

/// Why a Lambda function has no database: neither a URL nor a secret is configured, or the URL is invalid.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseConfigError {
    #[error("environment variables DATABASE_URL and DATABASE_SECRET_ARN: one of them must be set")]
    Missing,
    #[error("invalid environment variable DATABASE_URL")]
    Url(#[from] DatabaseUrlError),
}

impl Database {
    fn new(source: ConnectionSource, max_connections: u32) -> Self {
        let (pool, open_lock) = Default::default();
        let connector = Arc::new(Connector { source, max_connections, pool, open_lock });
        Self { connector, acquire_timeout: DATABASE_TIMEOUT }
    }

    /// The same database, for operations that wait at most `acquire_timeout` for a connection, for example because a client waits
    /// for their result. Opening a database that is not open takes longer.
    #[must_use]
    pub fn with_acquire_timeout(&self, acquire_timeout: Duration) -> Self {
        Self { acquire_timeout, ..self.clone() }
    }

    /// Opens a database with at most `max_connections` connections, and applies pending migrations. Creates a SQLite file and its
    /// folder if they do not exist.
    ///
    /// # Errors
    /// The database cannot be opened, or the folder or the tables cannot be created.
    pub async fn open(address: &DatabaseAddress, max_connections: u32) -> Result<Self, DatabaseError> {
        let database = Self::new(ConnectionSource::Address(address.clone()), max_connections);
        database.pool().await?;
        Ok(database)
    }

    /// Creates the database of a Lambda function, from a URL, from a secret, or from a URL and a secret with its credentials. The
    /// first operation opens the database, because a database that scales to zero may take longer to resume than Lambda allows a
    /// function to initialize.
    ///
    /// # Errors
    /// `url` and `secret` are both `None`, or the URL is invalid.
    pub fn for_function(
        url: Option<&SecretString>,
        secret: Option<SecretsManager>,
    ) -> Result<Self, DatabaseConfigError> {
        let url = url.map(|url| url.expose_secret().parse()).transpose()?;
        let source = match (url, secret) {
            (url, Some(secret)) => ConnectionSource::Secret(url, secret),
            (Some(url), None) => ConnectionSource::Address(DatabaseAddress::Postgres(url)),
            (None, None) => return Err(DatabaseConfigError::Missing),
        };
        Ok(Self::new(source, FUNCTION_CONNECTIONS))
    }

    /// Whether the database is a SQLite file, which belongs to one `hookbridge serve`.
    pub fn is_embedded(&self) -> bool {
        match &self.connector.source {
            #[cfg(feature = "command")]
            ConnectionSource::Address(DatabaseAddress::File(_)) => true,
            ConnectionSource::Address(DatabaseAddress::Postgres(_)) | ConnectionSource::Secret(..) => false,
        }
    }

    /// The dialect in which the text of statements for this database is built.
    pub fn dialect(&self) -> SqlDialect {
        #[cfg(feature = "command")]
        if self.is_embedded() {
            return SqlDialect::SQLITE;
        }
        SqlDialect::POSTGRES
    }

    /// Runs one statement that only reads, and returns its rows. A statement that writes needs `execute`, which makes the writers
    /// of a SQLite file wait for each other.
    pub async fn query(
        &self,
        sql: impl Into<String>,
        values: Vec<SqlValue>,
    ) -> Result<Vec<Row>, DatabaseError> {
        self.fetch(&Statement::new(sql, values)).await
    }

    /// Runs one statement that only reads, with `input_rows` as the table `v`, and returns its result rows.
    pub async fn query_with_rows(
        &self,
        input_rows: InputRows,
        sql: impl Into<String>,
    ) -> Result<Vec<Row>, DatabaseError> {
        self.fetch(&Statement::with_rows(input_rows, sql)).await
    }

    /// Runs one statement that only reads, and returns its rows.
    pub async fn fetch(&self, statement: &Statement) -> Result<Vec<Row>, DatabaseError> {
        debug_assert!(statement.sql.starts_with("select"), "a statement that writes is run by execute");
        self.with_pool(|pool| async move {
            match pool {
                Pool::Postgres(pool) => postgres::query(&pool, statement).await,
                #[cfg(feature = "command")]
                Pool::Sqlite(file) => file.query(statement).await,
            }
        })
        .await
    }

    /// Runs one statement that changes data, and returns the rows of its `returning` clause.
    pub async fn execute(
        &self,
        sql: impl Into<String>,
        values: Vec<SqlValue>,
    ) -> Result<Vec<Row>, DatabaseError> {
        let mut results = self.execute_transaction(vec![Statement::new(sql, values)]).await?;
        Ok(results.pop().unwrap_or_default())
    }

    /// Runs statements that change data in one transaction, and returns the result rows of each statement.
    ///
    /// # Errors
    /// The database failed. Nothing was written, or the outcome is unknown.
    pub async fn execute_transaction(
        &self,
        statements: Vec<Statement>,
    ) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let statements = statements.as_slice();
        self.with_pool(|pool| async move {
            match pool {
                Pool::Postgres(pool) => postgres::execute_transaction(&pool, statements).await,
                #[cfg(feature = "command")]
                Pool::Sqlite(file) => file.execute_transaction(statements).await,
            }
        })
        .await
    }

    /// Creates the partitions of this week and of the next four weeks for a table that is partitioned by a time in
    /// microseconds since 1970, and drops the partitions whose week ended at or before `keep_from`. Does nothing in SQLite, which has no
    /// partitions.
    pub async fn maintain_partitions(
        &self,
        table: &'static str,
        keep_from: Timestamp,
    ) -> Result<(), DatabaseError> {
        self.with_pool(|pool| async move {
            match pool {
                Pool::Postgres(pool) => partitions::maintain(&pool, table, keep_from).await,
                #[cfg(feature = "command")]
                Pool::Sqlite(_) => Ok(()),
            }
        })
        .await
    }

    /// Closes every connection.
    pub async fn close(&self) {
        let pool = self.connector.pool.write().unwrap_or_else(PoisonError::into_inner).take();
        match pool {
            Some(Pool::Postgres(pool)) => pool.close().await,
            #[cfg(feature = "command")]
            Some(Pool::Sqlite(file)) => file.pool.close().await,
            None => {}
        }
    }

    /// The connections to PostgreSQL in use, and the idle ones; `None` if no pool is open, and for the embedded database.
    #[cfg(feature = "command")]
    pub fn connections(&self) -> Option<(usize, usize)> {
        match &*self.connector.pool.read().unwrap_or_else(PoisonError::into_inner) {
            Some(Pool::Postgres(postgres)) => {
                let (open, idle) = (postgres.pool.size() as usize, postgres.pool.num_idle());
                Some((open.saturating_sub(idle), idle))
            }
            _ => None,
        }
    }

    /// Runs an operation on the pool. If the database rejects credentials that came from a secret, reads the secret again, opens
    /// a new pool and repeats the operation once.
    pub(crate) async fn with_pool<T, F>(
        &self,
        operation: impl Fn(Pool) -> F + Send,
    ) -> Result<T, DatabaseError>
    where
        F: Future<Output = Result<T, DatabaseError>> + Send,
    {
        let pool = self.pool().await?;
        match (
            operation(pool.clone().with_acquire_timeout(self.acquire_timeout)).await,
            &self.connector.source,
        ) {
            (Err(error @ DatabaseError::InvalidCredentials(_)), ConnectionSource::Secret(..)) => {
                warn!(error = error.to_string(), "database credentials rejected; refreshing them");
                self.forget_pool(&pool);
                operation(self.pool().await?.with_acquire_timeout(self.acquire_timeout)).await
            }
            (result, _) => result,
        }
    }

    /// Returns the pool. Opens it if it is not open.
    async fn pool(&self) -> Result<Pool, DatabaseError> {
        let current = || self.connector.pool.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(pool) = current() {
            return Ok(pool);
        }
        let _open_guard = self.connector.open_lock.lock().await;
        if let Some(pool) = current() {
            return Ok(pool);
        }
        let pool = match &self.connector.source {
            ConnectionSource::Address(DatabaseAddress::Postgres(url)) => {
                Pool::Postgres(postgres::open_pool(url, self.connector.max_connections).await?)
            }
            #[cfg(feature = "command")]
            ConnectionSource::Address(DatabaseAddress::File(path)) => {
                Pool::Sqlite(SqliteFile::open(path).await?)
            }
            ConnectionSource::Secret(url, secret) => {
                let url = credentials::read_url(url.as_ref(), secret).await?;
                Pool::Postgres(postgres::open_pool(&url, self.connector.max_connections).await?)
            }
        };
        *self.connector.pool.write().unwrap_or_else(PoisonError::into_inner) = Some(pool.clone());
        Ok(pool)
    }

    /// Discards `rejected`, the pool whose credentials were rejected, unless another operation has already replaced it.
    fn forget_pool(&self, rejected: &Pool) {
        let mut current = self.connector.pool.write().unwrap_or_else(PoisonError::into_inner);
        if current.as_ref().is_some_and(|current| current.is_same(rejected)) {
            *current = None;
        }
    }
}

impl Pool {
    fn with_acquire_timeout(self, acquire_timeout: Duration) -> Self {
        match self {
            Self::Postgres(pool) => Self::Postgres(PostgresPool { acquire_timeout, ..pool }),
            // The timeout applies only to PostgreSQL, whose server can be unreachable.
            #[cfg(feature = "command")]
            Self::Sqlite(file) => Self::Sqlite(file),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Postgres(a), Self::Postgres(b)) => Arc::ptr_eq(&a.connect_options(), &b.connect_options()),
            #[cfg(feature = "command")]
            _ => false,
        }
    }
}
