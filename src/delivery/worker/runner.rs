//! Runs attempts concurrently and records them in batches.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::warn;

use super::page::{ClaimedPage, OpenPage, OpenPages, PageChanges};
use super::{AttemptOutcome, DeliveryWorker, FinishedAttempt, InFlightDelivery, WorkerError};
use crate::bus::Bus;

/// The maximum number of attempts that are recorded in one transaction.
const RECORD_BATCH_SIZE: usize = 1500;
/// The pause before attempts are recorded again after a database error.
const ERROR_BACKOFF: Duration = Duration::from_secs(2);
/// The longest time between two claims of due deliveries; a notification can start a claim earlier.
const DUE_POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Runs the attempts of a worker. Dropping the runner aborts its running attempts. The deliveries of aborted attempts stay
/// leased; a worker attempts them again after the leases have expired.
pub struct AttemptRunner<B> {
    worker: Arc<DeliveryWorker<B>>,
    attempts: Mutex<JoinSet<()>>,
    sender: mpsc::UnboundedSender<RecorderMessage>,
    recorder: JoinSet<()>,
}

/// A message to the [`Recorder`].
enum RecorderMessage {
    /// The outcomes of these deliveries follow.
    Page(OpenPage),
    Outcome(Box<AttemptOutcome>),
}

impl<B: Bus> AttemptRunner<B> {
    /// Creates a runner and starts the task that records its attempts. The task calls `on_recorded` for each recorded attempt.
    pub fn start(
        worker: Arc<DeliveryWorker<B>>,
        on_recorded: impl FnMut(&FinishedAttempt) + Send + 'static,
    ) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut recorder = JoinSet::new();
        recorder.spawn(
            Recorder { worker: worker.clone(), receiver, pages: OpenPages::default() }.run(on_recorded),
        );
        Self { worker, attempts: Mutex::default(), sender, recorder }
    }

    /// Starts to attempt the deliveries of a claimed page, and returns immediately. The claim ends when they all are stored.
    pub fn submit_page(&self, ClaimedPage { deliveries, page }: ClaimedPage) {
        if deliveries.is_empty() {
            return;
        }
        // Sending fails only if the recording task has ended because the runner was dropped.
        let _ = self.sender.send(RecorderMessage::Page(page));
        self.submit(deliveries);
    }

    /// Starts to attempt deliveries, and returns immediately.
    pub fn submit(&self, deliveries: Vec<InFlightDelivery>) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        while attempts.try_join_next().is_some() {}
        for delivery in deliveries {
            let (worker, sender) = (self.worker.clone(), self.sender.clone());
            attempts.spawn(async move {
                // Sending fails only if the recording task has ended because the runner was dropped.
                let _ = sender.send(RecorderMessage::Outcome(worker.attempt(delivery).await.into()));
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
        let Self { sender, mut recorder, attempts: _attempts, .. } = self;
        drop(sender);
        recorder.join_next().await;
    }
}

/// Records attempts in batches, stores the deliveries of claimed pages, and releases the leases of skipped deliveries.
struct Recorder<B> {
    worker: Arc<DeliveryWorker<B>>,
    receiver: mpsc::UnboundedReceiver<RecorderMessage>,
    pages: OpenPages,
}

impl<B: Bus> Recorder<B> {
    /// Runs until all senders of messages are dropped.
    async fn run(mut self, mut on_recorded: impl FnMut(&FinishedAttempt)) {
        let mut messages = Vec::new();
        loop {
            let received = self.receiver.recv_many(&mut messages, RECORD_BATCH_SIZE);
            let received = match self.pages.next_store_at() {
                Some(store_at) => timeout_at(store_at, received).await,
                None => Ok(received.await),
            };
            if received == Ok(0) {
                return;
            }
            if self.pages.next_store_at().is_some_and(|store_at| store_at <= Instant::now()) {
                // Only deliveries whose attempts have not ended are stored without an attempt.
                while let Ok(message) = self.receiver.try_recv() {
                    messages.push(message);
                }
            }
            self.record(messages.drain(..), &mut on_recorded).await;
        }
    }

    async fn record(
        &mut self,
        messages: impl Iterator<Item = RecorderMessage>,
        on_recorded: &mut impl FnMut(&FinishedAttempt),
    ) {
        let mut outcomes = Vec::new();
        for message in messages {
            match message {
                RecorderMessage::Page(page) => self.pages.add(page),
                RecorderMessage::Outcome(outcome) => outcomes.push(*outcome),
            }
        }
        let (mut attempts, skipped) = AttemptOutcome::partition(outcomes);
        attempts
            .iter()
            .map(|attempt| &attempt.delivery)
            .chain(&skipped)
            .for_each(|delivery| self.pages.remove(delivery));
        let overdue = self.pages.take_overdue(Instant::now());
        // A delivery without a slot was skipped because its subscriber cannot take it now.
        let may_claim_skipped = skipped.iter().any(|delivery| delivery.slot.is_some());
        let (skipped, stored_skipped) =
            skipped.into_iter().partition(|delivery| delivery.claim.id().is_none());
        let changes = PageChanges { skipped, overdue, ended_claims: self.pages.take_ended() };
        while let Err(error) = self.worker.record_with_pages(&mut attempts, &changes).await {
            warn!(error = error.to_string(), "failed to record attempts; retrying");
            sleep(ERROR_BACKOFF).await;
        }
        attempts.iter().for_each(on_recorded);
        self.worker.release(stored_skipped).await;
        // Skipped and left-over due deliveries may be claimed immediately. If there are none, the next poll is soon enough.
        if may_claim_skipped || self.worker.has_more_due() {
            self.worker.claimable.notify_one();
        }
    }
}
