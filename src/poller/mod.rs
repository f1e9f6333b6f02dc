//! The job **poller**: asks a provider for the events it has had, so that those whose webhooks were missed are recorded too.
//!
//! A [`Poller`] goes through time, the oldest first, in spans of an hour at most that end some minutes ago, so that a webhook
//! has had its chance. Each span begins before the end of the one before it, because a provider may show an event late. What the
//! provider answers is kept in the archive as it came, page by page, and from there goes the way of every batch: what the log has
//! it does not record again, and what is new there was missed. How far the poller is stands in its [`CheckpointStore`], written after
//! each page is kept, so that whatever ends it on the way, it goes on where it was.

mod checkpoint;
mod environment;
mod function;
mod request;

use std::collections::HashSet;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::warn;

pub use checkpoint::{Checkpoint, CheckpointStore, TimeRange};
pub use environment::Environment;
pub use function::PollerFunction;
pub use request::{BaseUrl, BaseUrlError, is_valid_api_key};

use crate::archive::{Archive, ArchiveEntry};
use crate::call::CallError;
use crate::output::chain;
use crate::providers::{JSON_MEDIA_TYPE, PageError, PollingApi, Provider};
use crate::secrets::Secret;
use request::{MAX_RESPONSE_BYTES, ProviderClient};

/// Less time than this is not worth another page.
const TIME_FOR_A_PAGE: Duration = Duration::from_secs(5);
/// How much of what was asked for is asked for again, in case a provider shows an event late.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);
/// How much is asked for at once: what is done of more is remembered on the way.
const LONGEST_SPAN: SignedDuration = SignedDuration::from_hours(1);
/// Safety margin before the provider's retention limit.
const MARGIN: SignedDuration = SignedDuration::from_mins(10);

/// Asks one provider.
pub struct Poller {
    /// Whom.
    pub provider: &'static Provider,
    /// How; that provider's.
    pub polling: &'static PollingApi,
    /// Scheme and host, where they are not the usual ones: SparkPost has them by region.
    pub base_url: Option<BaseUrl>,
    /// Where what it answers is kept.
    pub archive: Archive,
    /// Where it stands how far this is.
    pub checkpoint_store: CheckpointStore,
    /// How long a webhook is given to come before its event is asked for.
    pub delay: SignedDuration,
    /// How much of the past the first poll asks for.
    pub lookback: SignedDuration,
    /// The types that are asked for; all, when there are none.
    pub event_types: Vec<String>,
}

/// What one poll came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PollSummary {
    /// Pages that were answered.
    pub pages: usize,
    /// Events on them, those that are known included.
    pub events: usize,
    /// Up to when everything was asked for.
    pub polled_until: Timestamp,
    /// Whether there is more that can be asked for now.
    pub has_more: bool,
}

/// Why a poll ended early. What was kept until then is kept, and the next poll goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The key cannot be one.
    #[error("the API key holds a space, a line break or another character that no key has")]
    InvalidApiKey,
    /// There is no client.
    #[error("no HTTP client: {}", chain(.0))]
    Client(#[source] reqwest::Error),
    /// Nobody answered.
    #[error("{url} did not answer: {why}")]
    NoResponse {
        /// Who, without the query.
        url: String,
        /// What happened.
        why: String,
    },
    /// The key is not taken.
    #[error(
        "{url} refused the API key ({status}): is it of this account and region, and may it read events?"
    )]
    Unauthorized {
        /// Who.
        url: String,
        /// What it answered.
        status: StatusCode,
    },
    /// Another answer than a page.
    #[error("{url} answered {status}")]
    UnexpectedStatus {
        /// Who.
        url: String,
        /// What it answered.
        status: StatusCode,
    },
    /// An answer that is too large.
    #[error("{url} answered with more than {MAX_RESPONSE_BYTES} bytes")]
    ResponseTooLarge {
        /// Who.
        url: String,
    },
    /// An answer that is no page.
    #[error("{url}: {error}")]
    InvalidPage {
        /// Who.
        url: String,
        /// What is wrong with it.
        error: PageError,
    },
    /// It cannot be read or written how far this is.
    #[error("how far it is ({place}): {error}")]
    Checkpoint {
        /// Where that stands.
        place: String,
        /// What happened.
        error: CallError,
    },
    /// A page was not kept.
    #[error("the archive: {0}")]
    Archive(CallError),
}

impl PollError {
    /// Whether it is about the page that was asked for, so that another one may do.
    fn is_of_the_page(&self) -> bool {
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
    /// Asks with `key` for what there is up to now, page by page, and stops before `deadline`.
    ///
    /// # Errors
    /// [`PollError`].
    pub async fn poll(&self, key: &Secret, deadline: Instant) -> Result<PollSummary, PollError> {
        let request = ProviderClient::new(self, key)?;
        let now = to_the_second(Timestamp::now());
        let latest = earlier(now, self.delay);
        let kept =
            earlier(now, SignedDuration::from_hours(24 * i64::from(self.polling.retention_days)) - MARGIN);
        let written = self.checkpoint_store.load(deadline).await.map_err(|error| self.no_mark(error))?;
        let mut mark = written.unwrap_or_else(|| {
            // The first poll asks for something in any case: that shows whether it can.
            let start = earlier(latest, self.lookback.max(SignedDuration::from_mins(1))).max(kept);
            Checkpoint { start, until: start, span: None }
        });
        mark.start = mark.start.min(mark.until);
        let is_ahead = |time: Timestamp| earlier(time, OVERLAP) > now;
        if is_ahead(mark.until) || mark.span.as_ref().is_some_and(|span| is_ahead(span.until)) {
            // Written by a clock that went wrong: nobody knows up to when it was asked. What is known is not recorded again.
            warn!(
                provider = self.provider.name,
                "the checkpoint is in the future; polling again from its start"
            );
            let start = mark.start.min(latest);
            mark = Checkpoint { start, until: start, span: None };
        }
        let mut polled = PollSummary { pages: 0, events: 0, polled_until: mark.until, has_more: false };
        let mut asked = HashSet::new();
        loop {
            let span = match mark.span.take() {
                Some(span) => span,
                None if mark.until < latest => {
                    if mark.until < kept {
                        let (from, to) = (mark.until.to_string(), kept.to_string());
                        warn!(
                            provider = self.provider.name,
                            from, to, "events are lost: the provider no longer has them"
                        );
                        mark.until = kept;
                    }
                    let from = earlier(mark.until, OVERLAP).max(mark.start).max(kept);
                    let end = mark.until.checked_add(LONGEST_SPAN).unwrap_or(latest);
                    asked.clear();
                    TimeRange { from, until: latest.min(end), page: None }
                }
                None => return Ok(polled),
            };
            if deadline.saturating_duration_since(Instant::now()) < TIME_FOR_A_PAGE {
                polled.has_more = true;
                return Ok(polled);
            }
            let first = self.polling.first_page_query(span.from, span.until, &self.event_types);
            let query = span.page.as_ref().unwrap_or(&first);
            let page = if asked.insert(query.clone()) {
                self.page(&request, query, &first, deadline).await
            } else {
                let error = PageError::MissingNextPage("it leads in a circle");
                Err(PollError::InvalidPage { url: request.url.clone(), error })
            };
            if let Err(error) = &page
                && error.is_of_the_page()
                && span.page.is_some()
            {
                // What leads to this page is no longer good, or the page is not: the span is begun anew.
                let anew =
                    Checkpoint { span: Some(TimeRange { page: None, ..span.clone() }), ..mark.clone() };
                self.checkpoint_store.save(&anew, deadline).await.map_err(|error| self.no_mark(error))?;
            }
            let (answer, events, next) = page?;
            if events > 0 {
                self.keep(answer, deadline).await?;
            }
            polled.pages += 1;
            polled.events += events;
            match next {
                Some(page) => mark.span = Some(TimeRange { page: Some(page), ..span }),
                None => mark.until = span.until,
            }
            polled.polled_until = mark.until;
            self.checkpoint_store.save(&mark, deadline).await.map_err(|error| self.no_mark(error))?;
        }
    }

    /// Up to when everything was asked for, as far as is known.
    pub async fn polled_until(&self, deadline: Instant) -> Option<Timestamp> {
        self.checkpoint_store.load(deadline).await.ok().flatten().map(|mark| mark.until)
    }

    fn no_mark(&self, error: CallError) -> PollError {
        PollError::Checkpoint { place: self.checkpoint_store.to_string(), error }
    }

    /// A page, how many events are on it, and the query of the next one.
    async fn page(
        &self,
        request: &ProviderClient,
        query: &str,
        first: &str,
        deadline: Instant,
    ) -> Result<(Bytes, usize, Option<String>), PollError> {
        let body = request.fetch_page(query, deadline).await?;
        let not_a_page = |error| PollError::InvalidPage { url: request.url.clone(), error };
        // What is not text is no JSON.
        let answer = std::str::from_utf8(&body).unwrap_or_default();
        let events = self.polling.parse_events(answer).map_err(not_a_page)?.len();
        let next = self.polling.next_page_query(answer, first).map_err(not_a_page)?;
        Ok((body, events, next))
    }

    /// Keeps a page.
    async fn keep(&self, body: Bytes, deadline: Instant) -> Result<(), PollError> {
        let batch = ArchiveEntry {
            provider: self.provider.name,
            // By what is on it: a page that comes again, as most do, is not kept again.
            id: None,
            is_polled: true,
            received_at: Timestamp::now(),
            headers: vec![("content-type", JSON_MEDIA_TYPE.to_owned())],
            body,
        };
        // New or not: it is there.
        self.archive.put_if_absent(&batch, deadline).await.map(|_| ()).map_err(PollError::Archive)
    }
}

/// The types in a list with commas between them.
pub fn parse_event_types(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

fn to_the_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::UNIX_EPOCH)
}
