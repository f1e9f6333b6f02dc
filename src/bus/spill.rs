//! The spill queue: an SQS queue for events that could not be published.
//!
//! The Lambda function `bridge` sends an event to this queue if EventBridge does not accept the event. The Lambda function
//! `redrive` publishes the event later.

use std::sync::Arc;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use tokio::time::Instant;

use super::{AttemptResults, Bus, batches, publish_batches};
use crate::aws::{AttemptFailure, AwsError, error_text, retry};
use crate::event::Event;

/// Maximum size of an SQS message, in bytes. Source: "SendMessage", Amazon SQS API Reference.
const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// Maximum number of messages in a request. Source: "SendMessageBatch", Amazon SQS API Reference.
const MAX_MESSAGES: usize = 10;

/// An SQS queue whose messages are `PutEvents` entries as JSON.
#[derive(Clone)]
pub struct SpillQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl SpillQueue {
    /// Creates a client of the queue with this URL.
    pub fn new(config: &aws_config::SdkConfig, url: String) -> Self {
        // The SDK does not know the deadline of the Lambda invocation, so `aws::retry` retries instead.
        let config = aws_sdk_sqs::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
        Self { client: aws_sdk_sqs::Client::from_conf(config), url }
    }
}

impl Bus for SpillQueue {
    async fn publish(&self, event: &Arc<Event>, deadline: Instant) -> Result<(), AwsError> {
        let send = self.client.send_message().queue_url(&self.url).message_body(message_body(event)?);
        retry("SendMessage", deadline, || async {
            send.clone().send().await.map_err(|error| AttemptFailure::from_sdk_error(&error))?;
            Ok(())
        })
        .await
    }

    async fn publish_all(
        &self,
        events: &[Arc<Event>],
        max_request_bytes: usize,
        deadline: Instant,
    ) -> Vec<Result<(), AwsError>> {
        let max_bytes = MAX_MESSAGE_BYTES.min(max_request_bytes);
        let size = |event: &Event| event.to_entry().map_or(0, |entry| entry.len());
        let batches = batches(events, MAX_MESSAGES, max_bytes, size);
        publish_batches("SendMessageBatch", batches, deadline, |events| self.attempt_batch(events)).await
    }
}

impl SpillQueue {
    /// Makes one request, and returns the result of each event.
    async fn attempt_batch(&self, events: Vec<Arc<Event>>) -> Result<AttemptResults, AttemptFailure> {
        let mut results: AttemptResults = Vec::new();
        let mut messages = Vec::new();
        for (index, event) in events.iter().enumerate() {
            match message_body(event) {
                Ok(body) => {
                    let message =
                        SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
                    messages.push(message.build().map_err(|error| {
                        AttemptFailure::Permanent(AwsError::Malformed(error.to_string()))
                    })?);
                    // Until the response names the message.
                    results.push(Err(AttemptFailure::Transient("no result in the response".into())));
                }
                Err(error) => results.push(Err(AttemptFailure::Permanent(error))),
            }
        }
        if messages.is_empty() {
            return Ok(results);
        }
        let request = self.client.send_message_batch().queue_url(&self.url).set_entries(Some(messages));
        let response = request.send().await.map_err(|error| AttemptFailure::from_sdk_error(&error))?;
        let mut set_result = |id: &str, result| {
            if let Some(slot) = id.parse::<usize>().ok().and_then(|index| results.get_mut(index)) {
                *slot = result;
            }
        };
        for success in response.successful() {
            set_result(success.id(), Ok(()));
        }
        for failure in response.failed() {
            let message = error_text(failure.code(), failure.message().unwrap_or_default());
            let failure_kind = if failure.sender_fault() {
                AttemptFailure::Permanent(AwsError::Rejected(message))
            } else {
                AttemptFailure::Transient(message)
            };
            set_result(failure.id(), Err(failure_kind));
        }
        Ok(results)
    }
}

/// The body of the message of an event.
fn message_body(event: &Event) -> Result<String, AwsError> {
    let entry = event.to_entry().map_err(|error| AwsError::Malformed(error.to_string()))?;
    if entry.len() > MAX_MESSAGE_BYTES {
        return Err(AwsError::TooLarge);
    }
    Ok(entry)
}
