//! The `poller` Lambda function, invoked by a schedule.

use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{PollSummary, Poller};
use crate::lambda::handling_deadline;
use crate::secrets::{SecretStore, VersionStage};

/// The CloudWatch namespace of the metrics.
const METRICS_NAMESPACE: &str = "hookbridge";

/// The `poller` function: a poller and the secret with its API key.
pub struct PollerFunction<S> {
    /// The poller to run.
    pub poller: Poller,
    /// The secret with the API key. Each poll reads it again, so a rotated key takes effect at the next poll.
    pub api_key: S,
    /// The function name, a dimension of the metrics.
    pub name: String,
}

impl<S: SecretStore> PollerFunction<S> {
    /// Polls before `deadline` and returns a log line. The line is also a CloudWatch metric record of `PollLagSeconds`
    /// (how far polling lags beyond the configured delay) and `PollsFailed`. A failed poll does not fail the
    /// invocation: the next poll resumes, and the alarms watch the two metrics.
    pub async fn invoke(&self, request_id: &str, deadline: SystemTime) -> String {
        let deadline = handling_deadline(deadline);
        let polled = match self.api_key.fetch(VersionStage::Current).await {
            Ok(Some(version)) => {
                self.poller.poll(&version.secret, deadline).await.map_err(|error| error.to_string())
            }
            Ok(None) => Err("the secret with the API key has no value".into()),
            Err(error) => Err(format!("cannot read the API key: {error}")),
        };
        let until = match &polled {
            Ok(polled) => Some(polled.polled_until),
            Err(_) => self.poller.polled_until(deadline).await,
        };
        self.line(&polled, until, request_id)
    }

    fn line(
        &self,
        polled: &Result<PollSummary, String>,
        until: Option<Timestamp>,
        request_id: &str,
    ) -> String {
        let now = Timestamp::now();
        let lag = until.map(|until| (now.duration_since(until) - self.poller.delay).as_secs_f64().max(0.0));
        let mut metrics = vec![json!({"Name": "PollsFailed", "Unit": "Count"})];
        metrics.extend(lag.map(|_| json!({"Name": "PollLagSeconds", "Unit": "Seconds"})));
        let directive =
            json!({"Namespace": METRICS_NAMESPACE, "Dimensions": [["function"]], "Metrics": metrics});
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
        put("_aws", json!({"Timestamp": now.as_millisecond(), "CloudWatchMetrics": [directive]}));
        put("function", self.name.as_str().into());
        put("request_id", request_id.into());
        put("provider", self.poller.provider.name.into());
        put("outcome", if polled.is_ok() { "polled" } else { "failed" }.into());
        put("until", until.map(|until| until.to_string()).into());
        put("PollsFailed", u8::from(polled.is_err()).into());
        if let Some(lag) = lag {
            put("PollLagSeconds", lag.into());
        }
        match polled {
            Ok(PollSummary { pages, events, has_more: is_more, .. }) => {
                put("pages", (*pages).into());
                put("events", (*events).into());
                put("is_more", (*is_more).into());
            }
            Err(error) => {
                put("error", error.as_str().into());
            }
        }
        Value::Object(line).to_string()
    }
}
