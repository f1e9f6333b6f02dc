//! Replays: sends recorded events again, to a bus, a URL or a queue.

mod target;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::aws::AwsError;
use crate::bus::Bus;
use crate::log::StoredEvent;
pub use target::{ReplayTarget, TargetError};

/// Counts of the replayed events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayReport {
    /// Events that the target accepted.
    pub sent: u64,
    /// Events that the target cannot carry: unrecognized, too large, or with a detail that is not a JSON object.
    pub skipped: u64,
}

/// An event that the target did not accept.
#[derive(Debug, thiserror::Error)]
#[error("event {id} was not delivered: {error}")]
pub struct RejectedEvent {
    pub id: String,
    pub error: AwsError,
}

/// The resource that marks the events of a replay that started at a time.
pub fn replay_urn(started: Timestamp) -> String {
    format!("urn:hookbridge:replay:{started:.0}")
}

/// Sends the events of `group` concurrently, each within `timeout`, and counts them in `report`. `before_event` is awaited before
/// each event.
///
/// # Errors
/// The target did not accept an event. All others of the group were sent.
pub async fn send_group<B: Bus>(
    target: &Arc<ReplayTarget<B>>,
    group: impl Iterator<Item = StoredEvent>,
    replay_urn: &str,
    timeout: Duration,
    mut before_event: impl AsyncFnMut(),
    report: &mut ReplayReport,
) -> Result<(), RejectedEvent> {
    let mut tasks = JoinSet::new();
    for event in group {
        before_event().await;
        let (target, urn) = (target.clone(), replay_urn.to_owned());
        tasks.spawn(async move {
            let id = event.key.id.clone();
            (id, target.send(event, &urn, Instant::now() + timeout).await)
        });
    }
    let mut rejected = None;
    for (id, result) in tasks.join_all().await {
        match result {
            Ok(()) => report.sent += 1,
            Err(error) if error.is_final() => report.skipped += 1,
            Err(error) => rejected = rejected.or(Some(RejectedEvent { id, error })),
        }
    }
    rejected.map_or(Ok(()), Err)
}
