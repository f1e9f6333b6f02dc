//! The address of a database: a PostgreSQL URL or the path of a SQLite file.

#[cfg(feature = "command")]
use std::path::{Path, PathBuf};
use std::str::FromStr;

#[cfg(feature = "command")]
use super::{Database, DatabaseError};
use super::{DatabaseUrl, DatabaseUrlError};

/// Where a database is: a PostgreSQL URL or the path of a SQLite file.
#[derive(Clone, Debug)]
pub enum DatabaseAddress {
    /// The URL of a PostgreSQL database.
    Postgres(DatabaseUrl),
    /// The path of a local SQLite file.
    #[cfg(feature = "command")]
    File(PathBuf),
}

impl FromStr for DatabaseAddress {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains("://") || text.is_empty() {
            return Ok(Self::Postgres(text.parse()?));
        }
        #[cfg(feature = "command")]
        return Ok(Self::File(text.into()));
        #[cfg(not(feature = "command"))]
        Err(DatabaseUrlError)
    }
}

/// Converts the path of a SQLite file into an address.
#[cfg(feature = "command")]
impl From<&Path> for DatabaseAddress {
    fn from(path: &Path) -> Self {
        Self::File(path.to_owned())
    }
}

impl std::fmt::Display for DatabaseAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Postgres(url) => write!(f, "{url}"),
            #[cfg(feature = "command")]
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Why an existing database cannot be opened or used. The messages refer to the option `--database`.
#[cfg(feature = "command")]
#[derive(Debug, thiserror::Error)]
pub enum OpenDatabaseError {
    /// The address is not a valid database URL.
    #[error("invalid --database")]
    InvalidAddress(#[from] DatabaseUrlError),
    /// The SQLite file does not exist.
    #[error("--database: no log exists at {0}; `hookbridge serve` creates it in its working directory")]
    NotFound(PathBuf),
    /// An operation on the log failed.
    #[error("cannot use the log {address}: {error}")]
    Log {
        /// The address of the log's database.
        address: String,
        /// The cause.
        error: DatabaseError,
    },
}

#[cfg(feature = "command")]
impl Database {
    /// Opens an existing database with at most `connections` connections. Returns the database and a function that adds its
    /// address to a database error.
    ///
    /// # Errors
    /// The address is not valid, the file does not exist, or the database cannot be opened.
    pub async fn open_existing(
        address: &Path,
        connections: u32,
    ) -> Result<(Self, impl Fn(DatabaseError) -> OpenDatabaseError + use<>), OpenDatabaseError> {
        let address: DatabaseAddress = address.to_string_lossy().parse()?;
        if let DatabaseAddress::File(path) = &address
            && !path.exists()
        {
            return Err(OpenDatabaseError::NotFound(path.clone()));
        }
        let address_text = address.to_string();
        let add_address = move |error| OpenDatabaseError::Log { address: address_text.clone(), error };
        let database = Self::open(&address, connections).await.map_err(&add_address)?;
        Ok((database, add_address))
    }
}
