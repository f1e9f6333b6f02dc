//! Environment variables of the function `feed`.

use secrecy::SecretString;

use crate::lambda::{EnvironmentError, Variables};

#[derive(Debug)]
pub struct FeedEnvironment {
    /// `DATABASE_URL`: the URL of the database, which may contain a password.
    pub database_url: Option<SecretString>,
    /// `DATABASE_SECRET_ARN`: the secret with the database credentials.
    pub database_secret_arn: Option<String>,
    /// `TOKENS_SECRET_ARN`: the secret with the list of API tokens. If it is unset, only requests that are signed with AWS
    /// credentials are accepted.
    pub tokens_secret_arn: Option<String>,
    /// `RESPONSE_STREAM` (default `false`): whether the Function URL streams responses.
    pub is_streaming: bool,
}

impl FeedEnvironment {
    /// Reads the environment through `variable`, which looks up a variable by its name. An empty value counts as unset.
    ///
    /// # Errors
    /// The first variable with an invalid value.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        Ok(Self {
            is_streaming: variables.boolean("RESPONSE_STREAM")?,
            database_url: variables.get("DATABASE_URL").map(Into::into),
            database_secret_arn: variables.get("DATABASE_SECRET_ARN"),
            tokens_secret_arn: variables.get("TOKENS_SECRET_ARN"),
        })
    }
}
