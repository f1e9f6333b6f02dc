//! Event positions and ordered reads in PostgreSQL.
//!
//! Positions are assigned after the commit, by one sequencer at a time. A number taken before the commit would let a
//! slow transaction insert events before those that a reader has already seen. Recorders do not wait for each other:
//! the next recorder or reader calls `hookbridge.sequence` (`0002_order.sql`), which assigns positions to every
//! committed batch.

use std::ops::Range;
#[cfg(feature = "command")]
use std::sync::Weak;

use sqlx::postgres::{PgConnection, PgRow, Postgres};
#[cfg(feature = "command")]
use sqlx::postgres::{PgListener, PgPool};
use sqlx::{Connection as _, QueryBuilder, Row as _};
use tokio::time::timeout;
#[cfg(feature = "command")]
use tracing::warn;

use super::{PostgresLog, event_from_row};
use crate::db::{CancelSafeConnection, DATABASE_TIMEOUT, DatabaseError, timestamp_from_micros};
#[cfg(feature = "command")]
use crate::log::event_log::LogState;
use crate::log::order::{Bounds, EventFilter, PageLimit, Position, PositionedEvent};
use crate::log::page::{self, BatchRange};
use crate::log::search::StoredEvent;
use crate::log::sql::Dialect as _;

#[cfg(feature = "command")]
/// The `NOTIFY` channel that carries the end of the log.
const CHANNEL: &str = "hookbridge_log";

/// Listens for appends by other processes until the log is dropped.
#[cfg(feature = "command")]
pub(in crate::log) fn listen_for_appends(pool: PgPool, state: Weak<LogState>) {
    tokio::spawn(async move {
        let listen_loop = async {
            let mut listener = PgListener::connect_with(&pool).await?;
            listener.listen(CHANNEL).await?;
            loop {
                let notification = listener.recv().await?;
                let Some(state) = state.upgrade() else { return Ok::<_, sqlx::Error>(()) };
                state.append_watch.advance_to(notification.payload().parse().unwrap_or_default());
            }
        };
        if let Err(error) = listen_loop.await {
            let error = DatabaseError::from(error).to_string();
            warn!(error, "LISTEN failed; polling the end of the log instead");
        }
    });
}

impl PostgresLog<'_> {
    /// Reads the events of one range through a session that sees every partition. `ranges` holds all requested
    /// positions and the part to read now.
    async fn read_range(
        &self,
        ranges: (&Range<Position>, &Range<Position>),
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, DatabaseError> {
        let mut guard = CancelSafeConnection::acquire(&self.pool).await?;
        let mut result = read(&mut guard.connection, ranges, filter, page_limit).await?;
        guard.is_idle = result.missing_count <= 0;
        // This session's catalog cache may miss a partition that another session has just attached. A new session reads
        // the catalogs again. If it misses as many events, they were deleted by hand.
        while result.missing_count > 0 {
            let options = self.pool.connect_options();
            let connection = timeout(DATABASE_TIMEOUT, PgConnection::connect_with(&options)).await;
            let mut connection = connection.map_err(|_| sqlx::Error::PoolTimedOut)??;
            let retry = read(&mut connection, ranges, filter, page_limit).await?;
            connection.close().await?;
            let is_unchanged = retry.missing_count == result.missing_count;
            result = retry;
            if is_unchanged {
                guard.is_idle = true;
                break;
            }
        }
        Ok(result.events)
    }

    /// Runs one statement and returns its rows.
    async fn fetch_rows(&self, sql: String) -> Result<Vec<PgRow>, DatabaseError> {
        let mut guard = CancelSafeConnection::acquire(&self.pool).await?;
        let rows = fetch_rows(&mut guard.connection, QueryBuilder::new(sql)).await?;
        guard.is_idle = true;
        Ok(rows)
    }
}

/// The result of reading one range.
struct RangeReadResult {
    /// `None` when some of the requested positions have expired.
    events: Option<Vec<PositionedEvent>>,
    /// The number of events that the batches should have but the session did not see, regardless of the filter.
    missing_count: i64,
}

/// Reads the events of `window`, which is a part of the requested `positions`.
async fn read(
    connection: &mut PgConnection,
    (positions, window): (&Range<Position>, &Range<Position>),
    filter: &EventFilter,
    page_limit: PageLimit,
) -> Result<RangeReadResult, DatabaseError> {
    let query = QueryBuilder::new(page::batches_sql::<Postgres>(window, filter));
    let batch_rows = fetch_rows(connection, query).await?;
    let batch_ranges =
        batch_rows.iter().map(batch_range_from_row).collect::<Result<Vec<_>, sqlx::Error>>()?;
    let event_rows = match page::events_query::<Postgres>(&batch_ranges, window, filter, page_limit) {
        Some(query) => fetch_rows(connection, query).await?,
        None => Vec::new(),
    };
    // Checked after the read, so that an expiry during the read is noticed.
    let sql = "select coalesce(min(position), (select next from hookbridge.log)) from hookbridge.batches";
    let first: Position = sqlx::query(sql).fetch_one(connection).await?.try_get(0)?;
    if positions.start < first {
        return Ok(RangeReadResult { events: None, missing_count: 0 });
    }
    let scanned_count: Option<i64> = match event_rows.first() {
        Some(row) if *filter != EventFilter::default() => Some(row.try_get("scanned_count")?),
        _ => None,
    };
    let event = |row: &PgRow| {
        let position: Option<Position> = row.try_get(0)?;
        position.map(|position| Ok(PositionedEvent { position, event: event_from_row(row, 1)? })).transpose()
    };
    let events =
        event_rows.iter().filter_map(|row| event(row).transpose()).collect::<Result<_, sqlx::Error>>()?;
    let events = page::restore_order(events, page_limit);
    let missing_count = page::count_missing(&batch_ranges, window, page_limit, scanned_count, &events);
    Ok(RangeReadResult { events: Some(events), missing_count })
}

impl PostgresLog<'_> {
    pub(in crate::log) async fn assign_positions(&self) -> Result<Position, DatabaseError> {
        let mut guard = CancelSafeConnection::acquire(&self.pool).await?;
        let connection = &mut *guard.connection;
        loop {
            let query = sqlx::query("select ended, is_more from hookbridge.sequence()");
            let row = query.fetch_one(&mut *connection).await?;
            let (end, is_more): (Position, bool) = (row.try_get(0)?, row.try_get(1)?);
            if !is_more {
                guard.is_idle = true;
                self.state.append_watch.advance_to(end);
                return Ok(end);
            }
        }
    }

    pub(in crate::log) async fn bounds(&self) -> Result<Bounds, DatabaseError> {
        let end = self.assign_positions().await?;
        let rows = self.fetch_rows("select min(position) from hookbridge.batches".into()).await?;
        let first = rows.first().map(|row| row.try_get::<Option<Position>, _>(0)).transpose()?;
        Ok(Bounds { first_position: first.flatten().unwrap_or(end), end_position: end })
    }

    pub(in crate::log) async fn read_events(
        &self,
        positions: &Range<Position>,
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, DatabaseError> {
        let mut events = Vec::new();
        for part in page::scan_ranges(positions, filter, page_limit) {
            let remaining = page::remaining(page_limit, &events);
            let Some(part_events) = self.read_range((positions, &part), filter, remaining).await? else {
                return Ok(None);
            };
            events = page::merge(events, part_events, page_limit);
            if page_limit.is_reached(&events) {
                break;
            }
        }
        Ok(Some(events))
    }

    pub(in crate::log) async fn find_event(
        &self,
        id: &str,
        sources: &[String],
    ) -> Result<Option<StoredEvent>, DatabaseError> {
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
}

async fn fetch_rows(
    connection: &mut PgConnection,
    mut query: QueryBuilder<Postgres>,
) -> Result<Vec<PgRow>, DatabaseError> {
    Ok(query.build().persistent(false).fetch_all(connection).await?)
}

fn batch_range_from_row(row: &PgRow) -> Result<BatchRange, sqlx::Error> {
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
