//! Batches go from the archive into the log while the server runs: those that come, and at the start those that an
//! earlier run did not get to.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::endpoints::ServedBus;
use super::terminal::Terminal;
use crate::log::{AnyLog, Log as _, LogError};
use crate::providers;
use crate::recorder::{Place, RecordError, Recorder};

/// How long one batch may take.
const A_BATCH: Duration = Duration::from_secs(60);
/// The first pause after a failure that may pass; it doubles from there.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often the log is put in order.
const MAINTAIN_EVERY: Duration = Duration::from_secs(24 * 3600);

/// The recorder of a server.
pub(super) type ServedRecorder = Recorder<AnyLog, std::sync::Arc<ServedBus>>;

/// Records until `end` becomes true. `kept` are the keys of the batches that come.
pub(super) async fn run(
    recorder: ServedRecorder,
    mut kept: mpsc::UnboundedReceiver<String>,
    terminal: Terminal,
    mut end: watch::Receiver<bool>,
) {
    let work = async {
        if let Err(error) = recorder.log.maintain(None).await {
            warn!(error = error.to_string(), "the log could not be put in order");
        }
        let mut next = Instant::now() + MAINTAIN_EVERY;
        catch_up(&recorder, &terminal).await;
        loop {
            tokio::select! {
                key = kept.recv() => match key {
                    Some(key) => record(&recorder, &key, &terminal).await,
                    None => return,
                },
                () = tokio::time::sleep_until(next) => {
                    next = Instant::now() + MAINTAIN_EVERY;
                    if let Err(error) = recorder.log.maintain(None).await {
                        warn!(error = error.to_string(), "the log could not be put in order");
                    }
                }
            }
        }
    };
    // A batch that is stopped in the middle is recorded by the next run.
    tokio::select! {
        () = work => {}
        _ = end.wait_for(|ended| *ended) => {}
    }
}

/// Records what lies in the archive and is not in the log.
async fn catch_up(recorder: &ServedRecorder, terminal: &Terminal) {
    for provider in providers::ALL.into_iter().filter(|provider| provider.sends_batches()) {
        let mut after: Option<String> = None;
        loop {
            let listed =
                recorder.archive.list(provider.name, after.as_deref(), Instant::now() + A_BATCH).await;
            let keys = match listed {
                Ok(keys) => keys,
                Err(error) => {
                    warn!(
                        error = error.to_string(),
                        "the archive could not be listed; what an earlier run did not record is not looked for"
                    );
                    return;
                }
            };
            let Some(last) = keys.last() else { break };
            after = Some(last.clone());
            for keys in keys.chunks(1000) {
                let origins = keys.iter().map(|key| recorder.archive.url_of(key)).collect();
                let new = match recorder.log.unrecorded(origins).await {
                    Ok(new) => new,
                    Err(error) => {
                        warn!(
                            error = error.to_string(),
                            "the log could not be read; what an earlier run did not record is not looked for"
                        );
                        return;
                    }
                };
                for key in keys.iter().filter(|key| new.contains(&recorder.archive.url_of(key))) {
                    record(recorder, key, terminal).await;
                }
            }
        }
    }
}

/// Records one batch, for as long as it takes where trying again may help.
async fn record(recorder: &ServedRecorder, key: &str, terminal: &Terminal) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let done = recorder.batch(key, &Place::default(), started + A_BATCH).await;
        terminal.recorded(key, &done, started.elapsed());
        let may_pass = matches!(
            done,
            Err(RecordError::Log(LogError::Unavailable(_)) | RecordError::Archive(_) | RecordError::Late)
        );
        if !may_pass {
            return;
        }
        sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 2);
    }
}
