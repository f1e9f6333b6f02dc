//! Journal record format: a checksummed header and JSONL lines.
//!
//! A record is a header of [`HEADER_BYTES`] bytes followed by lines of the bus file, and starts at a block boundary.
//! It is valid only if its checksum matches and its lines follow those of the previous record in the bus file.

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
        let (header, body) = half.split_at_checked(HEADER_BYTES)?;
        let read_u64 = |at: usize| Some(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?));
        let read_u32 = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let lines = body.get(..usize::try_from(read_u64(20)?).ok()?)?;
        let is_valid = read_u32(0)? == MAGIC && read_u32(32)? == checksum(&header[..32], lines);
        is_valid.then_some(Self {
            run_id: read_u64(4)?,
            file_offset: read_u64(12)?,
            preceding_checksum: read_u32(28)?,
            lines,
        })
    }

    /// Replaces the content of `record` with the encoded record.
    pub(super) fn encode(&self, record: &mut Vec<u8>) {
        record.clear();
        record.extend_from_slice(&MAGIC.to_le_bytes());
        for field in [self.run_id, self.file_offset, self.lines.len() as u64] {
            record.extend_from_slice(&field.to_le_bytes());
        }
        record.extend_from_slice(&self.preceding_checksum.to_le_bytes());
        let checksum = checksum(record, self.lines);
        record.extend_from_slice(&checksum.to_le_bytes());
        record.extend_from_slice(self.lines);
    }

    fn end_offset(&self) -> u64 {
        self.file_offset + self.lines.len() as u64
    }

    /// Whether the same run wrote `next` directly after this record.
    pub(super) fn is_followed_by(&self, next: &Self) -> bool {
        (self.run_id, self.end_offset()) == (next.run_id, next.file_offset)
    }
}

/// Parses the valid records of one half.
pub(super) fn parse_records(half: &[u8]) -> Vec<JournalRecord<'_>> {
    let mut records: Vec<JournalRecord<'_>> = Vec::new();
    let mut remaining = half;
    while let Some(record) = JournalRecord::parse(remaining)
        && records.last().is_none_or(|last| last.is_followed_by(&record))
    {
        let size = usize::try_from(record_size(record.lines.len())).unwrap_or(usize::MAX);
        remaining = remaining.get(size..).unwrap_or_default();
        records.push(record);
    }
    records
}

/// Size of a record with `line_bytes` bytes of lines, including the padding to a whole block.
pub(super) fn record_size(line_bytes: usize) -> u64 {
    ((HEADER_BYTES + line_bytes) as u64).next_multiple_of(BLOCK_BYTES)
}

fn checksum(header: &[u8], lines: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header);
    hasher.update(lines);
    hasher.finalize()
}
