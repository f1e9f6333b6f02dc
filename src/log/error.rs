//! Database errors, redacted.

/// Why the log did not do what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// The database cannot be reached, is too busy or gave up: later it may go.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// It refuses the credentials.
    #[error("the database does not take these credentials: {0}")]
    InvalidCredentials(String),
    /// It refuses, and will refuse again.
    #[error("the database refused: {0}")]
    Rejected(String),
}

impl From<sqlx::Error> for LogError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(said) => {
                let code = said.code().unwrap_or_default();
                let text = format!("{} (code {code})", message(&code, said.message()));
                // Class 28, "invalid authorization specification".
                if code.len() == 5 && code.starts_with("28") {
                    Self::InvalidCredentials(text)
                } else if passes(&code) {
                    Self::Unavailable(text)
                } else {
                    Self::Rejected(text)
                }
            }
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::Tls(_) => Self::Unavailable(error.to_string()),
            sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed => Self::Unavailable("it broke off".into()),
            sqlx::Error::Configuration(_) => Self::Rejected("its URL cannot be used".into()),
            _ => Self::Rejected("its answer has another form than expected".into()),
        }
    }
}

/// Whether trying again may help. Source: "PostgreSQL Error Codes", its manual: 08 connection, 25P03 idle too long,
/// 40 rolled back for another's sake, 53 out of something, 55P03 a lock that was not to be had, 57 ended by an
/// operator, 58 the system. SQLite: 5 busy, 6 locked.
fn passes(code: &str) -> bool {
    ["08", "25P03", "40", "53", "55P03", "57", "58"]
        .iter()
        .any(|class| code.len() == 5 && code.starts_with(class))
        || matches!(code, "5" | "6" | "261" | "517")
}

/// What the database said, but for the kinds of errors (22, invalid data) that quote what they complain about.
fn message<'a>(code: &str, text: &'a str) -> &'a str {
    if code.starts_with("22") { "something in the data" } else { text }
}
