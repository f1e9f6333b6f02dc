//! The parsers of a provider that sends batches.

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::log::NewEvent;

/// Parsed events, and how many of them are unrecognized elements, which are recorded unchanged.
type ParsedEvents<'a> = (Vec<NewEvent<'a>>, usize);

/// The parsers of a provider that sends batches. A parser of a batch or a page never fails and never drops an event. Each
/// parser assigns its `Timestamp` argument to events that have no time of their own.
#[derive(Debug)]
pub struct BatchFormat {
    /// Parses the body of a batch.
    pub parse_batch: for<'a> fn(&'a str, Timestamp) -> ParsedEvents<'a>,
    /// Parses one element of a batch. A bus event of the provider has such an element as its `detail`. Returns `None` if the
    /// element is not an event.
    pub parse_event: for<'a> fn(&'a RawValue, Timestamp) -> Option<NewEvent<'a>>,
    /// Parses the events of a polled page. An event gets the same id and time as when it arrives in a batch.
    pub parse_polled_events: fn(&[&RawValue], Timestamp) -> ParsedEvents<'static>,
}
