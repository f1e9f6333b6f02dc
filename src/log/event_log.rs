//! [`EventLog`]: the operations of the log. They share SQL where both databases understand it; [`PostgresLog`] and `SqliteLog`
//! implement the others.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;

use super::append_watch::AppendWatch;
use super::page;
use super::postgres::PostgresLog;
use super::sql::{self, LogDialect, SqlBuilder};
#[cfg(feature = "command")]
use super::sqlite::SqliteLog;
use super::{
    Bounds, COLUMNS, CursorSigningKey, EventBatch, EventFilter, EventKey, MaintenanceReport, PageLimit,
    PageRequest, Position, PositionedEvent, RecordOutcome, RetentionPolicy, Search, StoredEvent,
};
use crate::db::{Database, DatabaseError, InputRows, Pool, ReadLimits, Row, SqlDialect, Week};

/// The event log in a database. Clones share their state. If the database fails, a method returns the database's error.
#[derive(Clone)]
pub struct EventLog {
    db: Database,
    state: Arc<LogState>,
}

/// The state that a log keeps between operations.
#[derive(Default)]
pub(super) struct LogState {
    /// The weeks that are known to have a partition.
    pub(super) known_weeks: Mutex<HashSet<Week>>,
    pub(super) append_watch: AppendWatch,
}

/// Runs an operation that each database implements: `$log` is a `PostgresLog` or a `SqliteLog`.
macro_rules! on_database {
    ($self:ident, $log:ident => $operation:expr) => {{
        let state: &LogState = &$self.state;
        $self
            .db
            .with_pool(|pool| async move {
                match pool {
                    Pool::Postgres(pool) => {
                        let $log = PostgresLog { pool, state };
                        $operation.await
                    }
                    #[cfg(feature = "command")]
                    Pool::Sqlite(file) => {
                        let $log = SqliteLog { file, state };
                        $operation.await
                    }
                }
            })
            .await
    }};
}

impl EventLog {
    /// Creates the log whose tables are in `db`.
    pub fn new(db: Database) -> Self {
        Self { db, state: Arc::default() }
    }

    /// The database of the log.
    pub fn database(&self) -> &Database {
        &self.db
    }

    /// Records a batch completely or not at all, and only once. After an error the batch was not recorded, or the outcome is
    /// unknown; recording it again is safe.
    pub async fn record(&self, batch: &EventBatch<'_>) -> Result<RecordOutcome, DatabaseError> {
        on_database!(self, log => log.record(batch))
    }

    /// Marks the events of a batch as published to the bus.
    pub async fn mark_published(&self, batch_id: i64) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!("update {schema}batches set published = true where id = $1");
        self.db.execute(sql, vec![batch_id.into()]).await.map(drop)
    }

    /// Returns the keys of the events that this batch added to the log, without those that earlier batches had added.
    pub async fn batch_event_keys(&self, batch_id: i64) -> Result<Vec<EventKey>, DatabaseError> {
        let dialect = LogDialect::of(&self.db);
        let (schema, micros) = (dialect.schema, dialect.micros_of("time"));
        let (min, max) = (dialect.time_literal(Timestamp::MIN), dialect.time_literal(Timestamp::MAX));
        let sql = format!(
            "select {micros} as micros, id from {schema}events where batch = $1
               and time >= (select coalesce(oldest, {min}) from {schema}batches where id = $1)
               and time <= (select coalesce(newest, {max}) from {schema}batches where id = $1)"
        );
        let key = |row: &Row| Ok(EventKey { time: row.get("micros")?, id: row.get("id")? });
        self.db.query(sql, vec![batch_id.into()]).await?.iter().map(key).collect()
    }

    /// Returns those of `origins` of which the log has no batch.
    pub async fn find_unrecorded(&self, origins: &[String]) -> Result<Vec<String>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!(
            "select v.origin from v where not exists (select 1 from {schema}batches b where b.origin = v.origin)
             order by place"
        );
        let rows = InputRows::default()
            .with_text_column("origin", origins.iter().cloned().map(Some))
            .with_number_column("place", (0..).take(origins.len()).map(Some));
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        self.db.query_with_rows(rows, sql).await?.iter().map(|row| row.get("origin")).collect()
    }

    /// Returns one page of the events that match a search.
    pub async fn search(
        &self,
        search: &Search,
        page: &PageRequest,
    ) -> Result<Vec<StoredEvent>, DatabaseError> {
        let query = sql::search_query(LogDialect::of(&self.db), search, page);
        self.fetch_limited(query, is_selective(search)).await?.iter().map(StoredEvent::from_row).collect()
    }

    /// Counts the events that match a search.
    pub async fn count(&self, search: &Search) -> Result<u64, DatabaseError> {
        let query = sql::count_query(LogDialect::of(&self.db), search);
        let rows = self.fetch_limited(query, is_selective(search)).await?;
        let count: i64 = rows.first().map_or(Ok(0), |row| row.get("events"))?;
        Ok(count.try_into().unwrap_or_default())
    }

    /// Creates upcoming partitions and applies retention. Steps that completed before a failure stay in effect.
    pub async fn maintain(&self, retention: &RetentionPolicy) -> Result<MaintenanceReport, DatabaseError> {
        on_database!(self, log => log.maintain(retention))
    }

    /// Assigns positions to recorded batches that have none, and returns the position of the next event. Readers call it too, so
    /// that the batches of a recorder that stopped before it called this do not stay invisible.
    pub async fn assign_positions(&self) -> Result<Position, DatabaseError> {
        on_database!(self, log => log.assign_positions())
    }

    /// Returns the range of stored positions.
    pub async fn bounds(&self) -> Result<Bounds, DatabaseError> {
        let end_position = self.assign_positions().await?;
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!("select min(position) as first from {schema}batches");
        let first: Option<Position> =
            self.db.query(sql, vec![]).await?.first().map_or(Ok(None), |row| row.get("first"))?;
        Ok(Bounds { first_position: first.unwrap_or(end_position), end_position })
    }

    /// Returns the events of these positions that match the filter, in order, up to `page_limit`; `None` when some of the
    /// positions have expired. The end of the range must not exceed the result of [`EventLog::assign_positions`].
    pub async fn read_events(
        &self,
        positions: Range<Position>,
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, DatabaseError> {
        let mut events = Vec::new();
        for part in page::scan_ranges(&positions, filter, page_limit) {
            let (ranges, remaining) = ((&positions, &part), page::remaining(page_limit, &events));
            let part_events = on_database!(self, log => log.read_range(ranges, filter, remaining))?;
            let Some(part_events) = part_events else { return Ok(None) };
            events = page::merge(events, part_events, page_limit);
            if page_limit.is_reached(&events) {
                break;
            }
        }
        Ok(Some(events))
    }

    /// Returns the position of the first event that was recorded at this time or later.
    pub async fn first_position_since(&self, time: Timestamp) -> Result<Position, DatabaseError> {
        let end = self.assign_positions().await?;
        let dialect = LogDialect::of(&self.db);
        let sql = format!(
            "select position from {}batches where position is not null and recorded >= {}
             order by recorded, position limit 1",
            dialect.schema,
            dialect.time_literal(time)
        );
        self.db.query(sql, vec![]).await?.first().map_or(Ok(end), |row| row.get("position"))
    }

    /// Returns when the event at this position, or the next stored one, was recorded; `None` after the end of the log.
    pub async fn recorded_at(&self, position: Position) -> Result<Option<Timestamp>, DatabaseError> {
        let dialect = LogDialect::of(&self.db);
        let (schema, micros) = (dialect.schema, dialect.micros_of("recorded"));
        let sql = format!(
            "select {micros} as micros from {schema}batches where position + events > $1
               and position >= coalesce((select max(position) from {schema}batches where position <= $1), $1)
             order by position limit 1"
        );
        let rows = self.db.query(sql, vec![position.into()]).await?;
        rows.first().map(|row| row.get("micros")).transpose()
    }

    /// Returns the newest event with this id from one of `sources`; an empty list accepts every source.
    pub async fn find_event(
        &self,
        id: &str,
        sources: &[String],
    ) -> Result<Option<StoredEvent>, DatabaseError> {
        let mut query = sql::select_events(LogDialect::of(&self.db));
        query.push(" and id = ").push_bind(id);
        query.push_in_list("source", sources);
        query.push(" order by time desc limit 1");
        self.fetch_limited(query, true).await?.first().map(StoredEvent::from_row).transpose()
    }

    async fn fetch_limited(
        &self,
        query: SqlBuilder,
        avoids_table_scans: bool,
    ) -> Result<Vec<Row>, DatabaseError> {
        self.db.fetch(&query.build().with_read_limits(ReadLimits { avoids_table_scans })).await
    }

    /// Returns the key that signs this log's cursors. It is stored in the database, so it moves with the log.
    pub async fn cursor_signing_key(&self) -> Result<CursorSigningKey, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let rows = self.db.query(format!("select cursor_key from {schema}log"), vec![]).await?;
        let missing = || DatabaseError::Rejected("the log has no cursor signing key".into());
        Ok(CursorSigningKey::new(rows.first().ok_or_else(missing)?.get("cursor_key")?))
    }

    /// Waits until the log has an event at this position. Events of this process are noticed immediately, others within a short
    /// polling interval. While the end of the log cannot be queried, it keeps waiting.
    pub async fn wait_for_position(&self, position: Position) {
        self.state.append_watch.wait_beyond(position, || self.assign_positions()).await;
    }

    /// Starts to listen for appends by other processes, if the database is PostgreSQL. Otherwise, or if a proxy does not forward
    /// notifications, readers poll the database.
    #[cfg(feature = "command")]
    pub async fn listen_for_appends(&self) -> Result<(), DatabaseError> {
        let state = Arc::downgrade(&self.state);
        self.db
            .with_pool(|pool| {
                if let Pool::Postgres(pool) = pool {
                    super::postgres::listen_for_appends(pool, state.clone());
                }
                std::future::ready(Ok(()))
            })
            .await
    }
}

/// Whether a search names a value of a selective column, for which there is a Bloom filter index. Such values are normally not in
/// table order, so the planner underestimates the index and would scan every partition.
fn is_selective(search: &Search) -> bool {
    search.columns.iter().any(|(index, _)| COLUMNS[*index].is_selective)
}
