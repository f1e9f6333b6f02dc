//! Sweep: enqueue deliveries that become due within the SQS delay limit.

use jiff::Timestamp;
use tokio::time::Instant;
use tracing::warn;

use super::{DispatchError, Dispatcher, IN_HAND, Job, REST};
use crate::bus::Bus;
use crate::call::CallError;
use crate::dispatch::key_source::NoKeys;
use crate::dispatch::queue::{Retry, RetryQueue};
use crate::dispatch::store::{Hold, Ready};
use crate::log::{LogError, SqlExecutor};

/// Deliveries of one subscriber that a sweep puts in the queue at once, at most.
const SWEPT: usize = 500;

/// What a sweep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Deliveries that were put in the queue.
    pub queued: usize,
    /// Deliveries that were given up.
    pub given_up: usize,
}

/// Why deliveries are not where they should be.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The store.
    #[error(transparent)]
    Store(#[from] LogError),
    /// The keys that decrypt the subscribers' secrets could not be read.
    #[error(transparent)]
    Keys(#[from] NoKeys),
    /// The queue.
    #[error("the queue: {0}")]
    Queue(#[from] CallError),
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
    /// Puts in the queue what is to be tried soon, until `deadline`, gives up what has waited for too long, and says how many each;
    /// tells of subscribers what nobody was told.
    ///
    /// # Errors
    /// [`SweepError`]: what was held and is not in the queue is swept again when its hold has ended.
    pub async fn sweep(&self, deadline: Instant) -> Result<Swept, SweepError> {
        let swept = self.sweep_all(deadline).await;
        if let Err(error) = self.tell_the_rest(deadline).await {
            warn!(error = error.to_string(), "failed to publish pending subscriber health events");
        }
        swept
    }

    async fn sweep_all(&self, deadline: Instant) -> Result<Swept, SweepError> {
        let mut swept = Swept { queued: 0, given_up: 0 };
        let now = self.now();
        loop {
            let some = self.store.give_up(now).await?;
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
            let mut ready = self.store.ready(now, until).await?;
            fastrand::shuffle(&mut ready);
            for ready in ready {
                if Instant::now() >= deadline {
                    return Ok(swept);
                }
                match self.sweep_one(queue, ready, now, until).await {
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

    /// Puts in the queue some of what is to be tried soon of one subscriber, and says how many.
    async fn sweep_one(
        &self,
        queue: &RetryQueue,
        ready: Ready,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<usize, SweepError> {
        let (limit, until, hold) = if ready.needs_probe {
            if !self.store.probe(ready.subscriber, now, REST).await? {
                return Ok(0);
            }
            (1, now, Retry::probe(now))
        } else {
            (SWEPT, until, Retry::hold_until(until))
        };
        let found = self.store.find(ready, limit, &hold, (now, until)).await?;
        queue.put(found.iter().map(|one| Retry::of_found(*one, &hold)).collect(), now).await?;
        Ok(found.len())
    }

    /// Takes in hand what a message of the queue brings back; puts back what comes too early.
    ///
    /// # Errors
    /// [`SweepError`]: the message should come again.
    pub async fn take_over(&self, retry: Retry) -> Result<Option<Job>, SweepError> {
        let now = self.now();
        if retry.is_early(now) {
            if let Some(queue) = &self.queue {
                queue.put(vec![retry], now).await?;
            }
            return Ok(None);
        }
        let hold = Hold::for_some(IN_HAND, now);
        let Some(claimed) = self.store.take_over(retry.delivery, retry.is_probe(), &hold, now).await? else {
            return Ok(None);
        };
        let read = Instant::now();
        let Some(receiver) = self.receiver(claimed.subscriber).await? else { return Ok(None) };
        let Some(place) = self.lanes.take(receiver.id, receiver.settings.limit, 1).pop() else {
            // It is due: the sweep finds it as soon as there is room.
            self.store.let_go(&hold, &[claimed.delivery]).await?;
            return Ok(None);
        };
        Ok(Some(self.job((&receiver, read), &hold, claimed, place)))
    }
}
