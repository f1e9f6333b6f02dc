//! Gap-free event positions and ordered reads.
//!
//! Positions run from 1 on without gaps. Whoever sees an event sees every event before it: a batch gets its positions
//! after its commit, from one sequencer at a time, so that nothing is ever put in front of what was seen already.

use std::ops::Range;

use jiff::Timestamp;

use super::search::StoredEvent;
use super::{EventStore, LogError};

/// A place in the log, from 1 on.
pub type Position = i64;

/// What is kept of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The position of the first event that is kept; the same as `end` when none is.
    pub first: Position,
    /// The position that the next event will get.
    pub end: Position,
}

/// Which events are wanted. All of it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Sources, of which one; of none, every one.
    pub sources: Vec<String>,
    /// Types, of which one; of none, every one.
    pub types: Vec<TypePattern>,
    /// The first time of an event that is in.
    pub from: Option<Timestamp>,
    /// The first time that is not.
    pub to: Option<Timestamp>,
}

/// A type of events, or with `*` at its end all that begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypePattern(pub String);

impl TypePattern {
    /// What the type begins with; `None` where it is written in full.
    pub fn prefix(&self) -> Option<&str> {
        self.0.strip_suffix('*')
    }
}

/// How much is read at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageLimit {
    /// So many events.
    pub max_events: usize,
    /// Events as long as the details of those before them are shorter than this together, in bytes.
    pub max_detail_bytes: usize,
    /// Of more, the last and not the first.
    pub from_end: bool,
}

impl PageLimit {
    /// Everything.
    pub const UNLIMITED: Self =
        Self { max_events: usize::MAX, max_detail_bytes: usize::MAX, from_end: false };

    /// Whether these may not be all that there were.
    pub fn is_reached(&self, events: &[PositionedEvent]) -> bool {
        let bytes = || events.iter().map(|placed| placed.event.detail.len()).sum::<usize>();
        events.len() >= self.max_events || bytes() >= self.max_detail_bytes
    }
}

/// An event, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PositionedEvent {
    /// Its position.
    pub position: Position,
    /// The event.
    pub event: StoredEvent,
}

/// What the cursors of a log are signed with. It shows nothing.
#[derive(Clone)]
pub struct CursorKey(Vec<u8>);

impl CursorKey {
    /// These bytes.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey")
    }
}

/// Reads a log in its order.
pub trait EventReader: EventStore {
    /// Gives positions to what was recorded and has none yet, and returns the one that the next event will get. Readers
    /// do it, too: what a recorder that was stopped left behind is not held up.
    ///
    /// # Errors
    /// [`LogError`].
    fn assign_positions(&self) -> impl Future<Output = Result<Position, LogError>> + Send;

    /// What is kept of the log now.
    ///
    /// # Errors
    /// [`LogError`].
    fn bounds(&self) -> impl Future<Output = Result<Bounds, LogError>> + Send;

    /// The events of these positions that the filter lets through, in their order, as many as `most` says; `None` when some
    /// of the positions are no longer kept. The end must be one that [`EventReader::assign_positions`] returned, or less.
    ///
    /// # Errors
    /// [`LogError`].
    fn read_events(
        &self,
        positions: Range<Position>,
        filter: &EventFilter,
        most: PageLimit,
    ) -> impl Future<Output = Result<Option<Vec<PositionedEvent>>, LogError>> + Send;

    /// The first position of what was recorded at a time or after it.
    ///
    /// # Errors
    /// [`LogError`].
    fn first_position_since(
        &self,
        time: Timestamp,
    ) -> impl Future<Output = Result<Position, LogError>> + Send;

    /// When the event of a position, or if it is not kept the first after it, was recorded; `None` when there is none.
    ///
    /// # Errors
    /// [`LogError`].
    fn recorded_at(
        &self,
        position: Position,
    ) -> impl Future<Output = Result<Option<Timestamp>, LogError>> + Send;

    /// The event with an id, of one of these sources (of none, of every one); the latest, where several have it.
    ///
    /// # Errors
    /// [`LogError`].
    fn find_event(
        &self,
        id: &str,
        sources: &[String],
    ) -> impl Future<Output = Result<Option<StoredEvent>, LogError>> + Send;

    /// What this log's cursors are signed with. It goes with the log wherever it is moved.
    ///
    /// # Errors
    /// [`LogError`].
    fn cursor_key(&self) -> impl Future<Output = Result<CursorKey, LogError>> + Send;

    /// Returns when the log has an event at this position or behind it: at once where it is recorded by this process, soon
    /// where by another.
    ///
    /// # Errors
    /// [`LogError`]: the log cannot be opened. While it cannot be asked, it waits.
    fn wait_for_position(&self, position: Position) -> impl Future<Output = Result<(), LogError>> + Send;
}
