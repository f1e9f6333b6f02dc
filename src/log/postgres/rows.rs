//! Encoding of events as rows for `COPY` or `INSERT`.
//!
//! Source: "COPY", PostgreSQL manual, "Binary Format". Times are microseconds since 2000-01-01, as in `timestamptz`.

use std::borrow::Cow;
use std::sync::LazyLock;

use sqlx::{Postgres, QueryBuilder};

use crate::log::{COLUMNS, NewEvent};

const COPY_SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// 2000-01-01 in microseconds since 1970.
const POSTGRES_EPOCH_MICROS: i64 = 946_684_800_000_000;
/// PostgreSQL's OID of the type `text`.
const TEXT_OID: i32 = 25;
const NULL_LENGTH: i32 = -1;
const FIXED_COLUMNS: [&str; 10] =
    ["time", "id", "source", "type", "batch", "place", "account", "region", "resources", "detail"];

/// The maximum number of rows that are written by `INSERT`; more rows use `COPY`. `COPY` is slow for few rows: the driver sends
/// two packets without TCP_NODELAY, so the second waits for the acknowledgement of the first, which may be delayed by 40 ms.
pub(super) const MAX_INSERT_ROWS: usize = 40;

static ALL_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<_> = FIXED_COLUMNS.into_iter().chain(COLUMNS.iter().map(|c| c.name)).collect();
    columns.join(", ")
});
/// The `COPY` statement that reads the output of [`encode_copy`].
pub(super) static COPY_STATEMENT: LazyLock<String> =
    LazyLock::new(|| format!("copy hookbridge.events ({}) from stdin (format binary)", *ALL_COLUMNS));

/// Returns a function that maps an event's index in its batch to its place: the number of `indexed_events` with a lower index. So
/// places have no gaps, although duplicates are missing from `indexed_events`.
fn place_numbering<'p>(indexed_events: &'p [(usize, &NewEvent<'_>)]) -> impl Fn(usize) -> i32 + 'p {
    let mut indexes: Vec<_> = indexed_events.iter().map(|(index, _)| *index).collect();
    indexes.sort_unstable();
    move |index| to_i32(indexes.partition_point(|other| *other < index))
}

/// Builds the `INSERT` statement for a few events.
pub(super) fn insert_query(
    batch_id: i64,
    indexed_events: &[(usize, &NewEvent<'_>)],
) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(format!("insert into hookbridge.events ({}) ", *ALL_COLUMNS));
    let place_of = place_numbering(indexed_events);
    query.push_values(indexed_events, |mut row, (index, event)| {
        // Bind times as text: PostgreSQL parses this format unambiguously from the year 1 to 9999.
        row.push_bind(format!("{:.6}", event.time)).push_unseparated("::timestamptz");
        row.push_bind(event.id.to_string())
            .push_bind(event.source.to_string())
            .push_bind(event.detail_type.to_string())
            .push_bind(batch_id)
            .push_bind(place_of(*index))
            .push_bind(event.account.to_string())
            .push_bind(event.region.to_string())
            .push_bind(event.resources.clone())
            .push_bind(event.detail.to_string());
        for value in event.search_columns.stored_values() {
            row.push_bind(value.map(Cow::into_owned));
        }
    });
    query
}

/// Encodes events in the binary `COPY` format. The column `place` is numbered without gaps, in the order of the batch.
pub(super) fn encode_copy(batch_id: i64, indexed_events: &[(usize, &NewEvent<'_>)]) -> Vec<u8> {
    let place_of = place_numbering(indexed_events);
    let capacity: usize = indexed_events.iter().map(|(_, event)| event.detail.len() + 512).sum();
    let mut buffer = CopyBuffer(Vec::with_capacity(capacity));
    buffer.0.extend_from_slice(COPY_SIGNATURE);
    buffer.0.extend_from_slice(&[0; 8]);
    for (index, event) in indexed_events {
        buffer.0.extend_from_slice(&to_i32(FIXED_COLUMNS.len() + COLUMNS.len()).to_be_bytes()[2..]);
        buffer.push_bytes(&(event.time.as_microsecond() - POSTGRES_EPOCH_MICROS).to_be_bytes());
        buffer.push_text(&event.id);
        buffer.push_text(&event.source);
        buffer.push_text(&event.detail_type);
        buffer.push_bytes(&batch_id.to_be_bytes());
        buffer.push_bytes(&place_of(*index).to_be_bytes());
        buffer.push_text(&event.account);
        buffer.push_text(&event.region);
        buffer.push_text_array(&event.resources);
        buffer.push_text(&event.detail);
        for value in event.search_columns.stored_values() {
            match value {
                Some(value) => buffer.push_text(&value),
                None => buffer.0.extend_from_slice(&NULL_LENGTH.to_be_bytes()),
            }
        }
    }
    buffer.0.extend_from_slice(&[0xff; 2]);
    buffer.0
}

/// Converts a length or count to a 32-bit integer of the `COPY` format. The conversion never overflows, because a PostgreSQL row
/// is at most 1 GB.
fn to_i32(value: usize) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

struct CopyBuffer(Vec<u8>);

impl CopyBuffer {
    fn push_bytes(&mut self, value: &[u8]) {
        self.0.extend_from_slice(&to_i32(value.len()).to_be_bytes());
        self.0.extend_from_slice(value);
    }

    fn push_text(&mut self, value: &str) {
        self.push_bytes(value.as_bytes());
    }

    /// Writes a one-dimensional array of texts: the number of dimensions, a null flag and the element type; then the array's
    /// length and lower bound; then the elements. An empty array has no dimension.
    fn push_text_array(&mut self, values: &[String]) {
        let dimensions = i32::from(!values.is_empty());
        let size: usize = values.iter().map(|value| value.len() + 4).sum();
        let header = if dimensions == 0 { 12 } else { 20 };
        self.0.extend_from_slice(&to_i32(size + header).to_be_bytes());
        for number in [dimensions, 0, TEXT_OID] {
            self.0.extend_from_slice(&number.to_be_bytes());
        }
        if dimensions == 1 {
            for number in [to_i32(values.len()), 1] {
                self.0.extend_from_slice(&number.to_be_bytes());
            }
        }
        values.iter().for_each(|value| self.push_text(value));
    }
}
