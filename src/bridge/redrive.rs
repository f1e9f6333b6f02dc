//! Redrive: republishes spilled events to the bus.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::time::Instant;

use crate::aws::AwsError;
use crate::bus::Bus;
use crate::event::Event;
use crate::lambda::{BatchResponse, SqsEvent, handling_deadline};

/// Timeout of publishing one message.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(3);

/// The Lambda function `redrive`: publishes the spilled events.
pub struct RedriveFunction<B> {
    /// The bus on which the function publishes the events.
    pub bus: B,
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
                Err(error) => Err(error.to_string()),
                Ok(_) if skip_remaining => Err("not tried: the bus is unavailable".to_owned()),
                Ok(event) => {
                    let result =
                        self.bus.publish(event, deadline.min(Instant::now() + MESSAGE_TIMEOUT)).await;
                    // The remaining messages would wait for the same unavailable bus, so report them as failed, too: SQS
                    // then delivers them again.
                    skip_remaining =
                        matches!(result, Err(AwsError::Unavailable { .. })) || Instant::now() >= deadline;
                    result.map_err(|error| error.to_string())
                }
            };
            lines.push(
                json!({
                    "function": self.function_name,
                    "request_id": request_id,
                    "message_id": message.message_id,
                    "outcome": if result.is_ok() { "published" } else { "kept" },
                    "resources": event.as_ref().ok().map(|event| &event.resources),
                    "error": result.as_ref().err(),
                })
                .to_string(),
            );
            if result.is_err() {
                response.add_failure(message.message_id);
            }
        }
        Ok((response, lines))
    }
}
