//! Event buses: EventBridge, a local file, and the spill queue.
//!
//! A [`Bus`] never loses an event that it accepted. It delivers each event at least once: if the response to an attempt was lost,
//! a retry publishes the event again. Consumers recognise duplicates by the id in the event's `resources`.

mod eventbridge;
#[cfg(feature = "command")]
mod local;
mod spill;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

pub use eventbridge::{EventBridge, is_bus_v2};
#[cfg(feature = "command")]
pub use local::{LocalBus, OpenBusError};
pub use spill::{REASON_ATTRIBUTE, SpillQueue};

use crate::aws::{AttemptFailure, AwsError, retry};
use crate::event::Event;

/// A destination of events.
pub trait Bus: Send + Sync + 'static {
    /// Publishes one event, and returns before `deadline`. The event is an `Arc`, so that a bus that writes the event later needs
    /// no copy of it.
    ///
    /// # Errors
    /// The bus rejected the event, or did not confirm it before `deadline`. An unconfirmed event may still be published.
    fn publish(
        &self,
        event: &Arc<Event>,
        deadline: Instant,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;

    /// Publishes events in their order with few requests, and returns the result of each before `deadline`. A request has at most
    /// `_max_request_bytes` bytes. After a request fails, later requests are not made. By default, each event has its own request.
    fn publish_all(
        &self,
        events: &[Arc<Event>],
        _max_request_bytes: usize,
        deadline: Instant,
    ) -> impl Future<Output = Vec<Result<(), AwsError>>> + Send {
        async move {
            let mut results = Vec::new();
            for event in events {
                results.push(self.publish(event, deadline).await);
            }
            results
        }
    }
}

/// Splits `events` into batches of at most `max_entries` events and `max_bytes` bytes. A larger event is a batch of its own.
fn batches(
    events: &[Arc<Event>],
    max_entries: usize,
    max_bytes: usize,
    size: impl Fn(&Event) -> usize,
) -> Vec<&[Arc<Event>]> {
    let mut batches = Vec::new();
    let mut rest = events;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fitting = rest.iter().take(max_entries).take_while(|event| {
            bytes += size(event);
            bytes <= max_bytes
        });
        let (batch, remaining) = rest.split_at(fitting.count().max(1));
        batches.push(batch);
        rest = remaining;
    }
    batches
}

/// The outcome of one attempt to publish a batch, for each entry that was tried.
type AttemptResults = Vec<Result<(), AttemptFailure>>;

/// Publishes the batches one after the other. `attempt` makes one request for the events that are not yet published, and fails
/// if the request as a whole fails. Entries that failed transiently are retried until `deadline`. If entries of a batch remain
/// unpublished, the later batches are not tried.
async fn publish_batches<F>(
    operation: &str,
    batches: Vec<&[Arc<Event>]>,
    deadline: Instant,
    attempt: impl Fn(Vec<Arc<Event>>) -> F,
) -> Vec<Result<(), AwsError>>
where
    F: Future<Output = Result<AttemptResults, AttemptFailure>>,
{
    let mut results = Vec::new();
    let mut unavailable: Option<AwsError> = None;
    for batch in batches {
        if let Some(error) = &unavailable {
            results.extend(batch.iter().map(|_| Err(error.clone())));
            continue;
        }
        let outcomes: Mutex<Vec<Option<Result<(), AwsError>>>> = Mutex::new(vec![None; batch.len()]);
        let lock = || outcomes.lock().unwrap_or_else(PoisonError::into_inner);
        let result = retry(operation, deadline, || async {
            let pending: Vec<usize> = (0..batch.len()).filter(|index| lock()[*index].is_none()).collect();
            let events = pending.iter().map(|index| batch[*index].clone()).collect();
            let mut transient = None;
            for (index, result) in pending.into_iter().zip(attempt(events).await?) {
                match result {
                    Ok(()) => lock()[index] = Some(Ok(())),
                    Err(AttemptFailure::Permanent(error)) => lock()[index] = Some(Err(error)),
                    Err(failure @ AttemptFailure::Transient(_)) => transient = Some(failure),
                }
            }
            transient.map_or(Ok(()), Err)
        })
        .await;
        let error = result.err();
        let outcomes = outcomes.into_inner().unwrap_or_else(PoisonError::into_inner);
        let missing = || Err(error.clone().unwrap_or_else(|| AwsError::Rejected("no result".into())));
        results.extend(outcomes.into_iter().map(|outcome| outcome.unwrap_or_else(missing)));
        unavailable = error.filter(|error| matches!(error, AwsError::Unavailable { .. }));
    }
    results
}
