//! Subscriber health: circuit breaker, failure budget, and health events.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use super::{DispatchError, Dispatcher, Finished, REST};
use crate::bus::Bus;
use crate::dispatch::notice::{Notice, Standing};
use crate::dispatch::store::Failing;
use crate::dispatch::subscriber::{Health, Receiver, Settings, Subscriber};
use crate::log::{LogError, SqlExecutor};

/// Consecutive failures that open the circuit; then only a probe is sent.
const TOO_MANY: i64 = 10;
/// Backoff before publishing health events again after a bus failure.
const BUS_DOWN: SignedDuration = SignedDuration::from_secs(30);
/// Why a subscriber is paused.
const GONE: &str = "it answered 410 Gone";
const FAILED: &str = "every attempt failed for too long";

impl<S: SqlExecutor, B: Bus> Dispatcher<S, B> {
    /// What some attempts at one subscriber, in their order, say about it.
    pub(super) async fn conclude(&self, finished: &[&Finished]) -> Result<(), LogError> {
        let Some(last) = finished.last() else { return Ok(()) };
        let (receiver, now) = (&last.job.receiver, self.now());
        let id = receiver.id;
        for finished in finished {
            if finished.tried.is_good() {
                self.lanes.widen(id, receiver.settings.limit);
            } else if finished.tried.is_overload() {
                self.lanes.narrow(id);
            }
        }
        let failed_since_good = finished.iter().rev().take_while(|finished| !finished.tried.is_good());
        let failed: Vec<_> = failed_since_good.collect();
        if failed.len() < finished.len()
            && let Some(recovered) = self.store.recovered(id, now).await?
        {
            if recovered.failed {
                self.more.store(true, Relaxed);
            }
            if recovered.is_to_be_told && self.tell(receiver, Standing::Recovered, None).await {
                self.store.told_of_recovery(id).await?;
            }
        }
        let Some(first) = failed.last() else { return Ok(()) };
        let open_until = now.checked_add(REST).unwrap_or(now);
        let count = i64::try_from(failed.len()).unwrap_or(i64::MAX);
        let failing = self.store.failed(id, count, first.started, (TOO_MANY, open_until)).await?;
        let Some(failing) = failing else { return Ok(()) };
        if failing.failures >= TOO_MANY {
            self.lanes.close(id);
        }
        if failed.iter().any(|finished| finished.tried.is_gone()) {
            if self.store.pause(id, GONE, now).await? {
                self.tell_part(receiver, Standing::Paused { why: GONE }, Some(failing)).await?;
            }
            return Ok(());
        }
        self.tell_budget(receiver, failing, now).await
    }

    /// Tells, until `deadline`, what nobody was told: that a part of a failure budget was used up between two attempts, or what the
    /// bus did not take then. Of who is owed nothing there is nothing to tell.
    pub(super) async fn tell_the_rest(&self, deadline: Instant) -> Result<(), DispatchError> {
        for known in self.store.subscribers(None).await? {
            if self.untold(&known).is_none() {
                continue;
            }
            // Re-read: it may have recovered meanwhile.
            let Some(subscriber) = self.store.subscribers(Some(&known.name)).await?.pop() else { continue };
            let Some((standing, failing)) = self.untold(&subscriber) else { continue };
            let Some(receiver) = self.receiver(subscriber.id).await? else { continue };
            let is_owed = subscriber.paused.is_some() || self.store.waiting(subscriber.id).await? > 0;
            if Instant::now() >= deadline || is_owed && !self.tell_part(&receiver, standing, failing).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What is to be told of a subscriber, and was not.
    fn untold(&self, subscriber: &Subscriber) -> Option<(Standing, Option<Failing>)> {
        let Health { failures, failing_since, told, .. } = subscriber.health;
        let failing = failing_since.map(|since| Failing { failures, since, told });
        let standing = match subscriber.paused.as_ref().map(|pause| pause.why.as_deref()) {
            Some(why) => {
                let why = [GONE, FAILED].into_iter().find(|one| why == Some(one))?;
                Standing::Paused { why }
            }
            // That all of it is used up follows from the last attempt, and not from the time.
            None => {
                let percent = used(&subscriber.settings, failing?, self.now(), &[90, 50])?;
                Standing::Failing { percent }
            }
        };
        (told < standing.part()).then_some((standing, failing))
    }

    /// Tells how much of its failure budget a subscriber has used, at least once for each of the parts; when all of it is used, it is
    /// paused.
    async fn tell_budget(
        &self,
        receiver: &Receiver,
        failing: Failing,
        now: Timestamp,
    ) -> Result<(), LogError> {
        let standing = match used(&receiver.settings, failing, now, &[100, 90, 50]) {
            Some(100) => {
                self.store.pause(receiver.id, FAILED, now).await?;
                Standing::Paused { why: FAILED }
            }
            Some(percent) => Standing::Failing { percent },
            None => return Ok(()),
        };
        if failing.told < standing.part() {
            self.tell_part(receiver, standing, Some(failing)).await?;
        }
        Ok(())
    }

    /// Tells that a subscriber fails, and notes that this was told; false when it was not, and is told by the next sweep.
    async fn tell_part(
        &self,
        receiver: &Receiver,
        standing: Standing,
        failing: Option<Failing>,
    ) -> Result<bool, LogError> {
        let is_told = self.tell(receiver, standing, failing).await;
        if is_told {
            self.store.told(receiver.id, standing.part()).await?;
        }
        Ok(is_told)
    }

    /// Puts on the bus how a subscriber is, and says whether it is there. A bus that did not take the last one is left alone for a
    /// while: who waits for it holds up deliveries.
    async fn tell(&self, receiver: &Receiver, standing: Standing, failing: Option<Failing>) -> bool {
        let now = self.now();
        let is_down = |until: &Timestamp| now < *until;
        if self.bus_down_until.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(is_down) {
            return false;
        }
        let waiting = self.store.waiting(receiver.id).await.unwrap_or_default();
        let notice = Notice { subscriber: &receiver.name, standing, failing, waiting, now };
        let Some(event) = notice.event() else { return true };
        let deadline = Instant::now() + Duration::from_secs(5);
        let put = self.bus.publish(&Arc::new(event), deadline).await;
        if let Err(error) = &put {
            let until = now.checked_add(BUS_DOWN).ok();
            *self.bus_down_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
            warn!(
                subscriber = receiver.name,
                error = error.to_string(),
                "failed to publish a subscriber health event"
            );
        }
        put.is_ok()
    }
}

/// The largest of these parts of its failure budget that a subscriber has used, in percent.
fn used(settings: &Settings, failing: Failing, now: Timestamp, parts: &[u8]) -> Option<u8> {
    let budget = SignedDuration::from_hours(settings.failure_budget.into());
    let used = now.duration_since(failing.since).as_secs_f64() / budget.as_secs_f64();
    parts.iter().copied().find(|percent| used * 100.0 >= f64::from(*percent))
}
