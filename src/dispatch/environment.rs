//! What the functions `dispatcher` and `subscribers` are told by their environments.

use ipnet::IpNet;
use jiff::SignedDuration;
use secrecy::SecretString;

use crate::invocation::{EnvironmentError, Variables};

/// The longest retention, in days: a hundred years.
const MOST_DAYS: i64 = 36_500;
/// How long attempts are on record when it is not said, in days.
const DAYS: i64 = 90;

/// The environment of the function `dispatcher`.
#[derive(Debug)]
pub struct Environment {
    /// `DATABASE_URL`, which may hold a password.
    pub database_url: Option<SecretString>,
    /// `DATABASE_SECRET_ARN`: where the database's credentials are.
    pub database_secret_arn: Option<String>,
    /// `SUBSCRIBER_KEY_ARN`: where the key of subscribers' secrets is.
    pub subscriber_key_arn: String,
    /// `QUEUE_URL`: the queue that calls the function, for what is to be tried again soon.
    pub queue_url: String,
    /// `EVENT_BUS_NAME` (`default`): where it is told how subscribers are.
    pub bus: String,
    /// `ALLOW_TO`: ranges of our own network that are delivered to, with commas between them.
    pub allowed: Vec<IpNet>,
    /// `RETENTION_DAYS` (90): how long deliveries that are done with, and attempts, are on record.
    pub retention: SignedDuration,
}

/// The environment of the function `subscribers`.
#[derive(Debug)]
pub struct ApiEnvironment {
    /// `DATABASE_URL`, which may hold a password.
    pub database_url: Option<SecretString>,
    /// `DATABASE_SECRET_ARN`: where the database's credentials are.
    pub database_secret_arn: Option<String>,
    /// `SUBSCRIBER_KEY_ARN`: where the key of subscribers' secrets is.
    pub subscriber_key_arn: String,
    /// `TOKENS_SECRET_ARN`: where the tokens are listed; without it only AWS's own signatures let in.
    pub tokens_secret_arn: Option<String>,
    /// `ALLOW_TO`: ranges of our own network that may be delivered to, with commas between them.
    pub allowed: Vec<IpNet>,
}

/// What the key is, where it is missing.
const KEY: &str = "the secret with the key of subscribers' secrets";

impl ApiEnvironment {
    /// Reads the environment through `variable`; a variable that is empty is not set.
    ///
    /// # Errors
    /// The first variable that is missing or wrong.
    pub fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        Ok(Self {
            database_url: variables.get("DATABASE_URL").map(Into::into),
            database_secret_arn: variables.get("DATABASE_SECRET_ARN"),
            subscriber_key_arn: variables.needed("SUBSCRIBER_KEY_ARN", KEY)?,
            tokens_secret_arn: variables.get("TOKENS_SECRET_ARN"),
            allowed: allowed(&variables)?,
        })
    }
}

/// The ranges of `ALLOW_TO`.
fn allowed(
    variables: &Variables<impl Fn(&'static str) -> Option<String>>,
) -> Result<Vec<IpNet>, EnvironmentError> {
    let net = |text: &str| {
        let problem = || format!("'{text}' is not a range of addresses, for example 10.1.0.0/16");
        text.trim().parse().map_err(|_| EnvironmentError::new("ALLOW_TO", problem()))
    };
    let allowed = variables.get("ALLOW_TO").unwrap_or_default();
    allowed.split(',').filter(|text| !text.trim().is_empty()).map(net).collect()
}

impl Environment {
    /// Reads the environment through `variable`; a variable that is empty is not set.
    ///
    /// # Errors
    /// The first variable that is missing or wrong.
    pub fn read(variable: impl Fn(&'static str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        // Must exceed the seven-day retry window.
        let days = variables.number("RETENTION_DAYS", DAYS, 8..=MOST_DAYS, "days")?;
        Ok(Self {
            database_url: variables.get("DATABASE_URL").map(Into::into),
            database_secret_arn: variables.get("DATABASE_SECRET_ARN"),
            subscriber_key_arn: variables.needed("SUBSCRIBER_KEY_ARN", KEY)?,
            queue_url: variables.needed("QUEUE_URL", "the queue of what is to be tried again")?,
            bus: variables.get("EVENT_BUS_NAME").unwrap_or_else(|| "default".into()),
            allowed: allowed(&variables)?,
            retention: SignedDuration::from_hours(24 * days),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Environment, String> {
        let base = [("SUBSCRIBER_KEY_ARN", "arn"), ("QUEUE_URL", "https://queue")];
        let all: Vec<_> = base.iter().chain(variables).copied().collect();
        let find = |name: &str| all.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        Environment::read(find).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_not_said_has_a_default_and_what_cannot_be_is_said() {
        let read_defaults = read(&[]).unwrap();
        assert_eq!((read_defaults.bus.as_str(), read_defaults.allowed.len()), ("default", 0));
        assert_eq!(read_defaults.retention, SignedDuration::from_hours(90 * 24));
        assert_eq!(read(&[("ALLOW_TO", "10.1.0.0/16, 10.2.0.1/32")]).unwrap().allowed.len(), 2);
        insta::assert_snapshot!(read(&[("ALLOW_TO", "inside")]).unwrap_err(), @"environment variable ALLOW_TO: 'inside' is not a range of addresses, for example 10.1.0.0/16");
        insta::assert_snapshot!(read(&[("RETENTION_DAYS", "7")]).unwrap_err(), @"environment variable RETENTION_DAYS: '7' is not a whole number of days from 8 to 36500");
        let api = ApiEnvironment::read(|name| (name == "SUBSCRIBER_KEY_ARN").then(|| "arn".into())).unwrap();
        assert_eq!((api.tokens_secret_arn, api.allowed.len()), (None, 0));
        insta::assert_snapshot!(ApiEnvironment::read(|_| None).unwrap_err(), @"environment variable SUBSCRIBER_KEY_ARN: not set; it names the secret with the key of subscribers' secrets");
        insta::assert_snapshot!(read(&[("QUEUE_URL", "")]).unwrap_err(), @"environment variable QUEUE_URL: not set; it names the queue of what is to be tried again");
    }
}
