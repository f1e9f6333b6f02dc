//! A record of the journal: a head of [`HEADER_LEN`] bytes and lines of the bus's file; the next one begins with a block of its own. A
//! record counts only where its checksum is right and it goes on, in the bus's file, where the one before it ended.

/// What no record shares with another: a block that is torn holds one record at most.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// Bytes before a record's lines, little-endian: [`MAGIC`], the run (u64), where in the bus's file the lines are (u64), how
/// many bytes they are (u64), the checksum of what stands there before them (u32), and of all of this and the lines (u32).
pub(super) const HEADER_LEN: usize = 36;
/// What a record begins with; another form would have another.
const MAGIC: u32 = 0x686b_6201;

/// The lines of a record, and where in the bus's file they belong.
pub(super) struct JournalRecord<'a> {
    pub(super) run_id: u64,
    pub(super) file_offset: u64,
    /// The checksum of what stands there before them, where they are the first of a half.
    pub(super) preceding_checksum: u32,
    pub(super) lines: &'a [u8],
}

impl<'a> JournalRecord<'a> {
    /// The record that a half of the journal begins with.
    pub(super) fn parse(half: &'a [u8]) -> Option<Self> {
        let (head, rest) = half.split_at_checked(HEADER_LEN)?;
        let number = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
        let short = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
        let bytes = rest.get(..usize::try_from(number(20)?).ok()?)?;
        let is_whole = short(0)? == MAGIC && short(32)? == checksum(&head[..32], bytes);
        is_whole.then_some(Self {
            run_id: number(4)?,
            file_offset: number(12)?,
            preceding_checksum: short(28)?,
            lines: bytes,
        })
    }

    /// Makes the record of it.
    pub(super) fn encode(&self, record: &mut Vec<u8>) {
        record.clear();
        record.extend_from_slice(&MAGIC.to_le_bytes());
        for number in [self.run_id, self.file_offset, self.lines.len() as u64] {
            record.extend_from_slice(&number.to_le_bytes());
        }
        record.extend_from_slice(&self.preceding_checksum.to_le_bytes());
        let checksum = checksum(record, self.lines);
        record.extend_from_slice(&checksum.to_le_bytes());
        record.extend_from_slice(self.lines);
    }

    fn end(&self) -> u64 {
        self.file_offset + self.lines.len() as u64
    }

    /// Whether `next` is what this run wrote next.
    pub(super) fn is_followed_by(&self, next: &Self) -> bool {
        (self.run_id, self.end()) == (next.run_id, next.file_offset)
    }
}

/// The records of one half.
pub(super) fn parse_records(half: &[u8]) -> Vec<JournalRecord<'_>> {
    let mut found: Vec<JournalRecord<'_>> = Vec::new();
    let mut rest = half;
    while let Some(lines) = JournalRecord::parse(rest)
        && found.last().is_none_or(|last| last.is_followed_by(&lines))
    {
        let size = usize::try_from(record_size(lines.lines.len())).unwrap_or(usize::MAX);
        rest = rest.get(size..).unwrap_or_default();
        found.push(lines);
    }
    found
}

/// The bytes that a record of so many bytes of lines takes.
pub(super) fn record_size(lines: usize) -> u64 {
    ((HEADER_LEN + lines) as u64).next_multiple_of(BLOCK_BYTES)
}

fn checksum(head: &[u8], lines: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(lines);
    hasher.finalize()
}
