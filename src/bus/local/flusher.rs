//! The background thread that flushes the bus file (fsync).

use std::fs::File;
use std::io::Error;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

#[cfg(target_os = "linux")]
use rustix::fs::{Advice, fadvise};

/// Flushes the bus file in a background thread. The writer requests a flush when one half of the journal is full, and meanwhile
/// fills the other half. `requests` (the file's lengths to flush) and `thread` are `None` only while the flusher is dropped.
pub(super) struct Flusher {
    requests: Option<Sender<u64>>,
    results: Receiver<std::io::Result<()>>,
    thread: Option<JoinHandle<()>>,
    is_flushing: bool,
    /// The last error of a flush or rollback, which is never cleared; `None` if none has failed. After a failed fsync the
    /// kernel may discard the data that it could not write, so a second fsync could succeed without that data.
    error: Option<String>,
}

impl Flusher {
    pub(super) fn spawn(events: File) -> std::io::Result<Self> {
        let (requests, request_receiver) = mpsc::channel();
        let (result_sender, results) = mpsc::channel();
        let flush = move || {
            while let Ok(end) = request_receiver.recv() {
                let result = events.sync_data();
                let is_durable = result.is_ok();
                if result_sender.send(result).is_err() {
                    return;
                }
                if is_durable {
                    drop_from_page_cache(&events, end);
                }
            }
        };
        let thread = std::thread::Builder::new().name("bus-flush".into()).spawn(flush)?;
        Ok(Self { requests: Some(requests), results, thread: Some(thread), is_flushing: false, error: None })
    }

    /// Waits for the previous flush, and starts a flush of the bus file. `end` is the number of bytes in the file.
    pub(super) fn start_flush(&mut self, end: u64) -> std::io::Result<()> {
        self.wait_for_flush()?;
        self.is_flushing = self.requests.as_ref().is_some_and(|requests| requests.send(end).is_ok());
        self.is_flushing.then_some(()).ok_or_else(|| Error::other("the flush thread has stopped"))
    }

    /// Records an error, if there is one. From then on every flush fails, so that the journal overwrites no half.
    pub(super) fn record_error(&mut self, error: Option<&Error>) {
        if let Some(error) = error {
            self.error = Some(error.to_string());
        }
    }

    /// Waits for the running flush, and returns the error of this flush or the recorded error of an earlier one.
    pub(super) fn wait_for_flush(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.is_flushing) {
            let result = self.results.recv().map_err(Error::other).flatten();
            self.record_error(result.as_ref().err());
        }
        match &self.error {
            None => Ok(()),
            Some(error) => Err(Error::other(format!(
                "{error}; restart `hookbridge serve` to recover it from the journal"
            ))),
        }
    }
}

/// Drops the durable part of the bus file from the page cache, so that the next appends reuse its memory pages. Without this, the
/// page cache grows into pages that were unused for a long time. A virtual machine often has to request such a page from its
/// host, which can take longer than the flush.
#[cfg(target_os = "linux")]
fn drop_from_page_cache(events: &File, end: u64) {
    // The call is only a hint to the kernel, so an error does not matter.
    let _ = fadvise(events, 0, NonZeroU64::new(end), Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn drop_from_page_cache(_: &File, _: u64) {}

/// Stops the flush thread, so that its handle to the bus file is closed.
impl Drop for Flusher {
    fn drop(&mut self) {
        self.requests = None;
        // The panic hook has already reported a panic of the thread.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
