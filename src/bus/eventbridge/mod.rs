//! EventBridge as a [`Bus`]: a classic event bus, or a custom event bus of the newer kind, whose ARN contains `event-busv2`.
//!
//! The clients disable the SDK's retries, because the SDK does not retry an entry that fails inside a 200 response, and does not
//! know the deadline of the Lambda invocation. `aws::retry` retries instead.

mod classic;
mod v2;

use std::sync::Arc;

use tokio::time::Instant;

use self::classic::ClassicBus;
use self::v2::BusV2;
use super::Bus;
use crate::aws::{AttemptFailure, AwsError, error_text};
use crate::event::Event;

/// An EventBridge bus of either kind.
#[derive(Clone)]
pub struct EventBridge(Kind);

#[derive(Clone)]
enum Kind {
    Classic(ClassicBus),
    V2(BusV2),
}

impl EventBridge {
    /// Creates a client of the bus with this name or ARN.
    pub fn new(config: &aws_config::SdkConfig, bus: String) -> Self {
        Self(if is_bus_v2(&bus) {
            Kind::V2(BusV2::new(config, bus))
        } else {
            Kind::Classic(ClassicBus::new(config, bus))
        })
    }
}

/// Whether `bus` is the ARN of a bus of the newer kind. Source: "Custom event buses", Amazon EventBridge User Guide.
pub fn is_bus_v2(bus: &str) -> bool {
    bus.starts_with("arn:") && bus.contains(":event-busv2/")
}

impl Bus for EventBridge {
    async fn publish(&self, event: &Arc<Event>, deadline: Instant) -> Result<(), AwsError> {
        match &self.0 {
            Kind::Classic(bus) => bus.publish(event, deadline).await,
            // Boxed, so that the future of the classic bus is not as large as this one.
            Kind::V2(bus) => Box::pin(bus.publish(event, deadline)).await,
        }
    }

    async fn publish_all(
        &self,
        events: &[Arc<Event>],
        max_request_bytes: usize,
        deadline: Instant,
    ) -> Vec<Result<(), AwsError>> {
        match &self.0 {
            Kind::Classic(bus) => bus.publish_all(events, max_request_bytes, deadline).await,
            Kind::V2(bus) => Box::pin(bus.publish_all(events, max_request_bytes, deadline)).await,
        }
    }
}

fn missing_result() -> AttemptFailure {
    AttemptFailure::Transient("the PutEvents response contains no result for the event".into())
}

/// Decides whether a retry may succeed after an entry failed inside a successful `PutEvents` request.
///
/// Source of the codes: "PutEvents", Amazon EventBridge API Reference and Amazon EventBridge V2 API Reference.
fn classify_entry_error(code: &str, message: &str) -> AttemptFailure {
    match code {
        "InternalFailure" | "InternalException" | "ThrottlingException" => {
            AttemptFailure::Transient(format!("{code}: {message}"))
        }
        "MalformedDetail" => AttemptFailure::Permanent(AwsError::Malformed(code.to_owned())),
        "InvalidArgument" | "InvalidInputException" => {
            AttemptFailure::Permanent(AwsError::Invalid(error_text(code, message)))
        }
        _ => AttemptFailure::Permanent(AwsError::Rejected(error_text(code, message))),
    }
}
