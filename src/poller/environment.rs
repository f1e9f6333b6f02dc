//! Environment variables of the `poller` function.

use jiff::SignedDuration;

use super::{BaseUrl, BaseUrlError, parse_event_types};
use crate::archive::parse_s3_location;
use crate::lambda::{EnvironmentError, Variables};
use crate::providers::{self, PollingApi, Provider};

/// The maximum value of `DELAY_SECONDS`: one day.
const MAX_DELAY_SECONDS: i64 = 86_400;

/// Settings of the `poller` function.
#[derive(Debug)]
pub struct PollerEnvironment {
    /// `PROVIDER`: the provider to poll, which must have an event-list API.
    pub provider: &'static Provider,
    /// The event-list API of `provider`.
    pub polling: &'static PollingApi,
    /// `API_KEY_SECRET_ARN`: the Secrets Manager secret with the API key.
    pub api_key_arn: String,
    /// `API_URL`: the scheme and host of the event-list API; `None` for the provider's default.
    pub base_url: Option<BaseUrl>,
    /// `ARCHIVE_URL`: the S3 bucket and the key prefix of the archive, which stores the polled pages.
    pub archive: (String, String),
    /// `MARK_URL`: the S3 bucket and the key of the object that stores the checkpoint.
    pub checkpoint: (String, String),
    /// `DELAY_SECONDS` (default 300): how long after an event the poller waits for its webhook before it polls the event.
    pub delay: SignedDuration,
    /// `BACK_DAYS` (default 0): how many days into the past the first poll reaches.
    pub lookback: SignedDuration,
    /// `EVENT_TYPES`: the event types to poll, separated by commas; all types if unset.
    pub event_types: Vec<String>,
}

impl PollerEnvironment {
    /// Reads the settings from the environment; `variable` looks up one environment variable by name. An empty variable counts as
    /// unset.
    ///
    /// # Errors
    /// A variable is missing or invalid. The error names the first such variable.
    pub fn load(variable: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        let invalid = |name, problem: String| EnvironmentError::new(name, problem);
        let name = variables.require("PROVIDER", "the provider to poll")?;
        let provider =
            providers::find_provider(&name).map_err(|error| invalid("PROVIDER", error.to_string()))?;
        let polling = provider.polling.as_ref().ok_or_else(|| {
            invalid("PROVIDER", format!("{} has no event-list API to poll", provider.title))
        })?;
        let checkpoint = variables.require("MARK_URL", "the s3://BUCKET/KEY of the poller's checkpoint")?;
        let checkpoint = parse_s3_location(&checkpoint).map_err(|problem| invalid("MARK_URL", problem))?;
        let checkpoint = (checkpoint.0, checkpoint.1.trim_end_matches('/').to_owned());
        if checkpoint.1.is_empty() {
            return Err(invalid(
                "MARK_URL",
                "the object key is missing; the format is s3://BUCKET/KEY".into(),
            ));
        }
        let archive = variables.require("ARCHIVE_URL", "the s3://BUCKET/PREFIX for archived pages")?;
        let base_url = variables
            .get("API_URL")
            .map(|text| text.parse().map_err(|error: BaseUrlError| invalid("API_URL", error.to_string())));
        let retention_days = i64::from(polling.retention_days);
        Ok(Self {
            provider,
            polling,
            api_key_arn: variables
                .require("API_KEY_SECRET_ARN", "the Secrets Manager secret with the API key")?,
            base_url: base_url.transpose()?,
            archive: parse_s3_location(&archive).map_err(|problem| invalid("ARCHIVE_URL", problem))?,
            checkpoint,
            delay: SignedDuration::from_secs(variables.integer(
                "DELAY_SECONDS",
                300,
                0..=MAX_DELAY_SECONDS,
                "seconds",
            )?),
            lookback: SignedDuration::from_hours(
                24 * variables.integer("BACK_DAYS", 0, 0..=retention_days, "days")?,
            ),
            event_types: parse_event_types(&variables.get("EVENT_TYPES").unwrap_or_default()),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn load(variables: &[(&str, &str)]) -> Result<PollerEnvironment, String> {
        let required = [
            ("PROVIDER", "stripe"),
            ("API_KEY_SECRET_ARN", "arn:key"),
            ("ARCHIVE_URL", "s3://raw/a"),
            ("MARK_URL", "s3://raw/polls/stripe.json"),
        ];
        let all: Vec<_> = required.iter().chain(variables).copied().collect();
        let variable = |name: &str| all.iter().rev().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        PollerEnvironment::load(variable).map_err(|error| error.to_string())
    }

    #[test]
    fn defaults_apply_and_wrong_values_are_reported() {
        let environment = load(&[]).unwrap();
        assert_eq!(environment.checkpoint, ("raw".into(), "polls/stripe.json".into()));
        assert_eq!(
            (environment.delay, environment.lookback),
            (SignedDuration::from_secs(300), SignedDuration::ZERO)
        );
        assert!(environment.base_url.is_none() && environment.event_types.is_empty());
        assert_eq!(
            load(&[("EVENT_TYPES", "invoice.paid, charge.failed,")]).unwrap().event_types,
            ["invoice.paid", "charge.failed"]
        );
        let error_text = |name, value| load(&[(name, value)]).unwrap_err();
        insta::assert_snapshot!(error_text("PROVIDER", "github"), @"environment variable PROVIDER: GitHub has no event-list API to poll");
        insta::assert_snapshot!(error_text("API_URL", "http://a.example"), @"environment variable API_URL: the format is https://HOST, without a path (http:// only for this machine)");
        insta::assert_snapshot!(error_text("MARK_URL", "s3://raw"), @"environment variable MARK_URL: the object key is missing; the format is s3://BUCKET/KEY");
        insta::assert_snapshot!(error_text("BACK_DAYS", "31"), @"environment variable BACK_DAYS: '31' is not a whole number of days from 0 to 30");
        insta::assert_snapshot!(error_text("DELAY_SECONDS", "-1"), @"environment variable DELAY_SECONDS: '-1' is not a whole number of seconds from 0 to 86400");
        insta::assert_snapshot!(error_text("API_KEY_SECRET_ARN", ""), @"environment variable API_KEY_SECRET_ARN: not set; it names the Secrets Manager secret with the API key");
    }
}
