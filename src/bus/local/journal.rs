//! Write-ahead journal for the local bus file.
//!
//! Flushing a growing file also flushes its length and its new blocks. The writer therefore makes lines durable in
//! the journal first, whose blocks are preallocated, and then writes them to the bus file. A background thread
//! flushes the bus file when half of the journal is full. On open, the journal restores lines that the bus file lost
//! in a crash.
//!
//! The writer fills the two halves of the journal in turn. It reuses a half only after the bus file holds all of its
//! lines durably. Each half is a sequence of records (`journal_record`).

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use jiff::Timestamp;
use tracing::warn;

use super::file_identity::FileIdentity;
use super::flusher::Flusher;
use super::journal_record::{HEADER_BYTES, JournalRecord, parse_records, record_size};
use crate::files::open_private;

/// The journal's name in the data folder.
const FILE_EXTENSION: &str = "events.journal";
/// Size of one half, in bytes.
const HALF_BYTES: u64 = 8 << 20;
/// Bytes of the bus file before a half's first record whose checksum identifies the file.
const HALF_HEADER_BYTES: u64 = 4096;

/// The journal of a bus file.
pub(super) struct Journal {
    file_identity: FileIdentity,
    file: File,
    /// Size of each half, in bytes.
    half: u64,
    /// Whether the second half is the current one.
    second: bool,
    /// Used bytes of the current half.
    used: u64,
    /// Distinguishes the records of this run from those of earlier runs.
    run: u64,
    record: Vec<u8>,
    flusher: Flusher,
}

impl Journal {
    /// Opens the journal in `folder`, and restores the lines that `events`, the bus file, lost in a crash.
    pub(super) fn open(folder: &Path, events: &mut File) -> std::io::Result<Self> {
        Self::with_halves(folder, events, HALF_BYTES)
    }

    fn with_halves(folder: &Path, events: &mut File, half: u64) -> std::io::Result<Self> {
        let path = folder.join(FILE_EXTENSION);
        let mut file = open_private(&path)?;
        let mut content = Vec::new();
        file.read_to_end(&mut content)?;
        let is_one = content.len() as u64 == 2 * half;
        let is_to_stay = if is_one { !recover(&content, events)? } else { content.iter().any(|b| *b != 0) };
        if is_to_stay {
            set_aside(&path)?;
            file = open_private(&path)?;
            content.clear();
        }
        if content.len() as u64 == 2 * half {
            clear_half(&mut file, half)?;
        } else {
            // The journal is new, or its creation was interrupted.
            file.set_len(0)?;
            file.seek(SeekFrom::Start(0))?;
            std::io::copy(&mut std::io::repeat(0).take(2 * half), &mut file)?;
            file.sync_all()?;
            #[cfg(unix)]
            File::open(folder)?.sync_all()?;
        }
        let flusher = Flusher::spawn(events.try_clone()?)?;
        let (run, record) = (fastrand::u64(..), Vec::new());
        let place = FileIdentity::new(path, &file)?;
        Ok(Self { file_identity: place, file, half, second: false, used: 0, run, record, flusher })
    }

    /// The identity of the journal file.
    pub(super) fn identity(&self) -> &FileIdentity {
        &self.file_identity
    }

    /// Makes lines durable whose place in the bus file is `offset`. Returns `false` if they do not fit into a half.
    /// After `true` the caller must call [`Journal::commit`] or [`Journal::rollback`], and after an error the latter.
    pub(super) fn write(&mut self, lines: &[u8], offset: u64, events: &mut File) -> std::io::Result<bool> {
        let size = record_size(lines.len());
        if size > self.half {
            return Ok(false);
        }
        if self.used + size > self.half {
            self.flusher.start_flush(offset)?;
            (self.second, self.used) = (!self.second, 0);
        }
        let before = if self.used == 0 { checksum_before(offset, events)? } else { 0 };
        JournalRecord { run_id: self.run, file_offset: offset, preceding_checksum: before, lines }
            .encode(&mut self.record);
        self.file.seek(SeekFrom::Start(self.end_offset()))?;
        self.file.write_all(&self.record)?;
        self.file.sync_data()?;
        Ok(true)
    }

    /// Commits the last record: the bus file holds its lines.
    pub(super) fn commit(&mut self, lines: &[u8]) {
        self.used += record_size(lines.len());
    }

    /// Rolls back the last record, complete or not, whose lines the bus file does not hold. If erasing the record
    /// fails, the journal accepts no new half until the next start.
    pub(super) fn rollback(&mut self) {
        if self.used == self.half {
            return;
        }
        let end = self.end_offset();
        let erased = self
            .file
            .seek(SeekFrom::Start(end))
            .and_then(|_| self.file.write_all(&[0; HEADER_BYTES]))
            .and_then(|()| self.file.sync_data());
        self.flusher.record_error(erased.as_ref().err());
    }

    /// Offset of the next record in the journal.
    fn end_offset(&self) -> u64 {
        if self.second { self.half + self.used } else { self.used }
    }

    /// Flushes the bus file, after which the current half may be overwritten.
    pub(super) fn checkpoint(&mut self, events: &File) -> std::io::Result<()> {
        self.flusher.wait()?;
        let flushed = events.sync_data();
        self.flusher.record_error(flushed.as_ref().err());
        flushed?;
        self.used = 0;
        Ok(())
    }

    /// Flushes the bus file and empties the journal, so that a bus file removed later leaves nothing to restore.
    pub(super) fn close(&mut self, events: &File) -> std::io::Result<()> {
        self.checkpoint(events)?;
        clear_half(&mut self.file, self.half)
    }
}

/// Restores lost lines in `events`. Returns `false` if the journal belongs to another file.
fn recover(journal: &[u8], events: &mut File) -> std::io::Result<bool> {
    let (one, other) = journal.split_at(journal.len() / 2);
    let mut halves = [parse_records(one), parse_records(other)];
    halves.sort_by_key(|half| half.first().map(|lines| lines.file_offset));
    let [older, newer] = halves;
    let Some(first) = newer.first() else { return Ok(true) };
    // After a gap between the halves, all lines before the newer half are durable in the bus file.
    let older = if older.last().is_some_and(|last| last.is_followed_by(first)) { older } else { Vec::new() };
    let first = older.first().unwrap_or(first);
    if events.metadata()?.len() < first.file_offset
        || checksum_before(first.file_offset, events)? != first.preceding_checksum
        || (first.file_offset == 0 && has_other_beginning(events, first.lines)?)
    {
        return Ok(false);
    }
    for lines in older.iter().chain(&newer) {
        events.seek(SeekFrom::Start(lines.file_offset))?;
        events.write_all(lines.lines)?;
    }
    events.sync_data()?;
    Ok(true)
}

/// Whether `events` begins with bytes that are neither those of `lines` nor zeros, which stand for lost blocks.
fn has_other_beginning(events: &mut File, lines: &[u8]) -> std::io::Result<bool> {
    let mut start = Vec::new();
    events.seek(SeekFrom::Start(0))?;
    events.take(lines.len() as u64).read_to_end(&mut start)?;
    Ok(start.iter().zip(lines).any(|(there, line)| there != line && *there != 0))
}

/// Renames the journal of another bus file, which may hold lines that the other file lost in a crash.
fn set_aside(path: &Path) -> std::io::Result<()> {
    let aside = path.with_file_name(format!("{FILE_EXTENSION}.{}", Timestamp::now().as_nanosecond()));
    std::fs::rename(path, &aside)?;
    let aside = aside.display().to_string();
    warn!(aside, "the journal does not match events.jsonl and was moved aside");
    Ok(())
}

/// Erases the first header of both halves, which invalidates all records.
fn clear_half(file: &mut File, half: u64) -> std::io::Result<()> {
    for start in [0, half] {
        file.seek(SeekFrom::Start(start))?;
        file.write_all(&[0; HEADER_BYTES])?;
    }
    file.sync_data()
}

/// The checksum of the bytes before `offset`, at most [`HALF_HEADER_BYTES`] of them.
fn checksum_before(offset: u64, events: &mut File) -> std::io::Result<u32> {
    let mut before = Vec::new();
    events.seek(SeekFrom::Start(offset.saturating_sub(HALF_HEADER_BYTES)))?;
    events.take(offset.min(HALF_HEADER_BYTES)).read_to_end(&mut before)?;
    Ok(crc32fast::hash(&before))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use tempfile::TempDir;

    use super::*;
    use crate::bus::local::journal_record::BLOCK_BYTES;

    const SMALL: u64 = 4 * BLOCK_BYTES;

    /// A bus file and its journal in a folder, with simulated crashes.
    struct Bus {
        folder: TempDir,
        events: File,
        journal: Journal,
        length: u64,
    }

    impl Bus {
        fn new() -> Self {
            Self::of(tempfile::tempdir().unwrap())
        }

        fn of(folder: TempDir) -> Self {
            let path = folder.path().join("events.jsonl");
            let mut options = File::options();
            let mut events = options.create(true).truncate(false).read(true).write(true).open(path).unwrap();
            let journal = Journal::with_halves(folder.path(), &mut events, SMALL).unwrap();
            let length = events.metadata().unwrap().len();
            Self { folder, events, journal, length }
        }

        /// Appends lines of `size` bytes, different on every call.
        fn append(&mut self, size: usize) {
            let lines = self.lines(size);
            let is_on_disk = self.journal.write(&lines, self.length, &mut self.events).unwrap();
            self.events.seek(SeekFrom::Start(self.length)).unwrap();
            self.events.write_all(&lines).unwrap();
            match is_on_disk {
                true => self.journal.commit(&lines),
                false => self.journal.checkpoint(&self.events).unwrap(),
            }
            self.length += lines.len() as u64;
        }

        /// Writes lines of `size` bytes to the journal, and rolls them back.
        fn refuse(&mut self, size: usize) {
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

        /// Simulates a power loss after which the bus file holds only its first `on_disk` bytes, and opens it again.
        /// The rest is truncated if `is_cut`, else it reads as zeros.
        fn after_a_crash(self, on_disk: u64, is_cut: bool) -> Self {
            let Self { folder, events, journal, .. } = self;
            let length = events.metadata().unwrap().len();
            events.set_len(on_disk).unwrap();
            if !is_cut {
                events.set_len(length).unwrap();
            }
            drop((events, journal));
            Self::of(folder)
        }
    }

    #[test]
    fn lines_lost_in_a_crash_are_replayed() {
        for is_cut in [true, false] {
            let mut bus = Bus::new();
            bus.append(100);
            bus.append(5000);
            bus.append(1);
            let before = bus.content();
            let mut bus = bus.after_a_crash(0, is_cut);
            assert!(bus.content() == before);
            let on_disk = bus.length;
            bus.append(30);
            let before = bus.content();
            assert!(bus.after_a_crash(on_disk, is_cut).content() == before, "and in the next run");
        }
    }

    #[test]
    fn both_halves_are_replayed_in_order() {
        for appends in 0..40_usize {
            let mut bus = Bus::new();
            for n in 0..appends {
                bus.append(1 + n * 997 % 9000);
            }
            // Everything before the older half is durable in the bus file.
            let journal = std::fs::read(bus.folder.path().join(FILE_EXTENSION)).unwrap();
            let (one, other) = journal.split_at(journal.len() / 2);
            let first = [one, other]
                .map(|half| JournalRecord::parse(half).map_or(u64::MAX, |lines| lines.file_offset));
            let on_disk = first.into_iter().min().unwrap().min(bus.length);
            let before = bus.content();
            assert!(bus.after_a_crash(on_disk, appends % 2 == 0).content() == before, "{appends} appends");
        }
    }

    #[test]
    fn a_torn_record_is_ignored() {
        let mut bus = Bus::new();
        bus.append(100);
        let kept = bus.content();
        bus.append(9000);
        let path = bus.folder.path().join(FILE_EXTENSION);
        let mut journal = File::options().read(true).write(true).open(path).unwrap();
        journal.seek(SeekFrom::Start(3 * BLOCK_BYTES)).unwrap();
        journal.write_all(&[0; 10]).unwrap();
        assert!(bus.after_a_crash(0, true).content() == kept);
    }

    #[test]
    fn a_rolled_back_record_is_overwritten() {
        let mut bus = Bus::new();
        bus.append(100);
        // Written to the journal and then rolled back: the publishers get an error.
        bus.refuse(8000);
        bus.append(20);
        bus.append(20);
        let before = bus.content();
        assert!(bus.after_a_crash(0, true).content() == before);
    }

    #[test]
    fn a_rollback_keeps_earlier_records() {
        let mut bus = Bus::new();
        bus.append(2 * 4096);
        bus.refuse(100);
        // The lines do not fit into the current half, whose other lines may not be durable yet.
        bus.append(2 * 4096);
        let before = bus.content();
        assert!(bus.after_a_crash(0, true).content() == before);

        let mut bus = Bus::new();
        bus.append(100);
        bus.refuse(100);
        bus.append(3 * usize::try_from(SMALL).unwrap());
        let (before, on_disk) = (bus.content(), bus.length);
        assert!(bus.after_a_crash(on_disk, true).content() == before, "too many for the journal");
    }

    #[test]
    fn lines_larger_than_the_journal_are_flushed_to_the_file() {
        let mut bus = Bus::new();
        bus.append(100);
        bus.append(3 * usize::try_from(SMALL).unwrap());
        let on_disk = bus.length;
        bus.append(50);
        let before = bus.content();
        assert!(bus.after_a_crash(on_disk, true).content() == before);
    }

    #[test]
    fn records_of_an_earlier_run_are_not_replayed() {
        let mut bus = Bus::new();
        for _ in 0..3 {
            bus.append(64);
        }
        bus.journal.close(&bus.events).unwrap();
        std::fs::remove_file(bus.folder.path().join("events.jsonl")).unwrap();
        let mut bus = Bus::of(bus.folder);
        assert_eq!(bus.length, 0, "after a clean end nothing is written again");
        bus.append(64);
        let before = bus.content();
        assert!(bus.after_a_crash(0, true).content() == before, "the old ones behind it fit to the byte");
    }

    #[test]
    fn a_journal_of_another_file_is_set_aside() {
        let long = format!("{{\"other\":\"{}\"}}\n", "x".repeat(500));
        for (before, other) in
            [(0, "{\"other\":1}\n"), (0, &long), (100, "{\"other\":1}\n"), (100, &long), (100, "")]
        {
            let mut bus = Bus::new();
            if before > 0 {
                bus.append(before);
                bus.journal.close(&bus.events).unwrap();
            }
            let mut bus = Bus::of(bus.folder);
            bus.append(200);
            std::fs::write(bus.folder.path().join("events.jsonl"), other).unwrap();
            let journal = std::fs::read(bus.folder.path().join(FILE_EXTENSION)).unwrap();
            let bus = Bus::of(bus.folder);
            assert_eq!(bus.content(), other.as_bytes());
            let names = std::fs::read_dir(bus.folder.path()).unwrap().map(|entry| entry.unwrap().path());
            let aside = names.filter(|path| path.to_str().unwrap().contains("events.journal.")).last();
            assert!(std::fs::read(aside.unwrap()).unwrap() == journal);
        }
    }
}
