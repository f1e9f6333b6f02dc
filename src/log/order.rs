//! The positions of events, and the parameters and results of ordered reads.
//!
//! Positions start at 1 and have no gaps. A reader that sees an event sees every event before it: positions are assigned in the
//! order in which batches become visible, so no event is ever inserted before one that was visible.

use jiff::Timestamp;

use super::search::StoredEvent;

/// The position of an event in the log, starting at 1.
pub type Position = i64;

/// The range of positions that the log stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The position of the first stored event; equals `end_position` when the log is empty.
    pub first_position: Position,
    /// The position of the next event that is recorded.
    pub end_position: Position,
}

/// Selects events. An event must match every field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// The accepted sources; empty accepts all.
    pub sources: Vec<String>,
    /// The accepted detail types; empty accepts all.
    pub types: Vec<TypePattern>,
    /// Start of the event time range (inclusive).
    pub from: Option<Timestamp>,
    /// End of the event time range (exclusive).
    pub to: Option<Timestamp>,
}

/// A detail type, or a prefix when it ends in `*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypePattern(pub String);

impl TypePattern {
    /// The prefix; `None` for a complete detail type.
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }
}

/// Limits of one read.
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

    /// Whether these events reach the limit, so that more may follow.
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
