//! A classic event bus.

use std::sync::Arc;

use aws_sdk_eventbridge::config::retry::RetryConfig;
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use tokio::time::Instant;

use super::{classify_entry_error, missing_result};
use crate::aws::{AttemptFailure, AwsError, retry};
use crate::bus::{AttemptResults, Bus, batches, publish_batches};
use crate::event::Event;

/// Maximum number of entries in a request. Source: "PutEvents", Amazon EventBridge API Reference.
const MAX_ENTRIES: usize = 10;

/// A classic event bus.
#[derive(Clone)]
pub(super) struct ClassicBus {
    client: aws_sdk_eventbridge::Client,
    bus: String,
}

impl ClassicBus {
    pub(super) fn new(config: &aws_config::SdkConfig, bus: String) -> Self {
        let config =
            aws_sdk_eventbridge::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
        Self { client: aws_sdk_eventbridge::Client::from_conf(config), bus }
    }

    /// Makes one request, and returns the result of each entry.
    async fn attempt(&self, entries: Vec<PutEventsRequestEntry>) -> Result<AttemptResults, AttemptFailure> {
        let count = entries.len();
        let response = self
            .client
            .put_events()
            .set_entries(Some(entries))
            .send()
            .await
            .map_err(|e| AttemptFailure::from_sdk_error(&e))?;
        let results = response.entries().iter().map(|entry| match (entry.event_id(), entry.error_code()) {
            (Some(_), None) => Ok(()),
            (_, Some(code)) => Err(classify_entry_error(code, entry.error_message().unwrap_or_default())),
            (None, None) => Err(missing_result()),
        });
        let missing = std::iter::repeat_with(|| Err(missing_result()));
        Ok(results.chain(missing).take(count).collect())
    }
}

impl Bus for ClassicBus {
    async fn publish(&self, event: &Arc<Event>, deadline: Instant) -> Result<(), AwsError> {
        let entry = self.entry(event);
        retry("PutEvents", deadline, || async {
            self.attempt(vec![entry.clone()]).await?.pop().unwrap_or_else(|| Err(missing_result()))
        })
        .await
    }

    async fn publish_all(
        &self,
        events: &[Arc<Event>],
        max_request_bytes: usize,
        deadline: Instant,
    ) -> Vec<Result<(), AwsError>> {
        let batches = batches(events, MAX_ENTRIES, max_request_bytes, Event::entry_size);
        publish_batches("PutEvents", batches, deadline, |events| async move {
            self.attempt(events.iter().map(|event| self.entry(event)).collect()).await
        })
        .await
    }
}

impl ClassicBus {
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
