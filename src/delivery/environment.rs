//! Environment variables of the functions `dispatcher` and `subscribers`.

use ipnet::IpNet;
use jiff::SignedDuration;
use secrecy::SecretString;

use crate::lambda::{EnvironmentError, Variables};

/// The maximum of `RETENTION_DAYS`: a hundred years.
const MAX_RETENTION_DAYS: i64 = 36_500;
const DEFAULT_RETENTION_DAYS: i64 = 90;

#[derive(Debug)]
pub struct DispatcherEnvironment {
    /// `DATABASE_URL`; may contain a password.
    pub database_url: Option<SecretString>,
    /// `DATABASE_SECRET_ARN`: the Secrets Manager secret with the database credentials.
    pub database_secret_arn: Option<String>,
    /// `SUBSCRIBER_KEY_ARN`: the Secrets Manager secret with the keys that encrypt the subscribers' signing secrets.
    pub subscriber_key_arn: String,
    /// `QUEUE_URL`: the SQS queue that invokes the function. Through this queue, the function also sends itself the messages that
    /// wake it when retries are due.
    pub queue_url: String,
    /// `EVENT_BUS_NAME` (default `default`): the bus on which subscriber health events are published.
    pub bus: String,
    /// `ALLOW_TO`: internal networks that deliveries may dial, separated by commas.
    pub allowed_networks: Vec<IpNet>,
    /// `RETENTION_DAYS` (default 90): how long finished deliveries and attempts are kept.
    pub retention: SignedDuration,
}

#[derive(Debug)]
pub struct SubscribersEnvironment {
    /// `DATABASE_URL`; may contain a password.
    pub database_url: Option<SecretString>,
    /// `DATABASE_SECRET_ARN`: the Secrets Manager secret with the database credentials.
    pub database_secret_arn: Option<String>,
    /// `SUBSCRIBER_KEY_ARN`: the Secrets Manager secret with the keys that encrypt the subscribers' signing secrets.
    pub subscriber_key_arn: String,
    /// `TOKENS_SECRET_ARN`: the Secrets Manager secret with the list of API tokens. If unset, the function accepts only requests
    /// that are signed with AWS credentials.
    pub tokens_secret_arn: Option<String>,
    /// `ALLOW_TO`: internal networks that subscriber URLs may point to, separated by commas.
    pub allowed_networks: Vec<IpNet>,
}

const SUBSCRIBER_KEY_DESCRIPTION: &str = "the secret with the encryption key of subscribers' secrets";

impl SubscribersEnvironment {
    /// Reads the settings from environment variables. `variable` returns the value of the environment variable with a given name.
    /// An empty value counts as unset.
    ///
    /// # Errors
    /// Returns an error for the first variable that is missing or invalid.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        Ok(Self {
            database_url: variables.get("DATABASE_URL").map(Into::into),
            database_secret_arn: variables.get("DATABASE_SECRET_ARN"),
            subscriber_key_arn: variables.require("SUBSCRIBER_KEY_ARN", SUBSCRIBER_KEY_DESCRIPTION)?,
            tokens_secret_arn: variables.get("TOKENS_SECRET_ARN"),
            allowed_networks: parse_allowed_networks(&variables)?,
        })
    }
}

fn parse_allowed_networks(
    variables: &Variables<impl Fn(&str) -> Option<String>>,
) -> Result<Vec<IpNet>, EnvironmentError> {
    let parse_network = |text: &str| {
        let problem = || format!("'{text}' is not a range of addresses, for example 10.1.0.0/16");
        text.trim().parse().map_err(|_| EnvironmentError::new("ALLOW_TO", problem()))
    };
    let networks = variables.get("ALLOW_TO").unwrap_or_default();
    networks.split(',').filter(|text| !text.trim().is_empty()).map(parse_network).collect()
}

impl DispatcherEnvironment {
    /// Reads the settings from environment variables. `variable` returns the value of the environment variable with a given name.
    /// An empty value counts as unset.
    ///
    /// # Errors
    /// Returns an error for the first variable that is missing or invalid.
    pub fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        // The minimum is 8 days, one more than the retry window, so that no attempt is deleted while its delivery is retried.
        let days =
            variables.integer("RETENTION_DAYS", DEFAULT_RETENTION_DAYS, 8..=MAX_RETENTION_DAYS, "days")?;
        Ok(Self {
            database_url: variables.get("DATABASE_URL").map(Into::into),
            database_secret_arn: variables.get("DATABASE_SECRET_ARN"),
            subscriber_key_arn: variables.require("SUBSCRIBER_KEY_ARN", SUBSCRIBER_KEY_DESCRIPTION)?,
            queue_url: variables.require("QUEUE_URL", "the queue for retries")?,
            bus: variables.get("EVENT_BUS_NAME").unwrap_or_else(|| "default".into()),
            allowed_networks: parse_allowed_networks(&variables)?,
            retention: SignedDuration::from_hours(24 * days),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<DispatcherEnvironment, String> {
        let required = [("SUBSCRIBER_KEY_ARN", "arn"), ("QUEUE_URL", "https://queue")];
        let variables: Vec<_> = required.iter().chain(variables).copied().collect();
        let find =
            |name: &str| variables.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        DispatcherEnvironment::from_variables(find).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_apply_and_invalid_values_are_reported() {
        let defaults = read(&[]).unwrap();
        assert_eq!((defaults.bus.as_str(), defaults.allowed_networks.len()), ("default", 0));
        assert_eq!(defaults.retention, SignedDuration::from_hours(90 * 24));
        assert_eq!(read(&[("ALLOW_TO", "10.1.0.0/16, 10.2.0.1/32")]).unwrap().allowed_networks.len(), 2);
        insta::assert_snapshot!(read(&[("ALLOW_TO", "inside")]).unwrap_err(), @"environment variable ALLOW_TO: 'inside' is not a range of addresses, for example 10.1.0.0/16");
        insta::assert_snapshot!(read(&[("RETENTION_DAYS", "7")]).unwrap_err(), @"environment variable RETENTION_DAYS: '7' is not a whole number of days from 8 to 36500");
        let subscribers = SubscribersEnvironment::from_variables(|name| {
            (name == "SUBSCRIBER_KEY_ARN").then(|| "arn".into())
        })
        .unwrap();
        assert_eq!((subscribers.tokens_secret_arn, subscribers.allowed_networks.len()), (None, 0));
        insta::assert_snapshot!(SubscribersEnvironment::from_variables(|_| None).unwrap_err(), @"environment variable SUBSCRIBER_KEY_ARN: not set; it names the secret with the encryption key of subscribers' secrets");
        insta::assert_snapshot!(read(&[("QUEUE_URL", "")]).unwrap_err(), @"environment variable QUEUE_URL: not set; it names the queue for retries");
    }
}
