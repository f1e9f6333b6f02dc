//! The SQS queue of retries that are due soon. SQS delays a message by at most 15 minutes, so later retries stay in the database
//! until a sweep enqueues them.

use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::store::{ClaimLease, LeaseKind, RecordedAttempt};
use crate::aws::{AttemptFailure, AwsError, retry};

/// Source: "Amazon SQS message timers", Amazon SQS Developer Guide.
const MAX_SQS_DELAY: SignedDuration = SignedDuration::from_mins(15);
/// How late a message may arrive before the sweep treats it as lost.
const LATE_MESSAGE_ALLOWANCE: SignedDuration = SignedDuration::from_mins(10);
const MAX_BATCH_ENTRIES: usize = 10;
/// The time for one `SendMessageBatch`, including its retries.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// A message: the delivery to attempt, and the lease under which it waits in the queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetryMessage {
    pub delivery: i64,
    #[serde(rename = "hold")]
    pub lease: String,
    /// Microseconds since 1970.
    pub due: i64,
    /// Whether the attempt probes if a subscriber with an open circuit has recovered.
    #[serde(default, rename = "probe")]
    pub is_probe: bool,
}

impl RetryMessage {
    /// The lease of a message whose delivery is due at `due`.
    pub(super) fn lease_until(due: Timestamp) -> ClaimLease {
        ClaimLease::new(LeaseKind::Queue, LATE_MESSAGE_ALLOWANCE, due)
    }

    /// The message for the retry of a failed attempt, if it is due soon enough for the queue.
    pub(super) fn from_attempt(attempt: &RecordedAttempt) -> Option<Self> {
        let (lease, due) = attempt.next_lease.as_ref().zip(attempt.next_attempt)?;
        Some(Self::new(attempt.delivery, lease, due, false))
    }

    /// The message for a delivery that a sweep has leased.
    pub(super) fn new(delivery: i64, lease: &ClaimLease, due: Timestamp, is_probe: bool) -> Self {
        Self { delivery, lease: lease.token.clone(), due: due.as_microsecond(), is_probe }
    }

    /// Whether the delivery is not due yet.
    pub(super) fn is_early(&self, now: Timestamp) -> bool {
        now.as_microsecond() < self.due
    }

    /// The SQS delay in whole seconds.
    fn delay(&self, now: Timestamp) -> i32 {
        let delay = SignedDuration::from_micros(self.due.saturating_sub(now.as_microsecond()));
        let delay = delay.clamp(SignedDuration::ZERO, MAX_SQS_DELAY);
        // Rounded up, so that the message does not arrive early.
        i32::try_from(delay.as_secs() + i64::from(delay.subsec_nanos() > 0)).unwrap_or_default()
    }
}

pub struct RetryQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl RetryQueue {
    pub fn new(config: &aws_config::SdkConfig, url: String) -> Self {
        // The SDK's own retries are off: it does not know how long this invocation has left.
        let config = aws_sdk_sqs::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
        Self { client: aws_sdk_sqs::Client::from_conf(config), url }
    }

    /// The latest due time that SQS can delay to.
    pub(super) fn horizon(now: Timestamp) -> Timestamp {
        now.checked_add(MAX_SQS_DELAY).unwrap_or(now)
    }

    pub(super) fn is_within_horizon(due: Timestamp, now: Timestamp) -> bool {
        due <= Self::horizon(now)
    }

    /// Sends messages, ten to a request.
    ///
    /// # Errors
    /// At least one message may not have been sent.
    pub(super) async fn send(&self, messages: Vec<RetryMessage>, now: Timestamp) -> Result<(), AwsError> {
        for batch in messages.chunks(MAX_BATCH_ENTRIES) {
            let to_entry = |(index, message): (usize, &RetryMessage)| {
                let body =
                    serde_json::to_string(message).map_err(|error| AwsError::Malformed(error.to_string()))?;
                let entry = SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
                let entry = entry.delay_seconds(message.delay(now)).build();
                entry.map_err(|error| AwsError::Malformed(error.to_string()))
            };
            let entries = batch.iter().enumerate().map(to_entry).collect::<Result<Vec<_>, _>>()?;
            let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
            // Duplicates are harmless: the second finds the delivery leased.
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_delayed_until_its_delivery_is_due_or_by_the_sqs_limit() {
        let now = Timestamp::from_second(1000).unwrap();
        let message = |due| RetryMessage { delivery: 1, lease: "x".into(), due, is_probe: false };
        for (due, delay, is_early) in [
            (0, 0, false),
            (1_000_000_000, 0, false),
            (1_000_000_001, 1, true),
            (1_600_000_000, 600, true),
            (9_000_000_000, 900, true),
        ] {
            assert_eq!((message(due).delay(now), message(due).is_early(now)), (delay, is_early), "{due}");
        }
    }
}
