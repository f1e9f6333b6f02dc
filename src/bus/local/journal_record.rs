//! The format of a journal record: a header with a checksum, and JSONL lines.
//!
//! A record starts at a block boundary. It is a header of [`HEADER_BYTES`] bytes followed by lines of the bus file. A record is
//! valid only if its checksum matches and its lines directly follow the lines of the previous record in the bus file.

/// Alignment of records in bytes. Each record has its own blocks, so that a partly written block damages one record at most.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// Length of a record's header in bytes. The header's little-endian fields are [`MAGIC`] (u32), the run id (u64), the offset of
/// the lines in the bus file (u64), the length of the lines (u64), the preceding checksum (u32), and the checksum of all these
/// fields and the lines (u32).
pub(super) const HEADER_BYTES: usize = 36;
/// First field of a record. It identifies the journal format and its version.
const MAGIC: u32 = 0x686b_6201;

/// A journal record: lines, and their offset in the bus file.
pub(super) struct JournalRecord<'a> {
    /// Random id of the run of the process that wrote the record.
    pub(super) run_id: u64,
    /// Offset of the lines in the bus file.
    pub(super) file_offset: u64,
    /// In the first record of a half, the checksum of the bytes before the lines in the bus file; otherwise zero.
    pub(super) preceding_checksum: u32,
    pub(super) lines: &'a [u8],
}

impl<'a> JournalRecord<'a> {
    /// Parses the record at the start of `half`; `None` if the record is invalid.
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

    /// Replaces the content of `buffer` with this record in its encoded form.
    pub(super) fn encode(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(&MAGIC.to_le_bytes());
        for field in [self.run_id, self.file_offset, self.lines.len() as u64] {
            buffer.extend_from_slice(&field.to_le_bytes());
        }
        buffer.extend_from_slice(&self.preceding_checksum.to_le_bytes());
        let checksum = checksum(buffer, self.lines);
        buffer.extend_from_slice(&checksum.to_le_bytes());
        buffer.extend_from_slice(self.lines);
    }

    /// Offset in the bus file after the lines of this record.
    fn end_offset(&self) -> u64 {
        self.file_offset + self.lines.len() as u64
    }

    /// Whether `next` comes from the same run and its lines directly follow those of this record in the bus file.
    pub(super) fn is_followed_by(&self, next: &Self) -> bool {
        (self.run_id, self.end_offset()) == (next.run_id, next.file_offset)
    }
}

/// Parses the records of one half, up to the first invalid one.
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
