//! The SQS queue whose messages wake a worker when retries become due. A message names no delivery, only a time: the worker that
//! receives the message claims the deliveries that are due. So a lost, repeated or forged message cannot lose or repeat a
//! delivery.

use std::collections::BTreeSet;
use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::aws::{AttemptFailure, AwsError, retry};

/// The longest delay that SQS supports for a message. Source: "Amazon SQS message timers", Amazon SQS Developer Guide.
const MAX_SQS_DELAY: SignedDuration = SignedDuration::from_mins(15);
/// Retries that become due within the same interval of this length share one message.
pub(super) const WAKE_INTERVAL: SignedDuration = SignedDuration::from_secs(10);
const MAX_BATCH_ENTRIES: usize = 10;
/// The timeout for one `SendMessageBatch`, including its retries.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// A message that wakes a worker. Messages of earlier hookbridge versions have more fields, which are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WakeMessage {
    /// The time at which retries are due, in microseconds since 1970-01-01 UTC.
    pub due: i64,
}

pub struct WakeQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl WakeQueue {
    pub fn new(config: &aws_config::SdkConfig, url: String) -> Self {
        // The SDK's own retries are off: `retry` retries instead, because it stops at a deadline, here after `SEND_TIMEOUT`.
        let config = aws_sdk_sqs::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
        Self { client: aws_sdk_sqs::Client::from_conf(config), url }
    }

    /// Sends messages that wake a worker when deliveries become due. `due_times` are the deliveries' due times. Due times within
    /// the same [`WAKE_INTERVAL`] share one message. Due times more than [`MAX_SQS_DELAY`] away get no message;
    /// the sweep sends one later.
    pub(super) async fn wake_at(
        &self,
        due_times: impl Iterator<Item = Timestamp>,
        now: Timestamp,
    ) -> Result<(), AwsError> {
        self.send(wake_times(due_times, now).into_iter().collect(), now).await
    }

    /// Sends one message for each of `times`, at most ten messages per request. SQS delivers each message not before its time.
    ///
    /// # Errors
    /// At least one message may not have been sent.
    pub(super) async fn send(&self, times: Vec<Timestamp>, now: Timestamp) -> Result<(), AwsError> {
        for batch in times.chunks(MAX_BATCH_ENTRIES) {
            let to_entry = |(index, time): (usize, &Timestamp)| {
                let message = WakeMessage { due: time.as_microsecond() };
                let body = serde_json::to_string(&message)
                    .map_err(|error| AwsError::Malformed(error.to_string()))?;
                let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
                let entry = entry.delay_seconds(delay_seconds(*time, now)).build();
                entry.map_err(|error| AwsError::Malformed(error.to_string()))
            };
            let entries = batch.iter().enumerate().map(to_entry).collect::<Result<Vec<_>, _>>()?;
            let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
            // A retry may send a message twice. The second message is harmless: the worker that it wakes finds nothing due.
            retry("SendMessageBatch", Instant::now() + SEND_TIMEOUT, || async {
                let output =
                    request.clone().send().await.map_err(|error| AttemptFailure::from_sdk_error(&error))?;
                match output.failed().first() {
                    None => Ok(()),
                    Some(failed) => {
                        Err(AttemptFailure::Transient(format!("a message was not taken: {}", failed.code())))
                    }
                }
            })
            .await?;
        }
        Ok(())
    }
}

/// Returns the times at which to wake a worker: the deliveries' due times, each rounded up to the next multiple of
/// [`WAKE_INTERVAL`]. Times more than [`MAX_SQS_DELAY`] away are left out.
fn wake_times(due_times: impl Iterator<Item = Timestamp>, now: Timestamp) -> BTreeSet<Timestamp> {
    let horizon = now.checked_add(MAX_SQS_DELAY).unwrap_or(now);
    let interval_micros = i64::try_from(WAKE_INTERVAL.as_micros()).unwrap_or(1);
    let interval_end = |time: Timestamp| {
        let intervals = time.as_microsecond().div_euclid(interval_micros) + 1;
        Timestamp::from_microsecond(intervals * interval_micros).unwrap_or(time)
    };
    due_times.map(interval_end).filter(|time| *time <= horizon).collect()
}

/// Returns the delay in whole seconds after which SQS delivers a message for `time`. The delay is rounded up, so that the message
/// does not arrive before `time`.
fn delay_seconds(time: Timestamp, now: Timestamp) -> i32 {
    let delay = time.duration_since(now).clamp(SignedDuration::ZERO, MAX_SQS_DELAY);
    i32::try_from(delay.as_secs() + i64::from(delay.subsec_nanos() > 0)).unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_second(0).unwrap() + SignedDuration::from_secs_f64(seconds)
    }

    #[test]
    fn deliveries_due_in_the_same_interval_share_one_wake_time() {
        let times = [1.0, 9.9, 600.0, 609.0, 900.0, 100_000.0].map(at).into_iter();
        let wakes = wake_times(times, at(0.0));
        assert_eq!(wakes.into_iter().collect::<Vec<_>>(), [10.0, 610.0].map(at), "at most 15 minutes ahead");
        for (time, delay) in [(0.0, 0), (-5.0, 0), (0.001, 1), (600.0, 600), (9000.0, 900)] {
            assert_eq!(delay_seconds(at(time), at(0.0)), delay, "{time}");
        }
    }

    #[test]
    fn a_message_of_an_earlier_version_wakes_the_worker() {
        let message = r#"{"delivery": 1, "hold": "queue-1", "due": 7}"#;
        assert_eq!(serde_json::from_str::<WakeMessage>(message).unwrap(), WakeMessage { due: 7 });
        assert!(serde_json::from_str::<WakeMessage>(r#"{"id": "1", "detail-type": "push"}"#).is_err());
    }
}
