//! Event positions and ordered reads in SQLite.
//!
//! SQLite has one writer at a time, so a batch gets its positions in its own transaction.

use std::ops::Range;

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{SqliteLog, event_from_row};
use crate::log::order::{Bounds, CursorKey, EventFilter, EventReader, PageLimit, Position, PositionedEvent};
use crate::log::page::{self, BatchRange};
use crate::log::search::StoredEvent;
use crate::log::{LogError, timestamp_from_micros};

/// Assigns the next positions to a batch and returns the new end of the log.
pub(super) async fn assign_positions(
    connection: &mut SqliteConnection,
    batch: i64,
    events: i64,
    times: (Option<i64>, Option<i64>),
) -> Result<Position, LogError> {
    // SQLite's own clock has only millisecond precision. Recording times must ascend with positions.
    let end = "update log set next = next + ?, sequenced = max(sequenced, ?) returning next, sequenced";
    let now = Timestamp::now().as_microsecond();
    let end = sqlx::query(end).bind(events).bind(now).fetch_one(&mut *connection).await?;
    let (next, recorded): (Position, i64) = (end.try_get(0)?, end.try_get(1)?);
    sqlx::query("update batches set position = ?, recorded = ?, oldest = ?, newest = ? where id = ?")
        .bind(next - events)
        .bind(recorded)
        .bind(times.0)
        .bind(times.1)
        .bind(batch)
        .execute(connection)
        .await?;
    Ok(next)
}

impl SqliteLog {
    async fn rows(&self, sql: String) -> Result<Vec<SqliteRow>, LogError> {
        Ok(QueryBuilder::<Sqlite>::new(sql).build().fetch_all(&self.pool).await?)
    }

    /// Reads the events of one range of positions.
    async fn read_bounds(
        &self,
        window: &Range<Position>,
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Vec<PositionedEvent>, LogError> {
        let rows = self.rows(page::batches_sql::<Sqlite>(window, filter)).await?;
        let spans = rows.iter().map(batch_span).collect::<Result<Vec<_>, sqlx::Error>>()?;
        let Some(mut query) = page::events_query::<Sqlite>(&spans, window, filter, page_limit) else {
            return Ok(Vec::new());
        };
        let events = query.build().persistent(false).fetch_all(&self.pool).await?;
        let event = |row: &SqliteRow| {
            Ok(PositionedEvent { position: row.try_get(0)?, event: event_from_row(row, 1)? })
        };
        let events = events.iter().map(event).collect::<Result<_, sqlx::Error>>()?;
        Ok(page::restore_order(events, page_limit))
    }
}

impl EventReader for SqliteLog {
    async fn assign_positions(&self) -> Result<Position, LogError> {
        let end = sqlx::query("select next from log").fetch_one(&self.pool).await?.try_get(0)?;
        self.append_watch.advance_to(end);
        Ok(end)
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        let bounds = "select coalesce((select min(position) from batches), next), next from log";
        let bounds = sqlx::query(bounds).fetch_one(&self.pool).await?;
        Ok(Bounds { first: bounds.try_get(0)?, end: bounds.try_get(1)? })
    }

    async fn read_events(
        &self,
        positions: Range<Position>,
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, LogError> {
        let mut found = Vec::new();
        for part in page::scan_ranges(&positions, filter, page_limit) {
            let more = self.read_bounds(&part, filter, page::remaining(page_limit, &found)).await?;
            found = page::merge(found, more, page_limit);
            if page_limit.is_reached(&found) {
                break;
            }
        }
        // Checked after the read, so that an expiry during the read is noticed.
        if positions.start < self.bounds().await?.first {
            return Ok(None);
        }
        Ok(Some(found))
    }

    async fn first_position_since(&self, time: Timestamp) -> Result<Position, LogError> {
        let end = self.assign_positions().await?;
        let first = format!(
            "select position from batches where position is not null and recorded >= {}
             order by recorded, position limit 1",
            time.as_microsecond()
        );
        let first = self.rows(first).await?;
        Ok(first.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(end))
    }

    async fn recorded_at(&self, position: Position) -> Result<Option<Timestamp>, LogError> {
        let recorded = format!(
            "select recorded from batches where position + events > {position}
               and position >= coalesce((select max(position) from batches where position <= {position}), {position})
             order by position limit 1"
        );
        let recorded = self.rows(recorded).await?;
        Ok(recorded.first().map(|row| row.try_get(0)).transpose()?.map(timestamp_from_micros))
    }

    async fn find_event(&self, id: &str, sources: &[String]) -> Result<Option<StoredEvent>, LogError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "select time, id, source, type, account, region, resources, detail from events where id = ",
        );
        query.push_bind(id.to_owned());
        crate::log::sql::push_in_list(&mut query, "source", sources);
        query.push(" order by time desc limit 1");
        let rows = query.build().fetch_all(&self.pool).await?;
        Ok(rows.first().map(|row| event_from_row(row, 0)).transpose()?)
    }

    async fn cursor_key(&self) -> Result<CursorKey, LogError> {
        let key = sqlx::query("select cursor_key from log").fetch_one(&self.pool).await?;
        Ok(CursorKey::new(key.try_get(0)?))
    }

    async fn wait_for_position(&self, position: Position) -> Result<(), LogError> {
        self.append_watch.wait_beyond(position, || self.assign_positions()).await;
        Ok(())
    }
}

fn batch_span(row: &SqliteRow) -> Result<BatchRange, sqlx::Error> {
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
