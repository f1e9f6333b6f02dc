//! A custom event bus of the newer kind, which recognises repeated events by their `DeduplicationId` for 300 s, and
//! keeps the order of the events of a group.
//!
//! Source of the limits and of the codes: "PutEvents", Amazon EventBridge V2 API Reference.

use std::sync::Arc;

use aws_sdk_eventbridgev2::config::retry::RetryConfig;
use aws_sdk_eventbridgev2::error::BuildError;
use aws_sdk_eventbridgev2::primitives::DateTime;
use aws_sdk_eventbridgev2::types::{
    PutEventsRequestEntry, PutEventsResultEntry, PutEventsSystemMetadata, SuccessCode,
};
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::{classify_entry_error, missing_result};
use crate::aws::{AttemptFailure, AwsError, retry};
use crate::bus::{AttemptResults, Bus, batches, publish_batches};
use crate::event::Event;

/// Maximum number of entries in a request.
const MAX_ENTRIES: usize = 100;

/// Maximum length of a `DeduplicationId` and of an `EventGroupId`, in characters.
const MAX_ID_CHARS: usize = 128;

/// A custom event bus of the newer kind.
#[derive(Clone)]
pub(super) struct BusV2 {
    client: aws_sdk_eventbridgev2::Client,
    arn: String,
}

impl BusV2 {
    pub(super) fn new(config: &aws_config::SdkConfig, arn: String) -> Self {
        let config = aws_sdk_eventbridgev2::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .build();
        Self { client: aws_sdk_eventbridgev2::Client::from_conf(config), arn }
    }

    /// Makes one request, and returns the result of each entry.
    async fn attempt(&self, events: &[Arc<Event>]) -> Result<AttemptResults, AttemptFailure> {
        let entries = events.iter().map(|event| entry(event)).collect::<Result<Vec<_>, _>>();
        let entries =
            entries.map_err(|error| AttemptFailure::Permanent(AwsError::Malformed(error.to_string())))?;
        let request = self.client.put_events().event_bus_arn(&self.arn).set_entries(Some(entries));
        let response = request.send().await.map_err(|e| AttemptFailure::from_sdk_error(&e))?;
        let missing = std::iter::repeat_with(|| Err(missing_result()));
        Ok(response.entries().iter().map(result).chain(missing).take(events.len()).collect())
    }
}

impl Bus for BusV2 {
    async fn publish(&self, event: &Arc<Event>, deadline: Instant) -> Result<(), AwsError> {
        let events = std::slice::from_ref(event);
        retry("PutEvents", deadline, || async {
            self.attempt(events).await?.pop().unwrap_or_else(|| Err(missing_result()))
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
        publish_batches("PutEvents", batches, deadline, |events| async move { self.attempt(&events).await })
            .await
    }
}

fn entry(event: &Event) -> Result<PutEventsRequestEntry, BuildError> {
    let time = event.time.map(|t| DateTime::from_nanos(t.as_nanosecond()));
    let metadata = PutEventsSystemMetadata::builder()
        .set_deduplication_id(deduplication_id(event))
        .set_event_group_id(event.group_id.as_deref().map(bounded_id))
        .build();
    PutEventsRequestEntry::builder()
        .source(&event.source)
        .detail_type(&event.detail_type)
        .detail(event.detail.as_str())
        .set_resources((!event.resources.is_empty()).then(|| event.resources.clone()))
        .set_time(time.and_then(Result::ok))
        .system_metadata(metadata)
        .build()
}

/// The delivery id in the event's URN.
///
/// The bus drops an event whose id another event of the last 300 s had. An id that is only a number therefore gets a hash of the
/// event, because two accounts at a provider that counts its webhooks have the same numbers; and the id of a replayed event gets
/// the id of the replay, so that the bus does not drop a replay.
fn deduplication_id(event: &Event) -> Option<String> {
    let resource = |prefix| event.resources.iter().find_map(|urn: &String| urn.strip_prefix(prefix));
    let (provider, id) = resource("urn:webhook:")?.split_once(':')?;
    let number = id.split_once('#').map_or(id, |(number, _)| number);
    let mut id = if number.bytes().all(|byte| byte.is_ascii_digit()) {
        format!("{provider}:{id}:{}", hash(event.detail.as_str()))
    } else {
        id.to_owned()
    };
    if let Some(replay) = resource("urn:hookbridge:replay:") {
        id = format!("{id}@{replay}");
    }
    Some(bounded_id(&id))
}

/// The id, or its hash if it is too long.
fn bounded_id(id: &str) -> String {
    if id.chars().count() <= MAX_ID_CHARS { id.to_owned() } else { hash(id) }
}

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The result of an entry. An entry without a known success code counts as not published.
fn result(entry: &PutEventsResultEntry) -> Result<(), AttemptFailure> {
    match (entry.success_code(), entry.error_code()) {
        (_, Some(code)) => Err(classify_entry_error(code, entry.error_message().unwrap_or_default())),
        (Some(SuccessCode::Published | SuccessCode::Deduplicated), None) => Ok(()),
        _ => Err(missing_result()),
    }
}
