//! Subscriber health: concurrency, circuit breaker, failure budget, and health events.
//!
//! A subscriber is paused when every attempt has failed for as long as its failure budget allows, or when the subscriber answers
//! 410. Health events go to the bus when 50 and 90 percent of the budget are used, when a subscriber is paused (unless by the
//! operator), and when it recovers. If the bus does not accept an event, the next sweep publishes the event. A recovery event is
//! instead published after the subscriber's next success.

pub(super) mod circuit_breaker;
mod events;
mod failure_budget;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use tracing::warn;

use events::HealthChange;
pub(super) use events::HealthEvent;
use failure_budget::{REPORTED_PERCENTAGES, reached_percentage};

use super::client::AttemptResult;
use super::concurrency::SubscriberLimits;
use super::store::{DeliveryStore, FailureStreak};
use super::subscriber::{PauseReason, PreparedSubscriber, Subscriber, SubscriberHealth, SubscriberId};
use super::worker::Clock;
use crate::bus::Bus;
use crate::db::DatabaseError;

/// After a failure of the bus, no health event is published for this long.
const BUS_BACKOFF: SignedDuration = SignedDuration::from_secs(30);
/// The timeout for publishing one health event.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(5);

/// Updates the health of subscribers after their attempts, and publishes health events.
pub(super) struct HealthMonitor<B> {
    pub(super) store: DeliveryStore,
    pub(super) limits: SubscriberLimits,
    pub(super) bus: B,
    pub(super) clock: Clock,
    /// The time until which no health event is published, because the bus has failed; `None` if the bus has never failed.
    pub(super) bus_down_until: Mutex<Option<Timestamp>>,
}

impl<B: Bus> HealthMonitor<B> {
    /// Updates a subscriber's concurrency limit, circuit breaker and failure budget after attempts, and publishes the resulting
    /// health events. `attempts` contains the start time and the result of each attempt, in the order in which the attempts
    /// ended. Returns whether the subscriber has recovered, so that more of its deliveries may be due.
    pub(super) async fn update(
        &self,
        subscriber: &PreparedSubscriber,
        attempts: &[(Timestamp, &AttemptResult)],
    ) -> Result<bool, DatabaseError> {
        let (id, now) = (subscriber.id, (self.clock)());
        for (_, result) in attempts {
            if result.is_success() {
                self.limits.raise_concurrency(id, subscriber.settings.limit);
            } else if result.is_overload() {
                self.limits.halve_concurrency(id);
            }
        }
        // The failed attempts since the last success, latest first.
        let failed: Vec<_> = attempts.iter().rev().take_while(|(_, result)| !result.is_success()).collect();
        let has_recovered = failed.len() < attempts.len() && self.record_recovery(subscriber, now).await?;
        let Some((first_failure, _)) = failed.last() else { return Ok(has_recovered) };
        let count = i64::try_from(failed.len()).unwrap_or(i64::MAX);
        let circuit = (circuit_breaker::FAILURE_THRESHOLD, circuit_breaker::open_until(now));
        let streak = self.store.subscribers.record_failures(id, count, *first_failure, circuit).await?;
        let Some(streak) = streak else { return Ok(has_recovered) };
        if streak.failures >= circuit_breaker::FAILURE_THRESHOLD {
            self.limits.open_circuit(id);
        }
        if failed.iter().any(|(_, result)| result.is_gone()) {
            if self.store.subscribers.pause(id, PauseReason::Gone, now).await? {
                let change = HealthChange::Paused { reason: PauseReason::Gone };
                self.publish_failure((id, &subscriber.name), change, Some(streak)).await?;
            }
        } else {
            self.check_failure_budget(subscriber, streak, now).await?;
        }
        Ok(has_recovered)
    }

    /// Records a success, and publishes a health event if the recovery must be reported. Returns whether failures preceded the
    /// success.
    async fn record_recovery(
        &self,
        subscriber: &PreparedSubscriber,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let Some(recovery) = self.store.subscribers.record_recovery(subscriber.id, now).await? else {
            return Ok(false);
        };
        if recovery.needs_event
            && self.publish((subscriber.id, &subscriber.name), HealthChange::Recovered, None).await
        {
            self.store.subscribers.mark_recovery_reported(subscriber.id).await?;
        }
        Ok(recovery.had_failures)
    }

    /// Pauses the subscriber if its failure budget is used up. Publishes an event for the pause, or for the largest percentage of
    /// the budget that has been reached and not yet reported.
    async fn check_failure_budget(
        &self,
        subscriber: &PreparedSubscriber,
        streak: FailureStreak,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let change = if reached_percentage(&subscriber.settings, streak, now, &[100]).is_some() {
            self.store.subscribers.pause(subscriber.id, PauseReason::BudgetUsed, now).await?;
            HealthChange::Paused { reason: PauseReason::BudgetUsed }
        } else {
            match reached_percentage(&subscriber.settings, streak, now, &REPORTED_PERCENTAGES) {
                Some(percent) => HealthChange::Failing { percent },
                None => return Ok(()),
            }
        };
        if streak.reported_percent < change.budget_percent() {
            self.publish_failure((subscriber.id, &subscriber.name), change, Some(streak)).await?;
        }
        Ok(())
    }

    /// Publishes, until `deadline`, the health events that have not been published. There is such an event if a subscriber
    /// reached 50 or 90 percent of its failure budget between two attempts, or if the bus did not accept the event before. Active
    /// subscribers without pending deliveries are skipped.
    pub(super) async fn publish_pending(&self, deadline: Instant) -> Result<(), DatabaseError> {
        for candidate in self.store.subscribers.list(None).await? {
            if self.pending_change(&candidate).is_none() {
                continue;
            }
            // Read the subscriber again: it may have recovered since the list was read.
            let Some(subscriber) = self.store.subscribers.list(Some(&candidate.name)).await?.pop() else {
                continue;
            };
            let Some((change, streak)) = self.pending_change(&subscriber) else { continue };
            let should_report =
                subscriber.paused.is_some() || self.store.count_pending(subscriber.id).await? > 0;
            if Instant::now() >= deadline
                || should_report
                    && !self.publish_failure((subscriber.id, &subscriber.name), change, streak).await?
            {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Returns the subscriber's health change that no health event has reported yet; `None` if there is no such change.
    fn pending_change(&self, subscriber: &Subscriber) -> Option<(HealthChange, Option<FailureStreak>)> {
        let SubscriberHealth { failures, failing_since, reported_percent, .. } = subscriber.health;
        let streak = failing_since.map(|since| FailureStreak { failures, since, reported_percent });
        let change = match subscriber.paused.as_ref().map(|pause| pause.reason) {
            // No health event reports a pause by the operator.
            Some(reason) => {
                HealthChange::Paused { reason: reason.filter(|reason| *reason != PauseReason::Operator)? }
            }
            // Only a failed attempt pauses a subscriber that has used up its failure budget, so this code looks only for the
            // percentages below 100.
            None => {
                let (settings, now) = (&subscriber.settings, (self.clock)());
                let percent = reached_percentage(settings, streak?, now, &REPORTED_PERCENTAGES)?;
                HealthChange::Failing { percent }
            }
        };
        (reported_percent < change.budget_percent()).then_some((change, streak))
    }

    /// Publishes the health event of a `Failing` or `Paused` change, and marks the change as reported. Returns false if the bus
    /// did not accept the event; the next sweep then publishes it.
    async fn publish_failure(
        &self,
        subscriber: (SubscriberId, &str),
        change: HealthChange,
        streak: Option<FailureStreak>,
    ) -> Result<bool, DatabaseError> {
        let is_published = self.publish(subscriber, change, streak).await;
        if is_published {
            self.store.subscribers.mark_reported(subscriber.0, change.budget_percent()).await?;
        }
        Ok(is_published)
    }

    /// Publishes a health event and returns whether the bus accepted it. For [`BUS_BACKOFF`] after a failure of the bus, returns
    /// false without calling the bus, because waiting for a failing bus would delay deliveries.
    async fn publish(
        &self,
        (id, name): (SubscriberId, &str),
        change: HealthChange,
        streak: Option<FailureStreak>,
    ) -> bool {
        let now = (self.clock)();
        let is_down = |until: &Timestamp| now < *until;
        if self.bus_down_until.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_some_and(is_down) {
            return false;
        }
        let pending = self.store.count_pending(id).await.unwrap_or_default();
        let health_event = HealthEvent { subscriber: name, change, streak, pending, now };
        let Some(event) = health_event.to_event() else { return true };
        let result = self.bus.publish(&Arc::new(event), Instant::now() + PUBLISH_TIMEOUT).await;
        if let Err(error) = &result {
            let until = now.checked_add(BUS_BACKOFF).ok();
            *self.bus_down_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
            let error = error.to_string();
            warn!(subscriber = name, error, "failed to publish a subscriber health event");
        }
        result.is_ok()
    }
}
