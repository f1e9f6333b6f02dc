//! A record of the journal: a head of [`HEAD`] bytes and lines of the bus's file; the next one begins with a block of its own. A
//! record counts only where its checksum is right and it goes on, in the bus's file, where the one before it ended.

/// What no record shares with another: a block that is torn holds one record at most.
pub(super) const BLOCK: u64 = 4096;
/// Bytes before a record's lines, little-endian: [`MAGIC`], the run (u64), where in the bus's file the lines are (u64), how
/// many bytes they are (u64), the checksum of what stands there before them (u32), and of all of this and the lines (u32).
pub(super) const HEAD: usize = 36;
/// What a record begins with; another form would have another.
const MAGIC: u32 = 0x686b_6201;

/// The lines of a record, and where in the bus's file they belong.
pub(super) struct Lines<'a> {
    pub(super) run: u64,
    pub(super) offset: u64,
    /// The checksum of what stands there before them, where they are the first of a half.
    pub(super) before: u32,
    pub(super) bytes: &'a [u8],
}

impl<'a> Lines<'a> {
    /// The record that a half of the journal begins with.
    pub(super) fn read(half: &'a [u8]) -> Option<Self> {
        let (head, rest) = half.split_at_checked(HEAD)?;
        let number = |at: usize| Some(u64::from_le_bytes(head.get(at..at + 8)?.try_into().ok()?));
        let short = |at: usize| Some(u32::from_le_bytes(head.get(at..at + 4)?.try_into().ok()?));
        let bytes = rest.get(..usize::try_from(number(20)?).ok()?)?;
        let is_whole = short(0)? == MAGIC && short(32)? == checksum(&head[..32], bytes);
        is_whole.then_some(Self { run: number(4)?, offset: number(12)?, before: short(28)?, bytes })
    }

    /// Makes the record of it.
    pub(super) fn write(&self, record: &mut Vec<u8>) {
        record.clear();
        record.extend_from_slice(&MAGIC.to_le_bytes());
        for number in [self.run, self.offset, self.bytes.len() as u64] {
            record.extend_from_slice(&number.to_le_bytes());
        }
        record.extend_from_slice(&self.before.to_le_bytes());
        let checksum = checksum(record, self.bytes);
        record.extend_from_slice(&checksum.to_le_bytes());
        record.extend_from_slice(self.bytes);
    }

    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }

    /// Whether `next` is what this run wrote next.
    pub(super) fn is_before(&self, next: &Self) -> bool {
        (self.run, self.end()) == (next.run, next.offset)
    }
}

/// The records of one half.
pub(super) fn records(half: &[u8]) -> Vec<Lines<'_>> {
    let mut found: Vec<Lines<'_>> = Vec::new();
    let mut rest = half;
    while let Some(lines) = Lines::read(rest)
        && found.last().is_none_or(|last| last.is_before(&lines))
    {
        let size = usize::try_from(size_of(lines.bytes.len())).unwrap_or(usize::MAX);
        rest = rest.get(size..).unwrap_or_default();
        found.push(lines);
    }
    found
}

/// The bytes that a record of so many bytes of lines takes.
pub(super) fn size_of(lines: usize) -> u64 {
    ((HEAD + lines) as u64).next_multiple_of(BLOCK)
}

fn checksum(head: &[u8], lines: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(lines);
    hasher.finalize()
}
