//! Records archived batches in the log: at startup the batches that earlier runs did not record, then each new batch when it
//! arrives.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::aws::AwsError;
use crate::bus::EventBridge;
use crate::db::DatabaseError;
use crate::log::RetentionPolicy;
use crate::providers;
use crate::recorder::{ArchivePage, AwsOrigin, RecordError, Recorder};
use crate::serve::reporter::Reporter;

/// The timeout for recording one batch, and for listing one page of the archive.
const RECORD_TIMEOUT: Duration = Duration::from_secs(60);
/// The first pause after a transient failure; it doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(500);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(24 * 3600);

/// The recorder of `hookbridge serve`. Its `bus` is `None`, so the recorder publishes nothing; the type parameter has no effect.
pub(in crate::serve) type ServedRecorder = Recorder<EventBridge>;

/// The next attempt to record a batch that could not be recorded.
struct BatchRetry {
    key: String,
    due: Instant,
    /// The pause after this retry, if it fails too.
    backoff: Duration,
}

/// Records batches until `shutdown` becomes true. `new_batches` receives the archive keys of new batches.
pub(in crate::serve) async fn run(
    recorder: ServedRecorder,
    mut new_batches: mpsc::UnboundedReceiver<String>,
    reporter: Reporter,
    mut shutdown: watch::Receiver<bool>,
) {
    let work = async {
        maintain(&recorder).await;
        let mut next_maintenance = Instant::now() + MAINTENANCE_INTERVAL;
        let mut retries: VecDeque<BatchRetry> = VecDeque::new();
        for key in unrecorded_batches(&recorder).await {
            retries.extend(record_batch(&recorder, key, MIN_BACKOFF, &reporter).await);
        }
        loop {
            let wake_time = retries.front().map_or(next_maintenance, |retry| retry.due.min(next_maintenance));
            let retry = tokio::select! {
                key = new_batches.recv() => match key {
                    Some(key) => record_batch(&recorder, key, MIN_BACKOFF, &reporter).await,
                    None => return,
                },
                () = sleep_until(wake_time) => match retries.pop_front() {
                    Some(retry) if retry.due <= Instant::now() => {
                        record_batch(&recorder, retry.key, retry.backoff, &reporter).await
                    }
                    retry => {
                        next_maintenance = Instant::now() + MAINTENANCE_INTERVAL;
                        maintain(&recorder).await;
                        retries.extend(retry);
                        None
                    }
                },
            };
            retries.extend(retry);
        }
    };
    // If the shutdown interrupts the recording of a batch, the next run records that batch.
    tokio::select! {
        () = work => {}
        _ = shutdown.wait_for(|is_requested| *is_requested) => {}
    }
}

/// Creates upcoming partitions of the log and applies its retention.
async fn maintain(recorder: &ServedRecorder) {
    if let Err(error) = recorder.log.maintain(&RetentionPolicy::default()).await {
        warn!(error = error.to_string(), "log maintenance failed");
    }
}

/// Returns the archive keys of the batches that are not in the log. If the scan fails, logs a warning and returns the keys found
/// so far.
async fn unrecorded_batches(recorder: &ServedRecorder) -> Vec<String> {
    let mut keys = Vec::new();
    for provider in providers::PROVIDERS {
        let mut after: Option<String> = None;
        loop {
            match recorder.list_unrecorded(provider, after.as_deref(), Instant::now() + RECORD_TIMEOUT).await
            {
                Ok(Some(ArchivePage { last_key, unrecorded_keys, .. })) => {
                    keys.extend(unrecorded_keys);
                    after = Some(last_key);
                }
                Ok(None) => break,
                Err(error) => {
                    let error = error.to_string();
                    warn!(error, "failed to scan the archive for unrecorded batches");
                    return keys;
                }
            }
        }
    }
    keys
}

/// Records one batch. After a transient failure, returns the retry to make.
async fn record_batch(
    recorder: &ServedRecorder,
    key: String,
    backoff: Duration,
    reporter: &Reporter,
) -> Option<BatchRetry> {
    let started = Instant::now();
    let result = recorder.record_archived(&key, &AwsOrigin::default(), started + RECORD_TIMEOUT).await;
    if result.is_ok()
        && let Err(error) = recorder.log.assign_positions().await
    {
        // The batch is recorded; the next reader of the log assigns the positions of its events.
        warn!(error = error.to_string(), "recorded, but positions are not assigned yet");
    }
    reporter.recorded(&key, &result, started.elapsed());
    let is_transient = matches!(
        result,
        Err(RecordError::Log(DatabaseError::Unavailable(_))
            | RecordError::Archive(AwsError::Unavailable { .. })
            | RecordError::TimedOut)
    );
    is_transient.then(|| BatchRetry {
        key,
        due: Instant::now() + backoff,
        backoff: MAX_BACKOFF.min(backoff * 2),
    })
}
