//! The `poller` Lambda function, which a schedule invokes.

use std::time::SystemTime;

use jiff::Timestamp;

use super::{PollSummary, Poller};
use crate::lambda::{MetricLine, handling_deadline};
use crate::secrets::{SecretStore, VersionStage};

/// The `poller` Lambda function: a poller, the secret with its API key, and the name of the function.
pub struct PollerFunction<S> {
    /// The poller to run.
    pub poller: Poller,
    /// The secret with the API key. Each poll reads it again, so a rotated key takes effect at the next poll.
    pub api_key: S,
    /// The name of the Lambda function, which is a dimension of its metrics.
    pub name: String,
}

impl<S: SecretStore> PollerFunction<S> {
    /// Polls before `deadline` and returns a log line. The line is also a CloudWatch metric record of `PollLagSeconds` (how far
    /// polling is behind now, minus the configured delay) and `PollsFailed`. A failed poll does not fail the invocation: the next
    /// poll resumes where the failed one stopped, and alarms watch the two metrics.
    pub async fn invoke(&self, request_id: &str, deadline: SystemTime) -> String {
        let deadline = handling_deadline(deadline);
        let result = match self.api_key.fetch(VersionStage::Current).await {
            Ok(Some(version)) => {
                self.poller.poll(&version.secret, deadline).await.map_err(|error| error.to_string())
            }
            Ok(None) => Err("the secret with the API key has no value".into()),
            Err(error) => Err(format!("cannot read the API key: {error}")),
        };
        let polled_until = match &result {
            Ok(summary) => Some(summary.polled_until),
            Err(_) => self.poller.polled_until(deadline).await,
        };
        self.log_line(&result, polled_until, request_id)
    }

    fn log_line(
        &self,
        result: &Result<PollSummary, String>,
        polled_until: Option<Timestamp>,
        request_id: &str,
    ) -> String {
        let lag = polled_until.map(|time| Timestamp::now().duration_since(time) - self.poller.delay);
        let mut line = MetricLine::new(&self.name);
        line.field("request_id", request_id);
        line.field("provider", self.poller.provider.name)
            .field("outcome", if result.is_ok() { "polled" } else { "failed" })
            .field("until", polled_until.map(|time| time.to_string()))
            .count_if("PollsFailed", result.is_err());
        if let Some(lag) = lag {
            line.seconds("PollLagSeconds", lag.as_secs_f64().max(0.0));
        }
        match result {
            Ok(PollSummary { pages, events, has_more, .. }) => {
                line.field("pages", *pages).field("events", *events).field("is_more", *has_more);
            }
            Err(error) => {
                line.field("error", error.as_str());
            }
        }
        line.into()
    }
}
