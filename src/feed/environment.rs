//! What the function `feed` is told by its environment.

use secrecy::SecretString;

/// The environment of the function `feed`.
#[derive(Debug)]
pub struct Environment {
    /// `DATABASE_URL`, which may hold a password.
    pub database_url: Option<SecretString>,
    /// `DATABASE_SECRET_ARN`: where the database's credentials are.
    pub database_secret_arn: Option<String>,
    /// `TOKENS_SECRET_ARN`: where the tokens are listed; without it only AWS's own signatures let in.
    pub tokens_secret_arn: Option<String>,
}

impl Environment {
    /// Reads the environment through `variable`; a variable that is empty is not set.
    pub fn read(variable: impl Fn(&'static str) -> Option<String>) -> Self {
        let variable = |name| variable(name).filter(|value| !value.is_empty());
        Self {
            database_url: variable("DATABASE_URL").map(Into::into),
            database_secret_arn: variable("DATABASE_SECRET_ARN"),
            tokens_secret_arn: variable("TOKENS_SECRET_ARN"),
        }
    }
}
