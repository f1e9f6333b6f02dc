//! The log as a function has it: opened when it is first needed, because a database that scales to zero takes longer to
//! wake than a function may take to start, and entered with credentials that are read anew when they are refused.

use std::ops::Range;
use std::sync::Arc;

use jiff::Timestamp;

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::warn;

use crate::log::postgres::{DatabaseUrl, DatabaseUrlError};
use crate::log::{
    Batch, Bounds, CursorKey, Filter, Keep, Key, Log, LogError, Maintained, Most, Ordered, Page, Placed,
    Position, PostgresLog, Recorded, Row, Search, Statement, Statements, Stored,
};
use crate::secrets::{SecretStore, SecretsManager, Stage};

/// Connections that one function has at most.
const CONNECTIONS: u32 = 4;

/// A database, and where its credentials are.
pub struct Database {
    url: Option<DatabaseUrl>,
    secret: Option<SecretsManager>,
    open: Mutex<Option<Arc<PostgresLog>>>,
}

/// Why there is no database to open.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// Neither is set.
    #[error("environment variables DATABASE_URL and DATABASE_SECRET_ARN: one of them must be set")]
    NotSet,
    /// The URL is none.
    #[error("environment variable DATABASE_URL")]
    Url(#[from] DatabaseUrlError),
}

/// A secret as Secrets Manager keeps one for RDS; what the URL says already need not be in it.
///
/// Source: "JSON structure of AWS Secrets Manager database credential secrets", its User Guide.
#[derive(Deserialize)]
struct Credentials {
    username: String,
    password: String,
    host: Option<String>,
    port: Option<u16>,
    dbname: Option<String>,
}

impl Database {
    /// A database by `DATABASE_URL`, by the secret `DATABASE_SECRET_ARN`, or by a URL without credentials and a secret
    /// with them.
    ///
    /// # Errors
    /// [`DatabaseError`].
    pub fn new(url: Option<&SecretString>, secret: Option<SecretsManager>) -> Result<Self, DatabaseError> {
        let url = url.map(|url| url.expose_secret().parse()).transpose()?;
        if url.is_none() && secret.is_none() {
            return Err(DatabaseError::NotSet);
        }
        Ok(Self { url, secret, open: Mutex::default() })
    }

    async fn log(&self) -> Result<Arc<PostgresLog>, LogError> {
        let mut open = self.open.lock().await;
        if let Some(log) = &*open {
            return Ok(log.clone());
        }
        let log = Arc::new(PostgresLog::open(&self.url().await?, CONNECTIONS).await?);
        *open = Some(log.clone());
        Ok(log)
    }

    async fn url(&self) -> Result<DatabaseUrl, LogError> {
        let refused = |why: &str| LogError::Refused(format!("the database's secret: {why}"));
        let Some(secret) = &self.secret else {
            return self.url.clone().ok_or_else(|| refused("there is none"));
        };
        let version = secret.fetch(Stage::Current).await;
        let version = version.map_err(|error| LogError::Unavailable(format!("its credentials: {error}")))?;
        let version = version.ok_or_else(|| refused("it has no value"))?;
        let text = std::str::from_utf8(version.secret.expose()).map_err(|_| refused("it is not text"))?;
        if !text.trim_start().starts_with('{') {
            return text.trim().parse().map_err(|error: DatabaseUrlError| refused(&error.to_string()));
        }
        let form = "it is not the JSON that RDS keeps, with username and password";
        let credentials: Credentials = serde_json::from_str(text).map_err(|_| refused(form))?;
        let url = match (&self.url, &credentials.host) {
            (Some(url), _) => url.clone(),
            (None, Some(host)) => {
                let port = credentials.port.unwrap_or(5432);
                let name = credentials.dbname.as_deref().unwrap_or("postgres");
                DatabaseUrl::of(host, port, name)
            }
            (None, None) => return Err(refused("it names no host, and DATABASE_URL is not set")),
        };
        Ok(url.with_credentials(&credentials.username, &credentials.password))
    }

    /// The log with new credentials, when the old ones were refused to `log` with `error` and there may be others.
    async fn reopened(
        &self,
        log: &Arc<PostgresLog>,
        error: &LogError,
    ) -> Result<Option<Arc<PostgresLog>>, LogError> {
        if self.secret.is_none() || !matches!(error, LogError::Credentials(_)) {
            return Ok(None);
        }
        let mut open = self.open.lock().await;
        // Unless somebody else has been here.
        if open.as_ref().is_some_and(|open| Arc::ptr_eq(open, log)) {
            warn!(error = error.to_string(), "reading the database's credentials anew");
            *open = None;
        }
        drop(open);
        self.log().await.map(Some)
    }
}

/// Does something with the log, and once more when its credentials have changed.
macro_rules! with_log {
    ($database:expr, $log:ident => $work:expr) => {{
        let $log = $database.log().await?;
        match $work.await {
            Err(error) => match $database.reopened(&$log, &error).await? {
                Some($log) => $work.await,
                None => Err(error),
            },
            done => done,
        }
    }};
}

impl Log for Database {
    async fn record(&self, batch: &Batch<'_>) -> Result<Recorded, LogError> {
        with_log!(self, log => log.record(batch))
    }

    async fn published(&self, batch: i64) -> Result<(), LogError> {
        with_log!(self, log => log.published(batch))
    }

    async fn keys(&self, batch: i64) -> Result<Vec<Key>, LogError> {
        with_log!(self, log => log.keys(batch))
    }

    async fn unrecorded(&self, origins: Vec<String>) -> Result<Vec<String>, LogError> {
        with_log!(self, log => log.unrecorded(origins.clone()))
    }

    async fn search(&self, search: &Search, page: &Page) -> Result<Vec<Stored>, LogError> {
        with_log!(self, log => log.search(search, page))
    }

    async fn count(&self, search: &Search) -> Result<u64, LogError> {
        with_log!(self, log => log.count(search))
    }

    async fn maintain(&self, keep: &Keep) -> Result<Maintained, LogError> {
        with_log!(self, log => log.maintain(keep))
    }
}

impl Ordered for Database {
    async fn sequence(&self) -> Result<Position, LogError> {
        with_log!(self, log => log.sequence())
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        with_log!(self, log => log.bounds())
    }

    async fn events(
        &self,
        positions: Range<Position>,
        filter: &Filter,
        most: Most,
    ) -> Result<Option<Vec<Placed>>, LogError> {
        with_log!(self, log => log.events(positions.clone(), filter, most))
    }

    async fn since(&self, time: Timestamp) -> Result<Position, LogError> {
        with_log!(self, log => log.since(time))
    }

    async fn recorded(&self, position: Position) -> Result<Option<Timestamp>, LogError> {
        with_log!(self, log => log.recorded(position))
    }

    async fn find(&self, id: &str, sources: &[String]) -> Result<Option<Stored>, LogError> {
        with_log!(self, log => log.find(id, sources))
    }

    async fn cursor_key(&self) -> Result<CursorKey, LogError> {
        with_log!(self, log => log.cursor_key())
    }

    async fn reaches(&self, position: Position) -> Result<(), LogError> {
        with_log!(self, log => log.reaches(position))
    }
}

impl Statements for Database {
    async fn transact(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, LogError> {
        with_log!(self, log => log.transact(statements.clone()))
    }

    async fn divide(&self, table: &'static str, oldest: Timestamp) -> Result<(), LogError> {
        with_log!(self, log => log.divide(table, oldest))
    }
}
