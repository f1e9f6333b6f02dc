//! Tails the local bus file, and records its events in the log.
//!
//! A checkpoint file stores the offset in the bus file up to which events are recorded, so the next run continues there. If the
//! checkpoint is missing, the whole bus file is read again; the log skips the events that it already has.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::warn;

use crate::db::DatabaseError;
use crate::log::EventLog;
use crate::recorder;
use crate::serve::reporter::Reporter;

/// The maximum number of bytes of the bus file that one step records.
const MAX_STEP_BYTES: u64 = 1 << 20;
/// If the bus file grows at least this fast, very many webhooks arrive (a flood), and recording pauses.
const FLOOD_BYTES_PER_SECOND: f64 = 16e6;
/// During a flood, the pause after a step is at most this multiple of the step's duration, and at most [`MAX_FLOOD_PAUSE`].
const FLOOD_PAUSE_FACTOR: u32 = 32;
const MAX_FLOOD_PAUSE: Duration = Duration::from_secs(5);
const FLOOD_CHECK_INTERVAL: Duration = Duration::from_millis(50);
const ERROR_BACKOFF: Duration = Duration::from_secs(2);
const CHECKPOINT_FILE: &str = "events.recorded";

#[derive(Debug, thiserror::Error)]
enum TailError {
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error("the log: {0}")]
    Log(#[from] DatabaseError),
}

/// The bus file, and the offset up to which its events are in the log.
struct FileTail {
    event_file: PathBuf,
    checkpoint_file: PathBuf,
    log: EventLog,
    /// Identifies this log in the checkpoint file, which has one line for each log.
    log_id: String,
    offset: u64,
    /// The lines of the checkpoint file that belong to other logs.
    other_checkpoints: String,
}

/// Records the events of the bus file until `shutdown` becomes true. `length` is the length of the durable part of the file.
pub(in crate::serve) async fn run(
    event_file: PathBuf,
    log: EventLog,
    mut length: watch::Receiver<u64>,
    reporter: Reporter,
    mut shutdown: watch::Receiver<bool>,
) {
    let work = async {
        let mut tail = None;
        loop {
            if let Err(error) = ingest_available(&mut tail, &event_file, &log, &mut length, &reporter).await {
                let error = error.to_string();
                reporter.tailed(Err(&error));
                warn!(error, "failed to tail the bus file; retrying");
                sleep(ERROR_BACKOFF).await;
            } else if length.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = work => {}
        _ = shutdown.wait_for(|is_requested| *is_requested) => {}
    }
}

/// Records the events of the bus file that are not recorded yet.
async fn ingest_available(
    tail: &mut Option<FileTail>,
    event_file: &Path,
    log: &EventLog,
    length: &mut watch::Receiver<u64>,
    reporter: &Reporter,
) -> Result<(), TailError> {
    let tail = match tail {
        Some(tail) => tail,
        None => tail.insert(FileTail::open(event_file, log).await?),
    };
    reporter.tailed(Ok(tail.offset));
    if tail.offset > *length.borrow() {
        // The file ends before the recorded offset, so it was replaced: read the new file from the start.
        tail.offset = 0;
    }
    while tail.offset < *length.borrow_and_update() {
        let (file_length, started) = (*length.borrow(), Instant::now());
        tail.ingest_step(file_length).await?;
        reporter.tailed(Ok(tail.offset));
        wait_for_end_of_flood(length, file_length, started).await;
    }
    Ok(())
}

/// Waits during a flood, because receiving webhooks has priority over recording events. `old_length` was the file's length at
/// `since`, when the last step started.
async fn wait_for_end_of_flood(length: &watch::Receiver<u64>, mut old_length: u64, mut since: Instant) {
    let deadline = Instant::now() + (since.elapsed() * FLOOD_PAUSE_FACTOR).min(MAX_FLOOD_PAUSE);
    while Instant::now() < deadline {
        let current_length = *length.borrow();
        if (current_length.saturating_sub(old_length) as f64)
            < FLOOD_BYTES_PER_SECOND * since.elapsed().as_secs_f64()
        {
            return;
        }
        (old_length, since) = (current_length, Instant::now());
        sleep(FLOOD_CHECK_INTERVAL).await;
    }
}

impl FileTail {
    async fn open(event_file: &Path, log: &EventLog) -> Result<Self, TailError> {
        let key = log.cursor_signing_key().await?;
        let log_id = hex::encode(&Sha256::digest([b"which log".as_slice(), key.expose()].concat())[..8]);
        let checkpoint_file = event_file.with_file_name(CHECKPOINT_FILE);
        let text = std::fs::read_to_string(&checkpoint_file).unwrap_or_default();
        let (own_lines, other_lines): (Vec<_>, Vec<_>) =
            text.lines().filter_map(|line| line.split_once(' ')).partition(|(id, _)| *id == log_id);
        let offset = own_lines.first().and_then(|(_, offset)| offset.trim().parse().ok()).unwrap_or_default();
        let other_checkpoints = other_lines.iter().map(|(id, offset)| format!("{id} {offset}\n")).collect();
        Ok(Self {
            event_file: event_file.to_owned(),
            checkpoint_file,
            log: log.clone(),
            log_id,
            offset,
            other_checkpoints,
        })
    }

    /// Records the next lines of the file, at most [`MAX_STEP_BYTES`] unless one line is longer, and updates the checkpoint file.
    async fn ingest_step(&mut self, file_length: u64) -> Result<(), TailError> {
        let mut lines = Vec::new();
        let mut file = File::open(&self.event_file)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut read_limit = MAX_STEP_BYTES;
        // Read at least one line, however long it is.
        while !lines.contains(&b'\n') && self.offset + (lines.len() as u64) < file_length {
            let remaining = file_length - self.offset - lines.len() as u64;
            if file.by_ref().take(read_limit.min(remaining)).read_to_end(&mut lines)? == 0 {
                break;
            }
            read_limit *= 2;
        }
        let complete_bytes = memchr::memrchr(b'\n', &lines).map_or(0, |index| index + 1);
        lines.truncate(complete_bytes);
        if complete_bytes == 0 {
            self.offset = file_length;
            return Ok(());
        }
        let text = String::from_utf8_lossy(&lines);
        let batch = recorder::parse_event_lines(&text);
        if batch.unrecognized_count > 0 {
            let (from, count) = (self.offset, batch.unrecognized_count);
            warn!(from, lines = count, "skipped invalid lines in the bus file");
        }
        self.log.record(&batch).await?;
        self.log.assign_positions().await?;
        self.offset += complete_bytes as u64;
        std::fs::write(
            &self.checkpoint_file,
            format!("{} {}\n{}", self.log_id, self.offset, self.other_checkpoints),
        )?;
        Ok(())
    }
}
