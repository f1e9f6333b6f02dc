//! The queue that brings back what is to be tried again soon: SQS delays a message by 15 minutes at most. What is due later waits
//! in the database, until a sweep puts it here.

use std::time::Duration;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::store::{Attempted, Hold};
use crate::call::{CallError, Failure, retried};

/// The longest that SQS delays a message. Source: "Amazon SQS message timers", its Developer Guide.
const LONGEST: SignedDuration = SignedDuration::from_mins(15);
/// How long after its time a message may come; then the sweep takes its delivery for lost.
const LATE: SignedDuration = SignedDuration::from_mins(10);
/// Messages in one call of SQS.
const AT_ONCE: usize = 10;
/// What the hold of a probe ends with.
const PROBE: &str = "-probe";
/// How long one call may take, with what is tried again.
const A_CALL: Duration = Duration::from_secs(10);

/// A message: a delivery that is to be tried again, and the hold that the message has on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// The delivery.
    pub delivery: i64,
    /// The hold.
    pub hold: String,
    /// When it is due, in microseconds since 1970.
    pub due: i64,
}

impl Retry {
    /// The hold of a message whose delivery is due at `next`.
    pub(super) fn hold_until(next: Timestamp) -> Hold {
        Hold::in_queue(LATE, next)
    }

    /// The hold of a message that tries whether a subscriber is back.
    pub(super) fn probe(now: Timestamp) -> Hold {
        let hold = Self::hold_until(now);
        Hold { token: format!("{}{PROBE}", hold.token), ..hold }
    }

    /// Whether it tries whether a subscriber is back.
    pub(super) fn is_probe(&self) -> bool {
        self.hold.ends_with(PROBE)
    }

    /// That of a delivery whose attempt has failed, where it is held for one.
    pub(super) fn of_attempt(attempt: &Attempted) -> Option<Self> {
        let (hold, next) = attempt.next_hold.as_ref().zip(attempt.next)?;
        Some(Self { delivery: attempt.delivery, hold: hold.token.clone(), due: next.as_microsecond() })
    }

    /// That of a delivery that a sweep has found.
    pub(super) fn of_found((delivery, next): (i64, Timestamp), hold: &Hold) -> Self {
        Self { delivery, hold: hold.token.clone(), due: next.as_microsecond() }
    }

    /// Whether it is not due yet.
    pub(super) fn is_early(&self, now: Timestamp) -> bool {
        now.as_microsecond() < self.due
    }

    /// How long SQS keeps it back, in whole seconds.
    fn delay(&self, now: Timestamp) -> i32 {
        let left = SignedDuration::from_micros(self.due.saturating_sub(now.as_microsecond()));
        // A part of a second is a second.
        let left = left.clamp(SignedDuration::ZERO, LONGEST);
        i32::try_from(left.as_secs() + i64::from(left.subsec_nanos() > 0)).unwrap_or_default()
    }
}

/// The queue.
pub struct RetryQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl RetryQueue {
    /// `url` is the queue's.
    pub fn new(config: &aws_config::SdkConfig, url: String) -> Self {
        // The SDK's own retries are off: it does not know how long this invocation has left.
        let config = aws_sdk_sqs::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
        Self { client: aws_sdk_sqs::Client::from_conf(config), url }
    }

    /// The time up to which it delays.
    pub(super) fn horizon(now: Timestamp) -> Timestamp {
        now.checked_add(LONGEST).unwrap_or(now)
    }

    /// Whether it delays as far as this.
    pub(super) fn reaches(next: Timestamp, now: Timestamp) -> bool {
        next <= Self::horizon(now)
    }

    /// Puts messages in it.
    ///
    /// # Errors
    /// [`CallError`]: some are not in it.
    pub(super) async fn put(&self, retries: Vec<Retry>, now: Timestamp) -> Result<(), CallError> {
        for some in retries.chunks(AT_ONCE) {
            let entry = |(n, retry): (usize, &Retry)| {
                let body =
                    serde_json::to_string(retry).map_err(|error| CallError::Malformed(error.to_string()))?;
                let entry = SendMessageBatchRequestEntry::builder().id(n.to_string()).message_body(body);
                let entry = entry.delay_seconds(retry.delay(now)).build();
                entry.map_err(|error| CallError::Malformed(error.to_string()))
            };
            let entries = some.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
            let send = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
            // Duplicates are harmless: the second finds the delivery leased.
            retried("SendMessageBatch", Instant::now() + A_CALL, || async {
                let sent = send.clone().send().await.map_err(|error| Failure::of_request(&error))?;
                match sent.failed().first() {
                    None => Ok(()),
                    Some(failed) => {
                        Err(Failure::Passing(format!("a message was not taken: {}", failed.code())))
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
    fn a_message_comes_not_before_its_delivery_is_due_and_as_late_as_sqs_can() {
        let now = Timestamp::from_second(1000).unwrap();
        let retry = |due| Retry { delivery: 1, hold: "x".into(), due };
        for (due, delay, is_early) in [
            (0, 0, false),
            (1_000_000_000, 0, false),
            (1_000_000_001, 1, true),
            (1_600_000_000, 600, true),
            (9_000_000_000, 900, true),
        ] {
            assert_eq!((retry(due).delay(now), retry(due).is_early(now)), (delay, is_early), "{due}");
        }
    }
}
