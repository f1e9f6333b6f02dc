//! The Lambda function `poller` with `PROVIDER=github`.

use std::time::SystemTime;

use jiff::SignedDuration;

use super::super::{BaseUrl, BaseUrlError};
use super::{Hook, HookError, Redeliverer, RedeliverySummary};
use crate::archive::parse_s3_location;
use crate::lambda::{EnvironmentError, MetricLine, Variables, handling_deadline};
use crate::secrets::{SecretStore, VersionStage};

/// Settings of the function.
#[derive(Debug)]
pub struct RedeliveryEnvironment {
    /// `HOOK`: the webhook whose failed deliveries are requested again.
    pub hook: Hook,
    /// `API_KEY_SECRET_ARN`: the Secrets Manager secret with the token.
    pub token_arn: String,
    /// `API_URL`: the scheme and host of the API; `None` for github.com.
    pub base_url: Option<BaseUrl>,
    /// `MARK_URL`: the S3 bucket and the key of the object that stores the checkpoint.
    pub checkpoint: (String, String),
    /// `DELAY_SECONDS` (default 300): how long a delivery has failed before it is requested again.
    pub delay: SignedDuration,
    /// `BACK_DAYS` (default 0): how many days into the past the first poll reaches.
    pub lookback: SignedDuration,
}

impl RedeliveryEnvironment {
    /// Reads the settings from the environment; `variable` looks up one environment variable by name. An empty variable counts as
    /// unset.
    ///
    /// # Errors
    /// A variable is missing or invalid. The error names the first such variable.
    pub fn load(variable: impl Fn(&str) -> Option<String>) -> Result<Self, EnvironmentError> {
        let variables = Variables(variable);
        let invalid = |name, problem: String| EnvironmentError::new(name, problem);
        let hook = variables
            .require("HOOK", "the webhook: repos/OWNER/NAME/hooks/ID, orgs/NAME/hooks/ID or app/ID")?;
        let hook = hook.parse().map_err(|error: HookError| invalid("HOOK", error.to_string()))?;
        let checkpoint = variables.require("MARK_URL", "the s3://BUCKET/KEY of the poller's checkpoint")?;
        let checkpoint = parse_s3_location(&checkpoint).map_err(|problem| invalid("MARK_URL", problem))?;
        let base_url = variables
            .get("API_URL")
            .map(|text| text.parse().map_err(|error: BaseUrlError| invalid("API_URL", error.to_string())));
        Ok(Self {
            hook,
            token_arn: variables
                .require("API_KEY_SECRET_ARN", "the Secrets Manager secret with the token")?,
            base_url: base_url.transpose()?,
            checkpoint: (checkpoint.0, checkpoint.1.trim_end_matches('/').to_owned()),
            delay: SignedDuration::from_secs(variables.integer(
                "DELAY_SECONDS",
                300,
                0..=86_400,
                "seconds",
            )?),
            lookback: SignedDuration::from_hours(24 * variables.integer("BACK_DAYS", 0, 0..=3, "days")?),
        })
    }
}

/// The function: a redeliverer, the secret with its token, and the name of the function.
pub struct RedeliveryFunction<S> {
    pub redeliverer: Redeliverer,
    /// The secret with the token. Each poll reads it again, so a rotated token takes effect at the next poll.
    pub token: S,
    /// The name of the Lambda function, which is a dimension of its metrics.
    pub name: String,
}

impl<S: SecretStore> RedeliveryFunction<S> {
    /// Polls before `deadline` and returns a log line, which is also a CloudWatch metric record. A failed poll does not fail the
    /// invocation: the next poll continues, and an alarm watches `PollsFailed`.
    pub async fn invoke(&self, request_id: &str, deadline: SystemTime) -> String {
        let deadline = handling_deadline(deadline);
        let (summary, error) = match self.token.fetch(VersionStage::Current).await {
            Ok(Some(version)) => {
                let (summary, result) = self.redeliverer.poll(&version.secret, deadline).await;
                (summary, result.err().map(|error| error.to_string()))
            }
            Ok(None) => (RedeliverySummary::default(), Some("the secret with the token has no value".into())),
            Err(error) => (RedeliverySummary::default(), Some(format!("cannot read the token: {error}"))),
        };
        let RedeliverySummary { found, requested, recovered, lost, waiting, has_more } = summary;
        let mut line = MetricLine::new(&self.name);
        line.field("request_id", request_id)
            .field("hook", self.redeliverer.hook.to_string())
            .field("outcome", if error.is_none() { "polled" } else { "failed" })
            .count_if("PollsFailed", error.is_some())
            .count("FailedDeliveries", found)
            .count("RedeliveriesRequested", requested)
            .count("DeliveriesRecovered", recovered)
            .count("DeliveriesLost", lost)
            .field("waiting", waiting)
            .field("is_more", has_more);
        if let Some(error) = error {
            line.field("error", error);
        }
        line.into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_reported() {
        let load = |hook: &str, days: &str| {
            let variables = [
                ("HOOK", hook),
                ("MARK_URL", "s3://b/k"),
                ("API_KEY_SECRET_ARN", "arn"),
                ("BACK_DAYS", days),
            ];
            let variable =
                |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
            RedeliveryEnvironment::load(variable).map_err(|error| error.to_string())
        };
        assert_eq!(load("app/7", "3").unwrap().hook, Hook::App { id: 7 });
        insta::assert_snapshot!(load("", "0").unwrap_err(), @"environment variable HOOK: not set; it names the webhook: repos/OWNER/NAME/hooks/ID, orgs/NAME/hooks/ID or app/ID");
        insta::assert_snapshot!(load("acme/demo", "0").unwrap_err(), @"environment variable HOOK: the format is repos/OWNER/NAME/hooks/ID, orgs/NAME/hooks/ID or app/ID");
        insta::assert_snapshot!(load("app/7", "4").unwrap_err(), @"environment variable BACK_DAYS: '4' is not a whole number of days from 0 to 3");
    }
}
