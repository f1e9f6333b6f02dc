//! Event positions and ordered reads in SQLite.
//!
//! SQLite has one writer at a time, so a batch gets its positions in its own transaction.

use std::ops::Range;

use jiff::Timestamp;
use sqlx::{Row as _, SqliteConnection};

use super::SqliteLog;
use crate::db::{DatabaseError, Session};
use crate::log::order::{EventFilter, PageLimit, Position, PositionedEvent};
use crate::log::page;
use crate::log::sql::LogDialect;

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
    /// Reads the events of one range. `ranges` holds all requested positions and the part to read now.
    pub(in crate::log) async fn read_range(
        &self,
        ranges: (&Range<Position>, &Range<Position>),
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, DatabaseError> {
        let mut connection = self.file.pool.acquire().await?;
        let mut session = Session::Sqlite(&mut connection);
        Ok(page::read_range(&mut session, LogDialect::SQLITE, ranges, filter, page_limit).await?.events)
    }

    pub(in crate::log) async fn assign_positions(&self) -> Result<Position, DatabaseError> {
        let end = sqlx::query("select next from log").fetch_one(&self.file.pool).await?.try_get(0)?;
        self.state.append_watch.advance_to(end);
        Ok(end)
    }
}
