//! Events go from the embedded bus into the log while the server runs, and at the start those that an earlier run did not
//! get to. How far it got stands in a file beside the bus; where that is lost, all of it is gone through again, and what the
//! log has already stays as it is.

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

/// The most that is recorded at once, in bytes.
const AT_ONCE: u64 = 1 << 20;
/// More than this is a flood, in bytes a second.
const FLOOD: f64 = 16e6;
/// In a flood, the time between two steps, in steps, and the longest.
const GENTLE: (u32, Duration) = (32, Duration::from_secs(5));
/// How often is looked whether it is over.
const IS_OVER: Duration = Duration::from_millis(50);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(2);
/// The file that says how far it got, in the data folder.
const MARK: &str = "events.recorded";

/// Why some events were not recorded.
#[derive(Debug, thiserror::Error)]
enum TailError {
    #[error("{0}")]
    File(#[from] std::io::Error),
    #[error("the log: {0}")]
    Log(#[from] LogError),
}

/// The bus's file, and how far it is in the log.
struct Tail {
    events: PathBuf,
    mark: PathBuf,
    log: AnyLog,
    /// Which log it is.
    of: String,
    offset: u64,
    /// The lines of other logs in the mark.
    others: String,
}

/// Records until `end` becomes true. `length` is how much of the file is written.
pub(super) async fn run(
    events: PathBuf,
    log: AnyLog,
    mut length: watch::Receiver<u64>,
    mut end: watch::Receiver<bool>,
) {
    let work = async {
        let mut tail = None;
        loop {
            if let Err(error) = record(&mut tail, &events, &log, &mut length).await {
                warn!(error = error.to_string(), "failed to tail the bus file; retrying");
                sleep(PAUSE).await;
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

async fn record(
    tail: &mut Option<Tail>,
    events: &Path,
    log: &AnyLog,
    length: &mut watch::Receiver<u64>,
) -> Result<(), TailError> {
    let tail = match tail {
        Some(tail) => tail,
        None => tail.insert(Tail::open(events, log).await?),
    };
    if tail.offset > *length.borrow() {
        // Another file: somebody has put the first one away.
        tail.offset = 0;
    }
    while tail.offset < *length.borrow_and_update() {
        let (written, started) = (*length.borrow(), Instant::now());
        tail.step(written).await?;
        after_a_flood(length, written, started).await;
    }
    Ok(())
}

/// In a flood webhooks go first, and the log is for later: waits until it is over, or for a while. `written` is how much there
/// was at `since`, when the last step began.
async fn after_a_flood(length: &watch::Receiver<u64>, mut written: u64, mut since: Instant) {
    let end = Instant::now() + (since.elapsed() * GENTLE.0).min(GENTLE.1);
    while Instant::now() < end {
        let now = *length.borrow();
        if (now.saturating_sub(written) as f64) < FLOOD * since.elapsed().as_secs_f64() {
            return;
        }
        (written, since) = (now, Instant::now());
        sleep(IS_OVER).await;
    }
}

impl Tail {
    async fn open(events: &Path, log: &AnyLog) -> Result<Self, TailError> {
        let key = log.cursor_key().await?;
        let of = hex::encode(&Sha256::digest([b"which log".as_slice(), key.expose()].concat())[..8]);
        let mark = events.with_file_name(MARK);
        let text = std::fs::read_to_string(&mark).unwrap_or_default();
        let (ours, others): (Vec<_>, Vec<_>) =
            text.lines().filter_map(|line| line.split_once(' ')).partition(|(log, _)| *log == of);
        let offset = ours.first().and_then(|(_, offset)| offset.trim().parse().ok()).unwrap_or_default();
        let others = others.iter().map(|(log, offset)| format!("{log} {offset}\n")).collect();
        Ok(Self { events: events.to_owned(), mark, log: log.clone(), of, offset, others })
    }

    /// Records some of the events that are written and not in the log.
    async fn step(&mut self, written: u64) -> Result<(), TailError> {
        let mut lines = Vec::new();
        let mut file = File::open(&self.events)?;
        file.seek(SeekFrom::Start(self.offset))?;
        let mut most = AT_ONCE;
        // At least one line, however long it is.
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
        std::fs::write(&self.mark, format!("{} {}\n{}", self.of, self.offset, self.others))?;
        Ok(())
    }
}
