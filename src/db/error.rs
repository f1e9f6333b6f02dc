//! Database errors, classified by whether a retry may succeed. Their messages do not quote stored data.

/// A failed database operation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseError {
    /// The database is unreachable or overloaded, or it aborted the statement. A retry may succeed.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database rejected the credentials.
    #[error("the database rejected the credentials: {0}")]
    InvalidCredentials(String),
    /// The database rejected the statement. A retry fails in the same way.
    #[error("the database rejected the request: {0}")]
    Rejected(String),
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database_error) => {
                let code = database_error.code().unwrap_or_default();
                let text = format!("{} (code {code})", redacted_message(&code, database_error.message()));
                // SQLSTATE class 28: "invalid authorization specification".
                if code.len() == 5 && code.starts_with("28") {
                    Self::InvalidCredentials(text)
                } else if is_transient_code(&code) {
                    Self::Unavailable(text)
                } else {
                    Self::Rejected(text)
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_) => Self::Unavailable(error.to_string()),
            sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => {
                Self::Unavailable("the connection was lost".into())
            }
            sqlx::Error::Configuration(_) => Self::Rejected("the database URL is not valid".into()),
            _ => Self::Rejected("the database returned an unexpected result".into()),
        }
    }
}

/// Whether a retry may succeed after this error code. SQLSTATE: 08 connection, 25P03 idle transaction timeout, 40 transaction
/// rollback, 53 insufficient resources, 55P03 lock not available, 57 operator intervention, 58 system error ("PostgreSQL Error
/// Codes", PostgreSQL manual). SQLite: 5 busy, 6 locked, 13 disk full, 261 busy recovery, 517 busy snapshot, 778 write error.
fn is_transient_code(code: &str) -> bool {
    ["08", "25P03", "40", "53", "55P03", "57", "58"]
        .iter()
        .any(|prefix| code.len() == 5 && code.starts_with(prefix))
        || matches!(code, "5" | "6" | "13" | "261" | "517" | "778")
}

/// Returns the database's error message; for SQLSTATE class 22 (data exceptions), a general text instead, because PostgreSQL's
/// messages of this class quote data.
fn redacted_message<'a>(code: &str, text: &'a str) -> &'a str {
    if code.starts_with("22") { "invalid data" } else { text }
}
