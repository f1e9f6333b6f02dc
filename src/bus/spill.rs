//! The spill queue: an SQS queue for events that could not be published.
//!
//! The Lambda function `bridge` sends an event to this queue if EventBridge does not accept the event. The Lambda function
//! `redrive` publishes the event later.

use std::sync::Arc;

use aws_sdk_sqs::config::retry::RetryConfig;
use aws_sdk_sqs::types::{MessageAttributeValue, SendMessageBatchRequestEntry};
use tokio::time::Instant;

use super::{AttemptResults, batches, publish_batches};
use crate::aws::{AttemptFailure, AwsError, error_text, retry};
use crate::event::Event;

/// Maximum size of an SQS message, in bytes. Source: "SendMessage", Amazon SQS API Reference.
const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// Maximum number of messages in a request. Source: "SendMessageBatch", Amazon SQS API Reference.
const MAX_MESSAGES: usize = 10;

/// The message attribute that says why an event was not published. `hookbridge redrive` shows it.
pub const REASON_ATTRIBUTE: &str = "Reason";

/// Maximum length of a reason, in bytes.
const MAX_REASON_BYTES: usize = 500;

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

impl SpillQueue {
    /// Sends an event that the bus did not accept for this reason.
    ///
    /// # Errors
    /// The queue rejected the event, or did not confirm it before `deadline`.
    pub async fn send(&self, event: &Event, reason: &str, deadline: Instant) -> Result<(), AwsError> {
        self.send_body(message_body(event)?, reason, deadline).await
    }

    /// Sends a message with this body.
    ///
    /// # Errors
    /// The queue rejected the message, or did not confirm it before `deadline`.
    pub async fn send_body(&self, body: String, reason: &str, deadline: Instant) -> Result<(), AwsError> {
        let attribute = reason_attribute(reason, body.len())?;
        let send = self.client.send_message().queue_url(&self.url).message_body(body);
        let send = match attribute {
            Some(value) => send.message_attributes(REASON_ATTRIBUTE, value),
            None => send,
        };
        retry("SendMessage", deadline, || async {
            send.clone().send().await.map_err(|error| AttemptFailure::from_sdk_error(&error))?;
            Ok(())
        })
        .await
    }

    /// Sends events that the bus did not accept for this reason, and returns the result of each.
    pub async fn send_all(
        &self,
        events: &[Arc<Event>],
        reason: &str,
        deadline: Instant,
    ) -> Vec<Result<(), AwsError>> {
        let reserved = REASON_ATTRIBUTE.len() + "String".len() + MAX_REASON_BYTES;
        let size = |event: &Event| event.to_entry().map_or(0, |entry| entry.len() + reserved);
        let batches = batches(events, MAX_MESSAGES, MAX_MESSAGE_BYTES, size);
        publish_batches("SendMessageBatch", batches, deadline, |events| self.attempt_batch(events, reason))
            .await
    }

    /// Makes one request, and returns the result of each event.
    async fn attempt_batch(
        &self,
        events: Vec<Arc<Event>>,
        reason: &str,
    ) -> Result<AttemptResults, AttemptFailure> {
        let mut results: AttemptResults = Vec::new();
        let mut messages = Vec::new();
        for (index, event) in events.iter().enumerate() {
            match message_body(event) {
                Ok(body) => {
                    let attribute =
                        reason_attribute(reason, body.len()).map_err(AttemptFailure::Permanent)?;
                    let message =
                        SendMessageBatchRequestEntry::builder().id(index.to_string()).message_body(body);
                    let message = match attribute {
                        Some(value) => message.message_attributes(REASON_ATTRIBUTE, value),
                        None => message,
                    };
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

/// The attribute that states the reason; `None` if the message has no room for it.
fn reason_attribute(reason: &str, body_bytes: usize) -> Result<Option<MessageAttributeValue>, AwsError> {
    let is_allowed = |c: char| !c.is_control() && !matches!(c, '\u{fffe}' | '\u{ffff}');
    let mut text: String = reason.chars().filter(|c| is_allowed(*c)).collect();
    text.truncate(text.floor_char_boundary(MAX_REASON_BYTES));
    if text.is_empty()
        || body_bytes + REASON_ATTRIBUTE.len() + "String".len() + text.len() > MAX_MESSAGE_BYTES
    {
        return Ok(None);
    }
    let attribute = MessageAttributeValue::builder().data_type("String").string_value(text).build();
    attribute.map(Some).map_err(|error| AwsError::Malformed(error.to_string()))
}

/// The body of the message of an event.
fn message_body(event: &Event) -> Result<String, AwsError> {
    let entry = event.to_entry().map_err(|error| AwsError::Malformed(error.to_string()))?;
    if entry.len() > MAX_MESSAGE_BYTES {
        return Err(AwsError::TooLarge);
    }
    Ok(entry)
}
