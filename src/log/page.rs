//! Reads the events whose positions lie in a range, which this module calls the window.
//!
//! The position of an event is the position of its batch's first event plus the event's place, its index in the batch. So a read
//! first selects the batches of the window, and then finds their events through the index on batch and place. The times of a
//! batch's oldest and newest event limit the scan to the partitions of the weeks between these times.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use jiff::Timestamp;

use super::order::{EventFilter, PageLimit, Position, PositionedEvent};
use super::search::StoredEvent;
use super::sql::{LogDialect, SqlBuilder};
use crate::db::{DatabaseError, Row, Session, Statement, Week};

/// The maximum number of `union all` branches for batches that lie completely in the window. If these batches would need more
/// branches, one branch selects them all. SQLite accepts at most 500 branches, and each branch binds the filter's values again.
const MAX_UNION_BRANCHES: usize = 20;

/// A batch and the range of positions that it covers.
#[derive(Clone, Copy, Debug)]
struct BatchRange {
    id: i64,
    /// The position of the batch's first event.
    position: Position,
    event_count: i64,
    /// The times of the batch's oldest and newest event; `None` if an old version of hookbridge did not store them.
    time_range: Option<(Timestamp, Timestamp)>,
}

/// Splits a range of positions into parts, which the caller scans in turn until `page_limit` is reached. With a filter, the whole
/// range is one part. Without a filter, the first part has `max_events` positions and normally as many events, because positions
/// have no gaps. Each next part is twice as long. It is needed only if events were deleted by hand.
pub(super) fn scan_ranges(
    positions: &Range<Position>,
    filter: &EventFilter,
    page_limit: PageLimit,
) -> Vec<Range<Position>> {
    let (mut unscanned, mut length) = (positions.clone(), to_i64(page_limit.max_events).max(1));
    if *filter != EventFilter::default() {
        return vec![unscanned];
    }
    let mut parts = Vec::new();
    while unscanned.start < unscanned.end || parts.is_empty() {
        let part = if page_limit.from_end {
            unscanned.end.saturating_sub(length).max(unscanned.start)..unscanned.end
        } else {
            unscanned.start..unscanned.start.saturating_add(length).min(unscanned.end)
        };
        unscanned = if page_limit.from_end { unscanned.start..part.start } else { part.end..unscanned.end };
        length = length.saturating_mul(2);
        parts.push(part);
    }
    parts
}

/// Returns how much of `page_limit` remains after `events`, the events found so far.
pub(super) fn remaining_limit(page_limit: PageLimit, events: &[PositionedEvent]) -> PageLimit {
    let bytes: usize = events.iter().map(|item| item.event.detail.len()).sum();
    PageLimit {
        max_events: page_limit.max_events - events.len(),
        max_detail_bytes: page_limit.max_detail_bytes - bytes,
        ..page_limit
    }
}

/// Joins the events found so far with the events of the next scanned part, in the order of their positions.
pub(super) fn merge(
    mut events: Vec<PositionedEvent>,
    mut next: Vec<PositionedEvent>,
    page_limit: PageLimit,
) -> Vec<PositionedEvent> {
    if page_limit.from_end {
        std::mem::swap(&mut events, &mut next);
    }
    events.append(&mut next);
    events
}

/// Builds the query for the batches of a window that may have events in the filter's time range. Its columns are the id, the
/// position, the number of events, and the times of the oldest and newest event.
fn batches_sql(dialect: LogDialect, window: &Range<Position>, filter: &EventFilter) -> String {
    let (from, to, table) = (window.start, window.end, format!("{}batches", dialect.schema));
    let (oldest, newest) = (dialect.micros_of("oldest"), dialect.micros_of("newest"));
    let mut sql = format!(
        "select id, position, cast(events as bigint) as events, {oldest} as oldest_micros, {newest} as newest_micros from {table}
         where position >= coalesce((select max(position) from {table} where position <= {from}), {from})
           and position < {to}"
    );
    if let Some(time) = filter.from {
        sql.push_str(&format!(" and (newest is null or newest >= {})", dialect.time_literal(time)));
    }
    if let Some(time) = filter.to {
        sql.push_str(&format!(" and (oldest is null or oldest < {})", dialect.time_literal(time)));
    }
    sql.push_str(" order by position");
    sql
}

/// A branch of the `union all`: the batches whose events one SQL condition selects.
#[derive(Debug, Default, PartialEq, Eq)]
struct UnionBranch {
    /// The times of the oldest and newest event of these batches; `None` if one of the times is unknown.
    time_range: Option<(Timestamp, Timestamp)>,
    batch_ids: Vec<i64>,
    /// The places to read if the branch is one batch that lies only partly in the window; `None` reads all places.
    places: Option<Range<i64>>,
}

/// Groups batches into branches. A batch that lies only partly in the window gets its own branch; the other batches share a
/// branch if their oldest and newest events lie in the same weeks.
fn union_branches(batches: &[BatchRange], window: &Range<Position>) -> Vec<UnionBranch> {
    let mut branches = Vec::new();
    let mut by_weeks: BTreeMap<Option<(Week, Week)>, UnionBranch> = BTreeMap::new();
    for batch in batches {
        let places =
            (window.start - batch.position).max(0)..(window.end - batch.position).min(batch.event_count);
        if places.is_empty() {
            continue;
        }
        if places != (0..batch.event_count) {
            branches.push(UnionBranch {
                time_range: batch.time_range,
                batch_ids: vec![batch.id],
                places: Some(places),
            });
            continue;
        }
        let weeks =
            batch.time_range.map(|(oldest, newest)| (Week::containing(oldest), Week::containing(newest)));
        let branch = by_weeks.entry(weeks).or_default();
        branch.batch_ids.push(batch.id);
        branch.time_range = match (branch.time_range, batch.time_range) {
            (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
            (_, time_range) => time_range,
        };
    }
    if by_weeks.len() > MAX_UNION_BRANCHES {
        branches.push(by_weeks.into_values().fold(UnionBranch::default(), |merged, branch| {
            let is_first = merged.batch_ids.is_empty();
            let time_range = match (merged.time_range, branch.time_range) {
                (_, time_range) if is_first => time_range,
                (Some((a, b)), Some((c, d))) => Some((a.min(c), b.max(d))),
                _ => None,
            };
            UnionBranch { time_range, batch_ids: [merged.batch_ids, branch.batch_ids].concat(), places: None }
        }));
    } else {
        branches.extend(by_weeks.into_values());
    }
    branches
}

/// A read of the events at some positions, in one session.
#[derive(Clone, Copy)]
pub(super) struct RangeRead<'r> {
    /// The positions to read: all requested positions, or a part of them.
    pub(super) window: &'r Range<Position>,
    /// The first requested position. If this position has expired, the whole request returns no events.
    pub(super) requested_start: Position,
    pub(super) filter: &'r EventFilter,
    pub(super) page_limit: PageLimit,
}

/// The result of a [`RangeRead`].
pub(super) struct RangeReadResult {
    /// The events in the order of their positions; `None` if some of the requested positions have expired.
    pub(super) events: Option<Vec<PositionedEvent>>,
    /// The number of events that the batches should have in the window but the session did not see. The number is meaningless if
    /// the read has a filter and [`LogDialect::returns_scanned_count`] is false.
    pub(super) missing_count: i64,
}

/// Reads the events at the positions `read.window` that match the filter.
pub(super) async fn read_range(
    session: &mut Session<'_>,
    dialect: LogDialect,
    read: RangeRead<'_>,
) -> Result<RangeReadResult, DatabaseError> {
    let RangeRead { window, requested_start, filter, page_limit } = read;
    let statement = Statement::new(batches_sql(dialect, window, filter), vec![]);
    let batches = session.fetch(&statement, |row| BatchRange::from_row(&row)).await?;
    let has_count = dialect.returns_scanned_count && *filter != EventFilter::default();
    let mut scanned_count: Option<i64> = None;
    let positioned_event_from_row = |row: Row| {
        if has_count {
            scanned_count = Some(row.get("scanned_count")?);
        }
        let position: Option<Position> = row.get("position")?;
        let with_position = |position| Ok(PositionedEvent { position, event: StoredEvent::from_row(&row)? });
        position.map(with_position).transpose()
    };
    let events = match events_query(dialect, &batches, window, filter, page_limit) {
        Some(query) => session.fetch(&query.build(), positioned_event_from_row).await?,
        None => Vec::new(),
    };
    // Query the first stored position only after reading the events: if positions expired meanwhile, the result is `None`.
    let sql = format!(
        "select coalesce(min(position), (select next from {0}log)) as first from {0}batches",
        dialect.schema
    );
    let first_rows = session.fetch(&Statement::new(sql, vec![]), |row| row.get::<Position>("first")).await?;
    let first_stored = first_rows.first().copied().unwrap_or(0);
    if requested_start < first_stored {
        return Ok(RangeReadResult { events: None, missing_count: 0 });
    }
    let events = restore_order(events.into_iter().flatten().collect(), page_limit);
    let missing_count = count_missing(&batches, window, page_limit, scanned_count, &events);
    Ok(RangeReadResult { events: Some(events), missing_count })
}

impl BatchRange {
    fn from_row(row: &Row) -> Result<Self, DatabaseError> {
        let (oldest, newest): (Option<Timestamp>, Option<Timestamp>) =
            (row.get("oldest_micros")?, row.get("newest_micros")?);
        Ok(Self {
            id: row.get("id")?,
            position: row.get("position")?,
            event_count: row.get("events")?,
            time_range: oldest.zip(newest),
        })
    }
}

/// Counts the events of `batches` in the window that the query did not see. With a filter, `scanned_count` is the number
/// of events that the query saw before filtering. Without a filter, the query saw exactly the returned `events`; if these
/// events reach the page limit, positions beyond the last event do not count.
fn count_missing(
    batches: &[BatchRange],
    window: &Range<Position>,
    page_limit: PageLimit,
    scanned_count: Option<i64>,
    events: &[PositionedEvent],
) -> i64 {
    let scanned_positions = match (events, page_limit.from_end) {
        _ if scanned_count.is_some() || !page_limit.is_reached(events) => window.clone(),
        ([.., last], false) => window.start..last.position + 1,
        ([first, ..], true) => first.position..window.end,
        ([], _) => window.start..window.start,
    };
    let expected_in = |batch: &BatchRange| {
        scanned_positions.end.min(batch.position + batch.event_count)
            - scanned_positions.start.max(batch.position)
    };
    let expected: i64 = batches.iter().map(|batch| expected_in(batch).max(0)).sum();
    expected - scanned_count.unwrap_or(to_i64(events.len()))
}

/// Builds the SQL condition that selects the events of a branch.
fn position_condition(dialect: LogDialect, branch: &UnionBranch) -> String {
    let ids: Vec<_> = branch.batch_ids.iter().map(i64::to_string).collect();
    let mut condition = format!("batch in ({})", ids.join(", "));
    if let Some(places) = &branch.places {
        condition.push_str(&format!(" and place >= {} and place < {}", places.start, places.end));
    }
    if let Some((oldest, newest)) = branch.time_range {
        let (time, oldest, newest) =
            (dialect.time_without_key_index, dialect.time_literal(oldest), dialect.time_literal(newest));
        condition.push_str(&format!(" and {time} >= {oldest} and {time} <= {newest}"));
    }
    condition
}

/// Builds the query for the events of `batches` that lie in the window and match the filter, up to `page_limit`; `None` if the
/// batches have no events in the window. With a filter and [`LogDialect::returns_scanned_count`], the last column is the number
/// of events in the window before filtering, and the query returns at least one row.
fn events_query(
    dialect: LogDialect,
    batches: &[BatchRange],
    window: &Range<Position>,
    filter: &EventFilter,
    page_limit: PageLimit,
) -> Option<SqlBuilder> {
    let branches = union_branches(batches, window);
    if branches.is_empty() {
        return None;
    }
    let events_table = format!("{}events", dialect.schema);
    let batch_positions: HashMap<i64, Position> =
        batches.iter().map(|batch| (batch.id, batch.position)).collect();
    let ids = branches.iter().flat_map(|branch| &branch.batch_ids);
    let span_rows = ids.filter_map(|id| Some(format!("({id}, {})", batch_positions.get(id)?)));
    // The query sums up the sizes of the `detail` values, so that the database ends the page at the byte limit and sends no more
    // rows.
    let direction = if page_limit.from_end { "desc" } else { "asc" };
    let mut query = SqlBuilder::new(format!(
        "with span (id, start) as (values {}), event as (",
        span_rows.collect::<Vec<_>>().join(", ")
    ));
    for (n, branch) in branches.iter().enumerate() {
        query.push(if n > 0 { " union all " } else { "" }).push(&format!(
            "select batch, place, {} as micros, id, source, type, account, region, resources, detail from {} where {}",
            dialect.micros_of("time"),
            events_table,
            position_condition(dialect, branch)
        ));
        push_filter(dialect, &mut query, filter);
    }
    query.push(&format!(
        "), counted as (
           select cast(start as bigint) + place as position, event.*,
             sum(octet_length(detail)) over (order by start + place {direction}) - octet_length(detail) as before
           from event join span on span.id = batch
         ), page as (
           select position, micros, id, source, type, account, region, resources, detail from counted
           where before < {} order by position {direction} limit {}
         ) ",
        to_i64(page_limit.max_detail_bytes),
        to_i64(page_limit.max_events)
    ));
    if dialect.returns_scanned_count && *filter != EventFilter::default() {
        // The same statement counts and reads, so that the count and the page see the same partitions.
        let count = |branch: &UnionBranch| {
            format!("(select count(*) from {} where {})", events_table, position_condition(dialect, branch))
        };
        let scanned_count = branches.iter().map(count).collect::<Vec<_>>().join(" + ");
        query.push(&format!(
            "select page.*, scanned_count from (select {scanned_count} as scanned_count) as scan left join page on true"
        ));
    } else {
        query.push("select * from page");
    }
    query.push(&format!(" order by position {direction}"));
    Some(query)
}

/// Appends the conditions of the filter to the query.
fn push_filter(dialect: LogDialect, query: &mut SqlBuilder, filter: &EventFilter) {
    if let Some(time) = filter.from {
        query.push(&format!(" and {} >= {}", dialect.time_without_key_index, dialect.time_literal(time)));
    }
    if let Some(time) = filter.to {
        query.push(&format!(" and {} < {}", dialect.time_without_key_index, dialect.time_literal(time)));
    }
    query.push_in_list("source", &filter.sources);
    if let Some(part) = &filter.id_part {
        query.push(&format!(" and {}(id || ' ' || {}, ", dialect.index_of_text, dialect.resources_text));
        query.push_bind(part).push(") > 0");
    }
    if !filter.types.is_empty() {
        query.push(" and (false");
        for pattern in &filter.types {
            match pattern.prefix() {
                Some(prefix) => {
                    query.push(&format!(" or substr(type, 1, {}) = ", prefix.chars().count()));
                    query.push_bind(prefix);
                }
                None => {
                    query.push(" or type = ").push_bind(&pattern.0);
                }
            }
        }
        query.push(")");
    }
}

fn to_i64(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Restores the ascending order of positions after a read from the end of the range.
fn restore_order(mut events: Vec<PositionedEvent>, page_limit: PageLimit) -> Vec<PositionedEvent> {
    if page_limit.from_end {
        events.reverse();
    }
    events
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_whole_batches_by_week_and_partial_ones_by_place() {
        let time = |day: &str| format!("2026-11-{day}T00:00:00Z").parse::<Timestamp>().unwrap();
        let batch = |id, position, event_count, days: Option<(&str, &str)>| BatchRange {
            id,
            position,
            event_count,
            time_range: days.map(|(a, b)| (time(a), time(b))),
        };
        let batches = [
            batch(7, 11, 10, Some(("16", "17"))),
            batch(8, 21, 5, Some(("18", "18"))),
            batch(9, 26, 5, Some(("17", "19"))),
            batch(3, 31, 5, Some(("02", "17"))),
            batch(4, 36, 5, None),
            batch(5, 41, 9, Some(("18", "18"))),
        ];
        let branches = union_branches(&batches, &(15..43));
        let line = |branch: &UnionBranch| {
            let days = branch.time_range.map(|(a, b)| format!("{}-{}", a.strftime("%d"), b.strftime("%d")));
            format!("{:?} {:?} {}", branch.batch_ids, branch.places, days.unwrap_or_default())
        };
        let lines: Vec<_> = branches.iter().map(line).collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        [7] Some(4..10) 16-17
        [5] Some(0..2) 18-18
        [4] None 
        [3] None 02-17
        [8, 9] None 17-19
        ");
    }
}
