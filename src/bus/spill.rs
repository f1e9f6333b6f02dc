//! The spill queue: an SQS queue for events that could not be published.
//!
//! The Lambda function `bridge` sends an event to this queue if EventBridge does not accept the event. The Lambda function
//! `redrive` publishes the event later.

use std::sync::Arc;

use aws_sdk_sqs::config::retry::RetryConfig;
use tokio::time::Instant;

use super::Bus;
use crate::aws::{AttemptFailure, AwsError, retry};
use crate::event::Event;

/// Maximum size of an SQS message, in bytes. Source: "SendMessage", Amazon SQS API Reference.
const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// An SQS queue whose messages are `PutEvents` entries as JSON.
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
        let entry = event.to_entry().map_err(|error| AwsError::Malformed(error.to_string()))?;
        if entry.len() > MAX_MESSAGE_BYTES {
            return Err(AwsError::TooLarge);
        }
        let send = self.client.send_message().queue_url(&self.url).message_body(entry);
        retry("SendMessage", deadline, || async {
            send.clone().send().await.map_err(|error| AttemptFailure::from_sdk_error(&error))?;
            Ok(())
        })
        .await
    }
}
