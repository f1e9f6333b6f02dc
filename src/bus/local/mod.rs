//! The embedded bus: a file of one JSON line an event, on disk before anybody is told so.
//!
//! One thread owns the file. It takes every event that waits, writes them together and flushes once for all of
//! them, so that many webhooks share the price of one flush.

mod log;

use std::fs::{OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use self::log::{ENOUGH_BYTES, Log};
use super::{Bus, PutError};
use crate::event::{Envelope, Event};

/// The file's name in the data folder.
const FILE: &str = "events.jsonl";
/// Webhooks that may wait for the next flush.
const WAITING: usize = 4096;
/// The most events that one flush covers.
const MOST_AT_ONCE: usize = 1024;
/// Lines that somebody who watches may lag behind before some are skipped for them.
const WATCHED: usize = 1024;

/// A bus in a folder.
pub struct LocalBus {
    queue: mpsc::Sender<Waiting>,
    lines: broadcast::Sender<Arc<str>>,
    path: PathBuf,
}

/// A line that waits to be written. It goes back to who made it, who also frees it: memory that one thread takes and
/// another gives back makes all of them wait for each other.
struct Waiting {
    line: String,
    written: oneshot::Sender<(String, Result<(), String>)>,
}

/// Why the folder cannot be a bus.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made, read or written.
    #[error("{path}: {error}; choose a folder you can write to with --data")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// Another process has it.
    #[error("{path} is in use by another hookbridge; stop that one, or choose another folder with --data")]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

impl LocalBus {
    /// Opens the bus in `folder`, which must exist. A line that a crash left unfinished was never acknowledged
    /// and is cut off.
    ///
    /// # Errors
    /// [`OpenError`] when the file cannot be used, or somebody else uses it.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let path = folder.join(FILE);
        let failed = |error| OpenError::Io { path: path.clone(), error };
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        // Webhooks are their owner's affair.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let (queue, waiting) = mpsc::channel(WAITING);
        let (lines, _) = broadcast::channel(WATCHED);
        // The file is new, perhaps: its name has to be on disk, too.
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        let log = Log::open(file).map_err(failed)?;
        let watched = lines.clone();
        std::thread::Builder::new()
            .name("bus".into())
            .spawn(move || write_all(log, waiting, &watched))
            .map_err(failed)?;
        Ok(Self { queue, lines, path })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every line from now on, once it is on disk.
    pub fn watch(&self) -> broadcast::Receiver<Arc<str>> {
        self.lines.subscribe()
    }
}

impl Bus for LocalBus {
    async fn put(&self, event: &Event, deadline: Instant) -> Result<(), PutError> {
        let unavailable = |last: String| PutError::Unavailable { attempts: 1, last };
        let id = uuid::Uuid::new_v4().to_string();
        let line = Envelope::new(event, id, "000000000000", "local", Timestamp::now())
            .to_line()
            .map_err(|error| PutError::Malformed(error.to_string()))?;
        let (written, answer) = oneshot::channel();
        let put = async {
            self.queue.send(Waiting { line, written }).await.ok()?;
            Some(answer.await.ok()?.1)
        };
        match timeout_at(deadline, put).await {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(said))) => Err(unavailable(said)),
            Ok(None) => Err(unavailable(format!("{} is no longer written to", self.path.display()))),
            Err(_) => Err(unavailable("the disk did not answer in time".into())),
        }
    }
}

fn write_all(mut log: Log, mut waiting: mpsc::Receiver<Waiting>, watched: &broadcast::Sender<Arc<str>>) {
    let mut batch = Vec::new();
    let mut bytes = Vec::new();
    while let Some(first) = waiting.blocking_recv() {
        bytes.clear();
        let mut next = Some(first);
        while let Some(one) = next {
            bytes.extend_from_slice(one.line.as_bytes());
            bytes.push(b'\n');
            batch.push(one);
            let full = batch.len() == MOST_AT_ONCE || bytes.len() >= ENOUGH_BYTES;
            next = if full { None } else { waiting.try_recv().ok() };
        }
        let written = log.append(&bytes).map_err(|error| format!("the event was not written: {error}"));
        for Waiting { line, written: answer } in batch.drain(..) {
            if written.is_ok() && watched.receiver_count() > 0 {
                // Nobody watching any more is no failure.
                let _ = watched.send(line.as_str().into());
            }
            // The webhook that waited may have given up; the event stands in the file all the same.
            let _ = answer.send((line, written.clone()));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::event::Detail;

    fn event(n: usize) -> Event {
        Event {
            source: "github.com".into(),
            detail_type: "push".into(),
            detail: Detail::parse(format!("{{\"n\":{n}}}").as_bytes()).unwrap(),
            time: None,
            resources: vec![],
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn every_event_that_was_taken_stands_in_the_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let bus = Arc::new(LocalBus::open(folder.path()).unwrap());
        let mut lines = bus.watch();
        let puts: Vec<_> = (0..500)
            .map(|n| {
                let bus = bus.clone();
                tokio::spawn(async move { bus.put(&event(n), soon()).await })
            })
            .collect();
        for put in puts {
            put.await.unwrap().unwrap();
        }
        let text = std::fs::read_to_string(bus.path()).unwrap();
        let mut seen: Vec<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["detail"]["n"].as_u64().unwrap()
            })
            .collect();
        seen.sort_unstable();
        assert_eq!(seen, (0..500).collect::<Vec<_>>());
        assert_eq!(lines.recv().await.unwrap().as_ref(), text.lines().next().unwrap());
    }

    #[tokio::test]
    async fn a_line_left_unfinished_by_a_crash_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let whole = format!("{{\"a\":\"{}\"}}\n", "x".repeat(5000));
        std::fs::write(&path, format!("{whole}{{\"b\":\"{}", "y".repeat(9000))).unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
        bus.put(&event(1), soon()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[tokio::test]
    async fn a_folder_belongs_to_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let _first = LocalBus::open(folder.path()).unwrap();
        let second = LocalBus::open(folder.path()).err().unwrap().to_string();
        assert!(second.contains("is in use by another hookbridge"), "{second}");
    }
}
