//! The local bus, an append-only JSONL file.
//!
//! The bus acknowledges an event only after its line is durable.
//!
//! One writer thread owns the file. It takes all pending events, writes their lines together and flushes once, so
//! that many webhooks share the cost of a flush. It flushes to a `journal`, which is cheaper than a flush of the
//! growing file. The first publisher requests the flush, after yielding once so that other ready publishers join it.

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
/// Lines that a subscriber may lag behind before it loses the oldest ones.
const WATCHED: usize = 1024;
/// Bytes charged per event on top of its own size: the rest of its line, and of the read buffer that it keeps alive.
const AROUND: usize = 8 << 10;

/// A bus that appends events to a file in a folder.
pub struct LocalBus {
    shared: Arc<Shared>,
    path: PathBuf,
    writer: Option<JoinHandle<()>>,
}

/// State shared by publishers and the writer thread.
struct Shared {
    waiting: Mutex<Waiting>,
    /// Wakes the writer thread.
    work: Condvar,
    /// Free bytes of the buffer of pending events.
    room: Semaphore,
    lines: broadcast::Sender<Arc<str>>,
    /// Length of the durable part of the file, in bytes.
    length: watch::Sender<u64>,
}

/// The events for the next flush.
#[derive(Default)]
struct Waiting {
    puts: Vec<Put>,
    /// Whether a publisher requested the flush.
    called: bool,
    /// Whether the writer thread waits for `work`.
    asleep: bool,
    /// Whether the bus was dropped.
    closed: bool,
}

/// A pending event.
struct Put {
    event: Arc<Event>,
    /// Time of arrival.
    at: Timestamp,
    /// Bytes charged against `Shared::room`.
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

/// Whether an event was written, or why not.
type Written = Result<(), Arc<str>>;

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event to the next flush. The first publisher gets a [`Call`], which requests the flush on drop.
    fn add(&self, put: Put) -> Option<Call<'_>> {
        let mut waiting = self.waiting();
        waiting.puts.push(put);
        let is_first = waiting.puts.len() == 1;
        drop(waiting);
        is_first.then(|| Call(self))
    }

    /// Waits for a flush request and moves the pending events into `puts`, which must be empty. Returns `false` when
    /// the bus is closed and no events are left.
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

/// Why a [`LocalBus`] cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenBusError {
    /// The file cannot be created, read or written.
    #[error("{path}: {error}; choose a folder you can write to with --data")]
    Io {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        error: std::io::Error,
    },
    /// Another process holds the lock on the file.
    #[error("{path} is in use by another hookbridge; stop that one, or choose another folder with --data")]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

impl LocalBus {
    /// Opens the bus in `folder`, which must exist. Truncates an incomplete last line, which a crash left behind and
    /// which was never acknowledged.
    ///
    /// # Errors
    /// When the file cannot be opened or recovered, or another process has it open.
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
        // Make the name of a new file durable, too.
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

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Subscribes to every line written from now on; a line arrives once it is durable.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.shared.lines.subscribe()
    }

    /// Length of the durable part of the file, in bytes; it always ends at a line end.
    pub fn flushed_length(&self) -> watch::Receiver<u64> {
        self.shared.length.subscribe()
    }
}

/// Stops the writer thread after it wrote the pending events.
impl Drop for LocalBus {
    fn drop(&mut self) {
        self.shared.waiting().closed = true;
        self.shared.work.notify_one();
        // The panic hook has already reported a panic of the thread.
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
            Ok(Some(Err(said))) => Err(unavailable(format!("cannot write the event: {said}"))),
            Ok(None) => Err(unavailable(format!("the writer thread of {} has stopped", self.path.display()))),
            Err(_) => Err(unavailable("the disk did not respond in time".into())),
        }
    }
}

/// The state of the writer thread, which owns the file.
struct Writer {
    log: Log,
    ids: EventIdGenerator,
    /// The lines of the next flush.
    lines: Vec<u8>,
    /// Notifies the publishers of these lines.
    told: Vec<oneshot::Sender<Written>>,
}

impl Writer {
    fn of(log: Log) -> Self {
        Self { log, ids: EventIdGenerator::new(), lines: Vec::new(), told: Vec::new() }
    }

    /// Writes pending events until the bus is closed.
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

    /// Makes the lines durable, then notifies subscribers and publishers.
    fn flush(&mut self, shared: &Shared) {
        if self.lines.is_empty() {
            return;
        }
        let written: Written = self.log.append(&self.lines).map_err(|error| error.to_string().into());
        if written.is_ok() && shared.lines.receiver_count() > 0 {
            for line in self.lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                // The last subscriber may have gone, which is fine.
                let _ = shared.lines.send(String::from_utf8_lossy(line).into());
            }
        }
        shared.length.send_replace(self.log.flushed_length());
        for tell in self.told.drain(..) {
            // The publisher may have timed out; the event stays in the file.
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
            // Every second publisher times out before the flush.
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
