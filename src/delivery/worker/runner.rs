//! Runs attempts concurrently and records them in batches.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::{AttemptOutcome, DeliveryWorker, FinishedAttempt, InFlightDelivery, WorkerError};
use crate::bus::Bus;

/// The maximum number of attempts that are recorded in one transaction.
const RECORD_BATCH_SIZE: usize = 500;
/// The pause before attempts are recorded again after a database error.
const ERROR_BACKOFF: Duration = Duration::from_secs(2);
/// The longest time between two claims of due deliveries; a notification can start a claim earlier.
const DUE_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the attempts of a worker. Dropping the runner aborts its running attempts. The deliveries of aborted attempts stay
/// leased; a worker attempts them again after the leases have expired.
pub struct AttemptRunner<B> {
    worker: Arc<DeliveryWorker<B>>,
    attempts: Mutex<JoinSet<()>>,
    outcome_sender: mpsc::UnboundedSender<AttemptOutcome>,
    recorder: JoinSet<()>,
}

impl<B: Bus> AttemptRunner<B> {
    /// Creates a runner and starts the task that records its attempts. The task calls `on_recorded` for each recorded attempt.
    pub fn start(
        worker: Arc<DeliveryWorker<B>>,
        on_recorded: impl FnMut(&FinishedAttempt) + Send + 'static,
    ) -> Self {
        let (outcome_sender, outcome_receiver) = mpsc::unbounded_channel();
        let mut recorder = JoinSet::new();
        recorder.spawn(record_outcomes(worker.clone(), outcome_receiver, on_recorded));
        Self { worker, attempts: Mutex::default(), outcome_sender, recorder }
    }

    /// Starts to attempt deliveries, and returns immediately.
    pub fn submit(&self, deliveries: Vec<InFlightDelivery>) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        while attempts.try_join_next().is_some() {}
        for delivery in deliveries {
            let (worker, outcome_sender) = (self.worker.clone(), self.outcome_sender.clone());
            attempts.spawn(async move {
                // Sending fails only if the recording task has ended because the runner was dropped.
                let _ = outcome_sender.send(worker.attempt(delivery).await);
            });
        }
    }

    /// Claims and attempts due deliveries, until no more deliveries are due or `deadline` has passed.
    ///
    /// # Errors
    /// The database or the key source failed.
    pub async fn attempt_due(&self, deadline: Instant) -> Result<(), WorkerError> {
        loop {
            self.submit(self.worker.claim_due().await?);
            if !self.worker.has_more_due() || Instant::now() >= deadline {
                return Ok(());
            }
            self.wait_for_due().await;
        }
    }

    /// Waits until due deliveries that could not be claimed before may be claimed. The wait is at most one second.
    pub async fn wait_for_due(&self) {
        let _ = timeout(DUE_POLL_INTERVAL, self.worker.claimable.notified()).await;
    }

    /// Waits until every submitted attempt has ended and is recorded.
    pub async fn finish(self) {
        let Self { outcome_sender, mut recorder, attempts: _attempts, .. } = self;
        drop(outcome_sender);
        recorder.join_next().await;
    }
}

/// Records attempts in batches and releases the leases of skipped deliveries, until all senders of outcomes are dropped.
async fn record_outcomes<B: Bus>(
    worker: Arc<DeliveryWorker<B>>,
    mut outcome_receiver: mpsc::UnboundedReceiver<AttemptOutcome>,
    mut on_recorded: impl FnMut(&FinishedAttempt),
) {
    let mut outcomes = Vec::new();
    while outcome_receiver.recv_many(&mut outcomes, RECORD_BATCH_SIZE).await > 0 {
        let (mut attempts, skipped) = AttemptOutcome::partition(std::mem::take(&mut outcomes));
        while let Err(error) = worker.record(&mut attempts).await {
            warn!(error = error.to_string(), "failed to record attempts; retrying");
            sleep(ERROR_BACKOFF).await;
        }
        attempts.iter().for_each(&mut on_recorded);
        let has_skipped = !skipped.is_empty();
        worker.release(skipped).await;
        // Released and left-over due deliveries may be claimed immediately. If there are none, the next poll is soon enough.
        if has_skipped || worker.has_more_due() {
            worker.claimable.notify_one();
        }
    }
}
