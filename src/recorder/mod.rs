//! Records archived batches and bus events in the log.
//!
//! A [`Recorder`] reads a batch from the archive, parses the batch, and records it completely and once. If the recorder has a
//! bus, it then publishes the new events and marks the batch as published. A batch whose recording was interrupted can be
//! recorded again: the log has each event once, and the bus receives each new event at least once. The recorder never changes the
//! archive.

mod envelope;
mod environment;
mod function;
mod notification;
mod polled_page;
mod webhook;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use environment::RecorderEnvironment;
pub use function::{RecorderFunction, RecorderInvocationError};
pub use polled_page::parse_polled_page;

use crate::archive::{self, Archive, ArchivedPayload};
use crate::aws::AwsError;
use crate::bus::Bus;
use crate::db::DatabaseError;
use crate::event::{Detail, Event};
use crate::log::{self, EventLog, NewEvent, RecordOutcome, SearchColumns};
use crate::providers::{self, BatchFormat, Provider};

/// Prefix of the entry in a published event's `resources` that contains the event's id in the log. A recorder that later receives
/// the event from an EventBridge rule takes the id from this entry, so that the log recognizes the duplicate.
const LOG_URN_PREFIX: &str = "urn:hookbridge:log:";
/// The maximum number of events of a batch that are published concurrently.
const MAX_CONCURRENT_PUBLISHES: usize = 10;

/// Records batches of an archive in a log.
pub struct Recorder<B> {
    /// The archive from which the recorder reads batches.
    pub archive: Archive,
    /// The log in which the recorder records events.
    pub log: EventLog,
    /// The bus to which the recorder publishes new events; `None` to publish none.
    pub bus: Option<Arc<B>>,
}

/// The AWS account and region that received an event; empty outside of AWS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsOrigin {
    /// The id of the AWS account.
    pub account: String,
    /// The name of the AWS region.
    pub region: String,
}

impl AwsOrigin {
    /// Extracts the account and the region from an ARN: `arn:partition:service:region:account:...`.
    pub fn from_arn(arn: &str) -> Self {
        let part = |index: usize| arn.split(':').nth(index).unwrap_or_default().to_owned();
        Self { account: part(4), region: part(3) }
    }
}

/// The result of recording an archived batch or a bus event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordSummary {
    /// Whether the batch was recorded earlier.
    pub is_already_recorded: bool,
    /// The number of new events.
    pub new_events: usize,
    /// The number of events that were skipped, because the log already had them or the batch contains them twice.
    pub duplicates: usize,
    /// The number of events that no parser recognized; they are recorded unchanged.
    pub unrecognized_events: usize,
    /// The number of events that the bus accepted.
    pub published_events: usize,
    /// The number of events that a bus does not accept: unrecognized, too large, or with an invalid `detail`.
    pub unpublishable_events: usize,
    /// For a polled page: the number of its events that the log did not have; otherwise `None`.
    pub missed_events: Option<usize>,
    /// The size of the batch in bytes.
    pub bytes: usize,
}

impl RecordSummary {
    /// Adds the counts of two summaries.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            is_already_recorded: self.is_already_recorded || other.is_already_recorded,
            new_events: self.new_events + other.new_events,
            duplicates: self.duplicates + other.duplicates,
            unrecognized_events: self.unrecognized_events + other.unrecognized_events,
            published_events: self.published_events + other.published_events,
            unpublishable_events: self.unpublishable_events + other.unpublishable_events,
            missed_events: match (self.missed_events, other.missed_events) {
                (Some(a), Some(b)) => Some(a + b),
                (a, b) => a.or(b),
            },
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Why a batch or bus event could not be recorded or published. A retry is safe.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The archive has no object with this key.
    #[error("the archive has no object {0}")]
    NotFound(String),
    /// The first part of the key is not the name of a provider.
    #[error("{0} is not an archived batch: its folder is not the name of a provider")]
    UnknownProvider(String),
    /// The archive cannot be read.
    #[error("cannot read the archive: {0}")]
    Archive(AwsError),
    /// The log cannot record the batch.
    #[error("cannot use the log: {0}")]
    Log(#[from] DatabaseError),
    /// The batch is recorded, but the bus did not accept every event.
    #[error("cannot publish to the bus: {0}")]
    Bus(AwsError),
    /// The message is not an EventBridge event.
    #[error("invalid EventBridge event: an envelope field is missing or invalid")]
    InvalidEvent,
    /// The deadline passed.
    #[error("the deadline passed before the recorder finished")]
    TimedOut,
}

/// One page of a provider's batches in the archive, and those of them that the log does not have.
#[cfg(feature = "command")]
pub struct ArchivePage {
    /// The last key of the page; the next page starts after it.
    pub last_key: String,
    /// The number of batches in the page.
    pub batch_count: usize,
    /// The keys of the batches that the log does not have, in ascending order.
    pub unrecorded_keys: Vec<String>,
}

impl<B: Bus> Recorder<B> {
    /// Reads the batch with this key from the archive, records it and publishes its new events, all before `deadline`.
    ///
    /// # Errors
    /// The archive, the log or the bus failed, the archive has no batch with this key, or the deadline passed.
    pub async fn record_archived(
        &self,
        key: &str,
        aws_origin: &AwsOrigin,
        deadline: Instant,
    ) -> Result<RecordSummary, RecordError> {
        let provider = providers::find_provider(key.split('/').next().unwrap_or_default());
        let provider = provider.map_err(|_| RecordError::UnknownProvider(key.to_owned()))?;
        let payload = self.archive.get(key, deadline).await.map_err(RecordError::Archive)?;
        let payload = payload.ok_or_else(|| RecordError::NotFound(self.archive.object_url(key)))?;
        let body = String::from_utf8_lossy(&payload.body);
        let origin = Some(self.archive.object_url(key));
        let is_polled = archive::is_polled(key);
        let polled_page =
            if is_polled { parse_polled_page(provider, &body, payload.received_at) } else { None };
        let mut batch = match polled_page {
            Some((events, unrecognized)) => {
                log::EventBatch { origin: origin.map(Cow::Owned), events, unrecognized_count: unrecognized }
            }
            None => match provider.batch_format() {
                Some(format) => parse_batch(format, origin, &body, payload.received_at),
                None => webhook_batch(origin, provider, &payload),
            },
        };
        for event in &mut batch.events {
            event.account = Cow::Borrowed(&aws_origin.account);
            event.region = Cow::Borrowed(&aws_origin.region);
        }
        let mut summary = RecordSummary {
            bytes: body.len(),
            unrecognized_events: batch.unrecognized_count,
            ..RecordSummary::default()
        };
        let outcome = tokio::time::timeout_at(deadline, self.log.record(&batch)).await;
        let (batch_id, is_published) = match outcome.map_err(|_| RecordError::TimedOut)?? {
            RecordOutcome::Inserted { batch_id, events, duplicates } => {
                (summary.new_events, summary.duplicates) = (events, duplicates);
                (batch_id, false)
            }
            RecordOutcome::AlreadyRecorded { batch_id, is_published } => {
                summary.is_already_recorded = true;
                (batch_id, is_published)
            }
        };
        summary.missed_events = is_polled.then_some(summary.new_events);
        if !is_published && self.bus.is_some() {
            let publish = self.publish_batch(batch_id, batch.events, &mut summary, deadline);
            tokio::time::timeout_at(deadline, publish).await.map_err(|_| RecordError::TimedOut)??;
        }
        Ok(summary)
    }

    /// Publishes the events that a batch added to the log, and marks the batch as published.
    async fn publish_batch(
        &self,
        batch_id: i64,
        mut events: Vec<NewEvent<'_>>,
        summary: &mut RecordSummary,
        deadline: Instant,
    ) -> Result<(), RecordError> {
        let Some(bus) = &self.bus else { return Ok(()) };
        // Publish only the events that this batch added: an event that an earlier batch added is published with that batch.
        if summary.is_already_recorded || summary.duplicates > 0 {
            let new_keys = self.log.batch_event_keys(batch_id).await?.into_iter();
            let mut new_keys: HashSet<_> = new_keys.map(|key| (key.time.as_microsecond(), key.id)).collect();
            // Set the number of missed events again: an earlier run that recorded the batch and then stopped has not reported it.
            summary.missed_events = summary.missed_events.map(|_| new_keys.len());
            events.retain(|event| {
                let (time, id) = event.key();
                new_keys.remove(&(time, id.to_owned()))
            });
        }
        (summary.published_events, summary.unpublishable_events) = publish(bus, &events, deadline).await?;
        Ok(self.log.mark_published(batch_id).await?)
    }
}

#[cfg(feature = "command")]
impl<B: Bus> Recorder<B> {
    /// Lists one page of the provider's batches whose keys sort after `after`, and finds those batches that the log does not
    /// have; `None` after the last page.
    ///
    /// # Errors
    /// The archive or the log cannot be read.
    pub async fn list_unrecorded(
        &self,
        provider: &Provider,
        after: Option<&str>,
        deadline: Instant,
    ) -> Result<Option<ArchivePage>, RecordError> {
        let keys =
            self.archive.list_keys(provider.name, after, deadline).await.map_err(RecordError::Archive)?;
        let Some(last_key) = keys.last().cloned() else { return Ok(None) };
        let batch_count = keys.len();
        let mut unrecorded_keys = Vec::new();
        for keys in keys.chunks(1000) {
            let origins: Vec<_> = keys.iter().map(|key| self.archive.object_url(key)).collect();
            let unrecorded: HashSet<String> = self.log.find_unrecorded(&origins).await?.into_iter().collect();
            unrecorded_keys.extend(
                keys.iter().filter(|key| unrecorded.contains(&self.archive.object_url(key))).cloned(),
            );
        }
        Ok(Some(ArchivePage { last_key, batch_count, unrecorded_keys }))
    }
}

/// Parses the batch in `body`. `origin` is the URL of the batch in the archive; events without a time of their own get the time
/// `received_at`.
pub fn parse_batch<'a>(
    format: &BatchFormat,
    origin: Option<String>,
    body: &'a str,
    received_at: Timestamp,
) -> log::EventBatch<'a> {
    // Truncate to whole seconds, as EventBridge does, so that an event that the recorder publishes and receives back from the bus
    // has the same time.
    let received_at = Timestamp::from_second(received_at.as_second()).unwrap_or(received_at);
    let (events, unrecognized) = (format.parse_batch)(body, received_at);
    log::EventBatch { origin: origin.map(Cow::Owned), events, unrecognized_count: unrecognized }
}

/// Parses lines of the local bus file into a batch. Skips invalid lines and counts them as unrecognized.
#[cfg(feature = "command")]
pub fn parse_event_lines(lines: &str) -> log::EventBatch<'_> {
    let mut batch = log::EventBatch { origin: None, events: Vec::new(), unrecognized_count: 0 };
    for line in lines.lines().filter(|line| !line.is_empty()) {
        match envelope::parse_event(line) {
            Some(event) => batch.events.push(event),
            None => batch.unrecognized_count += 1,
        }
    }
    batch
}

/// Creates a batch of the events of an archived webhook.
fn webhook_batch(
    origin: Option<String>,
    provider: &'static Provider,
    payload: &ArchivedPayload,
) -> log::EventBatch<'static> {
    let (events, is_recognized) = webhook::to_new_events(provider, payload);
    log::EventBatch {
        origin: origin.map(Cow::Owned),
        events,
        unrecognized_count: usize::from(!is_recognized),
    }
}

/// Extracts the values of the search columns from an event's `detail`; all empty unless `source` names a batch provider.
pub fn search_columns<'a>(source: &str, detail: &'a str) -> SearchColumns<'a> {
    let format = providers::find_batch_provider(source).and_then(Provider::batch_format);
    let format_and_element = format.zip(serde_json::from_str(detail).ok());
    let event =
        format_and_element.and_then(|(format, element)| (format.parse_event)(element, Timestamp::UNIX_EPOCH));
    event.map(|event| event.search_columns).unwrap_or_default()
}

/// Publishes events concurrently. Returns the number of published events and the number of events that a bus does not accept.
async fn publish<B: Bus>(
    bus: &Arc<B>,
    new_events: &[NewEvent<'_>],
    deadline: Instant,
) -> Result<(usize, usize), RecordError> {
    let mut tasks = JoinSet::new();
    let (mut published, mut unpublishable) = (0, 0);
    let mut count_result = |result: Result<(), AwsError>| match result {
        Ok(()) => {
            published += 1;
            Ok(())
        }
        Err(error) if error.is_final() => {
            unpublishable += 1;
            Ok(())
        }
        Err(error) => Err(RecordError::Bus(error)),
    };
    for new_event in new_events {
        let Some(event) = to_event(new_event) else {
            count_result(Err(AwsError::TooLarge))?;
            continue;
        };
        if tasks.len() == MAX_CONCURRENT_PUBLISHES
            && let Some(result) = tasks.join_next().await
        {
            count_result(result.unwrap_or_else(|error| Err(AwsError::Rejected(error.to_string()))))?;
        }
        let bus = bus.clone();
        tasks.spawn(async move { bus.publish(&Arc::new(event), deadline).await });
    }
    while let Some(result) = tasks.join_next().await {
        count_result(result.unwrap_or_else(|error| Err(AwsError::Rejected(error.to_string()))))?;
    }
    Ok((published, unpublishable))
}

/// Converts a log event into a bus event; `None` if the event is unrecognized or its `detail` is one that EventBridge does not
/// accept.
pub fn to_event(event: &NewEvent<'_>) -> Option<Event> {
    if event.detail_type == log::UNRECOGNIZED_TYPE {
        return None;
    }
    Some(Event {
        source: event.source.to_string(),
        detail_type: event.detail_type.to_string(),
        detail: Detail::parse(event.detail.as_bytes()).ok()?,
        time: Some(event.time),
        trace_header: None,
        group_id: None,
        resources: match providers::find_batch_provider(&event.source) {
            Some(provider) => vec![format!("urn:webhook:{}:{}", provider.name, event.id)],
            None => {
                event.resources.iter().cloned().chain([format!("{LOG_URN_PREFIX}{}", event.id)]).collect()
            }
        },
    })
}
