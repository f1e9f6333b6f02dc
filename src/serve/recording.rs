//! Batches go from the archive into the log while the server runs: those that come, and at the start those that an
//! earlier run did not get to.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use super::terminal::Terminal;
use crate::bus::EventBridge;
use crate::call::CallError;
use crate::log::{AnyLog, EventReader as _, EventStore as _, LogError, RetentionPolicy};
use crate::providers;
use crate::recorder::{ArchivePage, AwsOrigin, RecordError, Recorder};

/// How long one batch may take.
const A_BATCH: Duration = Duration::from_secs(60);
/// The first pause after a failure that may pass; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often the log is put in order.
const MAINTAIN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The recorder of a server. It publishes nothing.
pub(super) type ServedRecorder = Recorder<AnyLog, EventBridge>;

/// A batch that could not be recorded, and when to try it again.
struct Later {
    key: String,
    due: Instant,
    pause: Duration,
}

/// Records until `end` becomes true. `kept` are the keys of the batches that come.
pub(super) async fn run(
    recorder: ServedRecorder,
    mut kept: mpsc::UnboundedReceiver<String>,
    terminal: Terminal,
    mut end: watch::Receiver<bool>,
) {
    let work = async {
        maintain(&recorder).await;
        let mut next = Instant::now() + MAINTAIN_EVERY;
        let mut left: VecDeque<Later> = VecDeque::new();
        for key in left_behind(&recorder).await {
            left.extend(record(&recorder, key, FIRST_PAUSE, &terminal).await);
        }
        loop {
            let due = left.front().map_or(next, |later| later.due.min(next));
            let again = tokio::select! {
                key = kept.recv() => match key {
                    Some(key) => record(&recorder, key, FIRST_PAUSE, &terminal).await,
                    None => return,
                },
                () = sleep_until(due) => match left.pop_front() {
                    Some(later) if later.due <= Instant::now() => {
                        record(&recorder, later.key, later.pause, &terminal).await
                    }
                    later => {
                        next = Instant::now() + MAINTAIN_EVERY;
                        maintain(&recorder).await;
                        left.extend(later);
                        None
                    }
                },
            };
            left.extend(again);
        }
    };
    // A batch that is stopped in the middle is recorded by the next run.
    tokio::select! {
        () = work => {}
        _ = end.wait_for(|ended| *ended) => {}
    }
}

async fn maintain(recorder: &ServedRecorder) {
    if let Err(error) = recorder.log.maintain(&RetentionPolicy::default()).await {
        warn!(error = error.to_string(), "log maintenance failed");
    }
}

/// What lies in the archive and is not in the log.
async fn left_behind(recorder: &ServedRecorder) -> Vec<String> {
    let mut left = Vec::new();
    for provider in providers::ALL {
        let mut after: Option<String> = None;
        loop {
            match recorder.list_unrecorded(provider, after.as_deref(), Instant::now() + A_BATCH).await {
                Ok(Some(ArchivePage { last_key: last, unrecorded_keys: new, .. })) => {
                    left.extend(new);
                    after = Some(last);
                }
                Ok(None) => break,
                Err(error) => {
                    let error = error.to_string();
                    warn!(error, "failed to scan the archive for unrecorded batches");
                    return left;
                }
            }
        }
    }
    left
}

/// Records one batch; returns when to try again, where that may help.
async fn record(
    recorder: &ServedRecorder,
    key: String,
    pause: Duration,
    terminal: &Terminal,
) -> Option<Later> {
    let started = Instant::now();
    let done = recorder.record_archived(&key, &AwsOrigin::default(), started + A_BATCH).await;
    if done.is_ok()
        && let Err(error) = recorder.log.assign_positions().await
    {
        // It is recorded all the same: whoever reads gives it its place.
        warn!(error = error.to_string(), "recorded, but positions are not assigned yet");
    }
    terminal.recorded(&key, &done, started.elapsed());
    let may_pass = matches!(
        done,
        Err(RecordError::Log(LogError::Unavailable(_))
            | RecordError::Archive(CallError::Unavailable { .. })
            | RecordError::TimedOut)
    );
    may_pass.then(|| Later { key, due: Instant::now() + pause, pause: LONGEST_PAUSE.min(pause * 2) })
}
