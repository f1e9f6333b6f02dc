//! Redrive: republishes spilled events to the bus.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::json;
use tokio::time::Instant;

use crate::bus::Bus;
use crate::call::CallError;
use crate::event::Event;
use crate::invocation::{BatchAnswer, Messages, time_to_answer};

/// How long the bus is tried for one message.
const A_MESSAGE: Duration = Duration::from_secs(3);

/// Puts what was spilled on a bus.
pub struct RedriveFunction<B> {
    /// The bus.
    pub bus: B,
    /// The function's name, for the log.
    pub function_name: String,
}

impl<B: Bus> RedriveFunction<B> {
    /// Takes one batch to its end before `deadline`, and returns the answer with a line to log for each message.
    ///
    /// # Errors
    /// When it was not SQS that called: then nothing is taken, and every message comes again.
    pub async fn invoke(
        &self,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<(BatchAnswer, Vec<String>), serde_json::Error> {
        let event: Messages = serde_json::from_str(event)?;
        let deadline = time_to_answer(deadline);
        let mut answer = BatchAnswer::default();
        let mut lines = Vec::new();
        let mut down = false;
        for message in event.records {
            let event = Event::from_entry(&message.body).map(Arc::new);
            let put = match &event {
                Err(error) => Err(error.to_string()),
                Ok(_) if down => Err("not tried: the bus is unavailable".to_owned()),
                Ok(event) => {
                    let put = self.bus.publish(event, deadline.min(Instant::now() + A_MESSAGE)).await;
                    // The others of the batch would wait for the same bus: they come again with this one.
                    down = matches!(put, Err(CallError::Unavailable { .. })) || Instant::now() >= deadline;
                    put.map_err(|error| error.to_string())
                }
            };
            lines.push(
                json!({
                    "function": self.function_name,
                    "request_id": request_id,
                    "message_id": message.message_id,
                    "outcome": if put.is_ok() { "published" } else { "kept" },
                    "resources": event.as_ref().ok().map(|event| &event.resources),
                    "error": put.as_ref().err(),
                })
                .to_string(),
            );
            if put.is_err() {
                answer.keep(message.message_id);
            }
        }
        Ok((answer, lines))
    }
}
