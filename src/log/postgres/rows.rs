//! Records as rows: in COPY's binary form, or a few of them as an INSERT.
//!
//! Source: "COPY", PostgreSQL's manual, "Binary Format"; times are microseconds since 2000, as in its `timestamptz`.

use std::sync::LazyLock;

use sqlx::{Postgres, QueryBuilder};

use crate::log::{COLUMNS, NewEvent};

const SIGNATURE: &[u8; 11] = b"PGCOPY\n\xff\r\n\0";
/// 2000-01-01 in microseconds since 1970.
const EPOCH: i64 = 946_684_800_000_000;
/// The object identifier of the type `text`.
const TEXT: i32 = 25;
const NULL: i32 = -1;
const BEFORE_COLUMNS: [&str; 10] =
    ["time", "id", "source", "type", "batch", "place", "account", "region", "resources", "detail"];

/// So many are an INSERT. What COPY sends goes out in two pieces, and the second waits for the first to be acknowledged, which
/// a server may take 40 ms for (the driver does not set TCP_NODELAY).
pub(super) const MAX_INSERT_ROWS: usize = 40;

static ALL_COLUMNS: LazyLock<String> = LazyLock::new(|| {
    let columns: Vec<_> = BEFORE_COLUMNS.into_iter().chain(COLUMNS.iter().map(|c| c.name)).collect();
    columns.join(", ")
});
/// The statement that takes what [`encode_copy`] makes.
pub(super) static COPY_STATEMENT: LazyLock<String> =
    LazyLock::new(|| format!("copy hookbridge.events ({}) from stdin (format binary)", *ALL_COLUMNS));

/// The places of records, counted anew without gaps, in the order in which they were sent.
fn places<'p>(records: &'p [(usize, &NewEvent<'_>)]) -> impl Fn(usize) -> i32 + 'p {
    let mut sent: Vec<_> = records.iter().map(|(place, _)| *place).collect();
    sent.sort_unstable();
    move |place| count(sent.partition_point(|earlier| *earlier < place))
}

/// An INSERT of a few records.
pub(super) fn insert_query(batch: i64, records: &[(usize, &NewEvent<'_>)]) -> QueryBuilder<Postgres> {
    let mut query = QueryBuilder::new(format!("insert into hookbridge.events ({}) ", *ALL_COLUMNS));
    let place_of = places(records);
    query.push_values(records, |mut row, (place, record)| {
        // As text: between the years 1 and 9999 it is read as it is written.
        row.push_bind(format!("{:.6}", record.time)).push_unseparated("::timestamptz");
        row.push_bind(record.id.to_string())
            .push_bind(record.source.to_string())
            .push_bind(record.detail_type.to_string())
            .push_bind(batch)
            .push_bind(place_of(*place))
            .push_bind(record.account.to_string())
            .push_bind(record.region.to_string())
            .push_bind(record.resources.clone())
            .push_bind(record.detail.to_string());
        for value in record.search_columns.values() {
            row.push_bind(value.map(str::to_owned));
        }
    });
    query
}

/// Each record with its place in what was sent: of those that are here, the places are counted anew, without gaps.
pub(super) fn encode_copy(batch: i64, records: &[(usize, &NewEvent<'_>)]) -> Vec<u8> {
    let place_of = places(records);
    let details: usize = records.iter().map(|(_, record)| record.detail.len() + 512).sum();
    let mut rows = Rows(Vec::with_capacity(details));
    rows.0.extend_from_slice(SIGNATURE);
    rows.0.extend_from_slice(&[0; 8]);
    for (place, record) in records {
        rows.0.extend_from_slice(&count(BEFORE_COLUMNS.len() + COLUMNS.len()).to_be_bytes()[2..]);
        rows.bytes(&(record.time.as_microsecond() - EPOCH).to_be_bytes());
        rows.text(&record.id);
        rows.text(&record.source);
        rows.text(&record.detail_type);
        rows.bytes(&batch.to_be_bytes());
        rows.bytes(&place_of(*place).to_be_bytes());
        rows.text(&record.account);
        rows.text(&record.region);
        rows.texts(&record.resources);
        rows.text(&record.detail);
        for value in record.search_columns.values() {
            match value {
                Some(value) => rows.text(value),
                None => rows.0.extend_from_slice(&NULL.to_be_bytes()),
            }
        }
    }
    rows.0.extend_from_slice(&[0xff; 2]);
    rows.0
}

/// A number as the format counts. Nothing here is that many: a row of PostgreSQL is 1 GB at most.
fn count(of: usize) -> i32 {
    i32::try_from(of).unwrap_or(i32::MAX)
}

struct Rows(Vec<u8>);

impl Rows {
    fn bytes(&mut self, value: &[u8]) {
        self.0.extend_from_slice(&count(value.len()).to_be_bytes());
        self.0.extend_from_slice(value);
    }

    fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// A one-dimensional array: dimensions, whether there are nulls, the element type; then the length and lower bound.
    fn texts(&mut self, values: &[String]) {
        let dimensions = i32::from(!values.is_empty());
        let size: usize = values.iter().map(|value| value.len() + 4).sum();
        let header = if dimensions == 0 { 12 } else { 20 };
        self.0.extend_from_slice(&count(size + header).to_be_bytes());
        for number in [dimensions, 0, TEXT] {
            self.0.extend_from_slice(&number.to_be_bytes());
        }
        if dimensions == 1 {
            for number in [count(values.len()), 1] {
                self.0.extend_from_slice(&number.to_be_bytes());
            }
        }
        values.iter().for_each(|value| self.text(value));
    }
}
