//! Event positions and ordered reads in PostgreSQL.
//!
//! Positions are assigned after the commit, by one sequencer at a time. A number taken before the commit would let a
//! slow transaction insert events before those that a reader has already seen. Recorders do not wait for each other:
//! the next recorder or reader calls `hookbridge.sequence` (`0002_order.sql`), which assigns positions to every
//! committed batch.

use std::ops::Range;

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgListener, PgRow, Postgres};
use sqlx::{Connection as _, QueryBuilder, Row as _};
use tokio::time::timeout;
use tracing::warn;

use super::{CancelSafeConnection, DATABASE_TIMEOUT, PostgresLog, event_from_row};
use crate::log::order::{Bounds, CursorKey, EventFilter, EventReader, PageLimit, Position, PositionedEvent};
use crate::log::page::{self, BatchRange};
use crate::log::search::StoredEvent;
use crate::log::{LogError, sql::Dialect as _, timestamp_from_micros};

/// The `NOTIFY` channel that carries the end of the log.
const CHANNEL: &str = "hookbridge_log";

impl PostgresLog {
    /// Listens for appends by other processes until the log is dropped. Without this, and where a proxy does not pass
    /// notifications on, readers poll the database.
    pub fn listen_for_appends(&self) {
        let (pool, growth) = (self.pool.clone(), std::sync::Arc::downgrade(&self.append_watch));
        tokio::spawn(async move {
            let listened = async {
                let mut listener = PgListener::connect_with(&pool).await?;
                listener.listen(CHANNEL).await?;
                loop {
                    let told = listener.recv().await?;
                    let Some(growth) = growth.upgrade() else { return Ok::<_, sqlx::Error>(()) };
                    growth.advance_to(told.payload().parse().unwrap_or_default());
                }
            };
            if let Err(error) = listened.await {
                let error = LogError::from(error).to_string();
                warn!(error, "LISTEN failed; polling the end of the log instead");
            }
        });
    }

    /// Reads events of one range through a session that sees every partition.
    async fn read_bounds(
        &self,
        where_from: (&Range<Position>, &Range<Position>),
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, LogError> {
        let mut lent = CancelSafeConnection::from(&self.pool).await?;
        let mut all = read(&mut lent.connection, where_from, filter, page_limit).await?;
        lent.is_idle = all.missed <= 0;
        // This session's catalog cache may miss a partition that another session has just attached. A new session reads
        // the catalogs again. If it misses as many events, they were deleted by hand.
        while all.missed > 0 {
            let options = self.pool.connect_options();
            let fresh = timeout(DATABASE_TIMEOUT, PgConnection::connect_with(&options)).await;
            let mut fresh = fresh.map_err(|_| sqlx::Error::PoolTimedOut)??;
            let again = read(&mut fresh, where_from, filter, page_limit).await?;
            fresh.close().await?;
            let is_so = again.missed == all.missed;
            all = again;
            if is_so {
                lent.is_idle = true;
                break;
            }
        }
        Ok(all.events)
    }

    /// Runs one statement and returns its rows.
    async fn rows(&self, sql: String) -> Result<Vec<PgRow>, LogError> {
        let mut lent = CancelSafeConnection::from(&self.pool).await?;
        let rows = rows(&mut lent.connection, QueryBuilder::new(sql)).await?;
        lent.is_idle = true;
        Ok(rows)
    }
}

/// The result of one read.
struct SnapshotReader {
    /// `None` when some of the requested positions have expired.
    events: Option<Vec<PositionedEvent>>,
    /// The number of events that the batches should have but the session did not see, regardless of the filter.
    missed: i64,
}

/// Reads the events of `window`, which is a part of the requested `positions`.
async fn read(
    connection: &mut PgConnection,
    (positions, window): (&Range<Position>, &Range<Position>),
    filter: &EventFilter,
    page_limit: PageLimit,
) -> Result<SnapshotReader, LogError> {
    let batches = QueryBuilder::new(page::batches_sql::<Postgres>(window, filter));
    let batches = rows(connection, batches).await?;
    let spans = batches.iter().map(batch_span).collect::<Result<Vec<_>, sqlx::Error>>()?;
    let events = match page::events_query::<Postgres>(&spans, window, filter, page_limit) {
        Some(query) => rows(connection, query).await?,
        None => Vec::new(),
    };
    // Checked after the read, so that an expiry during the read is noticed.
    let first = "select coalesce(min(position), (select next from hookbridge.log)) from hookbridge.batches";
    let first: Position = sqlx::query(first).fetch_one(connection).await?.try_get(0)?;
    if positions.start < first {
        return Ok(SnapshotReader { events: None, missed: 0 });
    }
    let told: Option<i64> = match events.first() {
        Some(row) if *filter != EventFilter::default() => Some(row.try_get("found")?),
        _ => None,
    };
    let event = |row: &PgRow| {
        let position: Option<Position> = row.try_get(0)?;
        position.map(|position| Ok(PositionedEvent { position, event: event_from_row(row, 1)? })).transpose()
    };
    let events =
        events.iter().filter_map(|row| event(row).transpose()).collect::<Result<_, sqlx::Error>>()?;
    let events = page::restore_order(events, page_limit);
    let missed = page::count_missing(&spans, window, page_limit, told, &events);
    Ok(SnapshotReader { events: Some(events), missed })
}

impl EventReader for PostgresLog {
    async fn assign_positions(&self) -> Result<Position, LogError> {
        let mut lent = CancelSafeConnection::from(&self.pool).await?;
        let connection = &mut *lent.connection;
        loop {
            let given = sqlx::query("select ended, is_more from hookbridge.sequence()");
            let given = given.fetch_one(&mut *connection).await?;
            let (end, is_more): (Position, bool) = (given.try_get(0)?, given.try_get(1)?);
            if !is_more {
                lent.is_idle = true;
                self.append_watch.advance_to(end);
                return Ok(end);
            }
        }
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        let end = self.assign_positions().await?;
        let first = self.rows("select min(position) from hookbridge.batches".into()).await?;
        let first = first.first().map(|row| row.try_get::<Option<Position>, _>(0)).transpose()?;
        Ok(Bounds { first: first.flatten().unwrap_or(end), end })
    }

    async fn read_events(
        &self,
        positions: Range<Position>,
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, LogError> {
        let mut found = Vec::new();
        for part in page::scan_ranges(&positions, filter, page_limit) {
            let left = page::remaining(page_limit, &found);
            let Some(more) = self.read_bounds((&positions, &part), filter, left).await? else {
                return Ok(None);
            };
            found = page::merge(found, more, page_limit);
            if page_limit.is_reached(&found) {
                break;
            }
        }
        Ok(Some(found))
    }

    async fn first_position_since(&self, time: Timestamp) -> Result<Position, LogError> {
        let end = self.assign_positions().await?;
        let first = format!(
            "select position from hookbridge.batches where position is not null and recorded >= {}
             order by recorded, position limit 1",
            Postgres::timestamp_literal(time)
        );
        let first = self.rows(first).await?;
        Ok(first.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(end))
    }

    async fn recorded_at(&self, position: Position) -> Result<Option<Timestamp>, LogError> {
        let time = Postgres::epoch_micros("recorded");
        let recorded = format!(
            "select {time} from hookbridge.batches where position + events > {position}
               and position >= coalesce(
                 (select max(position) from hookbridge.batches where position <= {position}), {position})
             order by position limit 1"
        );
        let recorded = self.rows(recorded).await?;
        Ok(recorded.first().map(|row| row.try_get(0)).transpose()?.map(timestamp_from_micros))
    }

    async fn find_event(&self, id: &str, sources: &[String]) -> Result<Option<StoredEvent>, LogError> {
        let mut query = QueryBuilder::new(format!(
            "select {}, id, source, type, account, region, resources, detail from hookbridge.events where id = ",
            Postgres::epoch_micros("time")
        ));
        query.push_bind(id.to_owned());
        crate::log::sql::push_in_list(&mut query, "source", sources);
        query.push(" order by time desc limit 1");
        let rows = self.query_read_only(query, super::DISABLE_SEQ_SCAN).await?;
        Ok(rows.first().map(|row| event_from_row(row, 0)).transpose()?)
    }

    async fn cursor_key(&self) -> Result<CursorKey, LogError> {
        let key = self.rows("select cursor_key from hookbridge.log".into()).await?;
        let key = key.first().map(|row| row.try_get(0)).transpose()?;
        key.map(CursorKey::new).ok_or_else(|| LogError::Rejected("the log has no cursor signing key".into()))
    }

    async fn wait_for_position(&self, position: Position) -> Result<(), LogError> {
        self.append_watch.wait_beyond(position, || self.assign_positions()).await;
        Ok(())
    }
}

async fn rows(
    connection: &mut PgConnection,
    mut query: QueryBuilder<Postgres>,
) -> Result<Vec<PgRow>, LogError> {
    Ok(query.build().persistent(false).fetch_all(connection).await?)
}

fn batch_span(row: &PgRow) -> Result<BatchRange, sqlx::Error> {
    let (oldest, newest): (Option<i64>, Option<i64>) = (row.try_get(3)?, row.try_get(4)?);
    Ok(BatchRange {
        id: row.try_get(0)?,
        position: row.try_get(1)?,
        event_count: row.try_get::<i32, _>(2)?.into(),
        time_range: oldest
            .zip(newest)
            .map(|(oldest, newest)| (timestamp_from_micros(oldest), timestamp_from_micros(newest))),
    })
}
