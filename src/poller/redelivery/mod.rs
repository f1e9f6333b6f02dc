//! Requests GitHub's failed deliveries of webhooks again. GitHub never does that by itself, and keeps deliveries for three days.
//!
//! A [`Redeliverer`] lists the deliveries of one webhook since the last poll. A failed delivery without a later success waits in the
//! checkpoint: after a delay, it is requested again, once; it is recovered when a delivery with its guid succeeds, and lost
//! when GitHub no longer has it.

mod function;
mod github;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};
use tracing::warn;

pub use function::{RedeliveryEnvironment, RedeliveryFunction};
pub use github::{Delivery, DeliveryPage, GithubClient, GithubError, Hook, HookError};

use super::checkpoint::CheckpointStore;
use super::{BaseUrl, MIN_PAGE_TIME};
use crate::aws::AwsError;
use crate::secrets::Secret;

/// For how long GitHub keeps deliveries. Source: "Redelivering webhooks", GitHub documentation.
pub const RETENTION: SignedDuration = SignedDuration::from_hours(72);

/// How far a poll begins before the end of the previous one. GitHub lists a delivery when its attempt has ended, but under the time
/// at which it began.
const OVERLAP: SignedDuration = SignedDuration::from_mins(10);

/// The progress is saved after this number of requests.
const REQUESTS_PER_SAVE: usize = 20;

/// The pause between two requests for a redelivery. Source: "Best practices for using the REST API", GitHub documentation.
pub const REQUEST_INTERVAL: Duration = Duration::from_secs(1);

/// The time before a deadline that is kept for saving the progress.
const SAVE_TIME: Duration = Duration::from_secs(3);

/// A poll ends after this number of rejected requests, one after the other.
const MAX_REJECTED_REQUESTS: usize = 3;

/// Requests the failed deliveries of one webhook again.
pub struct Redeliverer {
    pub hook: Hook,
    /// The scheme and host of the API; `None` for github.com.
    pub base_url: Option<BaseUrl>,
    pub checkpoint_store: CheckpointStore,
    /// How long a delivery has failed before it is requested again.
    pub delay: SignedDuration,
    /// How far into the past the first poll reaches.
    pub lookback: SignedDuration,
}

/// The checkpoint of a [`Redeliverer`].
#[derive(Debug, Serialize, Deserialize)]
struct Progress {
    /// The time up to which every delivery has been listed.
    until: Timestamp,
    /// The list that a deadline or an error interrupted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interrupted: Option<InterruptedList>,
    /// The failed deliveries without a later success, by their guid.
    failed: BTreeMap<String, FailedDelivery>,
    /// No request is made before this time, because of GitHub's rate limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
struct InterruptedList {
    /// The time of its first delivery, which is the newest.
    newest: Timestamp,
    /// The cursor of the page at which the list continues.
    cursor: String,
    /// The guids of the redeliveries that succeeded. The list continues with older deliveries, which may have failed.
    succeeded: BTreeSet<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct FailedDelivery {
    id: u64,
    delivered_at: Timestamp,
    /// Whether the delivery was requested again, by a poll or outside hookbridge.
    requested: bool,
}

/// The result of a poll.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedeliverySummary {
    /// The failed deliveries that the poll found.
    pub found: usize,
    /// The deliveries that the poll requested again.
    pub requested: usize,
    /// The failed deliveries that succeeded later.
    pub recovered: usize,
    /// The failed deliveries that GitHub no longer has.
    pub lost: usize,
    /// The failed deliveries that may still succeed.
    pub waiting: usize,
    /// Whether the poll ended before it had listed and requested everything.
    pub has_more: bool,
}

/// Why a poll failed. Its progress is saved, and the next poll continues.
#[derive(Debug, thiserror::Error)]
pub enum RedeliveryError {
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error("cannot load or save the checkpoint {location}: {error}")]
    Checkpoint { location: String, error: AwsError },
}

impl Redeliverer {
    /// Lists new deliveries, requests failed ones again, and stops before `deadline`. Returns also what a failed poll has done. A rate
    /// limit is no failure: the next polls wait until it ends.
    pub async fn poll(
        &self,
        token: &Secret,
        deadline: Instant,
    ) -> (RedeliverySummary, Result<(), RedeliveryError>) {
        let mut summary = RedeliverySummary::default();
        let result = self.try_poll(token, &mut summary, deadline).await;
        (summary, result)
    }

    async fn try_poll(
        &self,
        token: &Secret,
        summary: &mut RedeliverySummary,
        deadline: Instant,
    ) -> Result<(), RedeliveryError> {
        let now = Timestamp::now();
        let stored =
            self.checkpoint_store.load(deadline).await.map_err(|error| self.checkpoint_error(error))?;
        let mut progress = stored.unwrap_or_else(|| Progress {
            until: before(now, self.lookback),
            interrupted: None,
            failed: BTreeMap::new(),
            not_before: None,
        });
        summary.waiting = progress.failed.len();
        if progress.not_before.is_some_and(|time| now < time) {
            summary.has_more = true;
            return Ok(());
        }
        progress.not_before = None;
        if progress.until < before(now, RETENTION) {
            let until = progress.until;
            warn!(
                "no poll has succeeded since {until:.0}; GitHub no longer has the failed deliveries of the time until three days ago"
            );
        }
        let client = GithubClient::new(&self.hook, self.base_url.as_ref(), token)?;
        let request_deadline = deadline.checked_sub(SAVE_TIME).unwrap_or(deadline);
        let is_resumed = progress.interrupted.is_some();
        let mut result = self.list(&client, &mut progress, summary, request_deadline).await;
        if result.is_ok() && is_resumed && progress.interrupted.is_none() {
            // The resumed list does not contain what was delivered since it began.
            result = self.list(&client, &mut progress, summary, request_deadline).await;
        }
        if result.is_ok() {
            result = self.request(&client, &mut progress, summary, now, request_deadline).await;
        }
        let oldest = before(now, RETENTION);
        let remaining = progress.failed.len();
        progress.failed.retain(|_, delivery| delivery.delivered_at > oldest);
        summary.lost = remaining - progress.failed.len();
        summary.waiting = progress.failed.len();
        if let Err(RedeliveryError::Github(GithubError::RateLimited { until })) = result {
            progress.not_before = Some(until);
            summary.has_more = true;
            result = Ok(());
        }
        let saved = self.save(&progress, deadline).await;
        result.and(saved)
    }

    /// Lists the deliveries since the last poll, the newest first.
    async fn list(
        &self,
        client: &GithubClient,
        progress: &mut Progress,
        summary: &mut RedeliverySummary,
        deadline: Instant,
    ) -> Result<(), RedeliveryError> {
        let end = before(progress.until, OVERLAP).max(before(Timestamp::now(), RETENTION));
        let mut list = progress.interrupted.take();
        loop {
            if deadline.saturating_duration_since(Instant::now()) < MIN_PAGE_TIME {
                progress.interrupted = list;
                summary.has_more = true;
                return Ok(());
            }
            let page = match client.list(list.as_ref().map(|list| &*list.cursor), deadline).await {
                Ok(page) => page,
                Err(error) => {
                    // A cursor that GitHub does not accept must not stop all later polls.
                    let is_limit =
                        matches!(error, GithubError::RateLimited { .. } | GithubError::NoResponse { .. });
                    progress.interrupted = list.filter(|_| is_limit);
                    return Err(error.into());
                }
            };
            let newest = match (&list, page.deliveries.first()) {
                (Some(list), _) => list.newest,
                (None, Some(delivery)) => delivery.delivered_at,
                (None, None) => return Ok(()),
            };
            let mut succeeded = list.map(|list| list.succeeded).unwrap_or_default();
            let is_last = page.deliveries.last().is_none_or(|delivery| delivery.delivered_at < end);
            for delivery in page.deliveries.into_iter().filter(|delivery| delivery.delivered_at >= end) {
                progress.add(delivery, &mut succeeded, summary);
            }
            match page.next {
                Some(cursor) if !is_last => list = Some(InterruptedList { newest, cursor, succeeded }),
                _ => {
                    progress.until = progress.until.max(newest);
                    return Ok(());
                }
            }
        }
    }

    /// Requests every failed delivery again that was not requested before.
    async fn request(
        &self,
        client: &GithubClient,
        progress: &mut Progress,
        summary: &mut RedeliverySummary,
        now: Timestamp,
        deadline: Instant,
    ) -> Result<(), RedeliveryError> {
        let (newest, oldest) = (before(now, self.delay), before(now, RETENTION));
        let due = |delivery: &FailedDelivery| {
            !delivery.requested && delivery.delivered_at <= newest && delivery.delivered_at > oldest
        };
        let mut guids: Vec<_> = progress.failed.iter().filter(|(_, delivery)| due(delivery)).collect();
        guids.sort_by_key(|(_, delivery)| delivery.delivered_at);
        let guids: Vec<String> = guids.into_iter().map(|(guid, _)| guid.clone()).collect();
        let mut rejected = 0;
        for (index, guid) in guids.into_iter().enumerate() {
            if index > 0 {
                sleep(REQUEST_INTERVAL).await;
            }
            if deadline.saturating_duration_since(Instant::now()) < MIN_PAGE_TIME {
                summary.has_more = true;
                return Ok(());
            }
            let Some(delivery) = progress.failed.get_mut(&guid) else { continue };
            match client.redeliver(delivery.id, deadline).await {
                Ok(()) => {
                    delivery.requested = true;
                    summary.requested += 1;
                    rejected = 0;
                }
                // The next poll requests this delivery again.
                Err(error @ (GithubError::NotFound { .. } | GithubError::UnexpectedStatus { .. })) => {
                    warn!(guid, %error, "cannot request a delivery again");
                    rejected += 1;
                    if rejected == MAX_REJECTED_REQUESTS {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
            if (index + 1).is_multiple_of(REQUESTS_PER_SAVE) {
                self.save(progress, deadline).await?;
            }
        }
        Ok(())
    }

    async fn save(&self, progress: &Progress, deadline: Instant) -> Result<(), RedeliveryError> {
        self.checkpoint_store.save(progress, deadline).await.map_err(|error| self.checkpoint_error(error))
    }

    fn checkpoint_error(&self, error: AwsError) -> RedeliveryError {
        RedeliveryError::Checkpoint { location: self.checkpoint_store.to_string(), error }
    }
}

impl Progress {
    /// Adds a listed delivery. `succeeded` contains the guids of the newer redeliveries that succeeded.
    fn add(&mut self, delivery: Delivery, succeeded: &mut BTreeSet<String>, summary: &mut RedeliverySummary) {
        if delivery.has_succeeded() {
            if self.failed.remove(&delivery.guid).is_some() {
                summary.recovered += 1;
            }
            if delivery.redelivery {
                succeeded.insert(delivery.guid);
            }
            return;
        }
        if succeeded.contains(&delivery.guid) {
            return;
        }
        let failed = self.failed.entry(delivery.guid).or_insert_with(|| {
            summary.found += 1;
            FailedDelivery { id: delivery.id, delivered_at: delivery.delivered_at, requested: false }
        });
        failed.requested |= delivery.redelivery;
        failed.delivered_at = failed.delivered_at.min(delivery.delivered_at);
    }
}

fn before(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_sub(duration).unwrap_or(Timestamp::UNIX_EPOCH)
}
