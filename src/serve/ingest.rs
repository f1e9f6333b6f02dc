//! Tails the local bus file into the log.
//!
//! A checkpoint file holds the offset, so the next run ingests the events that this one did not reach. Without the checkpoint the
//! whole file is read again; recorded events are recognised and stay unchanged.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use crate::log::{AnyLog, EventReader as _, EventStore as _, LogError};
use crate::recorder;

/// The most bytes that are recorded in one step.
const MAX_STEP_BYTES: u64 = 1 << 20;
/// A higher write rate counts as a flood.
const FLOOD_BYTES_PER_SECOND: f64 = 16e6;
/// During a flood, the pause between steps: a multiple of the last step's time, and its maximum.
const FLOOD_THROTTLE: (u32, Duration) = (32, Duration::from_secs(5));
const FLOOD_END_INTERVAL: Duration = Duration::from_millis(50);
const ERROR_BACKOFF: Duration = Duration::from_secs(2);
const CHECKPOINT_FILE: &str = "events.recorded";

#[derive(Debug, thiserror::Error)]
enum TailError {
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error("the log: {0}")]
    Log(#[from] LogError),
}

/// The bus file and the offset up to which it is in the log.
struct FileTail {
    events: PathBuf,
    checkpoint_file: PathBuf,
    log: AnyLog,
    /// Identifies the log in the checkpoint file.
    file_id: String,
    offset: u64,
    /// The checkpoint lines of other logs.
    other_checkpoints: String,
}

/// Ingests until `end` becomes true. `length` is the flushed length of the file.
pub(super) async fn run(
    events: PathBuf,
    log: AnyLog,
    mut length: watch::Receiver<u64>,
    mut end: watch::Receiver<bool>,
) {
    let work = async {
        let mut tail = None;
        loop {
            if let Err(error) = ingest_available(&mut tail, &events, &log, &mut length).await {
                warn!(error = error.to_string(), "failed to tail the bus file; retrying");
                sleep(ERROR_BACKOFF).await;
            } else if length.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = work => {}
        _ = end.wait_for(|ended| *ended) => {}
    }
}

async fn ingest_available(
    tail: &mut Option<FileTail>,
    events: &Path,
    log: &AnyLog,
    length: &mut watch::Receiver<u64>,
) -> Result<(), TailError> {
    let tail = match tail {
        Some(tail) => tail,
        None => tail.insert(FileTail::open(events, log).await?),
    };
    if tail.offset > *length.borrow() {
        // The file was replaced.
        tail.offset = 0;
    }
    while tail.offset < *length.borrow_and_update() {
        let (written, started) = (*length.borrow(), Instant::now());
        tail.ingest_step(written).await?;
        wait_for_end_of_flood(length, written, started).await;
    }
    Ok(())
}

/// Waits while webhooks arrive faster than the flood rate, because they have priority over the log. `written` was the file's
/// length at `since`, when the last step started.
async fn wait_for_end_of_flood(length: &watch::Receiver<u64>, mut written: u64, mut since: Instant) {
    let end = Instant::now() + (since.elapsed() * FLOOD_THROTTLE.0).min(FLOOD_THROTTLE.1);
    while Instant::now() < end {
        let now = *length.borrow();
        if (now.saturating_sub(written) as f64) < FLOOD_BYTES_PER_SECOND * since.elapsed().as_secs_f64() {
            return;
        }
        (written, since) = (now, Instant::now());
        sleep(FLOOD_END_INTERVAL).await;
    }
}

impl FileTail {
    async fn open(events: &Path, log: &AnyLog) -> Result<Self, TailError> {
        let key = log.cursor_key().await?;
        let of = hex::encode(&Sha256::digest([b"which log".as_slice(), key.expose()].concat())[..8]);
        let mark = events.with_file_name(CHECKPOINT_FILE);
        let text = std::fs::read_to_string(&mark).unwrap_or_default();
        let (ours, others): (Vec<_>, Vec<_>) =
            text.lines().filter_map(|line| line.split_once(' ')).partition(|(log, _)| *log == of);
        let offset = ours.first().and_then(|(_, offset)| offset.trim().parse().ok()).unwrap_or_default();
        let others = others.iter().map(|(log, offset)| format!("{log} {offset}\n")).collect();
        Ok(Self {
            events: events.to_owned(),
            checkpoint_file: mark,
            log: log.clone(),
            file_id: of,
            offset,
            other_checkpoints: others,
        })
    }

    /// Records the next part of the file, at most [`MAX_STEP_BYTES`] unless one line is longer.
    async fn ingest_step(&mut self, written: u64) -> Result<(), TailError> {
        let mut lines = Vec::new();
        let mut file = File::open(&self.events)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut most = MAX_STEP_BYTES;
        // At least one line, however long.
        while !lines.contains(&b'\n') && self.offset + (lines.len() as u64) < written {
            let left = written - self.offset - lines.len() as u64;
            if file.by_ref().take(most.min(left)).read_to_end(&mut lines)? == 0 {
                break;
            }
            most *= 2;
        }
        let whole = memchr::memrchr(b'\n', &lines).map_or(0, |at| at + 1);
        lines.truncate(whole);
        if whole == 0 {
            self.offset = written;
            return Ok(());
        }
        let text = String::from_utf8_lossy(&lines);
        let batch = recorder::parse_event_lines(&text);
        if batch.unrecognized > 0 {
            let (from, lines) = (self.offset, batch.unrecognized);
            warn!(from, lines, "skipped invalid lines in the bus file");
        }
        self.log.record(&batch).await?;
        self.log.assign_positions().await?;
        self.offset += whole as u64;
        std::fs::write(
            &self.checkpoint_file,
            format!("{} {}\n{}", self.file_id, self.offset, self.other_checkpoints),
        )?;
        Ok(())
    }
}
