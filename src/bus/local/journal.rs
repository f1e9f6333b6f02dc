//! Write-ahead journal for the local bus file.
//!
//! Flushing a growing file also flushes its new length and the allocation of its new blocks. To avoid this cost, the writer first
//! makes lines durable in the journal, whose blocks are preallocated, and then writes them to the bus file without flushing it. A
//! background thread flushes the bus file when half of the journal is full. When the journal is opened, it restores the lines
//! that the bus file lost in a crash.
//!
//! The writer fills the two halves of the journal in turn. It overwrites a half only after all lines of that half are durable in
//! the bus file. Each half is a sequence of records (`journal_record`).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use jiff::Timestamp;
use tracing::warn;

use super::file_identity::FileIdentity;
use super::flusher::Flusher;
use super::journal_record::{HEADER_BYTES, JournalRecord, parse_records, record_size};
use crate::util::files::open_private;

/// The name of the journal file in the data folder.
const JOURNAL_FILE: &str = "events.journal";
/// Size of one half of the journal, in bytes.
const HALF_BYTES: u64 = 8 << 20;
/// The maximum number of bytes of the bus file that a preceding checksum covers. The first record of a half contains the checksum
/// of the bytes that precede its lines in the bus file. If these bytes have another checksum, recovery concludes that the journal
/// belongs to another bus file.
const MAX_PRECEDING_BYTES: u64 = 4096;

/// The journal of a bus file.
pub(super) struct Journal {
    file_identity: FileIdentity,
    file: File,
    /// Size of each half, in bytes.
    half_bytes: u64,
    /// Whether the second half is the current one.
    is_second_half: bool,
    /// The number of bytes at the start of the current half that records use.
    used_bytes: u64,
    /// Distinguishes the records of this run from those of earlier runs.
    run_id: u64,
    /// Buffer for the encoded record, reused by every write.
    record_buffer: Vec<u8>,
    flusher: Flusher,
}

impl Journal {
    /// Opens the journal in `folder`, and restores the lines that the bus file lost in a crash.
    pub(super) fn open(folder: &Path, bus_file: &mut File) -> std::io::Result<Self> {
        Self::open_with_half_size(folder, bus_file, HALF_BYTES)
    }

    fn open_with_half_size(folder: &Path, bus_file: &mut File, half_bytes: u64) -> std::io::Result<Self> {
        let path = folder.join(JOURNAL_FILE);
        let mut file = open_private(&path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let has_journal_size = content.len() as u64 == 2 * half_bytes;
        let must_preserve_journal =
            if has_journal_size { !recover(&content, bus_file)? } else { content.iter().any(|b| *b != 0) };
        if must_preserve_journal {
            move_aside(&path)?;
            file = open_private(&path)?;
            content.clear();
        }
        if content.len() as u64 == 2 * half_bytes {
            invalidate_halves(&mut file, half_bytes)?;
        } else {
            // The journal is new, or a crash interrupted its creation.
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            std::io::copy(&mut std::io::repeat(0).take(2 * half_bytes), &mut file)?;
            file.sync_all()?;
            #[cfg(unix)]
            File::open(folder)?.sync_all()?;
        }
        let flusher = Flusher::spawn(bus_file.try_clone()?)?;
        Ok(Self {
            file_identity: FileIdentity::new(path, &file)?,
            file,
            half_bytes,
            is_second_half: false,
            used_bytes: 0,
            run_id: fastrand::u64(..),
            record_buffer: Vec::new(),
            flusher,
        })
    }

    /// The identity of the journal file.
    pub(super) fn identity(&self) -> &FileIdentity {
        &self.file_identity
    }

    /// Writes `lines`, which belong at `offset` in the bus file, durably to the journal. Returns `false`, and writes nothing, if
    /// the lines do not fit into a half. After `true` the caller must call [`Journal::commit`] or [`Journal::rollback`]. After an
    /// error the caller must call [`Journal::rollback`].
    pub(super) fn write(&mut self, lines: &[u8], offset: u64, bus_file: &mut File) -> std::io::Result<bool> {
        let size = record_size(lines.len());
        if size > self.half_bytes {
            return Ok(false);
        }
        if self.used_bytes + size > self.half_bytes {
            self.flusher.start_flush(offset)?;
            (self.is_second_half, self.used_bytes) = (!self.is_second_half, 0);
        }
        let preceding_checksum = if self.used_bytes == 0 { checksum_before(offset, bus_file)? } else { 0 };
        JournalRecord { run_id: self.run_id, file_offset: offset, preceding_checksum, lines }
            .encode(&mut self.record_buffer);
        self.file.seek(SeekFrom::Start(self.next_record_offset()))?;
        self.file.write_all(&self.record_buffer)?;
        self.file.sync_data()?;
        Ok(true)
    }

    /// Commits the record that was written last. The caller has written its lines to the bus file.
    pub(super) fn commit(&mut self, lines: &[u8]) {
        self.used_bytes += record_size(lines.len());
    }

    /// Erases the record that was written last, complete or not, so that recovery does not restore its lines. If erasing fails,
    /// the journal cannot switch to the other half until the next start.
    pub(super) fn rollback(&mut self) {
        if self.used_bytes == self.half_bytes {
            return;
        }
        let offset = self.next_record_offset();
        let result = self
            .file
            .seek(SeekFrom::Start(offset))
            .and_then(|_| self.file.write_all(&[0; HEADER_BYTES]))
            .and_then(|()| self.file.sync_data());
        self.flusher.record_error(result.as_ref().err());
    }

    /// Offset of the next record in the journal.
    fn next_record_offset(&self) -> u64 {
        if self.is_second_half { self.half_bytes + self.used_bytes } else { self.used_bytes }
    }

    /// Flushes the bus file, so that the next record can overwrite the current half from its start.
    pub(super) fn checkpoint(&mut self, bus_file: &File) -> std::io::Result<()> {
        self.flusher.wait_for_flush()?;
        let result = bus_file.sync_data();
        self.flusher.record_error(result.as_ref().err());
        result?;
        self.used_bytes = 0;
        Ok(())
    }

    /// Flushes the bus file and empties the journal. If the bus file is removed afterwards, the journal has no lines to restore.
    pub(super) fn close(&mut self, bus_file: &File) -> std::io::Result<()> {
        self.checkpoint(bus_file)?;
        invalidate_halves(&mut self.file, self.half_bytes)
    }
}

/// Writes the lines of the journal to the bus file, which may have lost them in a crash. Returns `false`, and writes nothing, if
/// the journal belongs to another bus file.
fn recover(journal: &[u8], bus_file: &mut File) -> std::io::Result<bool> {
    let (first_half, second_half) = journal.split_at(journal.len() / 2);
    let mut halves = [parse_records(first_half), parse_records(second_half)];
    halves.sort_by_key(|records| records.first().map(|record| record.file_offset));
    let [older, newer] = halves;
    let Some(first_newer) = newer.first() else { return Ok(true) };
    // If the newer half does not continue the older half, all lines before the newer half's are already durable in the bus file.
    let is_contiguous = older.last().is_some_and(|last| last.is_followed_by(first_newer));
    let older = if is_contiguous { older } else { Vec::new() };
    let first = older.first().unwrap_or(first_newer);
    if bus_file.metadata()?.len() < first.file_offset
        || checksum_before(first.file_offset, bus_file)? != first.preceding_checksum
        || (first.file_offset == 0 && starts_differently(bus_file, first.lines)?)
    {
        return Ok(false);
    }
    for record in older.iter().chain(&newer) {
        bus_file.seek(SeekFrom::Start(record.file_offset))?;
        bus_file.write_all(record.lines)?;
    }
    bus_file.sync_data()?;
    Ok(true)
}

/// Whether the bus file starts with bytes that differ from `lines` and are not zero. A block that was lost in a crash reads as
/// zeros.
fn starts_differently(bus_file: &mut File, lines: &[u8]) -> std::io::Result<bool> {
    let mut start = Vec::new();
    bus_file.seek(SeekFrom::Start(0))?;
    bus_file.take(lines.len() as u64).read_to_end(&mut start)?;
    Ok(start.iter().zip(lines).any(|(actual, expected)| actual != expected && *actual != 0))
}

/// Renames a journal that belongs to another bus file. The journal is kept, because it may hold lines that the other bus file
/// lost in a crash.
fn move_aside(path: &Path) -> std::io::Result<()> {
    let aside_path = path.with_file_name(format!("{JOURNAL_FILE}.{}", Timestamp::now().as_nanosecond()));
    std::fs::rename(path, &aside_path)?;
    let aside_path = aside_path.display().to_string();
    warn!(aside = aside_path, "the journal does not match events.jsonl and was moved aside");
    Ok(())
}

/// Erases the first record header of each half. All records become invalid, because parsing stops at an invalid record.
fn invalidate_halves(file: &mut File, half_bytes: u64) -> std::io::Result<()> {
    for start in [0, half_bytes] {
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&[0; HEADER_BYTES])?;
    }
    file.sync_data()
}

/// Returns the checksum of the bytes of the bus file before `offset`, at most [`MAX_PRECEDING_BYTES`] of them.
fn checksum_before(offset: u64, bus_file: &mut File) -> std::io::Result<u32> {
    let mut preceding = Vec::new();
    bus_file.seek(SeekFrom::Start(offset.saturating_sub(MAX_PRECEDING_BYTES)))?;
    bus_file.take(offset.min(MAX_PRECEDING_BYTES)).read_to_end(&mut preceding)?;
    Ok(crc32fast::hash(&preceding))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::bus::local::journal_record::BLOCK_BYTES;

    const SMALL_HALF_BYTES: u64 = 4 * BLOCK_BYTES;

    /// A bus file and its journal in a temporary folder. A test can simulate crashes of this bus.
    struct TestBus {
        folder: TempDir,
        events: File,
        journal: Journal,
        length: u64,
    }

    impl TestBus {
        fn new() -> Self {
            Self::open(tempfile::tempdir().unwrap())
        }

        fn open(folder: TempDir) -> Self {
            let path = folder.path().join("events.jsonl");
            let mut options = File::options();
            let mut events = options.create(true).truncate(false).read(true).write(true).open(path).unwrap();
            let journal = Journal::open_with_half_size(folder.path(), &mut events, SMALL_HALF_BYTES).unwrap();
            let length = events.metadata().unwrap().len();
            Self { folder, events, journal, length }
        }

        /// Appends `size` bytes of lines to the bus file. Every call appends different lines.
        fn append(&mut self, size: usize) {
            let lines = self.lines(size);
            let is_journaled = self.journal.write(&lines, self.length, &mut self.events).unwrap();
            self.events.seek(SeekFrom::Start(self.length)).unwrap();
            self.events.write_all(&lines).unwrap();
            match is_journaled {
                true => self.journal.commit(&lines),
                false => self.journal.checkpoint(&self.events).unwrap(),
            }
            self.length += lines.len() as u64;
        }

        /// Writes a record with `size` bytes of lines to the journal, and rolls it back.
        fn write_and_roll_back(&mut self, size: usize) {
            let lines = self.lines(size);
            assert!(self.journal.write(&lines, self.length, &mut self.events).unwrap());
            self.journal.rollback();
        }

        fn lines(&self, size: usize) -> Vec<u8> {
            let mut lines = format!("{{\"at\":{}}}", self.length).into_bytes();
            lines.resize(size.max(lines.len() + 1) - 1, b' ');
            lines.push(b'\n');
            lines
        }

        fn content(&self) -> Vec<u8> {
            std::fs::read(self.folder.path().join("events.jsonl")).unwrap()
        }

        /// Simulates a power loss after which the bus file holds only its first `durable_length` bytes, and opens the bus file
        /// again. The lost bytes are truncated if `is_truncated`; otherwise they read as zeros.
        fn crash_and_reopen(self, durable_length: u64, is_truncated: bool) -> Self {
            let Self { folder, events, journal, .. } = self;
            let length = events.metadata().unwrap().len();
            events.set_len(durable_length).unwrap();
            if !is_truncated {
                events.set_len(length).unwrap();
            }
            drop((events, journal));
            Self::open(folder)
        }
    }

    #[test]
    fn lines_lost_in_a_crash_are_replayed() {
        for is_truncated in [true, false] {
            let mut bus = TestBus::new();
            bus.append(100);
            bus.append(5000);
            bus.append(1);
            let before = bus.content();
            let mut bus = bus.crash_and_reopen(0, is_truncated);
            assert!(bus.content() == before);
            let durable_length = bus.length;
            bus.append(30);
            let before = bus.content();
            assert!(
                bus.crash_and_reopen(durable_length, is_truncated).content() == before,
                "the next run recovers its lines, too"
            );
        }
    }

    #[test]
    fn both_halves_are_replayed_in_order() {
        for appends in 0..40_usize {
            let mut bus = TestBus::new();
            for n in 0..appends {
                bus.append(1 + n * 997 % 9000);
            }
            // Everything before the older half is durable in the bus file.
            let journal = std::fs::read(bus.folder.path().join(JOURNAL_FILE)).unwrap();
            let (first_half, second_half) = journal.split_at(journal.len() / 2);
            let half_offsets = [first_half, second_half]
                .map(|half| JournalRecord::parse(half).map_or(u64::MAX, |record| record.file_offset));
            let durable_length = half_offsets.into_iter().min().unwrap().min(bus.length);
            let before = bus.content();
            assert!(
                bus.crash_and_reopen(durable_length, appends % 2 == 0).content() == before,
                "{appends} appends"
            );
        }
    }

    #[test]
    fn a_torn_record_is_ignored() {
        let mut bus = TestBus::new();
        bus.append(100);
        let before = bus.content();
        bus.append(9000);
        let path = bus.folder.path().join(JOURNAL_FILE);
        let mut journal = File::options().read(true).write(true).open(path).unwrap();
        journal.seek(SeekFrom::Start(3 * BLOCK_BYTES)).unwrap();
        journal.write_all(&[0; 10]).unwrap();
        assert!(bus.crash_and_reopen(0, true).content() == before);
    }

    #[test]
    fn a_rolled_back_record_is_overwritten() {
        let mut bus = TestBus::new();
        bus.append(100);
        // The publishers of the lines that are rolled back would get an error.
        bus.write_and_roll_back(8000);
        bus.append(20);
        bus.append(20);
        let before = bus.content();
        assert!(bus.crash_and_reopen(0, true).content() == before);
    }

    #[test]
    fn a_rollback_keeps_earlier_records() {
        let mut bus = TestBus::new();
        bus.append(2 * 4096);
        bus.write_and_roll_back(100);
        // These lines do not fit into the current half. The lines before them may not be durable in the bus file yet.
        bus.append(2 * 4096);
        let before = bus.content();
        assert!(bus.crash_and_reopen(0, true).content() == before);

        let mut bus = TestBus::new();
        bus.append(100);
        bus.write_and_roll_back(100);
        bus.append(3 * usize::try_from(SMALL_HALF_BYTES).unwrap());
        let (before, durable_length) = (bus.content(), bus.length);
        assert!(
            bus.crash_and_reopen(durable_length, true).content() == before,
            "the lines do not fit into the journal"
        );
    }

    #[test]
    fn lines_larger_than_the_journal_are_flushed_to_the_file() {
        let mut bus = TestBus::new();
        bus.append(100);
        bus.append(3 * usize::try_from(SMALL_HALF_BYTES).unwrap());
        let durable_length = bus.length;
        bus.append(50);
        let before = bus.content();
        assert!(bus.crash_and_reopen(durable_length, true).content() == before);
    }

    #[test]
    fn records_of_an_earlier_run_are_not_replayed() {
        let mut bus = TestBus::new();
        for _ in 0..3 {
            bus.append(64);
        }
        bus.journal.close(&bus.events).unwrap();
        std::fs::remove_file(bus.folder.path().join("events.jsonl")).unwrap();
        let mut bus = TestBus::open(bus.folder);
        assert_eq!(bus.length, 0, "after a clean shutdown nothing is replayed");
        bus.append(64);
        let before = bus.content();
        assert!(
            bus.crash_and_reopen(0, true).content() == before,
            "the old records that follow have matching offsets, but another run id"
        );
    }

    #[test]
    fn a_journal_of_another_file_is_moved_aside() {
        let long = format!("{{\"other\":\"{}\"}}\n", "x".repeat(500));
        for (size_before, other_content) in
            [(0, "{\"other\":1}\n"), (0, &long), (100, "{\"other\":1}\n"), (100, &long), (100, "")]
        {
            let mut bus = TestBus::new();
            if size_before > 0 {
                bus.append(size_before);
                bus.journal.close(&bus.events).unwrap();
            }
            let mut bus = TestBus::open(bus.folder);
            bus.append(200);
            std::fs::write(bus.folder.path().join("events.jsonl"), other_content).unwrap();
            let journal = std::fs::read(bus.folder.path().join(JOURNAL_FILE)).unwrap();
            let bus = TestBus::open(bus.folder);
            assert_eq!(bus.content(), other_content.as_bytes());
            let paths = std::fs::read_dir(bus.folder.path()).unwrap().map(|entry| entry.unwrap().path());
            let moved = paths.filter(|path| path.to_str().unwrap().contains("events.journal.")).last();
            assert!(std::fs::read(moved.unwrap()).unwrap() == journal);
        }
    }
}
