//! The checkpoint of `hookbridge listen`: up to which event the local program has received the log.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::util::files::replace_file;

/// The minimum time between two writes of the file while events are forwarded.
const SAVE_INTERVAL: Duration = Duration::from_millis(200);

/// A position between two events of the log.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Position {
    /// The cursor before the page that is being forwarded.
    pub(super) cursor: String,
    /// The last event of this page that was forwarded; `None` before the first.
    pub(super) last_event_id: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("cannot read or write --state {path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    #[error("--state {0} is not a checkpoint of `hookbridge listen`; delete it, or name another file")]
    Unreadable(PathBuf),
    #[error("--state {0} belongs to another server or to other events; delete it, or name another file")]
    OtherLog(PathBuf),
}

/// The content of the file.
#[derive(Serialize, Deserialize)]
struct FileContent {
    /// The server and the filter, for which the position is valid.
    log: String,
    position: Position,
}

/// The checkpoint file.
pub(super) struct CheckpointFile {
    path: PathBuf,
    /// The server and the filter.
    log: String,
    saved_at: Option<Instant>,
}

impl CheckpointFile {
    pub(super) fn new(path: &Path, log: String) -> Self {
        Self { path: path.to_owned(), log, saved_at: None }
    }

    /// Reads the position; `None` if the file does not exist yet.
    pub(super) fn read(&self) -> Result<Option<Position>, CheckpointError> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io_error(error)),
        };
        let content: FileContent =
            serde_json::from_slice(&bytes).map_err(|_| CheckpointError::Unreadable(self.path.clone()))?;
        if content.log != self.log {
            return Err(CheckpointError::OtherLog(self.path.clone()));
        }
        Ok(Some(content.position))
    }

    /// Saves the position. Events that were forwarded after the last save are forwarded again after a crash.
    pub(super) fn save(&mut self, position: &Position) -> Result<(), CheckpointError> {
        let content = FileContent { log: self.log.clone(), position: position.clone() };
        let json = serde_json::to_vec(&content).map_err(|error| self.io_error(error.into()))?;
        replace_file(&self.path, &json).map_err(|error| self.io_error(error))?;
        self.saved_at = Some(Instant::now());
        Ok(())
    }

    /// Saves the position unless it was saved a moment ago.
    pub(super) fn save_if_due(&mut self, position: &Position) -> Result<(), CheckpointError> {
        match self.saved_at.is_none_or(|time| time.elapsed() >= SAVE_INTERVAL) {
            true => self.save(position),
            false => Ok(()),
        }
    }

    fn io_error(&self, error: std::io::Error) -> CheckpointError {
        CheckpointError::Io { path: self.path.clone(), error }
    }
}
