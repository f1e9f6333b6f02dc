//! Local bus: an append-only JSONL file, flushed before a publish is acknowledged.
//!
//! One thread owns the file. It takes every event that waits, writes their lines together and flushes once for all of them,
//! so that many webhooks share the price of one flush; and what it flushes is a `journal`, where that costs less. Whoever comes
//! first calls for the flush, when all who are ready have come.

mod event_file;
mod file_identity;
mod flusher;
mod ids;
mod journal;
mod journal_record;

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use jiff::Timestamp;
use tokio::sync::{Semaphore, broadcast, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use self::event_file::{FLUSH_BATCH_BYTES, Log};
use self::ids::EventIdGenerator;
use super::Bus;
use crate::call::CallError;
use crate::event::{AwsOriginRef, Envelope, Event};
use crate::files::open_private;

/// The file's name in the data folder.
const FILE: &str = "events.jsonl";
/// Lines that somebody who watches may lag behind before some are skipped for them.
const WATCHED: usize = 1024;
/// What takes room beside the event's own bytes: the rest of its line, and of the buffer that it was read into and holds on to.
const AROUND: usize = 8 << 10;

/// A bus in a folder.
pub struct LocalBus {
    shared: Arc<Shared>,
    path: PathBuf,
    writer: Option<JoinHandle<()>>,
}

/// State shared by publishers and the writer thread.
struct Shared {
    waiting: Mutex<Waiting>,
    /// Told when something waits and the thread sleeps.
    work: Condvar,
    /// Bytes that may still be added to the events that wait.
    room: Semaphore,
    lines: broadcast::Sender<Arc<str>>,
    /// How much of the file is on disk, in bytes.
    length: watch::Sender<u64>,
}

/// The events for the next flush.
#[derive(Default)]
struct Waiting {
    puts: Vec<Put>,
    /// Whether they are called for.
    called: bool,
    /// Whether the thread that writes has nothing to do.
    asleep: bool,
    /// Whether nothing more will come.
    closed: bool,
}

/// An event that waits.
struct Put {
    event: Arc<Event>,
    /// When it came.
    at: Timestamp,
    /// The bytes of room that it takes.
    room: usize,
    tell: oneshot::Sender<Written>,
}

/// Requests the pending flush on drop, so it happens even if the first publisher is cancelled.
struct Call<'a>(&'a Shared);

impl Drop for Call<'_> {
    fn drop(&mut self) {
        let mut waiting = self.0.waiting();
        waiting.called = true;
        let wake = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if wake {
            self.0.work.notify_one();
        }
    }
}

/// What became of an event.
type Written = Result<(), Arc<str>>;

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event to the next flush; the first one has to call for it.
    fn add(&self, put: Put) -> Option<Call<'_>> {
        let mut waiting = self.waiting();
        waiting.puts.push(put);
        let is_first = waiting.puts.len() == 1;
        drop(waiting);
        is_first.then(|| Call(self))
    }

    /// Swaps the events that wait, as soon as they are called for, for the empty `puts`; `false` when none will ever come.
    fn take(&self, puts: &mut Vec<Put>) -> bool {
        let mut waiting = self.waiting();
        while !waiting.called && !waiting.closed {
            waiting.asleep = true;
            waiting = self.work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.called = false;
        std::mem::swap(&mut waiting.puts, puts);
        drop(waiting);
        self.room.add_permits(puts.iter().map(|put| put.room).sum());
        !puts.is_empty()
    }
}

/// Why the folder cannot be a bus.
#[derive(Debug, thiserror::Error)]
pub enum OpenBusError {
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
    /// [`OpenBusError`] when the file cannot be used, or another process uses it.
    pub fn open(folder: &Path) -> Result<Self, OpenBusError> {
        let path = folder.join(FILE);
        let failed = |error| OpenBusError::Io { path: path.clone(), error };
        // Owner-only permissions: payloads may be sensitive.
        let file = open_private(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenBusError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(failed(error)),
        }
        // The file is new, perhaps: its name has to be on disk, too.
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        let log = Log::open(path.clone(), file).map_err(failed)?;
        let (lines, _) = broadcast::channel(WATCHED);
        let room = Semaphore::new(FLUSH_BATCH_BYTES);
        let length = watch::Sender::new(log.flushed_length());
        let shared =
            Arc::new(Shared { waiting: Mutex::default(), work: Condvar::new(), room, lines, length });
        let of_thread = shared.clone();
        let writer = std::thread::Builder::new()
            .name("bus".into())
            .spawn(move || Writer::of(log).run(&of_thread))
            .map_err(failed)?;
        Ok(Self { shared, path, writer: Some(writer) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every line from now on, once it is on disk.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.shared.lines.subscribe()
    }

    /// How much of the file is on disk, in bytes; always whole lines.
    pub fn flushed_length(&self) -> watch::Receiver<u64> {
        self.shared.length.subscribe()
    }
}

/// Has the thread end, when it has written what it has.
impl Drop for LocalBus {
    fn drop(&mut self) {
        self.shared.waiting().closed = true;
        self.shared.work.notify_one();
        // A panic in it has been shown already.
        let _ = self.writer.take().map(JoinHandle::join);
    }
}

impl Bus for LocalBus {
    async fn publish(&self, event: &Arc<Event>, deadline: Instant) -> Result<(), CallError> {
        let unavailable = |last: String| CallError::Unavailable { attempts: 1, last };
        let at = Timestamp::now();
        let put = async {
            let room = (event.entry_size() + AROUND).min(FLUSH_BATCH_BYTES);
            self.shared.room.acquire_many(u32::try_from(room).ok()?).await.ok()?.forget();
            let (tell, told) = oneshot::channel();
            if let Some(call) = self.shared.add(Put { event: event.clone(), at, room, tell }) {
                // Yield once so other ready publishers join this flush.
                yield_now().await;
                drop(call);
            }
            told.await.ok()
        };
        match timeout_at(deadline, put).await {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(said))) => Err(unavailable(format!("the event was not written: {said}"))),
            Ok(None) => Err(unavailable(format!("{} is no longer written to", self.path.display()))),
            Err(_) => Err(unavailable("the disk did not answer in time".into())),
        }
    }
}

/// The thread that owns the file.
struct Writer {
    log: Log,
    ids: EventIdGenerator,
    /// The lines of the flush that comes next.
    lines: Vec<u8>,
    /// Who waits for it.
    told: Vec<oneshot::Sender<Written>>,
}

impl Writer {
    fn of(log: Log) -> Self {
        Self { log, ids: EventIdGenerator::new(), lines: Vec::new(), told: Vec::new() }
    }

    /// Writes what comes until nothing will.
    fn run(mut self, shared: &Shared) {
        let mut puts = Vec::new();
        while shared.take(&mut puts) {
            for put in puts.drain(..) {
                self.add(put);
                if self.lines.len() >= FLUSH_BATCH_BYTES {
                    self.flush(shared);
                }
            }
            self.flush(shared);
        }
        if let Err(error) = self.log.close() {
            warn!(%error, "failed to truncate the journal on shutdown; it will be replayed on the next start");
        }
    }

    fn add(&mut self, put: Put) {
        let id = self.ids.next_id();
        let through = AwsOriginRef { account: "000000000000", region: "local" };
        let envelope = Envelope::from_event(&put.event, &id, through, put.at);
        let before = self.lines.len();
        match envelope.write_kept_line(put.event.detail.as_str(), &mut self.lines) {
            Ok(()) => self.told.push(put.tell),
            Err(error) => {
                self.lines.truncate(before);
                let _ = put.tell.send(Err(error.to_string().into()));
            }
        }
    }

    /// Has the lines on disk, and tells so.
    fn flush(&mut self, shared: &Shared) {
        if self.lines.is_empty() {
            return;
        }
        let written: Written = self.log.append(&self.lines).map_err(|error| error.to_string().into());
        if written.is_ok() && shared.lines.receiver_count() > 0 {
            for line in self.lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                // Nobody watching any more is no failure.
                let _ = shared.lines.send(String::from_utf8_lossy(line).into());
            }
        }
        shared.length.send_replace(self.log.flushed_length());
        for tell in self.told.drain(..) {
            // The webhook that waited may have given up; the event stands in the file all the same.
            let _ = tell.send(written.clone());
        }
        self.lines.clear();
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
        let mut lines = bus.subscribe();
        let puts: Vec<_> = (0..500)
            .map(|n| {
                let bus = bus.clone();
                tokio::spawn(async move { bus.publish(&Arc::new(event(n)), soon()).await })
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
        bus.publish(&Arc::new(event(1)), soon()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[tokio::test]
    async fn room_comes_back_whatever_becomes_of_who_waits() {
        let folder = tempfile::tempdir().unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        let text = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
        let large = Arc::new(Event { detail: Detail::parse(text.as_bytes()).unwrap(), ..event(0) });
        for n in 0..12 {
            // Every other one gives up before it is told.
            let deadline = if n % 2 == 0 { soon() } else { Instant::now() };
            let put = bus.publish(&large, deadline).await;
            assert!(put.is_ok() || n % 2 == 1, "{put:?}");
        }
        let path = bus.path().to_owned();
        drop(bus);
        assert!(std::fs::metadata(path).unwrap().len() > 6 << 20, "more than there is room for at once");
    }

    #[tokio::test]
    async fn after_its_end_the_file_can_be_put_away() {
        let folder = tempfile::tempdir().unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        bus.publish(&Arc::new(event(1)), soon()).await.unwrap();
        drop(bus);
        std::fs::remove_file(folder.path().join(FILE)).unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        assert_eq!(std::fs::metadata(bus.path()).unwrap().len(), 0, "nothing comes from the journal");
    }

    #[tokio::test]
    async fn who_comes_first_may_give_up_before_the_flush_is_called_for() {
        let folder = tempfile::tempdir().unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        let mut length = bus.flushed_length();
        let event = Arc::new(event(1));
        let mut put = Box::pin(bus.publish(&event, soon()));
        tokio::select! {
            biased;
            _ = &mut put => panic!("it waits for the others"),
            () = std::future::ready(()) => drop(put),
        }
        timeout_at(soon(), length.changed()).await.unwrap().unwrap();
        assert!(std::fs::read_to_string(bus.path()).unwrap().ends_with("{\"n\":1}}\n"));
    }

    #[tokio::test]
    async fn a_line_may_be_longer_than_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        let text = format!("{{{}\"a\":1}}", "\n".repeat(1_000_000));
        let broken = Arc::new(Event { detail: Detail::parse(text.as_bytes()).unwrap(), ..event(0) });
        bus.publish(&broken, soon()).await.unwrap();
        bus.publish(&Arc::new(event(1)), soon()).await.unwrap();
        let path = bus.path().to_owned();
        drop(bus);
        let written = std::fs::read_to_string(path).unwrap();
        assert!(
            written.lines().next().unwrap().len() > FLUSH_BATCH_BYTES,
            "each line break has its place noted"
        );
        assert_eq!(written.lines().count(), 2);
    }

    #[tokio::test]
    async fn a_folder_belongs_to_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let _first = LocalBus::open(folder.path()).unwrap();
        let second = LocalBus::open(folder.path()).err().unwrap().to_string();
        assert!(second.contains("is in use by another hookbridge"), "{second}");
    }
}
