//! Sweep: enqueues deliveries that become due within the SQS delay limit, and fails those whose seven days are over.

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::{CIRCUIT_OPEN_DURATION, CLAIM_LEASE, DispatchError, Dispatcher, InFlightDelivery};
use crate::aws::AwsError;
use crate::bus::Bus;
use crate::db::DatabaseError;
use crate::delivery::key_source::KeySourceError;
use crate::delivery::queue::{RetryMessage, RetryQueue};
use crate::delivery::store::{ClaimLease, DueSubscriber, LeaseKind};

/// The maximum number of deliveries of one subscriber that are enqueued before those of the next subscriber.
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
    Store(#[from] DatabaseError),
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

impl<B: Bus> Dispatcher<B> {
    /// Fails expired deliveries, enqueues those that are due soon until `deadline`, and publishes pending health events.
    ///
    /// # Errors
    /// Deliveries that were leased but not enqueued are swept again after their leases have expired.
    pub async fn sweep(&self, deadline: Instant) -> Result<SweepReport, SweepError> {
        let report = self.enqueue_due(deadline).await;
        if let Err(error) = self.publish_pending_health_events(deadline).await {
            warn!(error = error.to_string(), "failed to publish pending subscriber health events");
        }
        report
    }

    async fn enqueue_due(&self, deadline: Instant) -> Result<SweepReport, SweepError> {
        let mut report = SweepReport { queued: 0, given_up: 0 };
        let now = self.now();
        loop {
            let failed_count = self.store.fail_expired(now).await?;
            report.given_up += failed_count;
            if failed_count == 0 {
                break;
            }
        }
        let Some(queue) = &self.queue else { return Ok(report) };
        let until = RetryQueue::horizon(now);
        let mut last_error = None;
        // Round-robin, so one subscriber's backlog does not delay the others.
        loop {
            let mut queued_count = 0;
            let mut due_subscribers = self.store.due_subscribers(now, until).await?;
            fastrand::shuffle(&mut due_subscribers);
            for due in due_subscribers {
                if Instant::now() >= deadline {
                    return Ok(report);
                }
                match self.enqueue_subscriber(queue, due, now, until).await {
                    Ok(queued) => queued_count += queued,
                    Err(error) => last_error = Some(error),
                }
            }
            report.queued += queued_count;
            if queued_count == 0 || last_error.is_some() {
                return last_error.map_or(Ok(report), Err);
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
            if !self.store.subscribers.acquire_probe(due.subscriber, now, CIRCUIT_OPEN_DURATION).await? {
                return Ok(0);
            }
            (1, now, RetryMessage::lease_until(now))
        } else {
            (SWEEP_BATCH_SIZE, until, RetryMessage::lease_until(until))
        };
        let claimed = self.store.claim_ids(due, limit, &lease, (now, until)).await?;
        let message = |(id, next_attempt): &(i64, Timestamp)| {
            RetryMessage::new(*id, &lease, *next_attempt, due.needs_probe)
        };
        queue.send(claimed.iter().map(message).collect(), now).await?;
        Ok(claimed.len())
    }

    /// Claims the delivery of a queue message. A message that arrived early is enqueued again.
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
        let lease = ClaimLease::new(LeaseKind::Attempt, CLAIM_LEASE, now);
        let Some(claimed) = self.store.claim_queued(retry.delivery, retry.is_probe, &lease, now).await?
        else {
            return Ok(None);
        };
        let read_at = Instant::now();
        let Some(receiver) = self.receiver(claimed.subscriber).await? else { return Ok(None) };
        let Some(slot) = self.limits.reserve(receiver.id, receiver.settings.limit, 1).pop() else {
            // It is due: the sweep enqueues it as soon as a slot is free.
            self.store.release(&lease, &[claimed.id]).await?;
            return Ok(None);
        };
        Ok(Some(self.in_flight((&receiver, read_at), &lease, claimed, slot)))
    }
}
