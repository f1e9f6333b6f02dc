//! Subscriber health: circuit breaker, failure budget, and health events.
//!
//! Ten consecutive failures open the circuit: then only a probe is sent, once in two minutes. A subscriber whose every attempt
//! has failed for its failure budget is paused, as is one that answers 410. Health events go to the bus when 50 and 90 percent of
//! the budget are used, when the subscriber is paused, and when it recovers. The next sweep publishes those that the bus did not
//! accept.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use super::{CIRCUIT_OPEN_DURATION, DispatchError, Dispatcher, FinishedAttempt};
use crate::bus::Bus;
use crate::db::DatabaseError;
use crate::delivery::health_events::{HealthChange, HealthEvent};
use crate::delivery::store::FailureStreak;
use crate::delivery::subscriber::{PauseReason, Receiver, Subscriber, SubscriberHealth, SubscriberSettings};

/// Consecutive failures that open the circuit; then only a probe is sent.
const CIRCUIT_BREAKER_FAILURES: i64 = 10;
/// Backoff before publishing health events again after a bus failure.
const BUS_BACKOFF: SignedDuration = SignedDuration::from_secs(30);

impl<B: Bus> Dispatcher<B> {
    /// Updates a subscriber's concurrency limit, circuit and failure budget after `attempts`, in the order in which they ended.
    pub(super) async fn update_health(&self, attempts: &[&FinishedAttempt]) -> Result<(), DatabaseError> {
        let Some(last) = attempts.last() else { return Ok(()) };
        let (receiver, now) = (&last.delivery.receiver, self.now());
        let id = receiver.id;
        for attempt in attempts {
            if attempt.result.is_success() {
                self.limits.raise(id, receiver.settings.limit);
            } else if attempt.result.is_overload() {
                self.limits.halve(id);
            }
        }
        // From the last attempt back to the last success.
        let failed: Vec<_> =
            attempts.iter().rev().take_while(|attempt| !attempt.result.is_success()).collect();
        if failed.len() < attempts.len()
            && let Some(recovery) = self.store.subscribers.record_recovery(id, now).await?
        {
            if recovery.had_failures {
                self.has_more.store(true, Relaxed);
            }
            if recovery.needs_event
                && self.publish_health_event(receiver, HealthChange::Recovered, None).await
            {
                self.store.subscribers.mark_recovery_reported(id).await?;
            }
        }
        let Some(first_failure) = failed.last() else { return Ok(()) };
        let open_until = now.checked_add(CIRCUIT_OPEN_DURATION).unwrap_or(now);
        let count = i64::try_from(failed.len()).unwrap_or(i64::MAX);
        let streak = self
            .store
            .subscribers
            .record_failures(id, count, first_failure.started, (CIRCUIT_BREAKER_FAILURES, open_until))
            .await?;
        let Some(streak) = streak else { return Ok(()) };
        if streak.failures >= CIRCUIT_BREAKER_FAILURES {
            self.limits.open_circuit(id);
        }
        if failed.iter().any(|attempt| attempt.result.is_gone()) {
            if self.store.subscribers.pause(id, PauseReason::Gone, now).await? {
                self.publish_failure(
                    receiver,
                    HealthChange::Paused { reason: PauseReason::Gone },
                    Some(streak),
                )
                .await?;
            }
            return Ok(());
        }
        self.check_failure_budget(receiver, streak, now).await
    }

    /// Publishes health events that are pending, until `deadline`: a threshold of the failure budget was passed between two
    /// attempts, or the bus did not accept the event before. Active subscribers without pending deliveries are skipped.
    pub(super) async fn publish_pending_health_events(&self, deadline: Instant) -> Result<(), DispatchError> {
        for candidate in self.store.subscribers.list(None).await? {
            if self.pending_health_change(&candidate).is_none() {
                continue;
            }
            // Re-read: it may have recovered meanwhile.
            let Some(subscriber) = self.store.subscribers.list(Some(&candidate.name)).await?.pop() else {
                continue;
            };
            let Some((change, streak)) = self.pending_health_change(&subscriber) else { continue };
            let Some(receiver) = self.receiver(subscriber.id).await? else { continue };
            let should_report =
                subscriber.paused.is_some() || self.store.count_pending(subscriber.id).await? > 0;
            if Instant::now() >= deadline
                || should_report && !self.publish_failure(&receiver, change, streak).await?
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
        let SubscriberHealth { failures, failing_since, reported_percent, .. } = subscriber.health;
        let streak = failing_since.map(|since| FailureStreak { failures, since, reported_percent });
        let change = match subscriber.paused.as_ref().map(|pause| pause.reason) {
            // A subscriber never gets an event about what its operator did.
            Some(reason) => {
                let reason = reason.filter(|reason| *reason != PauseReason::Operator)?;
                HealthChange::Paused { reason }
            }
            // Only a failed attempt can use up the budget, not the passing of time.
            None => {
                let percent = used_budget_percent(&subscriber.settings, streak?, self.now(), &[90, 50])?;
                HealthChange::Failing { percent }
            }
        };
        (reported_percent < change.budget_percent()).then_some((change, streak))
    }

    /// Publishes each threshold of the failure budget that the subscriber has passed, and pauses it when the budget is used up.
    async fn check_failure_budget(
        &self,
        receiver: &Receiver,
        streak: FailureStreak,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let change = match used_budget_percent(&receiver.settings, streak, now, &[100, 90, 50]) {
            Some(100) => {
                self.store.subscribers.pause(receiver.id, PauseReason::BudgetUsed, now).await?;
                HealthChange::Paused { reason: PauseReason::BudgetUsed }
            }
            Some(percent) => HealthChange::Failing { percent },
            None => return Ok(()),
        };
        if streak.reported_percent < change.budget_percent() {
            self.publish_failure(receiver, change, Some(streak)).await?;
        }
        Ok(())
    }

    /// Publishes a failure and marks it as reported; returns false if the bus did not accept it, so that the next sweep retries.
    async fn publish_failure(
        &self,
        receiver: &Receiver,
        change: HealthChange,
        streak: Option<FailureStreak>,
    ) -> Result<bool, DatabaseError> {
        let is_published = self.publish_health_event(receiver, change, streak).await;
        if is_published {
            self.store.subscribers.mark_reported(receiver.id, change.budget_percent()).await?;
        }
        Ok(is_published)
    }

    /// Publishes a health event and returns whether the bus accepted it. After a failure the bus is not tried again for
    /// [`BUS_BACKOFF`], because waiting for it delays deliveries.
    async fn publish_health_event(
        &self,
        receiver: &Receiver,
        change: HealthChange,
        streak: Option<FailureStreak>,
    ) -> bool {
        let now = self.now();
        let is_down = |until: &Timestamp| now < *until;
        if self.bus_down_until.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(is_down) {
            return false;
        }
        let pending = self.store.count_pending(receiver.id).await.unwrap_or_default();
        let health_event = HealthEvent { subscriber: &receiver.name, change, streak, pending, now };
        let Some(event) = health_event.to_event() else { return true };
        let deadline = Instant::now() + Duration::from_secs(5);
        let result = self.bus.publish(&Arc::new(event), deadline).await;
        if let Err(error) = &result {
            let until = now.checked_add(BUS_BACKOFF).ok();
            *self.bus_down_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
            warn!(
                subscriber = receiver.name,
                error = error.to_string(),
                "failed to publish a subscriber health event"
            );
        }
        result.is_ok()
    }
}

/// The first of `thresholds` (percent, descending) that the used failure budget has reached.
fn used_budget_percent(
    settings: &SubscriberSettings,
    streak: FailureStreak,
    now: Timestamp,
    thresholds: &[u8],
) -> Option<u8> {
    let budget = SignedDuration::from_hours(settings.failure_budget.into());
    let used = now.duration_since(streak.since).as_secs_f64() / budget.as_secs_f64();
    thresholds.iter().copied().find(|percent| used * 100.0 >= f64::from(*percent))
}
