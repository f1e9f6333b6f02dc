//! Journal record format: a checksummed header and JSONL lines.
//!
//! A record is a header of [`HEADER_BYTES`] bytes followed by lines of the bus file, and starts at a block boundary. A
//! record is valid only if its checksum is right and its lines follow those of the previous record in the bus file.

/// Alignment of records, so that a torn block damages one record at most.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// Length of the header in bytes. Its little-endian fields are [`MAGIC`] (u32), the run id (u64), the offset of the
/// lines in the bus file (u64), their length (u64), the checksum of the bytes before them in the bus file (u32), and
/// the checksum of the preceding fields and the lines (u32).
pub(super) const HEADER_BYTES: usize = 36;
/// First field of a record; it identifies the version of the format.
const MAGIC: u32 = 0x686b_6201;

/// A record: lines, and their offset in the bus file.
pub(super) struct JournalRecord<'a> {
    pub(super) run_id: u64,
    pub(super) file_offset: u64,
    /// Checksum of the bytes before the lines in the bus file, in the first record of a half; otherwise zero.
    pub(super) preceding_checksum: u32,
    pub(super) lines: &'a [u8],
}

impl<'a> JournalRecord<'a> {
    /// Parses the record at the start of `half`; `None` if it is invalid.
    pub(super) fn parse(half: &'a [u8]) -> Option<Self> {
        let (head, rest) = half.split_at_checked(HEADER_BYTES)?;
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

    /// Replaces the content of `record` with the encoded record.
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

    /// Whether the same run wrote `next` directly after this record.
    pub(super) fn is_followed_by(&self, next: &Self) -> bool {
        (self.run_id, self.end()) == (next.run_id, next.file_offset)
    }
}

/// Parses the valid records of one half.
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

/// The bytes that a record occupies, with padding, for `lines` bytes of lines.
pub(super) fn record_size(lines: usize) -> u64 {
    ((HEADER_BYTES + lines) as u64).next_multiple_of(BLOCK_BYTES)
}

fn checksum(head: &[u8], lines: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(lines);
    hasher.finalize()
}
