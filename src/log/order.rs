//! The positions of events, and the parameters and results of ordered reads.
//!
//! Positions start at 1 and have no gaps. A batch gets its positions after its commit (in SQLite, in its transaction, which
//! excludes other writers), and these positions follow all positions that other batches have. So no event ever appears before an
//! event that a reader has already seen.

use jiff::Timestamp;

use super::search::StoredEvent;

/// The position of an event in the log, starting at 1.
pub type Position = i64;

/// The range of positions that the log stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The position of the first stored event; equals `end_position` when the log is empty.
    pub first_position: Position,
    /// The position that the next event will get.
    pub end_position: Position,
}

/// Selects events. An event is selected only if it matches every field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// The accepted sources; empty accepts all.
    pub sources: Vec<String>,
    /// The accepted detail types; empty accepts all.
    pub types: Vec<TypePattern>,
    /// Start of the event time range (inclusive); `None` for no start.
    pub from: Option<Timestamp>,
    /// End of the event time range (exclusive); `None` for no end.
    pub to: Option<Timestamp>,
    /// A part of the event's id or of its resources, which contain the provider's id; `None` accepts all.
    pub id_part: Option<String>,
}

/// Matches detail types: the text is a complete detail type or, if it ends in `*`, a prefix of detail types.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypePattern(pub String);

impl TypePattern {
    /// The prefix without its `*`; `None` if the pattern is a complete detail type.
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }
}

/// The limits of one read: its maximum numbers of events and bytes, and the end of the range at which it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// The maximum number of events.
    pub max_events: usize,
    /// The limit on the total size of the events' `detail`, in bytes: the read stops after the event that reaches it.
    pub max_detail_bytes: usize,
    /// Whether to read the last events of the range instead of the first.
    pub from_end: bool,
}

impl PageLimit {
    /// No limit.
    pub const UNLIMITED: Self =
        Self { max_events: usize::MAX, max_detail_bytes: usize::MAX, from_end: false };

    /// Whether the events read so far reach a limit. If so, the range may contain more matching events.
    pub fn is_reached(&self, events: &[PositionedEvent]) -> bool {
        let bytes = || events.iter().map(|item| item.event.detail.len()).sum::<usize>();
        events.len() >= self.max_events || bytes() >= self.max_detail_bytes
    }
}

/// An event and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionedEvent {
    /// The position in the log.
    pub position: Position,
    /// The event.
    pub event: StoredEvent,
}

/// The key that signs the cursors of a log. Its `Debug` output hides the key.
#[derive(Clone)]
pub struct CursorSigningKey(Vec<u8>);

impl CursorSigningKey {
    /// Wraps the key bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Returns the key bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for CursorSigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorSigningKey")
    }
}
