//! The file of the embedded bus: lines appended and flushed, and what a failure or a crash left unfinished cut off.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use serde::de::IgnoredAny;

/// The most bytes that one flush covers.
pub(super) const ENOUGH_BYTES: usize = 4 << 20;
/// How far from the end an unfinished line can stand: one flush; twice that, to be sure.
const UNFLUSHED: u64 = 8 << 20;

/// The file and the length up to which it is flushed.
pub(super) struct Log {
    file: File,
    length: u64,
}

impl Log {
    /// Takes the file. What a crash left unfinished was never acknowledged and is cut off.
    pub(super) fn open(mut file: File) -> std::io::Result<Self> {
        let length = end_of_whole_lines(&mut file)?;
        file.set_len(length)?;
        Ok(Self { file, length })
    }

    /// The length up to which it is flushed.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Writes and flushes. After a failure the file is as it was before.
    pub(super) fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        let written = self
            .file
            .seek(SeekFrom::Start(self.length))
            .and_then(|_| self.file.write_all(bytes))
            .and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => self.length += bytes.len() as u64,
            // Where even this fails, the next append writes over what was left.
            Err(_) => self.file.set_len(self.length)?,
        }
        written
    }
}

/// The offset behind the last line before which every line is whole. A flush may have reached the disk in any order,
/// so a line that is not whole can have whole ones behind it; none of them was acknowledged.
fn end_of_whole_lines(file: &mut File) -> std::io::Result<u64> {
    let length = file.seek(SeekFrom::End(0))?;
    let from = length.saturating_sub(UNFLUSHED);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail)?;
    // Unless it is the file's first, the first line in sight began out of sight.
    let mut end = match from {
        0 => 0,
        _ => memchr::memchr(b'\n', &tail).map_or(tail.len(), |at| at + 1),
    };
    for line in tail[end..].split_inclusive(|b| *b == b'\n') {
        if line.last() != Some(&b'\n') || serde_json::from_slice::<IgnoredAny>(line).is_err() {
            break;
        }
        end += line.len();
    }
    Ok(from + end as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn cut(content: &[u8]) -> Vec<u8> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let end = end_of_whole_lines(&mut file).unwrap();
        content[..usize::try_from(end).unwrap()].to_vec()
    }

    #[test]
    fn what_a_crash_left_unfinished_is_cut_off() {
        let long = format!("{{\"a\":\"{}\"}}\n", "x".repeat(10_000)).into_bytes();
        let with = |tail: &[u8]| [&long[..], tail].concat();
        assert_eq!(cut(b""), b"");
        assert_eq!(cut(&long), long);
        assert_eq!(cut(&with(b"{\"b\":\"")), long, "a line without an end");
        assert_eq!(cut(&with(b"{\"b\":\"\n")), long, "a line that is not whole");
        assert_eq!(cut(&with(b"\0\0\0\0{\"c\":1}\n{\"d\":1}\n")), long, "a hole, and whole lines behind it");
        assert_eq!(cut(b"{\"b"), b"");
        let large = [vec![b'z'; 10 << 20], b"\n".to_vec(), long.clone()].concat();
        assert_eq!(cut(&[&large[..], b"{\"e"].concat()), large, "only the end is looked at");
    }

    #[test]
    fn after_a_failure_the_file_is_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        std::fs::write(&path, "{\"before\":1}\n").unwrap();
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let log = Log::open(file).unwrap();
        // Opened for reading only, every write fails, as on a disk that is full.
        let mut broken = Log { file: File::open(&path).unwrap(), ..log };
        assert!(broken.append(b"{}\n").is_err());
        let file = File::options().read(true).write(true).open(&path).unwrap();
        let mut mended = Log { file, ..broken };
        mended.append(b"{\"after\":1}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"before\":1}\n{\"after\":1}\n");
    }
}
