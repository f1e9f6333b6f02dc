//! The job **recorder**: what lies in the archive, or came by a bus, goes into the log.
//!
//! A [`Recorder`] reads a batch from the archive, takes it apart, and records it whole and once; where it is told to
//! publish, it then puts the events on a bus, and remembers that it has. Whatever ends it on the way, doing all of it
//! again comes to the same log. The batch stays where it lies.

mod envelope;
mod environment;
mod function;
mod notification;
mod polled_page;
mod sparkpost;
mod webhook;

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use environment::Environment;
pub use function::{InvocationError, RecorderFunction};
pub use polled_page::parse_polled_page;

use crate::archive::{self, Archive, ArchivedPayload};
use crate::bus::Bus;
use crate::call::CallError;
use crate::event::{Detail, Event};
use crate::log::{self, EventStore, LogError, NewEvent, RecordOutcome, SearchColumns};
use crate::providers::{self, Provider, sparkpost::SPARKPOST};

/// What the resource begins with by which an event says under which id a log has it: when a rule sends it to a log, it is
/// the same event there.
const LOG_URN_PREFIX: &str = "urn:hookbridge:log:";
/// Events that are put on the bus at once.
const AT_ONCE: usize = 10;

/// Takes batches from an archive into a log.
pub struct Recorder<L, B> {
    /// Where batches lie.
    pub archive: Archive,
    /// Where events go.
    pub log: L,
    /// The bus that they are also put on.
    pub bus: Option<Arc<B>>,
}

/// Where in AWS events came through; empty outside of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AwsOrigin {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
}

impl AwsOrigin {
    /// That of a resource, by its ARN: `arn:partition:service:region:account:...`.
    pub fn from_arn(arn: &str) -> Self {
        let part = |at: usize| arn.split(':').nth(at).unwrap_or_default().to_owned();
        Self { account: part(4), region: part(3) }
    }
}

/// What became of a batch of the archive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecordSummary {
    /// Whether it had been recorded before.
    pub is_already_recorded: bool,
    /// Events that are new in the log.
    pub new_events: usize,
    /// Events that were in it.
    pub duplicates: usize,
    /// Of all, those that were not understood, and recorded as they are.
    pub unrecognized: usize,
    /// Events that are on the bus now.
    pub published: usize,
    /// Events that are not for a bus: not understood, too large, or no JSON that it reads.
    pub unpublishable: usize,
    /// Of what was asked for, how many events had not been recorded; `None` when nothing was asked for.
    pub missed: Option<usize>,
    /// The size of the batch.
    pub bytes: usize,
}

impl RecordSummary {
    /// Both together.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            is_already_recorded: self.is_already_recorded || other.is_already_recorded,
            new_events: self.new_events + other.new_events,
            duplicates: self.duplicates + other.duplicates,
            unrecognized: self.unrecognized + other.unrecognized,
            published: self.published + other.published,
            unpublishable: self.unpublishable + other.unpublishable,
            missed: match (self.missed, other.missed) {
                (Some(one), Some(other)) => Some(one + other),
                (one, other) => one.or(other),
            },
            bytes: self.bytes + other.bytes,
        }
    }
}

/// Why a batch is not in the log. Doing it again is safe.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// There is no such batch.
    #[error("the archive has no {0}")]
    NotFound(String),
    /// Its key says no provider.
    #[error("{0} is not a batch: its folder is no provider's")]
    UnknownProvider(String),
    /// The archive does not hand it out.
    #[error("the archive: {0}")]
    Archive(CallError),
    /// The log does not take it.
    #[error("the log: {0}")]
    Log(#[from] LogError),
    /// It is in the log, and not all of it is on the bus.
    #[error("the bus: {0}")]
    Bus(CallError),
    /// A message is no event of EventBridge's.
    #[error("not an event of EventBridge's: a field of its envelope is missing")]
    InvalidEvent,
    /// There was no time left.
    #[error("not done in the time there was")]
    TimedOut,
}

/// A part of the archive, in the order of its keys.
#[cfg(feature = "command")]
pub struct ArchivePage {
    /// The last key of it; the next part comes after it.
    pub last_key: String,
    /// How many batches it has.
    pub batch_count: usize,
    /// The keys of those that the log does not have.
    pub unrecorded_keys: Vec<String>,
}

impl<L: EventStore, B: Bus> Recorder<L, B> {
    /// Records the batch that lies under `key`, before `deadline`.
    ///
    /// # Errors
    /// [`RecordError`].
    pub async fn record_archived(
        &self,
        key: &str,
        place: &AwsOrigin,
        deadline: Instant,
    ) -> Result<RecordSummary, RecordError> {
        let provider = providers::find(key.split('/').next().unwrap_or_default());
        let provider = provider.map_err(|_| RecordError::UnknownProvider(key.to_owned()))?;
        let stored = self.archive.get(key, deadline).await.map_err(RecordError::Archive)?;
        let stored = stored.ok_or_else(|| RecordError::NotFound(self.archive.object_url(key)))?;
        let body = String::from_utf8_lossy(&stored.body);
        let origin = Some(self.archive.object_url(key));
        let is_polled = archive::is_polled(key);
        let polled = if is_polled { parse_polled_page(provider, &body, stored.received_at) } else { None };
        let mut batch = match polled {
            Some((records, unrecognized)) => {
                log::EventBatch { origin: origin.map(Cow::Owned), events: records, unrecognized }
            }
            None if provider.sends_batches() => parse_batch(origin, &body, stored.received_at),
            None => one(origin, provider, &stored),
        };
        for record in &mut batch.events {
            record.account = Cow::Borrowed(&place.account);
            record.region = Cow::Borrowed(&place.region);
        }
        let mut summary =
            RecordSummary { bytes: body.len(), unrecognized: batch.unrecognized, ..RecordSummary::default() };
        let recorded = tokio::time::timeout_at(deadline, self.log.record(&batch)).await;
        let (number, is_published) = match recorded.map_err(|_| RecordError::TimedOut)?? {
            RecordOutcome::Inserted { batch, events, repeats } => {
                (summary.new_events, summary.duplicates) = (events, repeats);
                (batch, false)
            }
            RecordOutcome::AlreadyRecorded { batch, published } => {
                summary.is_already_recorded = true;
                (batch, published)
            }
        };
        summary.missed = is_polled.then_some(summary.new_events);
        if let Some(bus) = self.bus.as_ref().filter(|_| !is_published) {
            let publishing = async {
                // Events recorded by an earlier batch are published with that batch.
                let is_all_new = !summary.is_already_recorded && summary.duplicates == 0;
                if !is_all_new {
                    let new = self.log.batch_event_keys(number).await?.into_iter();
                    let mut new: HashSet<_> = new.map(|key| (key.time.as_microsecond(), key.id)).collect();
                    // Not yet reported: the previous run stopped before publishing.
                    summary.missed = is_polled.then_some(new.len());
                    batch.events.retain(|record| {
                        let (time, id) = record.key();
                        new.remove(&(time, id.to_owned()))
                    });
                }
                let counts = publish(bus, &batch.events, deadline).await?;
                self.log.mark_published(number).await?;
                Ok::<_, RecordError>(counts)
            };
            let published = tokio::time::timeout_at(deadline, publishing).await;
            (summary.published, summary.unpublishable) = published.map_err(|_| RecordError::TimedOut)??;
        }
        Ok(summary)
    }
}

#[cfg(feature = "command")]
impl<L: EventStore, B: Bus> Recorder<L, B> {
    /// The part of the archive that comes after a key, of the batches of one provider; `None` when there are no more.
    ///
    /// # Errors
    /// [`RecordError`].
    pub async fn list_unrecorded(
        &self,
        provider: &Provider,
        after: Option<&str>,
        deadline: Instant,
    ) -> Result<Option<ArchivePage>, RecordError> {
        let keys =
            self.archive.list_keys(provider.name, after, deadline).await.map_err(RecordError::Archive)?;
        let Some(last) = keys.last().cloned() else { return Ok(None) };
        let batches = keys.len();
        let mut new = Vec::new();
        for keys in keys.chunks(1000) {
            let origins = keys.iter().map(|key| self.archive.object_url(key)).collect();
            let unrecorded: HashSet<String> = self.log.find_unrecorded(origins).await?.into_iter().collect();
            new.extend(keys.iter().filter(|key| unrecorded.contains(&self.archive.object_url(key))).cloned());
        }
        Ok(Some(ArchivePage { last_key: last, batch_count: batches, unrecorded_keys: new }))
    }
}

/// Takes a batch apart. `origin` is where it lies, `received` the time of what does not say its own.
pub fn parse_batch(origin: Option<String>, body: &str, received: Timestamp) -> log::EventBatch<'_> {
    // To the second, as EventBridge has it: what comes back by a bus is the same record.
    let received = Timestamp::from_second(received.as_second()).unwrap_or(received);
    let (records, unrecognized) = sparkpost::parse_events(body, received);
    log::EventBatch { origin: origin.map(Cow::Owned), events: records, unrecognized }
}

/// Events as the embedded bus has them, one JSON line each. A line that is none is left out and counted.
#[cfg(feature = "command")]
pub fn parse_event_lines(lines: &str) -> log::EventBatch<'_> {
    let mut batch = log::EventBatch { origin: None, events: Vec::new(), unrecognized: 0 };
    for line in lines.lines().filter(|line| !line.is_empty()) {
        match envelope::parse_event(line) {
            Some(record) => batch.events.push(record),
            None => batch.unrecognized += 1,
        }
    }
    batch
}

/// A webhook that the archive has as a batch of one.
fn one(
    origin: Option<String>,
    provider: &'static Provider,
    stored: &ArchivedPayload,
) -> log::EventBatch<'static> {
    let (record, is_understood) = webhook::to_new_event(provider, stored);
    log::EventBatch {
        origin: origin.map(Cow::Owned),
        events: vec![record],
        unrecognized: usize::from(!is_understood),
    }
}

/// What a message event is found by, from its detail; nothing where the detail is of something else.
pub fn search_columns(detail: &str) -> SearchColumns<'_> {
    let element = serde_json::from_str(detail).ok();
    let record = element.and_then(|element| sparkpost::parse_event(element, Timestamp::UNIX_EPOCH));
    record.map(|record| record.search_columns).unwrap_or_default()
}

/// Puts records on a bus, some at once, and says how many it took, and how many no bus would take.
async fn publish<B: Bus>(
    bus: &Arc<B>,
    records: &[NewEvent<'_>],
    deadline: Instant,
) -> Result<(usize, usize), RecordError> {
    let mut tasks = JoinSet::new();
    let (mut published, mut unpublishable) = (0, 0);
    let mut count = |put: Result<(), CallError>| match put {
        Ok(()) => {
            published += 1;
            Ok(())
        }
        Err(CallError::Malformed(_) | CallError::TooLarge) => {
            unpublishable += 1;
            Ok(())
        }
        Err(error) => Err(RecordError::Bus(error)),
    };
    for record in records {
        let Some(event) = to_event(record) else {
            count(Err(CallError::TooLarge))?;
            continue;
        };
        if tasks.len() == AT_ONCE
            && let Some(put) = tasks.join_next().await
        {
            count(put.unwrap_or_else(|error| Err(CallError::Refused(error.to_string()))))?;
        }
        let bus = bus.clone();
        tasks.spawn(async move { bus.publish(&Arc::new(event), deadline).await });
    }
    while let Some(put) = tasks.join_next().await {
        count(put.unwrap_or_else(|error| Err(CallError::Refused(error.to_string()))))?;
    }
    Ok((published, unpublishable))
}

/// A record as an event of a bus; `None` when it is none: not understood, or with a detail that EventBridge does not
/// take.
pub fn to_event(record: &NewEvent<'_>) -> Option<Event> {
    if record.detail_type == sparkpost::UNRECOGNIZED_TYPE {
        return None;
    }
    Some(Event {
        source: record.source.to_string(),
        detail_type: record.detail_type.to_string(),
        detail: Detail::parse(record.detail.as_bytes()).ok()?,
        time: Some(record.time),
        resources: if record.source == SPARKPOST.source {
            vec![format!("urn:webhook:{}:{}", SPARKPOST.name, record.id)]
        } else {
            record.resources.iter().cloned().chain([format!("{LOG_URN_PREFIX}{}", record.id)]).collect()
        },
    })
}
