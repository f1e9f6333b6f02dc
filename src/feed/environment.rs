//! What the function `feed` is told by its environment.

use secrecy::SecretString;

use crate::invocation::{EnvironmentError, Variables};

/// The environment of the function `feed`.
#[derive(Debug)]
pub struct Environment {
    /// `DATABASE_URL`, which may hold a password.
    pub database_url: Option<SecretString>,
    /// `DATABASE_SECRET_ARN`: where the database's credentials are.
    pub database_secret_arn: Option<String>,
    /// `TOKENS_SECRET_ARN`: where the tokens are listed; without it only AWS's own signatures let in.
    pub tokens_secret_arn: Option<String>,
    /// `RESPONSE_STREAM` (`false`): whether the function's URL streams.
    pub streams: bool,
}

impl Environment {
    /// Reads the environment through `variable`; a variable that is empty is not set.
    ///
    /// # Errors
    /// The variable that is wrong.
    pub fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        Ok(Self {
            streams: variables.flag("RESPONSE_STREAM")?,
            database_url: variables.get("DATABASE_URL").map(Into::into),
            database_secret_arn: variables.get("DATABASE_SECRET_ARN"),
            tokens_secret_arn: variables.get("TOKENS_SECRET_ARN"),
        })
    }
}
