//! Records attempts and the changes of claimed pages, and updates the health of the subscribers.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;

use tracing::warn;

use super::page::PageChanges;
use super::{DeliveryWorker, FinishedAttempt, InFlightDelivery};
use crate::bus::Bus;
use crate::db::DatabaseError;
use crate::delivery::schedule;
use crate::delivery::store::{NewDelivery, RecordedAttempt, Records};
use crate::delivery::subscriber::SubscriberId;

impl<B: Bus> DeliveryWorker<B> {
    /// Records attempts with the time of each delivery's next attempt, sends messages that wake a worker at these times, and
    /// updates the health of the subscribers.
    ///
    /// # Errors
    /// The attempts could not be recorded, and no subscriber's health was updated.
    pub async fn record(&self, finished: &mut [FinishedAttempt]) -> Result<(), DatabaseError> {
        self.record_with_pages(finished, &PageChanges::default()).await
    }

    /// Records attempts as [`DeliveryWorker::record`] does, and in the same transaction the changes of claimed pages.
    pub(super) async fn record_with_pages(
        &self,
        finished: &mut [FinishedAttempt],
        pages: &PageChanges,
    ) -> Result<(), DatabaseError> {
        let attempts = finished.iter().map(|attempt| (self.recorded_attempt(attempt), &attempt.delivery));
        let (first_attempts, attempts): (Vec<_>, Vec<_>) =
            attempts.partition(|(attempt, _)| attempt.delivery.is_none());
        let first_overdue = first_attempts.len() + pages.skipped.len();
        let records = Records {
            attempts: attempts.into_iter().map(|(attempt, _)| attempt).collect(),
            new_deliveries: first_attempts
                .into_iter()
                .map(|(attempt, delivery)| new_delivery(delivery, Some(attempt)))
                .chain(pages.skipped.iter().map(|delivery| new_delivery(delivery, None)))
                .chain(pages.overdue.iter().map(|overdue| overdue.delivery.clone()))
                .collect(),
            ended_page_claims: pages.ended_claims.clone(),
        };
        let recorded = self.store.record(&records).await?;
        for (overdue, id) in pages.overdue.iter().zip(recorded.created.iter().skip(first_overdue)) {
            id.iter().for_each(|id| _ = overdue.id.set(*id));
        }
        for attempt in finished.iter_mut() {
            drop(attempt.delivery.slot.take());
        }
        let given_up: HashSet<i64> = records
            .attempts
            .iter()
            .filter(|attempt| attempt.is_given_up())
            .filter_map(|attempt| attempt.delivery)
            .filter(|id| recorded.updated.contains(id))
            .collect();
        for attempt in finished.iter_mut() {
            attempt.is_given_up = attempt.delivery.claim.id().is_some_and(|id| given_up.contains(&id));
        }
        if let Some(queue) = &self.wake_queue {
            let first_attempts =
                records.new_deliveries.iter().filter_map(|delivery| delivery.attempt.as_ref());
            let attempts = records.attempts.iter().chain(first_attempts);
            let retry_times = attempts.filter_map(|attempt| attempt.next_attempt);
            if let Err(error) = queue.wake_at(retry_times, self.now()).await {
                warn!(error = error.to_string(), "failed to enqueue retries; the sweep will pick them up");
            }
        }
        let mut by_subscriber: HashMap<SubscriberId, Vec<&FinishedAttempt>> = HashMap::new();
        for attempt in finished.iter().filter(|attempt| !attempt.result.is_local_failure()) {
            by_subscriber.entry(attempt.delivery.subscriber.id).or_default().push(attempt);
        }
        for attempts in by_subscriber.values() {
            let Some(last) = attempts.last() else { continue };
            let results: Vec<_> = attempts.iter().map(|attempt| (attempt.started, &attempt.result)).collect();
            match self.health.update(&last.delivery.subscriber, &results).await {
                Ok(true) => self.has_more_due.store(true, Relaxed),
                Ok(false) => {}
                // The attempts are recorded already, so this error is only logged. The subscriber's next attempt updates its
                // health again.
                Err(error) => warn!(error = error.to_string(), "failed to update subscriber health"),
            }
        }
        Ok(())
    }

    fn recorded_attempt(
        &self,
        FinishedAttempt { delivery, started, result, .. }: &FinishedAttempt,
    ) -> RecordedAttempt {
        let first_attempt = if delivery.attempts == 0 { *started } else { delivery.first_attempt };
        let is_success = result.is_success();
        let next_attempt = if is_success {
            None
        } else {
            schedule::next_attempt(first_attempt, self.now(), result.retry_after(), fastrand::f64())
        };
        RecordedAttempt {
            delivery: delivery.claim.id(),
            lease: delivery.lease.token.clone(),
            subscriber: delivery.subscriber.id,
            event_id: delivery.event.id.clone(),
            number: delivery.attempts + 1,
            started: *started,
            duration_micros: i64::try_from(result.duration.as_micros()).unwrap_or(i64::MAX),
            status: result.outcome.as_ref().ok().map(|response| response.status),
            error: result.error_text(),
            address: result.address.clone(),
            response_body: result.outcome.as_ref().ok().map(|response| response.body.clone()),
            is_success,
            is_repeated: result.is_repeated,
            first_attempt,
            next_attempt,
        }
    }
}

/// The delivery of a claimed page, to be stored with its first attempt if it has ended.
fn new_delivery(delivery: &InFlightDelivery, attempt: Option<RecordedAttempt>) -> NewDelivery {
    NewDelivery {
        event: delivery.event.clone(),
        subscriber: delivery.subscriber.id,
        created: delivery.first_attempt,
        attempt,
        lease: None,
    }
}
