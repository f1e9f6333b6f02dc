//! Sweep: enqueues deliveries that become due within the SQS delay limit, and fails those whose seven days are over.

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::{CIRCUIT_OPEN_DURATION, CLAIM_LEASE, DispatchError, Dispatcher, InFlightDelivery};
use crate::aws::AwsError;
use crate::bus::Bus;
use crate::delivery::key_source::KeySourceError;
use crate::delivery::queue::{RetryMessage, RetryQueue};
use crate::delivery::store::{ClaimLease, DueSubscriber};
use crate::log::{LogError, SqlExecutor};

/// The most deliveries of one subscriber that are enqueued before the next subscriber's.
const SWEEP_BATCH_SIZE: usize = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepReport {
    pub queued: usize,
    /// Deliveries that failed for good, because they waited for too long.
    pub given_up: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    #[error(transparent)]
    Store(#[from] LogError),
    #[error(transparent)]
    Keys(#[from] KeySourceError),
    #[error("retry queue: {0}")]
    Queue(#[from] AwsError),
}

impl From<DispatchError> for SweepError {
    fn from(error: DispatchError) -> Self {
        match error {
            DispatchError::Log(error) => Self::Store(error),
            DispatchError::Keys(error) => Self::Keys(error),
        }
    }
}

impl<S: SqlExecutor, B: Bus> Dispatcher<S, B> {
    /// Fails expired deliveries, enqueues those that are due soon until `deadline`, and publishes pending health events.
    ///
    /// # Errors
    /// Deliveries that were leased but not enqueued are swept again after their leases have expired.
    pub async fn sweep(&self, deadline: Instant) -> Result<SweepReport, SweepError> {
        let swept = self.enqueue_due(deadline).await;
        if let Err(error) = self.publish_pending_health_events(deadline).await {
            warn!(error = error.to_string(), "failed to publish pending subscriber health events");
        }
        swept
    }

    async fn enqueue_due(&self, deadline: Instant) -> Result<SweepReport, SweepError> {
        let mut swept = SweepReport { queued: 0, given_up: 0 };
        let now = self.now();
        loop {
            let some = self.store.fail_expired(now).await?;
            swept.given_up += some;
            if some == 0 {
                break;
            }
        }
        let Some(queue) = &self.queue else { return Ok(swept) };
        let until = RetryQueue::horizon(now);
        let mut failed = None;
        // Round-robin, so one subscriber's backlog does not delay the others.
        loop {
            let mut found = 0;
            let mut due_subscribers = self.store.due_subscribers(now, until).await?;
            fastrand::shuffle(&mut due_subscribers);
            for due in due_subscribers {
                if Instant::now() >= deadline {
                    return Ok(swept);
                }
                match self.enqueue_subscriber(queue, due, now, until).await {
                    Ok(queued) => found += queued,
                    Err(error) => failed = Some(error),
                }
            }
            swept.queued += found;
            if found == 0 || failed.is_some() {
                return failed.map_or(Ok(swept), Err);
            }
        }
    }

    /// Enqueues one batch of a subscriber's due deliveries and returns its size.
    async fn enqueue_subscriber(
        &self,
        queue: &RetryQueue,
        due: DueSubscriber,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<usize, SweepError> {
        let (limit, until, lease) = if due.needs_probe {
            if !self.store.acquire_probe(due.subscriber, now, CIRCUIT_OPEN_DURATION).await? {
                return Ok(0);
            }
            (1, now, RetryMessage::probe_lease(now))
        } else {
            (SWEEP_BATCH_SIZE, until, RetryMessage::lease_until(until))
        };
        let found = self.store.claim_ids(due, limit, &lease, (now, until)).await?;
        queue.send(found.iter().map(|one| RetryMessage::from_due(*one, &lease)).collect(), now).await?;
        Ok(found.len())
    }

    /// Claims the delivery of a queue message; returns a message that came too early to the queue.
    ///
    /// # Errors
    /// The message should be received again.
    pub async fn claim_from_queue(
        &self,
        retry: RetryMessage,
    ) -> Result<Option<InFlightDelivery>, SweepError> {
        let now = self.now();
        if retry.is_early(now) {
            if let Some(queue) = &self.queue {
                queue.send(vec![retry], now).await?;
            }
            return Ok(None);
        }
        let lease = ClaimLease::new(CLAIM_LEASE, now);
        let Some(claimed) = self.store.claim_queued(retry.delivery, retry.is_probe(), &lease, now).await?
        else {
            return Ok(None);
        };
        let read = Instant::now();
        let Some(receiver) = self.receiver(claimed.subscriber).await? else { return Ok(None) };
        let Some(slot) = self.limits.reserve(receiver.id, receiver.settings.limit, 1).pop() else {
            // It is due: the sweep enqueues it as soon as a slot is free.
            self.store.release(&lease, &[claimed.id]).await?;
            return Ok(None);
        };
        Ok(Some(self.in_flight((&receiver, read), &lease, claimed, slot)))
    }
}
