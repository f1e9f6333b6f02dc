//! Event positions and ordered reads in SQLite.
//!
//! SQLite has one writer at a time, so a batch gets its positions in its own transaction.

use std::ops::Range;

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{SqliteLog, event_from_row};
use crate::db::{DatabaseError, timestamp_from_micros};
use crate::log::order::{Bounds, EventFilter, PageLimit, Position, PositionedEvent};
use crate::log::page::{self, BatchRange};
use crate::log::search::StoredEvent;

/// Assigns the next positions to a batch and returns the new end of the log.
pub(super) async fn assign_positions(
    connection: &mut SqliteConnection,
    batch: i64,
    event_count: i64,
    (oldest, newest): (Option<i64>, Option<i64>),
) -> Result<Position, DatabaseError> {
    // SQLite's own clock has only millisecond precision. Recording times must ascend with positions.
    let sql = "update log set next = next + ?, sequenced = max(sequenced, ?) returning next, sequenced";
    let now = Timestamp::now().as_microsecond();
    let row = sqlx::query(sql).bind(event_count).bind(now).fetch_one(&mut *connection).await?;
    let (next, recorded_at): (Position, i64) = (row.try_get(0)?, row.try_get(1)?);
    sqlx::query("update batches set position = ?, recorded = ?, oldest = ?, newest = ? where id = ?")
        .bind(next - event_count)
        .bind(recorded_at)
        .bind(oldest)
        .bind(newest)
        .bind(batch)
        .execute(connection)
        .await?;
    Ok(next)
}

impl SqliteLog<'_> {
    async fn fetch_rows(&self, sql: String) -> Result<Vec<SqliteRow>, DatabaseError> {
        Ok(QueryBuilder::<Sqlite>::new(sql).build().fetch_all(&self.file.pool).await?)
    }

    /// Reads the events of one range of positions.
    async fn read_range(
        &self,
        window: &Range<Position>,
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Vec<PositionedEvent>, DatabaseError> {
        let batch_rows = self.fetch_rows(page::batches_sql::<Sqlite>(window, filter)).await?;
        let batches = batch_rows.iter().map(batch_range_from_row).collect::<Result<Vec<_>, sqlx::Error>>()?;
        let Some(mut query) = page::events_query::<Sqlite>(&batches, window, filter, page_limit) else {
            return Ok(Vec::new());
        };
        let event_rows = query.build().persistent(false).fetch_all(&self.file.pool).await?;
        let event = |row: &SqliteRow| {
            Ok(PositionedEvent { position: row.try_get(0)?, event: event_from_row(row, 1)? })
        };
        let events = event_rows.iter().map(event).collect::<Result<_, sqlx::Error>>()?;
        Ok(page::restore_order(events, page_limit))
    }

    pub(in crate::log) async fn assign_positions(&self) -> Result<Position, DatabaseError> {
        let end = sqlx::query("select next from log").fetch_one(&self.file.pool).await?.try_get(0)?;
        self.state.append_watch.advance_to(end);
        Ok(end)
    }

    pub(in crate::log) async fn bounds(&self) -> Result<Bounds, DatabaseError> {
        let sql = "select coalesce((select min(position) from batches), next), next from log";
        let row = sqlx::query(sql).fetch_one(&self.file.pool).await?;
        Ok(Bounds { first_position: row.try_get(0)?, end_position: row.try_get(1)? })
    }

    pub(in crate::log) async fn read_events(
        &self,
        positions: &Range<Position>,
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, DatabaseError> {
        let mut events = Vec::new();
        for part in page::scan_ranges(positions, filter, page_limit) {
            let part_events = self.read_range(&part, filter, page::remaining(page_limit, &events)).await?;
            events = page::merge(events, part_events, page_limit);
            if page_limit.is_reached(&events) {
                break;
            }
        }
        // Checked after the read, so that an expiry during the read is noticed.
        if positions.start < self.bounds().await?.first_position {
            return Ok(None);
        }
        Ok(Some(events))
    }

    pub(in crate::log) async fn find_event(
        &self,
        id: &str,
        sources: &[String],
    ) -> Result<Option<StoredEvent>, DatabaseError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "select time, id, source, type, account, region, resources, detail from events where id = ",
        );
        query.push_bind(id.to_owned());
        crate::log::sql::push_in_list(&mut query, "source", sources);
        query.push(" order by time desc limit 1");
        let rows = query.build().fetch_all(&self.file.pool).await?;
        Ok(rows.first().map(|row| event_from_row(row, 0)).transpose()?)
    }
}

fn batch_range_from_row(row: &SqliteRow) -> Result<BatchRange, sqlx::Error> {
    let (oldest, newest): (Option<i64>, Option<i64>) = (row.try_get(3)?, row.try_get(4)?);
    Ok(BatchRange {
        id: row.try_get(0)?,
        position: row.try_get(1)?,
        event_count: row.try_get(2)?,
        time_range: oldest
            .zip(newest)
            .map(|(oldest, newest)| (timestamp_from_micros(oldest), timestamp_from_micros(newest))),
    })
}
