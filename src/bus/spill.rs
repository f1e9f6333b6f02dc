//! A queue where events wait while the bus does not take them. The function `redrive` takes them from there.

use std::sync::Arc;

use aws_sdk_sqs::config::retry::RetryConfig;
use tokio::time::Instant;

use super::Bus;
use crate::call::{CallError, Failure, retried};
use crate::event::Event;

/// The most that a message holds, in bytes: "SendMessage", Amazon SQS API Reference.
const MAX_MESSAGE: usize = 1_048_576;

/// An SQS queue of entries.
pub struct SpillQueue {
    client: aws_sdk_sqs::Client,
    url: String,
}

impl SpillQueue {
    /// `url` is the queue's.
    pub fn new(config: &aws_config::SdkConfig, url: String) -> Self {
        // The SDK's own retries are off: it does not know how long this invocation has left.
        let config = aws_sdk_sqs::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
        Self { client: aws_sdk_sqs::Client::from_conf(config), url }
    }
}

impl Bus for SpillQueue {
    async fn publish(&self, event: &Arc<Event>, deadline: Instant) -> Result<(), CallError> {
        let entry = event.to_entry().map_err(|error| CallError::Malformed(error.to_string()))?;
        if entry.len() > MAX_MESSAGE {
            return Err(CallError::TooLarge);
        }
        let send = self.client.send_message().queue_url(&self.url).message_body(entry);
        retried("SendMessage", deadline, || async {
            send.clone().send().await.map_err(|error| Failure::of_request(&error))?;
            Ok(())
        })
        .await
    }
}
