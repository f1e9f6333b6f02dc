//! The parsers of a provider that sends batches.

use jiff::Timestamp;
use serde_json::value::RawValue;

use crate::log::NewEvent;

/// Records, and the number of them that hold an unrecognized element unchanged.
type Records<'a> = (Vec<NewEvent<'a>>, usize);

/// The parsers of a provider that sends batches. They never fail and never drop an element. The `Timestamp` is the time
/// of events without a time of their own.
#[derive(Debug)]
pub struct BatchFormat {
    /// Parses the body of a batch.
    pub parse_batch: for<'a> fn(&'a str, Timestamp) -> Records<'a>,
    /// Parses one element of a batch, which is also the detail of a bus event; `None` if it is not an event.
    pub parse_event: for<'a> fn(&'a RawValue, Timestamp) -> Option<NewEvent<'a>>,
    /// Parses the events of a polled page. An event equals the same event of a batch.
    pub parse_polled_events: fn(&[&RawValue], Timestamp) -> Records<'static>,
}
