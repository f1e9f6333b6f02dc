//! Redrive: republishes spilled events to the bus.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::time::Instant;

use crate::aws::AwsError;
use crate::bus::{Bus, SpillQueue};
use crate::event::Event;
use crate::lambda::{BatchResponse, SqsEvent, handling_deadline};

/// Timeout of publishing one message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(3);

/// The Lambda function `redrive`: publishes the spilled events.
pub struct RedriveFunction<B> {
    /// The bus on which the function publishes the events.
    pub bus: B,
    /// The dead-letter queue for messages that can never be published. Without it, such a message is received until SQS moves it
    /// there.
    pub dead_letter_queue: Option<SpillQueue>,
    /// The function's name, written to the log.
    pub function_name: String,
}

impl<B: Bus> RedriveFunction<B> {
    /// Publishes one batch of messages before `deadline`, and returns the response with one log line per message.
    ///
    /// # Errors
    /// When the event is not an SQS batch. The function then publishes nothing, and SQS redelivers every message.
    pub async fn invoke(
        &self,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<(BatchResponse, Vec<String>), serde_json::Error> {
        let event: SqsEvent = serde_json::from_str(event)?;
        let deadline = handling_deadline(deadline);
        let mut response = BatchResponse::default();
        let mut lines = Vec::new();
        let mut skip_remaining = false;
        for message in event.records {
            let event = Event::from_entry(&message.body).map(Arc::new);
            let result = match &event {
                Err(error) => MessageResult::Unpublishable(error.to_string()),
                Ok(_) if skip_remaining => {
                    MessageResult::Retryable("not tried: the bus is unavailable".into())
                }
                Ok(event) => {
                    let result =
                        self.bus.publish(event, deadline.min(Instant::now() + MESSAGE_TIMEOUT)).await;
                    // The remaining messages would wait for the same unavailable bus, so report them as failed, too: SQS
                    // then delivers them again.
                    skip_remaining =
                        matches!(result, Err(AwsError::Unavailable { .. })) || Instant::now() >= deadline;
                    match result {
                        Ok(()) => MessageResult::Published,
                        Err(error) if error.is_final() => MessageResult::Unpublishable(error.to_string()),
                        Err(error) => MessageResult::Retryable(error.to_string()),
                    }
                }
            };
            let (outcome, error) = match result {
                MessageResult::Published => ("published", None),
                MessageResult::Retryable(error) => ("kept", Some(error)),
                MessageResult::Unpublishable(error) => {
                    match self.send_to_dead_letter_queue(message.body, &error, deadline).await {
                        Ok(true) => ("dead-letter", Some(error)),
                        Ok(false) => ("kept", Some(error)),
                        Err(failure) => ("kept", Some(format!("{error}; the dead-letter queue: {failure}"))),
                    }
                }
            };
            lines.push(
                json!({
                    "function": self.function_name,
                    "request_id": request_id,
                    "message_id": message.message_id,
                    "outcome": outcome,
                    "resources": event.as_ref().ok().map(|event| &event.resources),
                    "error": error,
                })
                .to_string(),
            );
            if outcome == "kept" {
                response.add_failure(message.message_id);
            }
        }
        Ok((response, lines))
    }

    /// Sends a message that can never be published to the dead-letter queue; false if the function has none.
    async fn send_to_dead_letter_queue(
        &self,
        body: String,
        reason: &str,
        deadline: Instant,
    ) -> Result<bool, AwsError> {
        let Some(queue) = &self.dead_letter_queue else { return Ok(false) };
        queue.send_body(body, reason, deadline.min(Instant::now() + MESSAGE_TIMEOUT)).await?;
        Ok(true)
    }
}

/// The result of processing a message.
enum MessageResult {
    Published,
    /// The message stays in the spill queue, for this reason.
    Retryable(String),
    /// No later attempt can succeed, for this reason.
    Unpublishable(String),
}
