//! Lazily opened PostgreSQL log for Lambda functions, with credential refresh.
//!
//! A function opens the log at the first use, because a database that scales to zero may take longer to resume than a
//! function may take to initialize. When the database rejects the credentials, [`LambdaLog`] reads the secret again,
//! reconnects, and repeats the operation once.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::warn;

use crate::log::postgres::{DatabaseUrl, DatabaseUrlError};
use crate::log::{
    Bounds, CursorSigningKey, EventBatch, EventFilter, EventKey, EventReader, EventStore, LogError,
    MaintenanceReport, PageLimit, PageRequest, Position, PositionedEvent, PostgresLog, RecordOutcome,
    RetentionPolicy, Row, Search, SqlExecutor, Statement, StoredEvent,
};
use crate::secrets::{SecretStore, SecretsManager, VersionStage};

/// Maximum number of database connections per function instance.
const MAX_CONNECTIONS: u32 = 4;

/// A PostgreSQL log that opens itself, with its URL or the secret that contains its credentials.
pub struct LambdaLog {
    url: Option<DatabaseUrl>,
    secret: Option<SecretsManager>,
    log: Mutex<Option<Arc<PostgresLog>>>,
}

/// Invalid database configuration.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LambdaLogConfigError {
    /// Neither variable is set.
    #[error("environment variables DATABASE_URL and DATABASE_SECRET_ARN: one of them must be set")]
    MissingDatabase,
    /// The URL is not valid.
    #[error("invalid environment variable DATABASE_URL")]
    Url(#[from] DatabaseUrlError),
}

/// A database secret in the format that Secrets Manager uses for RDS. `DATABASE_URL` may replace the optional fields.
///
/// Source: "JSON structure of AWS Secrets Manager database credential secrets", AWS Secrets Manager User Guide.
#[derive(Deserialize)]
struct DatabaseCredentials {
    username: String,
    password: String,
    host: Option<String>,
    port: Option<u16>,
    dbname: Option<String>,
}

impl LambdaLog {
    /// Configures the database by `DATABASE_URL`, by the secret `DATABASE_SECRET_ARN`, or by a URL without
    /// credentials and a secret with them. It does not connect.
    ///
    /// # Errors
    /// Both are missing, or the URL is not valid.
    pub fn new(
        url: Option<&SecretString>,
        secret: Option<SecretsManager>,
    ) -> Result<Self, LambdaLogConfigError> {
        let url = url.map(|url| url.expose_secret().parse()).transpose()?;
        if url.is_none() && secret.is_none() {
            return Err(LambdaLogConfigError::MissingDatabase);
        }
        Ok(Self { url, secret, log: Mutex::default() })
    }

    /// The open log; opens it at the first use.
    async fn connected_log(&self) -> Result<Arc<PostgresLog>, LogError> {
        let mut current = self.log.lock().await;
        if let Some(log) = &*current {
            return Ok(log.clone());
        }
        let log = Arc::new(PostgresLog::open(&self.database_url().await?, MAX_CONNECTIONS).await?);
        *current = Some(log.clone());
        Ok(log)
    }

    async fn database_url(&self) -> Result<DatabaseUrl, LogError> {
        let invalid_secret =
            |problem: &str| LogError::Rejected(format!("invalid database secret: {problem}"));
        let Some(secret) = &self.secret else {
            return self.url.clone().ok_or_else(|| invalid_secret("it is not configured"));
        };
        let version = secret.fetch(VersionStage::Current).await;
        let version = version
            .map_err(|error| LogError::Unavailable(format!("cannot read the database secret: {error}")))?;
        let version = version.ok_or_else(|| invalid_secret("it has no value"))?;
        let text =
            std::str::from_utf8(version.secret.expose()).map_err(|_| invalid_secret("it is not text"))?;
        if !text.trim_start().starts_with('{') {
            return text.trim().parse().map_err(|error: DatabaseUrlError| invalid_secret(&error.to_string()));
        }
        let expected_format = "expected RDS JSON with username and password";
        let credentials: DatabaseCredentials =
            serde_json::from_str(text).map_err(|_| invalid_secret(expected_format))?;
        let url = match (&self.url, &credentials.host) {
            (Some(url), _) => url.clone(),
            (None, Some(host)) => {
                let port = credentials.port.unwrap_or(5432);
                let name = credentials.dbname.as_deref().unwrap_or("postgres");
                DatabaseUrl::from_parts(host, port, name)
            }
            (None, None) => return Err(invalid_secret("it has no host, and DATABASE_URL is not set")),
        };
        Ok(url.with_credentials(&credentials.username, &credentials.password))
    }

    /// Reopens the log with current credentials if `error` says that the database rejected those of `log`. Returns
    /// `None` if the error has another cause or no secret is configured.
    async fn reconnect(
        &self,
        log: &Arc<PostgresLog>,
        error: &LogError,
    ) -> Result<Option<Arc<PostgresLog>>, LogError> {
        if self.secret.is_none() || !matches!(error, LogError::InvalidCredentials(_)) {
            return Ok(None);
        }
        let mut current = self.log.lock().await;
        // Unless another task has already reopened it.
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, log)) {
            warn!(error = error.to_string(), "database credentials rejected; refreshing them");
            *current = None;
        }
        drop(current);
        self.connected_log().await.map(Some)
    }
}

/// Runs an operation, retrying once after a credential refresh.
macro_rules! with_log {
    ($database:expr, $log:ident => $operation:expr) => {{
        let $log = $database.connected_log().await?;
        match $operation.await {
            Err(error) => match $database.reconnect(&$log, &error).await? {
                Some($log) => $operation.await,
                None => Err(error),
            },
            result => result,
        }
    }};
}

impl EventStore for LambdaLog {
    async fn record(&self, batch: &EventBatch<'_>) -> Result<RecordOutcome, LogError> {
        with_log!(self, log => log.record(batch))
    }

    async fn mark_published(&self, batch: i64) -> Result<(), LogError> {
        with_log!(self, log => log.mark_published(batch))
    }

    async fn batch_event_keys(&self, batch: i64) -> Result<Vec<EventKey>, LogError> {
        with_log!(self, log => log.batch_event_keys(batch))
    }

    async fn find_unrecorded(&self, origins: Vec<String>) -> Result<Vec<String>, LogError> {
        with_log!(self, log => log.find_unrecorded(origins.clone()))
    }

    async fn search(&self, search: &Search, page: &PageRequest) -> Result<Vec<StoredEvent>, LogError> {
        with_log!(self, log => log.search(search, page))
    }

    async fn count(&self, search: &Search) -> Result<u64, LogError> {
        with_log!(self, log => log.count(search))
    }

    async fn maintain(&self, policy: &RetentionPolicy) -> Result<MaintenanceReport, LogError> {
        with_log!(self, log => log.maintain(policy))
    }
}

impl EventReader for LambdaLog {
    async fn assign_positions(&self) -> Result<Position, LogError> {
        with_log!(self, log => log.assign_positions())
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        with_log!(self, log => log.bounds())
    }

    async fn read_events(
        &self,
        positions: Range<Position>,
        filter: &EventFilter,
        limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, LogError> {
        with_log!(self, log => log.read_events(positions.clone(), filter, limit))
    }

    async fn first_position_since(&self, time: Timestamp) -> Result<Position, LogError> {
        with_log!(self, log => log.first_position_since(time))
    }

    async fn recorded_at(&self, position: Position) -> Result<Option<Timestamp>, LogError> {
        with_log!(self, log => log.recorded_at(position))
    }

    async fn find_event(&self, id: &str, sources: &[String]) -> Result<Option<StoredEvent>, LogError> {
        with_log!(self, log => log.find_event(id, sources))
    }

    async fn cursor_signing_key(&self) -> Result<CursorSigningKey, LogError> {
        with_log!(self, log => log.cursor_signing_key())
    }

    async fn wait_for_position(&self, position: Position) -> Result<(), LogError> {
        with_log!(self, log => log.wait_for_position(position))
    }
}

impl SqlExecutor for LambdaLog {
    async fn execute_transaction(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, LogError> {
        with_log!(self, log => log.execute_transaction(statements.clone()))
    }

    async fn maintain_partitions(&self, table: &'static str, oldest: Timestamp) -> Result<(), LogError> {
        with_log!(self, log => log.maintain_partitions(table, oldest))
    }
}
