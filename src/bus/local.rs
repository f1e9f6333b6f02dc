//! The embedded bus: a file of one JSON line an event, on disk before anybody is told so.
//!
//! One thread owns the file. It takes every event that waits, writes them together and flushes once for all of
//! them, so that many webhooks share the price of one flush. What was not flushed is cut off again: a line that
//! stands in the file was acknowledged, or was about to be.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::{Bus, PutError};
use crate::event::{Envelope, Event};

/// The file's name in the data folder.
const FILE: &str = "events.jsonl";
/// Webhooks that may wait for the next flush.
const WAITING: usize = 4096;
/// The most that one flush covers.
const MOST_AT_ONCE: usize = 1024;
/// Lines that somebody who watches may lag behind before some are skipped for them.
const WATCHED: usize = 1024;

/// A bus in a folder.
pub struct LocalBus {
    queue: mpsc::Sender<Waiting>,
    lines: broadcast::Sender<Arc<str>>,
    path: PathBuf,
}

struct Waiting {
    line: String,
    written: oneshot::Sender<Result<(), String>>,
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
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        let length = end_of_last_line(&mut file).map_err(failed)?;
        file.set_len(length).map_err(failed)?;
        let (queue, waiting) = mpsc::channel(WAITING);
        let (lines, _) = broadcast::channel(WATCHED);
        let watched = lines.clone();
        std::thread::Builder::new()
            .name("bus".into())
            .spawn(move || write_all(&mut Log { file, length }, waiting, &watched))
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
    async fn put(&self, event: Event, deadline: Instant) -> Result<(), PutError> {
        let unavailable = |last: String| PutError::Unavailable { attempts: 1, last };
        let id = uuid::Uuid::new_v4().to_string();
        let line = Envelope::new(&event, id, "000000000000", "local", Timestamp::now())
            .to_line()
            .map_err(|error| PutError::Malformed(error.to_string()))?;
        let (written, answer) = oneshot::channel();
        let put = async {
            self.queue.send(Waiting { line, written }).await.ok()?;
            answer.await.ok()
        };
        match timeout_at(deadline, put).await {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(said))) => Err(unavailable(said)),
            Ok(None) => Err(unavailable(format!("{} is no longer written to", self.path.display()))),
            Err(_) => Err(unavailable("the disk did not answer in time".into())),
        }
    }
}

/// The offset behind the last line break.
fn end_of_last_line(file: &mut File) -> std::io::Result<u64> {
    let mut end = file.seek(SeekFrom::End(0))?;
    let mut block = [0; 4096];
    while end > 0 {
        let start = end.saturating_sub(4096);
        let block = &mut block[..usize::try_from(end - start).unwrap_or(0)];
        file.seek(SeekFrom::Start(start))?;
        file.read_exact(block)?;
        if let Some(at) = block.iter().rposition(|b| *b == b'\n') {
            return Ok(start + at as u64 + 1);
        }
        end = start;
    }
    Ok(0)
}

/// The file and the length up to which it is flushed.
struct Log {
    file: File,
    length: u64,
}

impl Log {
    /// Writes and flushes; on failure the file is as it was before.
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(bytes))
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.length += bytes.len() as u64,
            Err(_) => self.file.set_len(self.length)?,
        }
        written
    }
}

fn write_all(log: &mut Log, mut waiting: mpsc::Receiver<Waiting>, watched: &broadcast::Sender<Arc<str>>) {
    let mut batch = Vec::new();
    let mut bytes = Vec::new();
    while waiting.blocking_recv_many(&mut batch, MOST_AT_ONCE) > 0 {
        bytes.clear();
        for one in &batch {
            bytes.extend_from_slice(one.line.as_bytes());
            bytes.push(b'\n');
        }
        let written = log.append(&bytes).map_err(|error| format!("the event was not written: {error}"));
        for one in batch.drain(..) {
            if written.is_ok() && watched.receiver_count() > 0 {
                // Nobody watching any more is no failure.
                let _ = watched.send(one.line.into());
            }
            // The webhook that waited may have given up; the event stands in the file all the same.
            let _ = one.written.send(written.clone());
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
                tokio::spawn(async move { bus.put(event(n), soon()).await })
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
        bus.put(event(1), soon()).await.unwrap();
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
