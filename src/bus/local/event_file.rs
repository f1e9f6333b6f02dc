//! The bus file: the file to which the local bus appends events.
//!
//! An append returns only after its lines are durable; a failed append leaves the bus file as it was. Opening the bus file
//! restores from the journal the lines that a crash lost, and truncates incomplete lines at the end of the file.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use super::file_identity::FileIdentity;
use super::journal::Journal;

/// Capacity of the buffer of pending events, in bytes. Also the number of bytes of collected lines at which the writer flushes.
pub(super) const FLUSH_BATCH_BYTES: usize = 4 << 20;
/// Maximum number of bytes at the end of the file that a crash can damage and the journal cannot restore: twice the largest
/// flush. The last line of a flush has at most 9 MiB: an entry of 1 MiB of line breaks, and up to eight bytes for the offset of
/// each line break.
const MAX_UNFLUSHED_BYTES: u64 = 2 * (FLUSH_BATCH_BYTES as u64 + (9 << 20));

/// The bus file. The first `length` bytes of its content are durable, either in the file or in the journal.
pub(super) struct EventFile {
    identity: FileIdentity,
    file: File,
    length: u64,
    journal: Journal,
}

impl EventFile {
    /// Opens the bus file from `file`, the open file at `path`. Restores from the journal the lines that a crash lost, and
    /// truncates incomplete lines at the end, which the bus never acknowledged.
    pub(super) fn open(path: PathBuf, mut file: File) -> std::io::Result<Self> {
        let journal = Journal::open(path.parent().unwrap_or(Path::new("")), &mut file)?;
        let length = end_of_last_complete_line(&mut file)?;
        file.set_len(length)?;
        // The next lines in the journal belong at the offset `length`, so all bytes before this offset must be durable.
        file.sync_all()?;
        Ok(Self { identity: FileIdentity::new(path, &file)?, file, length, journal })
    }

    /// Length of the durable part of the file, in bytes.
    pub(super) fn flushed_length(&self) -> u64 {
        self.length
    }

    /// Appends lines and makes them durable. A failed append leaves the file as it was before.
    pub(super) fn append(&mut self, lines: &[u8]) -> std::io::Result<()> {
        let result = self.write(lines);
        match result {
            Ok(()) => self.length += lines.len() as u64,
            Err(_) => {
                self.journal.rollback();
                // If truncating fails too, the next append overwrites the partly written lines.
                self.file.set_len(self.length)?;
            }
        }
        result
    }

    fn write(&mut self, lines: &[u8]) -> std::io::Result<()> {
        let is_journaled = self.journal.write(lines, self.length, &mut self.file)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.file.write_all(lines)?;
        if !is_journaled {
            self.journal.checkpoint(&self.file)?;
        }
        self.journal.identity().check_unmoved()?;
        self.identity.check_unmoved()?;
        if is_journaled {
            self.journal.commit(lines);
        }
        Ok(())
    }

    /// Flushes the bus file and empties the journal.
    pub(super) fn close(mut self) -> std::io::Result<()> {
        self.journal.close(&self.file)
    }
}

/// Returns the offset after the last complete line. Damaged lines before that offset stay in the file, because complete lines
/// after them may have been acknowledged. A crash can damage a line and keep a later one, because the blocks of a flush reach the
/// disk in any order.
fn end_of_last_complete_line(file: &mut File) -> std::io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let tail_start = length.saturating_sub(MAX_UNFLUSHED_BYTES);
    file.seek(SeekFrom::Start(tail_start))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    // Skip the first line of the tail, which may be cut off, unless the tail is the whole file.
    let first_line_start = match tail_start {
        0 => 0,
        _ => memchr::memchr(b'\n', &tail).map_or(tail.len(), |at| at + 1),
    };
    let mut end = tail.len();
    for line in tail[first_line_start..].split_inclusive(|b| *b == b'\n').rev() {
        if line.last() == Some(&b'\n') && serde_json::from_slice::<IgnoredAny>(line).is_ok() {
            break;
        }
        end -= line.len();
    }
    Ok(tail_start + end as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn truncated(content: &[u8]) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let end = end_of_last_complete_line(&mut file).unwrap();
        content[..usize::try_from(end).unwrap()].to_vec()
    }

    #[test]
    fn an_unfinished_line_is_truncated_after_a_crash() {
        let long_line = format!("{{\"a\":\"{}\"}}\n", "x".repeat(10_000)).into_bytes();
        let with_tail = |tail: &[u8]| [&long_line[..], tail].concat();
        assert_eq!(truncated(b""), b"");
        assert_eq!(truncated(&long_line), long_line);
        assert_eq!(truncated(&with_tail(b"{\"b\":\"")), long_line, "a line without a line break");
        assert_eq!(truncated(&with_tail(b"{\"b\":\"\n")), long_line, "a line of incomplete JSON");
        assert_eq!(
            truncated(&with_tail(b"{\"b\":\"\n\n\0\0\n\0\0\0")),
            long_line,
            "several incomplete lines"
        );
        for damaged in [&b"\0\0\0\0{\"c\":1}\n"[..], b"\n", b"{\"c\":\"\n", b"{\"c\":1}\0"] {
            let complete_lines = [damaged, b"{\"d\":1}\n{\"e\":1}\n"].concat();
            assert_eq!(
                truncated(&with_tail(&complete_lines)),
                with_tail(&complete_lines),
                "later complete lines stay"
            );
        }
        assert_eq!(truncated(b"{\"b"), b"");
        let large = [vec![b'z'; 27 << 20], b"\n".to_vec(), long_line.clone()].concat();
        assert_eq!(truncated(&[&large[..], b"{\"e"].concat()), large, "only the tail is read");
    }

    #[cfg(unix)]
    #[test]
    fn a_moved_file_is_not_written_to() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved_path) = (folder.path().join("log"), folder.path().join("log.1"));
        let open =
            || File::options().create(true).truncate(false).read(true).write(true).open(&path).unwrap();
        let mut event_file = EventFile::open(path.clone(), open()).unwrap();
        event_file.append(b"{\"before\":1}\n").unwrap();
        std::fs::rename(&path, &moved_path).unwrap();
        assert!(
            event_file
                .append(b"{}\n")
                .unwrap_err()
                .to_string()
                .ends_with("was moved or removed; restart `hookbridge serve`")
        );
        assert_eq!(std::fs::read_to_string(&moved_path).unwrap(), "{\"before\":1}\n");
        drop(open());
        assert!(event_file.append(b"{}\n").is_err(), "another file has the path");
        std::fs::rename(&moved_path, &path).unwrap();
        event_file.append(b"{\"after\":1}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"before\":1}\n{\"after\":1}\n");
        let (journal, moved_path) = (folder.path().join("events.journal"), folder.path().join("journal.1"));
        std::fs::rename(&journal, &moved_path).unwrap();
        assert!(event_file.append(b"{}\n").is_err(), "a moved journal fails the append, too");
        std::fs::rename(&moved_path, &journal).unwrap();
        event_file.append(b"{\"last\":1}\n").unwrap();
    }

    #[test]
    fn a_failed_write_leaves_the_file_unchanged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "{\"before\":1}\n").unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let event_file = EventFile::open(path.clone(), file).unwrap();
        // A write to a read-only file handle fails, as a write to a full disk would.
        let mut read_only = EventFile { file: File::open(&path).unwrap(), ..event_file };
        assert!(read_only.append(b"{}\n").is_err());
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut writable = EventFile { file, ..read_only };
        writable.append(b"{\"after\":1}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"before\":1}\n{\"after\":1}\n");
    }
}
