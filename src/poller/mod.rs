//! Polls the event-list APIs of providers for events whose webhooks were missed.
//!
//! A [`Poller`] polls ranges of event times, one after the other; each range extends the polled time by at most an hour. The
//! poller polls an event only after a delay of some minutes, because the event's webhook may still arrive. Ranges overlap,
//! because a provider may list an event late. The poller archives each page that contains events; the recorder then records the
//! page and skips events that the log already has. The poller saves its progress in a [`CheckpointStore`] after each page, so an
//! interrupted poll resumes without losing events.

mod checkpoint;
mod environment;
mod function;
pub mod redelivery;
mod request;

use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::warn;

pub use checkpoint::{Checkpoint, CheckpointStore, TimeRange};
pub use environment::PollerEnvironment;
pub use function::PollerFunction;
pub use request::{BaseUrl, BaseUrlError, is_valid_api_key};

use crate::archive::{Archive, ArchiveEntry};
use crate::aws::AwsError;
use crate::providers::{JSON_MEDIA_TYPE, PageError, PollingApi, Provider};
use crate::secrets::Secret;
use crate::util::error::error_chain;
use request::{MAX_RESPONSE_BYTES, ProviderClient};

/// A poll requests another page only if at least this much time is left before its deadline.
const MIN_PAGE_TIME: Duration = Duration::from_secs(5);
/// How far a range begins before the end of the previous one, because a provider may list an event late.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);
/// The maximum length of a range without its overlap. A longer backlog is polled in several ranges.
const MAX_RANGE: SignedDuration = SignedDuration::from_hours(1);
/// The poller requests no events that the provider will delete within this time.
const RETENTION_MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// Polls the event-list API of one provider.
pub struct Poller {
    /// The provider to poll.
    pub provider: &'static Provider,
    /// The event-list API of `provider`.
    pub polling: &'static PollingApi,
    /// The scheme and host of the API; `None` for the provider's default. SparkPost has one host per region.
    pub base_url: Option<BaseUrl>,
    /// The archive that stores the pages of events that the event-list API returns.
    pub archive: Archive,
    /// Where the poller stores its checkpoint.
    pub checkpoint_store: CheckpointStore,
    /// How long after an event the poller waits for its webhook before it polls the event.
    pub delay: SignedDuration,
    /// How far into the past the first poll reaches.
    pub lookback: SignedDuration,
    /// The event types to poll; if empty, the poller polls all types.
    pub event_types: Vec<String>,
}

/// Result of one poll.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollSummary {
    /// The number of pages that the poll received.
    pub pages: usize,
    /// The number of events in the received pages, including events that the log already has.
    pub events: usize,
    /// The time up to which every event has been polled.
    pub polled_until: Timestamp,
    /// Whether the poll stopped because of its deadline before it had polled all available events.
    pub has_more: bool,
}

/// Why a poll failed. Its progress is saved, and the next poll resumes from there.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The API key is empty or contains a character that no key has.
    #[error("the API key is empty or contains a space, a line break or another character that no key has")]
    InvalidApiKey,
    /// The HTTP client cannot be built.
    #[error("cannot build the HTTP client: {}", error_chain(.0))]
    Client(#[source] reqwest::Error),
    /// The request failed or timed out.
    #[error("no response from {url}: {cause}")]
    NoResponse {
        /// The URL of the request, without its query.
        url: String,
        /// The cause.
        cause: String,
    },
    /// The provider rejects the API key.
    #[error(
        "{url} rejected the API key ({status}): check its account, its region and its permission to read events"
    )]
    Unauthorized {
        /// The URL of the request, without its query.
        url: String,
        /// The status of the response.
        status: StatusCode,
    },
    /// The provider returned an unexpected status.
    #[error("{url} returned status {status}")]
    UnexpectedStatus {
        /// The URL of the request, without its query.
        url: String,
        /// The status of the response.
        status: StatusCode,
    },
    /// The body of the response exceeds `MAX_RESPONSE_BYTES`.
    #[error("{url} returned more than {MAX_RESPONSE_BYTES} bytes")]
    ResponseTooLarge {
        /// The URL of the request, without its query.
        url: String,
    },
    /// The response is not a page of events.
    #[error("{url}: {error}")]
    InvalidPage {
        /// The URL of the request, without its query.
        url: String,
        /// The cause.
        error: PageError,
    },
    /// The checkpoint cannot be loaded or saved.
    #[error("cannot load or save the checkpoint {location}: {error}")]
    Checkpoint {
        /// The path or URL of the checkpoint.
        location: String,
        /// The cause.
        error: AwsError,
    },
    /// A page cannot be archived.
    #[error("cannot archive a page: {0}")]
    Archive(AwsError),
}

impl PollError {
    /// Whether the error concerns only the requested page, so that a request for another page may succeed.
    fn is_page_error(&self) -> bool {
        match self {
            Self::UnexpectedStatus { status, .. } => {
                status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS
            }
            Self::InvalidPage { .. } | Self::ResponseTooLarge { .. } => true,
            _ => false,
        }
    }
}

impl Poller {
    /// Polls page by page with the API key `key`, and stops before `deadline`.
    ///
    /// # Errors
    /// A request failed, a page is invalid, or the checkpoint or the archive failed, see [`PollError`].
    pub async fn poll(&self, key: &Secret, deadline: Instant) -> Result<PollSummary, PollError> {
        let client = ProviderClient::new(self, key)?;
        let now = truncate_to_second(Timestamp::now());
        let retention = SignedDuration::from_hours(24 * i64::from(self.polling.retention_days));
        let available_range =
            subtract_or_epoch(now, retention - RETENTION_MARGIN)..subtract_or_epoch(now, self.delay);
        let mut checkpoint = self.load_checkpoint(now, &available_range, deadline).await?;
        let mut summary =
            PollSummary { pages: 0, events: 0, polled_until: checkpoint.until, has_more: false };
        let mut requested_queries = HashSet::new();
        loop {
            let range = match checkpoint.current_range.take() {
                Some(range) => range,
                None if checkpoint.until < available_range.end => {
                    requested_queries.clear();
                    self.next_range(&mut checkpoint, &available_range)
                }
                None => return Ok(summary),
            };
            if deadline.saturating_duration_since(Instant::now()) < MIN_PAGE_TIME {
                summary.has_more = true;
                return Ok(summary);
            }
            let first_query = self.polling.first_page_query(range.from, range.until, &self.event_types);
            let query = range.next_query.as_ref().unwrap_or(&first_query);
            let page = if requested_queries.insert(query.clone()) {
                self.fetch_page(&client, query, &first_query, deadline).await
            } else {
                let error = PageError::MissingNextPage("pagination loop");
                Err(PollError::InvalidPage { url: client.url.clone(), error })
            };
            if let Err(error) = &page
                && error.is_page_error()
                && range.next_query.is_some()
            {
                // The query of the page may have expired, or the page is invalid. Save the range without `next_query`, so that
                // the next poll starts the range again from its first page.
                let current_range = Some(TimeRange { next_query: None, ..range.clone() });
                self.save_checkpoint(&Checkpoint { current_range, ..checkpoint.clone() }, deadline).await?;
            }
            let (body, event_count, next_query) = page?;
            if event_count > 0 {
                self.archive_page(body, deadline).await?;
            }
            summary.pages += 1;
            summary.events += event_count;
            match next_query {
                Some(_) => checkpoint.current_range = Some(TimeRange { next_query, ..range }),
                None => checkpoint.until = range.until,
            }
            summary.polled_until = checkpoint.until;
            self.save_checkpoint(&checkpoint, deadline).await?;
        }
    }

    /// Loads the checkpoint, or creates the first one. `available_range` is the time range of the events that can be polled now.
    async fn load_checkpoint(
        &self,
        now: Timestamp,
        available_range: &Range<Timestamp>,
        deadline: Instant,
    ) -> Result<Checkpoint, PollError> {
        let stored =
            self.checkpoint_store.load(deadline).await.map_err(|error| self.checkpoint_error(error))?;
        let mut checkpoint = stored.unwrap_or_else(|| {
            // The first poll covers at least one minute, so that a wrong API key or URL is noticed at once.
            let lookback = self.lookback.max(SignedDuration::from_mins(1));
            let start = subtract_or_epoch(available_range.end, lookback).max(available_range.start);
            Checkpoint { start, until: start, current_range: None }
        });
        checkpoint.start = checkpoint.start.min(checkpoint.until);
        let is_future = |time: Timestamp| subtract_or_epoch(time, OVERLAP) > now;
        if is_future(checkpoint.until)
            || checkpoint.current_range.as_ref().is_some_and(|range| is_future(range.until))
        {
            // The clock was wrong when this checkpoint was saved, so it is unknown which times have been polled. Poll from the
            // start again: the log skips events that it already has.
            warn!(
                provider = self.provider.name,
                "the checkpoint is in the future (clock skew?); polling again from its start"
            );
            let start = checkpoint.start.min(available_range.end);
            checkpoint = Checkpoint { start, until: start, current_range: None };
        }
        Ok(checkpoint)
    }

    /// Returns the next range to poll. If the provider no longer has the events directly after the checkpoint, first moves the
    /// checkpoint to the oldest time that the provider still has.
    fn next_range(&self, checkpoint: &mut Checkpoint, available_range: &Range<Timestamp>) -> TimeRange {
        if checkpoint.until < available_range.start {
            let (from, to) = (checkpoint.until.to_string(), available_range.start.to_string());
            let provider = self.provider.name;
            warn!(provider, from, to, "events are lost: the provider no longer has them");
            checkpoint.until = available_range.start;
        }
        let from =
            subtract_or_epoch(checkpoint.until, OVERLAP).max(checkpoint.start).max(available_range.start);
        let end = checkpoint.until.checked_add(MAX_RANGE).unwrap_or(available_range.end);
        TimeRange { from, until: available_range.end.min(end), next_query: None }
    }

    async fn save_checkpoint(&self, checkpoint: &Checkpoint, deadline: Instant) -> Result<(), PollError> {
        self.checkpoint_store.save(checkpoint, deadline).await.map_err(|error| self.checkpoint_error(error))
    }

    /// Returns the time up to which every event has been polled; `None` if no checkpoint can be loaded.
    pub async fn polled_until(&self, deadline: Instant) -> Option<Timestamp> {
        self.checkpoint_store
            .load(deadline)
            .await
            .ok()
            .flatten()
            .map(|checkpoint: Checkpoint| checkpoint.until)
    }

    fn checkpoint_error(&self, error: AwsError) -> PollError {
        PollError::Checkpoint { location: self.checkpoint_store.to_string(), error }
    }

    /// Requests a page of events. Returns its body, its number of events, and the query of the next page if there is one.
    async fn fetch_page(
        &self,
        client: &ProviderClient,
        query: &str,
        first_query: &str,
        deadline: Instant,
    ) -> Result<(Bytes, usize, Option<String>), PollError> {
        let body = client.fetch_body(query, deadline).await?;
        let invalid_page = |error| PollError::InvalidPage { url: client.url.clone(), error };
        // A body that is not UTF-8 is not JSON either. Replace such a body by an empty text, which `parse_events` rejects.
        let text = std::str::from_utf8(&body).unwrap_or_default();
        let event_count = self.polling.parse_events(text).map_err(invalid_page)?.len();
        let next_query = self.polling.next_page_query(text, first_query).map_err(invalid_page)?;
        Ok((body, event_count, next_query))
    }

    /// Archives a page, from which the recorder then records the events.
    async fn archive_page(&self, body: Bytes, deadline: Instant) -> Result<(), PollError> {
        let entry = ArchiveEntry {
            provider: self.provider.name,
            // Without an id, the key is the hash of the body, so that repeated polls archive an identical page once.
            id: None,
            is_polled: true,
            received_at: Timestamp::now(),
            headers: vec![("content-type", JSON_MEDIA_TYPE.to_owned())],
            body,
        };
        // If the entry already exists, the page has been archived before: this is a success, too.
        self.archive.put_if_absent(&entry, deadline).await.map(|_| ()).map_err(PollError::Archive)
    }
}

/// Parses a comma-separated list of event types. Ignores spaces and empty elements.
pub fn parse_event_types(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|event_type| !event_type.is_empty()).map(str::to_owned).collect()
}

fn truncate_to_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn subtract_or_epoch(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::UNIX_EPOCH)
}
