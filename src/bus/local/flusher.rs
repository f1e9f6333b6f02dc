//! Background fsync thread for the local bus file.

use std::fs::File;
use std::io::Error;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

#[cfg(target_os = "linux")]
use rustix::fs::{Advice, fadvise};

/// Fsyncs the bus file when one journal half fills up, while the other is being written.
pub(super) struct Flusher {
    ask: Option<Sender<u64>>,
    done: Receiver<std::io::Result<()>>,
    thread: Option<JoinHandle<()>>,
    under_way: bool,
    /// Why a flush failed. What the system could not write then it will not try to write again.
    failed: Option<String>,
}

impl Flusher {
    pub(super) fn spawn(events: File) -> std::io::Result<Self> {
        let ((ask, asked), (tell, done)) = (mpsc::channel(), mpsc::channel());
        let flush = move || {
            while let Ok(end) = asked.recv() {
                let flushed = events.sync_data();
                let is_on_disk = flushed.is_ok();
                if tell.send(flushed).is_err() {
                    return;
                }
                if is_on_disk {
                    forget(&events, end);
                }
            }
        };
        let thread = std::thread::Builder::new().name("bus-flush".into()).spawn(flush)?;
        Ok(Self { ask: Some(ask), done, thread: Some(thread), under_way: false, failed: None })
    }

    /// Begins a flush of the file, whose first `end` bytes are written. The one before it has ended then.
    pub(super) fn start_flush(&mut self, end: u64) -> std::io::Result<()> {
        self.wait()?;
        self.under_way = self.ask.as_ref().is_some_and(|ask| ask.send(end).is_ok());
        self.under_way.then_some(()).ok_or_else(|| Error::other("the flush thread has stopped"))
    }

    /// Notes a failure, after which nothing more may be written over.
    pub(super) fn record_error(&mut self, error: Option<&Error>) {
        if let Some(error) = error {
            self.failed = Some(error.to_string());
        }
    }

    /// Waits for the flush that is under way.
    pub(super) fn wait(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.under_way) {
            let done = self.done.recv().map_err(Error::other).flatten();
            self.record_error(done.as_ref().err());
        }
        match &self.failed {
            None => Ok(()),
            Some(why) => {
                Err(Error::other(format!("{why}; restart `hookbridge serve` to recover it from the journal")))
            }
        }
    }
}

/// Has the system forget what it keeps in memory of the file's first bytes, which are on disk. Otherwise each line goes to memory
/// that was not used for long: a virtual machine often has to ask for that first, which can take longer than the flush.
#[cfg(target_os = "linux")]
fn forget(events: &File, end: u64) {
    // It is a hint: nothing hangs on it.
    let _ = fadvise(events, 0, NonZeroU64::new(end), Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn forget(_: &File, _: u64) {}

/// Lets the thread end, and with it the hold on the bus's file.
impl Drop for Flusher {
    fn drop(&mut self) {
        self.ask = None;
        // A panic in it has been shown already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
