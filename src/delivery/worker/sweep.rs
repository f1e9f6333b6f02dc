//! The sweep: wakes workers for deliveries that become due before the next sweep, fails deliveries whose seven days are over, and
//! publishes pending health events. The function `dispatcher` sweeps once a minute.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use super::{DeliveryWorker, WorkerError};
use crate::bus::Bus;

/// How far a sweep looks ahead: a little more than the interval between sweeps.
const SWEEP_HORIZON: SignedDuration = SignedDuration::from_secs(70);
/// The number of due deliveries for which one worker is woken.
const DELIVERIES_PER_WAKE: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepReport {
    /// The number of deliveries that become due before the next sweep.
    pub queued: usize,
    /// The number of deliveries that failed because their seven days were over.
    pub given_up: usize,
}

impl<B: Bus> DeliveryWorker<B> {
    /// Sweeps until `deadline`.
    ///
    /// # Errors
    /// The sweep is incomplete; the next one does the rest.
    pub async fn sweep(&self, deadline: Instant) -> Result<SweepReport, WorkerError> {
        let report = self.wake_workers().await;
        if let Err(error) = self.health.publish_pending(deadline).await {
            warn!(error = error.to_string(), "failed to publish pending subscriber health events");
        }
        report
    }

    async fn wake_workers(&self) -> Result<SweepReport, WorkerError> {
        let mut report = SweepReport { queued: 0, given_up: 0 };
        let now = self.now();
        loop {
            let failed_count = self.store.fail_expired(now).await?;
            report.given_up += failed_count;
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
                report.queued += count;
            }
        }
        let wakes = due_counts
            .into_iter()
            .flat_map(|(time, count)| std::iter::repeat_n(time, count.div_ceil(DELIVERIES_PER_WAKE)));
        queue.send(wakes.collect(), now).await?;
        Ok(report)
    }
}
