//! EventBridge as a [`Bus`].
//!
//! The client disables the SDK's retries, because the SDK does not retry an entry that fails inside a 200 response, and does not
//! know the deadline of the Lambda invocation. `aws::retry` retries instead.

use std::sync::Arc;

use aws_sdk_eventbridge::config::retry::RetryConfig;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use tokio::time::Instant;

use super::Bus;
use crate::aws::{AttemptFailure, AwsError, error_text, retry};
use crate::event::Event;

/// An EventBridge bus.
pub struct EventBridge {
    client: aws_sdk_eventbridge::Client,
    bus: String,
}

impl EventBridge {
    /// Creates a client of the bus with this name or ARN.
    pub fn new(config: &aws_config::SdkConfig, bus: String) -> Self {
        let config =
            aws_sdk_eventbridge::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
        Self { client: aws_sdk_eventbridge::Client::from_conf(config), bus }
    }

    async fn attempt(&self, entry: PutEventsRequestEntry) -> Result<(), AttemptFailure> {
        let response = self
            .client
            .put_events()
            .entries(entry)
            .send()
            .await
            .map_err(|e| AttemptFailure::from_sdk_error(&e))?;
        if response.failed_entry_count() == 0 {
            let has_event_id = response.entries().iter().any(|entry| entry.event_id().is_some());
            let missing_id =
                || AttemptFailure::Transient("the PutEvents response contains no event id".into());
            return has_event_id.then_some(()).ok_or_else(missing_id);
        }
        let entry_error =
            response.entries().iter().find_map(|entry| Some((entry.error_code()?, entry.error_message())));
        let (code, message) = entry_error.unwrap_or(("InternalFailure", None));
        Err(classify_entry_error(code, message.unwrap_or_default()))
    }
}

impl Bus for EventBridge {
    async fn publish(&self, event: &Arc<Event>, deadline: Instant) -> Result<(), AwsError> {
        let entry = self.entry(event);
        retry("PutEvents", deadline, || self.attempt(entry.clone())).await
    }
}

impl EventBridge {
    fn entry(&self, event: &Event) -> PutEventsRequestEntry {
        let time = event.time.map(|t| DateTime::from_nanos(t.as_nanosecond()));
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(&event.source)
            .detail_type(&event.detail_type)
            .detail(event.detail.as_str())
            .set_resources((!event.resources.is_empty()).then(|| event.resources.clone()))
            .set_time(time.and_then(Result::ok))
            .set_trace_header(event.trace_header.clone())
            .build()
    }
}

/// Decides whether a retry may succeed after an entry failed inside a successful `PutEvents` request.
///
/// Source of the transient codes: "PutEvents", Amazon EventBridge API Reference.
fn classify_entry_error(code: &str, message: &str) -> AttemptFailure {
    match code {
        "InternalFailure" | "InternalException" | "ThrottlingException" => {
            AttemptFailure::Transient(format!("{code}: {message}"))
        }
        "MalformedDetail" => AttemptFailure::Permanent(AwsError::Malformed(code.to_owned())),
        _ => AttemptFailure::Permanent(AwsError::Rejected(error_text(code, message))),
    }
}
