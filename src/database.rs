//! The log as a function has it: opened when it is first needed, because a database that scales to zero takes longer to
//! wake than a function may take to start, and entered with credentials that are read anew when they are refused.

use std::sync::Arc;

use jiff::SignedDuration;
use serde::Deserialize;
use tokio::sync::Mutex;
use tracing::warn;

use crate::log::postgres::{DatabaseUrl, DatabaseUrlError};
use crate::log::{Batch, Log, LogError, Maintained, Page, PostgresLog, Recorded, Search, Stored};
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
    #[error("environment variable DATABASE_URL: {0}")]
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
    pub fn new(url: Option<&str>, secret: Option<SecretsManager>) -> Result<Self, DatabaseError> {
        let url = url.map(str::parse).transpose()?;
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

    /// The log with new credentials, when the old ones were refused with `error` and there may be others.
    async fn reopened(&self, error: &LogError) -> Result<Option<Arc<PostgresLog>>, LogError> {
        if self.secret.is_none() || !matches!(error, LogError::Credentials(_)) {
            return Ok(None);
        }
        warn!(error = error.to_string(), "reading the database's credentials anew");
        *self.open.lock().await = None;
        self.log().await.map(Some)
    }
}

impl Log for Database {
    async fn record(&self, batch: &Batch<'_>) -> Result<Recorded, LogError> {
        let recorded = self.log().await?.record(batch).await;
        match recorded {
            Err(error) => match self.reopened(&error).await? {
                Some(log) => log.record(batch).await,
                None => Err(error),
            },
            recorded => recorded,
        }
    }

    async fn published(&self, batch: i64) -> Result<(), LogError> {
        self.log().await?.published(batch).await
    }

    async fn unrecorded(&self, origins: Vec<String>) -> Result<Vec<String>, LogError> {
        self.log().await?.unrecorded(origins).await
    }

    async fn search(&self, search: &Search, page: &Page) -> Result<Vec<Stored>, LogError> {
        self.log().await?.search(search, page).await
    }

    async fn count(&self, search: &Search) -> Result<u64, LogError> {
        self.log().await?.count(search).await
    }

    async fn maintain(&self, keep: Option<SignedDuration>) -> Result<Maintained, LogError> {
        self.log().await?.maintain(keep).await
    }
}
