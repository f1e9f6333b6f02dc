//! An EventBridge bus, through `PutEvents`.
//!
//! The SDK's own retries are off: it knows nothing of entries that fail inside an answer of 200, nor of how long
//! this invocation has left.

use aws_sdk_eventbridge::config::retry::RetryConfig;
use aws_sdk_eventbridge::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_eventbridge::primitives::DateTime;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::retry::Attempts;
use super::{Bus, PutError};
use crate::event::Event;
use crate::output::chain;

/// A bus by its name or ARN.
pub struct EventBridge {
    client: aws_sdk_eventbridge::Client,
    bus: String,
}

impl EventBridge {
    /// `bus` is a name or an ARN.
    pub fn new(config: &aws_config::SdkConfig, bus: String) -> Self {
        let config =
            aws_sdk_eventbridge::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
        Self { client: aws_sdk_eventbridge::Client::from_conf(config), bus }
    }

    async fn attempt(&self, entry: PutEventsRequestEntry) -> Result<(), Failure> {
        let answer = self.client.put_events().entries(entry).send().await.map_err(|e| of_request(&e))?;
        if answer.failed_entry_count() == 0 {
            return Ok(());
        }
        let failed =
            answer.entries().iter().find_map(|entry| Some((entry.error_code()?, entry.error_message())));
        let (code, message) = failed.unwrap_or(("InternalFailure", None));
        Err(of_entry(code, message.unwrap_or_default()))
    }
}

impl Bus for EventBridge {
    async fn put(&self, event: Event, deadline: Instant) -> Result<(), PutError> {
        let entry = self.entry(event);
        let mut attempts = Attempts::until(deadline);
        let mut last = String::new();
        while let Some(time) = attempts.next().await {
            match timeout(time, self.attempt(entry.clone())).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(Failure::Final(error))) => return Err(error),
                Ok(Err(Failure::Passing(said))) => last = said,
                Err(_) => last = format!("no answer in {} ms", time.as_millis()),
            }
            warn!(attempt = attempts.made(), error = last, "PutEvents failed");
        }
        Err(PutError::Unavailable { attempts: attempts.made(), last })
    }
}

impl EventBridge {
    fn entry(&self, event: Event) -> PutEventsRequestEntry {
        let time = event.time.map(|t| DateTime::from_nanos(t.as_nanosecond()));
        PutEventsRequestEntry::builder()
            .event_bus_name(&self.bus)
            .source(event.source)
            .detail_type(event.detail_type)
            .detail(event.detail.into_string())
            .set_resources((!event.resources.is_empty()).then_some(event.resources))
            .set_time(time.and_then(Result::ok))
            .build()
    }
}

/// What became of an attempt that failed.
enum Failure {
    /// Trying again may help.
    Passing(String),
    /// It will not.
    Final(PutError),
}

/// An entry that failed inside a request that did not. Which codes pass by themselves: "PutEvents" in the
/// EventBridge API Reference.
fn of_entry(code: &str, message: &str) -> Failure {
    match code {
        "InternalFailure" | "InternalException" | "ThrottlingException" => {
            Failure::Passing(format!("{code}: {message}"))
        }
        "MalformedDetail" => Failure::Final(PutError::Malformed(code.to_owned())),
        _ => Failure::Final(PutError::Refused(said(code, message))),
    }
}

/// What an operator reads of a refusal. A message about what is invalid can quote it, and that is a body: of such
/// a one only the code is kept.
fn said(code: &str, message: &str) -> String {
    if code.contains("Validation") || code.contains("Malformed") || code.contains("Serialization") {
        code.to_owned()
    } else {
        format!("{code}: {message}")
    }
}

/// A request that failed as a whole.
fn of_request<E>(error: &SdkError<E>) -> Failure
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let service = match error {
        SdkError::ServiceError(service) => service,
        SdkError::ConstructionFailure(_) => return Failure::Final(PutError::Refused(chain(error))),
        // Not sent, cut off, timed out, or an answer that cannot be read.
        _ => return Failure::Passing(chain(error)),
    };
    let code = error.code().unwrap_or("no code");
    let message = error.message().unwrap_or("no message");
    let said = said(code, message);
    let status = service.raw().status().as_u16();
    if status >= 500 || status == 429 || code.contains("Throttl") || code.starts_with("Internal") {
        Failure::Passing(said)
    } else if status == 413 || (code == "ValidationException" && message.contains("size")) {
        Failure::Final(PutError::TooLarge)
    } else {
        Failure::Final(PutError::Refused(said))
    }
}
