//! Subscriber health: circuit breaker, failure budget, and health events.
//!
//! Ten consecutive failures open the circuit: then only a probe is sent, once in two minutes. A subscriber whose every attempt
//! has failed for its failure budget is paused, as is one that answers 410. Health events go to the bus when 50 and 90 percent of
//! the budget are used, when the subscriber is paused, and when it recovers. The next sweep publishes those that the bus did not
//! take.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use super::{CIRCUIT_OPEN_DURATION, DispatchError, Dispatcher, FinishedAttempt};
use crate::bus::Bus;
use crate::delivery::health_events::{HealthChange, HealthEvent};
use crate::delivery::store::FailureStreak;
use crate::delivery::subscriber::{Receiver, Subscriber, SubscriberHealth, SubscriberSettings};
use crate::log::{LogError, SqlExecutor};

/// Consecutive failures that open the circuit; then only a probe is sent.
const CIRCUIT_BREAKER_FAILURES: i64 = 10;
/// Backoff before publishing health events again after a bus failure.
const BUS_BACKOFF: SignedDuration = SignedDuration::from_secs(30);
// Stored as the reason of a pause, and compared with it: these texts do not change.
const PAUSED_GONE: &str = "it answered 410 Gone";
const PAUSED_BUDGET_USED: &str = "every attempt failed for too long";

impl<S: SqlExecutor, B: Bus> Dispatcher<S, B> {
    /// Updates a subscriber's concurrency limit, circuit and failure budget after some attempts, in their order.
    pub(super) async fn update_health(&self, finished: &[&FinishedAttempt]) -> Result<(), LogError> {
        let Some(last) = finished.last() else { return Ok(()) };
        let (receiver, now) = (&last.delivery.receiver, self.now());
        let id = receiver.id;
        for finished in finished {
            if finished.result.is_success() {
                self.limits.raise(id, receiver.settings.limit);
            } else if finished.result.is_overload() {
                self.limits.halve(id);
            }
        }
        let failed_since_good = finished.iter().rev().take_while(|finished| !finished.result.is_success());
        let failed: Vec<_> = failed_since_good.collect();
        if failed.len() < finished.len()
            && let Some(recovered) = self.store.record_recovery(id, now).await?
        {
            if recovered.had_failures {
                self.has_more.store(true, Relaxed);
            }
            if recovered.needs_event
                && self.publish_health_event(receiver, HealthChange::Recovered, None).await
            {
                self.store.mark_recovery_reported(id).await?;
            }
        }
        let Some(first) = failed.last() else { return Ok(()) };
        let open_until = now.checked_add(CIRCUIT_OPEN_DURATION).unwrap_or(now);
        let count = i64::try_from(failed.len()).unwrap_or(i64::MAX);
        let failing = self
            .store
            .record_failures(id, count, first.started, (CIRCUIT_BREAKER_FAILURES, open_until))
            .await?;
        let Some(failing) = failing else { return Ok(()) };
        if failing.failures >= CIRCUIT_BREAKER_FAILURES {
            self.limits.open_circuit(id);
        }
        if failed.iter().any(|finished| finished.result.is_gone()) {
            if self.store.pause_subscriber(id, PAUSED_GONE, now).await? {
                self.publish_failure(receiver, HealthChange::Paused { reason: PAUSED_GONE }, Some(failing))
                    .await?;
            }
            return Ok(());
        }
        self.check_failure_budget(receiver, failing, now).await
    }

    /// Publishes health events that are pending, until `deadline`: a threshold of the failure budget was passed between two
    /// attempts, or the bus did not take the event before. Active subscribers without pending deliveries are skipped.
    pub(super) async fn publish_pending_health_events(&self, deadline: Instant) -> Result<(), DispatchError> {
        for cached in self.store.list_subscribers(None).await? {
            if self.pending_health_change(&cached).is_none() {
                continue;
            }
            // Re-read: it may have recovered meanwhile.
            let Some(subscriber) = self.store.list_subscribers(Some(&cached.name)).await?.pop() else {
                continue;
            };
            let Some((standing, failing)) = self.pending_health_change(&subscriber) else { continue };
            let Some(receiver) = self.receiver(subscriber.id).await? else { continue };
            let is_owed = subscriber.paused.is_some() || self.store.count_pending(subscriber.id).await? > 0;
            if Instant::now() >= deadline
                || is_owed && !self.publish_failure(&receiver, standing, failing).await?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The health change that has not been published yet.
    fn pending_health_change(
        &self,
        subscriber: &Subscriber,
    ) -> Option<(HealthChange, Option<FailureStreak>)> {
        let SubscriberHealth { failures, failing_since, reported_percent: told, .. } = subscriber.health;
        let failing = failing_since.map(|since| FailureStreak { failures, since, reported_percent: told });
        let standing = match subscriber.paused.as_ref().map(|pause| pause.reason.as_deref()) {
            Some(why) => {
                let why = [PAUSED_GONE, PAUSED_BUDGET_USED].into_iter().find(|one| why == Some(one))?;
                HealthChange::Paused { reason: why }
            }
            // Only a failed attempt can use up the budget, not the passing of time.
            None => {
                let percent = used_budget_percent(&subscriber.settings, failing?, self.now(), &[90, 50])?;
                HealthChange::Failing { percent }
            }
        };
        (told < standing.budget_percent()).then_some((standing, failing))
    }

    /// Publishes each threshold of the failure budget that the subscriber has passed, and pauses it when the budget is used up.
    async fn check_failure_budget(
        &self,
        receiver: &Receiver,
        failing: FailureStreak,
        now: Timestamp,
    ) -> Result<(), LogError> {
        let standing = match used_budget_percent(&receiver.settings, failing, now, &[100, 90, 50]) {
            Some(100) => {
                self.store.pause_subscriber(receiver.id, PAUSED_BUDGET_USED, now).await?;
                HealthChange::Paused { reason: PAUSED_BUDGET_USED }
            }
            Some(percent) => HealthChange::Failing { percent },
            None => return Ok(()),
        };
        if failing.reported_percent < standing.budget_percent() {
            self.publish_failure(receiver, standing, Some(failing)).await?;
        }
        Ok(())
    }

    /// Publishes a failure and marks it as reported; returns false if the bus did not take it, so that the next sweep retries.
    async fn publish_failure(
        &self,
        receiver: &Receiver,
        standing: HealthChange,
        failing: Option<FailureStreak>,
    ) -> Result<bool, LogError> {
        let is_told = self.publish_health_event(receiver, standing, failing).await;
        if is_told {
            self.store.mark_reported(receiver.id, standing.budget_percent()).await?;
        }
        Ok(is_told)
    }

    /// Publishes a health event and returns whether the bus took it. After a failure the bus is not tried again for
    /// [`BUS_BACKOFF`], because waiting for it delays deliveries.
    async fn publish_health_event(
        &self,
        receiver: &Receiver,
        standing: HealthChange,
        failing: Option<FailureStreak>,
    ) -> bool {
        let now = self.now();
        let is_down = |until: &Timestamp| now < *until;
        if self.bus_down_until.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(is_down) {
            return false;
        }
        let waiting = self.store.count_pending(receiver.id).await.unwrap_or_default();
        let notice =
            HealthEvent { subscriber: &receiver.name, change: standing, failing, pending: waiting, now };
        let Some(event) = notice.to_event() else { return true };
        let deadline = Instant::now() + Duration::from_secs(5);
        let put = self.bus.publish(&Arc::new(event), deadline).await;
        if let Err(error) = &put {
            let until = now.checked_add(BUS_BACKOFF).ok();
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

/// The first of `parts` (percent, descending) that the used failure budget has reached.
fn used_budget_percent(
    settings: &SubscriberSettings,
    failing: FailureStreak,
    now: Timestamp,
    parts: &[u8],
) -> Option<u8> {
    let budget = SignedDuration::from_hours(settings.failure_budget.into());
    let used = now.duration_since(failing.since).as_secs_f64() / budget.as_secs_f64();
    parts.iter().copied().find(|percent| used * 100.0 >= f64::from(*percent))
}
