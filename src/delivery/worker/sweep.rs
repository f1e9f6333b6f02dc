//! The sweep: wakes workers for deliveries that become due before the next sweep, marks deliveries as failed whose seven days of
//! retries are over, and publishes health events that have not been published yet. The function `dispatcher` sweeps once a
//! minute, `hookbridge serve` once an hour.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use super::{DeliveryWorker, WorkerError};
use crate::bus::Bus;

/// A sweep wakes workers for deliveries that become due within this time: a little more than the minute between two sweeps.
const SWEEP_HORIZON: SignedDuration = SignedDuration::from_secs(70);
/// The maximum number of due deliveries for which one message wakes a worker.
const DELIVERIES_PER_WAKE: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepReport {
    /// The number of deliveries that are due now or become due before the next sweep.
    pub due_count: usize,
    /// The number of deliveries that were marked as failed because their seven days of retries were over.
    pub given_up_count: usize,
}

impl<B: Bus> DeliveryWorker<B> {
    /// Runs one sweep. It stops publishing health events at `deadline`.
    ///
    /// # Errors
    /// The sweep is incomplete; the next sweep does the remaining work.
    pub async fn sweep(&self, deadline: Instant) -> Result<SweepReport, WorkerError> {
        let report = self.fail_expired_and_wake_workers().await;
        if let Err(error) = self.health.publish_pending(deadline).await {
            warn!(error = error.to_string(), "failed to publish pending subscriber health events");
        }
        report
    }

    async fn fail_expired_and_wake_workers(&self) -> Result<SweepReport, WorkerError> {
        let mut report = SweepReport { due_count: 0, given_up_count: 0 };
        let now = self.now();
        loop {
            let failed_count = self.store.fail_expired(now).await?;
            report.given_up_count += failed_count;
            if failed_count == 0 {
                break;
            }
        }
        let Some(queue) = &self.wake_queue else { return Ok(report) };
        let until = now.checked_add(SWEEP_HORIZON).unwrap_or(now);
        let mut due_counts: BTreeMap<Timestamp, usize> = BTreeMap::new();
        for due in self.store.due_subscribers(now, until).await? {
            for (time, count) in self.store.count_due(due, now, until).await? {
                *due_counts.entry(time).or_default() += count;
                report.due_count += count;
            }
        }
        let wake_times = due_counts
            .into_iter()
            .flat_map(|(time, count)| std::iter::repeat_n(time, count.div_ceil(DELIVERIES_PER_WAKE)));
        queue.send(wake_times.collect(), now).await?;
        Ok(report)
    }
}
