//! The thread that has the bus's file on disk while more is written.

use std::fs::File;
use std::io::Error;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;

/// The thread that has the bus's file on disk when one half is full, while the other half is filled.
pub(super) struct Flusher {
    ask: Option<Sender<()>>,
    done: Receiver<std::io::Result<()>>,
    thread: Option<JoinHandle<()>>,
    under_way: bool,
    /// Why a flush failed. What the system could not write then it will not try to write again.
    failed: Option<String>,
}

impl Flusher {
    pub(super) fn start(events: File) -> std::io::Result<Self> {
        let ((ask, asked), (tell, done)) = (mpsc::channel(), mpsc::channel());
        let flush = move || {
            while let Ok(()) = asked.recv() {
                if tell.send(events.sync_data()).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("bus-flush".into()).spawn(flush)?;
        Ok(Self { ask: Some(ask), done, thread: Some(thread), under_way: false, failed: None })
    }

    /// Begins a flush. The one before it has ended then.
    pub(super) fn turn(&mut self) -> std::io::Result<()> {
        self.wait()?;
        self.under_way = self.ask.as_ref().is_some_and(|ask| ask.send(()).is_ok());
        self.under_way.then_some(()).ok_or_else(|| Error::other("nobody has the file on disk any more"))
    }

    /// Notes a failure, after which nothing more may be written over.
    pub(super) fn note(&mut self, error: Option<&Error>) {
        if let Some(error) = error {
            self.failed = Some(error.to_string());
        }
    }

    /// Waits for the flush that is under way.
    pub(super) fn wait(&mut self) -> std::io::Result<()> {
        if std::mem::take(&mut self.under_way) {
            let done = self.done.recv().map_err(Error::other).flatten();
            self.note(done.as_ref().err());
        }
        match &self.failed {
            None => Ok(()),
            Some(why) => {
                Err(Error::other(format!("{why}; start hookbridge serve anew, which writes it again")))
            }
        }
    }
}

/// Lets the thread end, and with it the hold on the bus's file.
impl Drop for Flusher {
    fn drop(&mut self) {
        self.ask = None;
        // A panic in it has been shown already.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
