//! The parsers of a provider that sends batches.

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::log::NewEvent;

/// Parsed events, and how many of them are unrecognized elements, which are recorded unchanged.
type ParsedEvents<'a> = (Vec<NewEvent<'a>>, usize);

/// The parsers of a provider that sends batches. They never fail and never drop an event. Each one assigns its
/// `Timestamp` argument to events that have no time of their own.
#[derive(Debug)]
pub struct BatchFormat {
    /// Parses the body of a batch.
    pub parse_batch: for<'a> fn(&'a str, Timestamp) -> ParsedEvents<'a>,
    /// Parses one element of a batch, which is also the `detail` of a bus event; `None` if it is not an event.
    pub parse_event: for<'a> fn(&'a RawValue, Timestamp) -> Option<NewEvent<'a>>,
    /// Parses the events of a polled page. The same event has the same id and time as in a batch.
    pub parse_polled_events: fn(&[&RawValue], Timestamp) -> ParsedEvents<'static>,
}
