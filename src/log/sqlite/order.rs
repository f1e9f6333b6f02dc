//! The order of the log in SQLite: one writer at a time, so a batch gets its positions in its own transaction.

use std::ops::Range;

use jiff::Timestamp;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::{SqliteLog, stored};
use crate::log::order::{Bounds, CursorKey, Filter, Most, Ordered, Placed, Position};
use crate::log::search::Stored;
use crate::log::window::{self, Span};
use crate::log::{LogError, time_of};

/// Puts a batch at the end of the log, and returns where the log ends then.
pub(super) async fn place(
    connection: &mut SqliteConnection,
    batch: i64,
    events: i64,
    times: (Option<i64>, Option<i64>),
) -> Result<Position, LogError> {
    // Not SQLite's own clock, which knows milliseconds: what comes after a time has to be recorded after it.
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

    /// Reads events of a window.
    async fn look(
        &self,
        window: &Range<Position>,
        filter: &Filter,
        most: Most,
    ) -> Result<Vec<Placed>, LogError> {
        let rows = self.rows(window::batches::<Sqlite>(window, filter)).await?;
        let spans = rows.iter().map(span).collect::<Result<Vec<_>, sqlx::Error>>()?;
        let Some(mut query) = window::events::<Sqlite>(&spans, window, filter, most) else {
            return Ok(Vec::new());
        };
        let events = query.build().persistent(false).fetch_all(&self.pool).await?;
        let event = |row: &SqliteRow| Ok(Placed { position: row.try_get(0)?, event: stored(row, 1)? });
        let events = events.iter().map(event).collect::<Result<_, sqlx::Error>>()?;
        Ok(window::in_order(events, most))
    }
}

impl Ordered for SqliteLog {
    async fn sequence(&self) -> Result<Position, LogError> {
        let end = sqlx::query("select next from log").fetch_one(&self.pool).await?.try_get(0)?;
        self.growth.to(end);
        Ok(end)
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        let bounds = "select coalesce((select min(position) from batches), next), next from log";
        let bounds = sqlx::query(bounds).fetch_one(&self.pool).await?;
        Ok(Bounds { first: bounds.try_get(0)?, end: bounds.try_get(1)? })
    }

    async fn events(
        &self,
        positions: Range<Position>,
        filter: &Filter,
        most: Most,
    ) -> Result<Option<Vec<Placed>>, LogError> {
        let mut found = Vec::new();
        for part in window::parts(&positions, filter, most) {
            let more = self.look(&part, filter, window::beside(most, &found)).await?;
            found = window::joined(found, more, most);
            if most.is_reached(&found) {
                break;
            }
        }
        // After the events were read: where some had gone by then, this says so.
        if positions.start < self.bounds().await?.first {
            return Ok(None);
        }
        Ok(Some(found))
    }

    async fn since(&self, time: Timestamp) -> Result<Position, LogError> {
        let end = self.sequence().await?;
        let first = format!(
            "select position from batches where position is not null and recorded >= {}
             order by recorded, position limit 1",
            time.as_microsecond()
        );
        let first = self.rows(first).await?;
        Ok(first.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(end))
    }

    async fn recorded(&self, position: Position) -> Result<Option<Timestamp>, LogError> {
        let recorded = format!(
            "select recorded from batches where position + events > {position}
               and position >= coalesce((select max(position) from batches where position <= {position}), {position})
             order by position limit 1"
        );
        let recorded = self.rows(recorded).await?;
        Ok(recorded.first().map(|row| row.try_get(0)).transpose()?.map(time_of))
    }

    async fn find(&self, id: &str, sources: &[String]) -> Result<Option<Stored>, LogError> {
        let mut query = QueryBuilder::<Sqlite>::new(
            "select time, id, source, type, account, region, resources, detail from events where id = ",
        );
        query.push_bind(id.to_owned());
        crate::log::sql::push_one_of(&mut query, "source", sources);
        query.push(" order by time desc limit 1");
        let rows = query.build().fetch_all(&self.pool).await?;
        Ok(rows.first().map(|row| stored(row, 0)).transpose()?)
    }

    async fn cursor_key(&self) -> Result<CursorKey, LogError> {
        let key = sqlx::query("select cursor_key from log").fetch_one(&self.pool).await?;
        Ok(CursorKey::new(key.try_get(0)?))
    }

    async fn reaches(&self, position: Position) -> Result<(), LogError> {
        self.growth.beyond(position, || self.sequence()).await;
        Ok(())
    }
}

fn span(row: &SqliteRow) -> Result<Span, sqlx::Error> {
    let (oldest, newest): (Option<i64>, Option<i64>) = (row.try_get(3)?, row.try_get(4)?);
    Ok(Span {
        id: row.try_get(0)?,
        position: row.try_get(1)?,
        events: row.try_get(2)?,
        times: oldest.zip(newest).map(|(oldest, newest)| (time_of(oldest), time_of(newest))),
    })
}
