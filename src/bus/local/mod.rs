//! The local bus appends events as lines to a JSONL file, the bus file.
//!
//! The bus acknowledges an event only after the line of the event is durable.
//!
//! One thread, the [`Writer`], owns the bus file. It takes all pending events, writes their lines together and flushes once, so
//! that many webhooks share the cost of a flush. The writer flushes the [`journal`] instead of the bus file, because a flush of a
//! growing file costs more. The publisher of the first pending event requests the flush. Before its request, this publisher
//! yields to the scheduler, so that the events of other publishers that are ready join the same flush. The module
//! `file_identity` notices when the bus file or the journal was moved or replaced.

mod event_file;
mod file_identity;
mod flusher;
mod ids;
mod journal;
mod journal_record;

use std::fs::TryLockError;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::{Semaphore, broadcast, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use self::event_file::{EventFile, FLUSH_BATCH_BYTES};
use self::ids::EventIdGenerator;
use super::Bus;
use crate::aws::AwsError;
use crate::event::{AwsOriginRef, Envelope, Event};
use crate::util::files::open_private;

/// Name of the bus file in the data folder.
const EVENTS_FILE: &str = "events.jsonl";
/// Number of lines by which a receiver of [`LocalBus::subscribe`] may lag behind before it loses the oldest unread lines.
const LINE_CHANNEL_CAPACITY: usize = 1024;
/// Bytes that an event is charged in the buffer in addition to its entry size: for the other fields of its line, and for the rest
/// of the HTTP request's read buffer, which the event keeps in memory.
const EVENT_OVERHEAD_BYTES: usize = 8 << 10;

/// A bus that appends events to the bus file in a folder.
pub struct LocalBus {
    shared: Arc<SharedState>,
    path: PathBuf,
    /// The writer thread; `None` only while the bus is dropped.
    writer: Option<JoinHandle<()>>,
}

/// State shared by publishers and the writer thread.
struct SharedState {
    buffer: Mutex<PendingBuffer>,
    /// Wakes the writer thread.
    work_available: Condvar,
    /// One permit for each free byte of the buffer of pending events.
    free_bytes: Semaphore,
    /// Sends every durable line to the subscribers.
    line_sender: broadcast::Sender<Arc<str>>,
    /// Length of the durable part of the bus file, in bytes.
    durable_length: watch::Sender<u64>,
    /// How many times the writer has made lines durable.
    flush_count: AtomicU64,
}

/// The events that the next flush writes.
#[derive(Default)]
struct PendingBuffer {
    pending_events: Vec<PendingEvent>,
    /// Whether a publisher has requested the next flush.
    is_flush_requested: bool,
    /// Whether the writer thread waits for `work_available`.
    is_writer_waiting: bool,
    /// Whether the bus was dropped.
    is_closed: bool,
}

/// An event that waits for the next flush.
struct PendingEvent {
    event: Arc<Event>,
    /// When the publisher passed the event to the bus.
    received_at: Timestamp,
    /// Bytes of the buffer that the event occupies: the number of permits that it took from `SharedState::free_bytes`.
    charged_bytes: usize,
    /// Sends the result of the flush to the publisher.
    completion: oneshot::Sender<WriteResult>,
}

/// Requests the next flush when it is dropped, so that the flush happens even if the first publisher is cancelled before its own
/// request.
struct FlushOnDrop<'a>(&'a SharedState);

impl Drop for FlushOnDrop<'_> {
    fn drop(&mut self) {
        let mut buffer = self.0.lock_buffer();
        buffer.is_flush_requested = true;
        let must_wake_writer = std::mem::take(&mut buffer.is_writer_waiting);
        drop(buffer);
        if must_wake_writer {
            self.0.work_available.notify_one();
        }
    }
}

/// The result of writing one event. The error is a text, because all publishers of a failed flush share it.
type WriteResult = Result<(), Arc<str>>;

impl SharedState {
    fn lock_buffer(&self) -> MutexGuard<'_, PendingBuffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event to the next flush. Returns a [`FlushOnDrop`] to the first publisher of this flush, which must drop it to
    /// request the flush.
    fn enqueue(&self, pending: PendingEvent) -> Option<FlushOnDrop<'_>> {
        let mut buffer = self.lock_buffer();
        buffer.pending_events.push(pending);
        let is_first = buffer.pending_events.len() == 1;
        drop(buffer);
        is_first.then(|| FlushOnDrop(self))
    }

    /// Waits for a flush request, moves the events of the buffer into `pending_events`, which must be empty, and releases their
    /// bytes of the buffer. Returns `false` if the bus is closed and no event is pending.
    fn take_pending(&self, pending_events: &mut Vec<PendingEvent>) -> bool {
        let mut buffer = self.lock_buffer();
        while !buffer.is_flush_requested && !buffer.is_closed {
            buffer.is_writer_waiting = true;
            buffer = self.work_available.wait(buffer).unwrap_or_else(PoisonError::into_inner);
        }
        buffer.is_flush_requested = false;
        std::mem::swap(&mut buffer.pending_events, pending_events);
        drop(buffer);
        self.free_bytes.add_permits(pending_events.iter().map(|pending| pending.charged_bytes).sum());
        !pending_events.is_empty()
    }
}

/// Why a [`LocalBus`] cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenBusError {
    /// The bus file cannot be created, read or written.
    #[error("{path}: {error}; choose a folder you can write to with --data")]
    Io {
        /// The path of the bus file.
        path: PathBuf,
        /// The error of the operating system.
        error: std::io::Error,
    },
    /// Another process holds the lock on the bus file.
    #[error("{path} is in use by another hookbridge; stop that one, or choose another folder with --data")]
    InUse {
        /// The path of the bus file.
        path: PathBuf,
    },
}

impl LocalBus {
    /// Opens the bus in `folder`, which must exist. Restores lines that the bus file lost in a crash, and truncates incomplete
    /// lines at its end, which the bus never acknowledged.
    ///
    /// # Errors
    /// The bus file cannot be opened or recovered, or another process has locked it.
    pub fn open(folder: &Path) -> Result<Self, OpenBusError> {
        let path = folder.join(EVENTS_FILE);
        let io_error = |error| OpenBusError::Io { path: path.clone(), error };
        // Only the owner may read the file, because payloads may be sensitive.
        let file = open_private(&path).map_err(io_error)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(OpenBusError::InUse { path }),
            Err(TryLockError::Error(error)) => return Err(io_error(error)),
        }
        // Sync the folder, so that the directory entry of a new file is durable, too.
        std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(io_error)?;
        let file = EventFile::open(path.clone(), file).map_err(io_error)?;
        let (line_sender, _) = broadcast::channel(LINE_CHANNEL_CAPACITY);
        let free_bytes = Semaphore::new(FLUSH_BATCH_BYTES);
        let durable_length = watch::Sender::new(file.flushed_length());
        let shared = Arc::new(SharedState {
            buffer: Mutex::default(),
            work_available: Condvar::new(),
            free_bytes,
            line_sender,
            durable_length,
            flush_count: AtomicU64::new(0),
        });
        let writer_shared = shared.clone();
        let writer = std::thread::Builder::new()
            .name("bus".into())
            .spawn(move || Writer::new(file).run(&writer_shared))
            .map_err(io_error)?;
        Ok(Self { shared, path, writer: Some(writer) })
    }

    /// The path of the bus file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Subscribes to every line that is written from now on. The receiver gets a line once the line is durable.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<str>> {
        self.shared.line_sender.subscribe()
    }

    /// Watches the length of the durable part of the bus file, in bytes. The durable part always ends with a complete line.
    pub fn watch_length(&self) -> watch::Receiver<u64> {
        self.shared.durable_length.subscribe()
    }

    /// How many times the writer has made events durable; one flush covers all events that were waiting.
    pub fn flush_count(&self) -> u64 {
        self.shared.flush_count.load(Ordering::Relaxed)
    }
}

/// Stops the writer thread after it has written the pending events.
impl Drop for LocalBus {
    fn drop(&mut self) {
        self.shared.lock_buffer().is_closed = true;
        self.shared.work_available.notify_one();
        // The panic hook has already reported a panic of the thread.
        let _ = self.writer.take().map(JoinHandle::join);
    }
}

impl Bus for LocalBus {
    async fn publish(&self, event: &Arc<Event>, deadline: Instant) -> Result<(), AwsError> {
        let unavailable = |last_error: String| AwsError::Unavailable { attempts: 1, last_error };
        let received_at = Timestamp::now();
        let publish = async {
            let charged_bytes = (event.entry_size() + EVENT_OVERHEAD_BYTES).min(FLUSH_BATCH_BYTES);
            self.shared.free_bytes.acquire_many(u32::try_from(charged_bytes).ok()?).await.ok()?.forget();
            let (completion, completed) = oneshot::channel();
            let pending = PendingEvent { event: event.clone(), received_at, charged_bytes, completion };
            if let Some(flush) = self.shared.enqueue(pending) {
                // Yield once, so that other publishers that are ready join this flush.
                yield_now().await;
                drop(flush);
            }
            completed.await.ok()
        };
        match timeout_at(deadline, publish).await {
            Ok(Some(Ok(()))) => Ok(()),
            Ok(Some(Err(error))) => Err(unavailable(format!("cannot write the event: {error}"))),
            Ok(None) => Err(unavailable(format!("the writer thread of {} has stopped", self.path.display()))),
            Err(_) => Err(unavailable("the disk did not respond in time".into())),
        }
    }

    async fn publish_all(
        &self,
        events: &[Arc<Event>],
        _max_request_bytes: usize,
        deadline: Instant,
    ) -> Vec<Result<(), AwsError>> {
        // Enqueue all events before waiting for the first, so that they share a flush.
        join_all(events.iter().map(|event| self.publish(event, deadline))).await
    }
}

/// The writer thread, which owns the bus file.
struct Writer {
    file: EventFile,
    ids: EventIdGenerator,
    /// The lines of the next flush.
    lines: Vec<u8>,
    /// The channels to the publishers of `lines`. Each publisher receives the result of the flush.
    completions: Vec<oneshot::Sender<WriteResult>>,
}

impl Writer {
    fn new(file: EventFile) -> Self {
        Self { file, ids: EventIdGenerator::new(), lines: Vec::new(), completions: Vec::new() }
    }

    /// Writes pending events until the bus is closed, then closes the bus file.
    fn run(mut self, shared: &SharedState) {
        let mut pending_events = Vec::new();
        while shared.take_pending(&mut pending_events) {
            for pending in pending_events.drain(..) {
                self.append_line(pending);
                if self.lines.len() >= FLUSH_BATCH_BYTES {
                    self.flush(shared);
                }
            }
            self.flush(shared);
        }
        if let Err(error) = self.file.close() {
            warn!(%error, "failed to truncate the journal on shutdown; it will be replayed on the next start");
        }
    }

    /// Appends the line of an event to `lines`. If the event cannot be serialized, its publisher gets the error at once.
    fn append_line(&mut self, pending: PendingEvent) {
        let id = self.ids.next_id();
        let origin = AwsOriginRef { account: "000000000000", region: "local" };
        let envelope = Envelope::from_event(&pending.event, &id, origin, pending.received_at);
        let line_start = self.lines.len();
        match envelope.write_bus_file_line(pending.event.detail.as_str(), &mut self.lines) {
            Ok(()) => self.completions.push(pending.completion),
            Err(error) => {
                self.lines.truncate(line_start);
                let _ = pending.completion.send(Err(error.to_string().into()));
            }
        }
    }

    /// Makes the lines durable, then notifies subscribers and publishers.
    fn flush(&mut self, shared: &SharedState) {
        if self.lines.is_empty() {
            return;
        }
        let result: WriteResult = self.file.append(&self.lines).map_err(|error| error.to_string().into());
        if result.is_ok() && shared.line_sender.receiver_count() > 0 {
            for line in self.lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                // `send` fails only if the last subscriber has just been dropped. Then no subscriber needs the line.
                let _ = shared.line_sender.send(String::from_utf8_lossy(line).into());
            }
        }
        shared.flush_count.fetch_add(1, Ordering::Relaxed);
        shared.durable_length.send_replace(self.file.flushed_length());
        for completion in self.completions.drain(..) {
            // `send` fails if the publisher has timed out. Its event stays in the file.
            let _ = completion.send(result.clone());
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
            trace_header: None,
            group_id: None,
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(20)
    }

    #[tokio::test]
    async fn every_accepted_event_is_in_the_file_once() {
        let folder = tempfile::tempdir().unwrap();
        let bus = Arc::new(LocalBus::open(folder.path()).unwrap());
        let mut lines = bus.subscribe();
        let publish_tasks: Vec<_> = (0..500)
            .map(|n| {
                let bus = bus.clone();
                tokio::spawn(async move { bus.publish(&Arc::new(event(n)), soon()).await })
            })
            .collect();
        for task in publish_tasks {
            task.await.unwrap().unwrap();
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
    async fn an_unfinished_line_is_truncated_on_open() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(EVENTS_FILE);
        let complete_line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(5000));
        std::fs::write(&path, format!("{complete_line}{{\"b\":\"{}", "y".repeat(9000))).unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), complete_line);
        bus.publish(&Arc::new(event(1)), soon()).await.unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[tokio::test]
    async fn a_cancelled_publisher_releases_its_buffer_space() {
        let folder = tempfile::tempdir().unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        let text = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
        let large = Arc::new(Event { detail: Detail::parse(text.as_bytes()).unwrap(), ..event(0) });
        for n in 0..12 {
            // Every second publisher times out before the flush.
            let deadline = if n % 2 == 0 { soon() } else { Instant::now() };
            let result = bus.publish(&large, deadline).await;
            assert!(result.is_ok() || n % 2 == 1, "{result:?}");
        }
        let path = bus.path().to_owned();
        drop(bus);
        assert!(std::fs::metadata(path).unwrap().len() > 6 << 20, "more than the buffer holds at once");
    }

    #[tokio::test]
    async fn a_closed_file_can_be_moved() {
        let folder = tempfile::tempdir().unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        bus.publish(&Arc::new(event(1)), soon()).await.unwrap();
        drop(bus);
        std::fs::remove_file(folder.path().join(EVENTS_FILE)).unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        assert_eq!(std::fs::metadata(bus.path()).unwrap().len(), 0, "the journal restores nothing");
    }

    #[tokio::test]
    async fn a_cancelled_first_publisher_still_requests_the_flush() {
        let folder = tempfile::tempdir().unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        let mut length = bus.watch_length();
        let event = Arc::new(event(1));
        let mut publish = Box::pin(bus.publish(&event, soon()));
        tokio::select! {
            biased;
            _ = &mut publish => panic!("the first publisher yields before the flush"),
            () = std::future::ready(()) => drop(publish),
        }
        timeout_at(soon(), length.changed()).await.unwrap().unwrap();
        assert!(std::fs::read_to_string(bus.path()).unwrap().ends_with("{\"n\":1}}\n"));
    }

    #[tokio::test]
    async fn a_line_may_exceed_the_buffer() {
        let folder = tempfile::tempdir().unwrap();
        let bus = LocalBus::open(folder.path()).unwrap();
        let text = format!("{{{}\"a\":1}}", "\n".repeat(1_000_000));
        let multiline = Arc::new(Event { detail: Detail::parse(text.as_bytes()).unwrap(), ..event(0) });
        bus.publish(&multiline, soon()).await.unwrap();
        bus.publish(&Arc::new(event(1)), soon()).await.unwrap();
        let path = bus.path().to_owned();
        drop(bus);
        let written = std::fs::read_to_string(path).unwrap();
        assert!(
            written.lines().next().unwrap().len() > FLUSH_BATCH_BYTES,
            "the line also records the offset of each line break"
        );
        assert_eq!(written.lines().count(), 2);
    }

    #[tokio::test]
    async fn a_data_folder_is_locked_by_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let _bus = LocalBus::open(folder.path()).unwrap();
        let error = LocalBus::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains("is in use by another hookbridge"), "{error}");
    }
}
