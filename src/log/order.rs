//! Gap-free event positions and ordered reads.
//!
//! Positions start at 1 and have no gaps. A reader that sees an event sees every event before it: one sequencer at a
//! time assigns the positions of a batch after its commit, so no event is ever inserted before one that was visible.

use std::ops::Range;

use jiff::Timestamp;

use super::search::StoredEvent;
use super::{EventStore, LogError};

/// The position of an event in the log, starting at 1.
pub type Position = i64;

/// The range of positions that the log stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The position of the first stored event; equals `end_position` when the log is empty.
    pub first_position: Position,
    /// The position of the next event.
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
    /// The byte limit for details: the read stops after the event that reaches it.
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

/// Reads events in the order of their positions.
pub trait EventReader: EventStore {
    /// Assigns positions to recorded batches that have none, and returns the position of the next event. Readers call
    /// it too, so batches of a recorder that stopped early do not stay invisible.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn assign_positions(&self) -> impl Future<Output = Result<Position, LogError>> + Send;

    /// Returns the range of stored positions.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn bounds(&self) -> impl Future<Output = Result<Bounds, LogError>> + Send;

    /// Returns the events of these positions that match the filter, in order, up to `page_limit`; `None` when
    /// some of the positions have expired. The end must not exceed the result of [`EventReader::assign_positions`].
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn read_events(
        &self,
        positions: Range<Position>,
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> impl Future<Output = Result<Option<Vec<PositionedEvent>>, LogError>> + Send;

    /// Returns the position of the first event that was recorded at this time or later.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn first_position_since(
        &self,
        time: Timestamp,
    ) -> impl Future<Output = Result<Position, LogError>> + Send;

    /// Returns when the event at this position, or the next stored one, was recorded; `None` after the end of the log.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn recorded_at(
        &self,
        position: Position,
    ) -> impl Future<Output = Result<Option<Timestamp>, LogError>> + Send;

    /// Returns the newest event with this id from one of the sources; no sources mean any source.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn find_event(
        &self,
        id: &str,
        sources: &[String],
    ) -> impl Future<Output = Result<Option<StoredEvent>, LogError>> + Send;

    /// Returns the key that signs this log's cursors. The database stores it, so it moves with the log.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn cursor_signing_key(&self) -> impl Future<Output = Result<CursorSigningKey, LogError>> + Send;

    /// Waits until the log has an event at this position: immediately for events of this process, within a short
    /// polling interval for others.
    ///
    /// # Errors
    /// The log cannot be opened. While a query of the end of the log fails, the method keeps waiting.
    fn wait_for_position(&self, position: Position) -> impl Future<Output = Result<(), LogError>> + Send;
}
