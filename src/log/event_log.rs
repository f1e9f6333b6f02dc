//! [`EventLog`]: the operations of the log. SQL that both databases understand stands here; [`PostgresLog`] and `SqliteLog`
//! implement the operations whose SQL differs.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use super::append_watch::AppendWatch;
use super::page::{self, RangeRead};
use super::postgres::PostgresLog;
use super::sql::{self, Candidates, LogDialect, SqlBuilder};
#[cfg(feature = "command")]
use super::sqlite::{PendingKeys, SqliteLog};
use super::{
    Bounds, COLUMNS, CursorSigningKey, EventBatch, EventFilter, EventKey, MaintenanceReport, PageLimit,
    PageRequest, Position, PositionedEvent, RecordOutcome, RetentionPolicy, Search, SortOrder, StoredEvent,
};
use crate::db::{Database, DatabaseError, InputRows, Pool, ReadLimits, Row, SqlDialect, Week};

/// The event log in a database. Clones share one `LogState`. If the database fails, a method returns the database's error.
#[derive(Clone)]
pub struct EventLog {
    db: Database,
    state: Arc<LogState>,
}

/// The state in memory that a log keeps between operations.
#[derive(Default)]
pub(super) struct LogState {
    /// The weeks whose partition is known to exist in PostgreSQL.
    pub(super) known_weeks: Mutex<HashSet<Week>>,
    pub(super) append_watch: AppendWatch,
    /// The keys of recorded batches that SQLite has no run for yet.
    #[cfg(feature = "command")]
    pub(super) pending_keys: Mutex<PendingKeys>,
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

    /// The same log, for operations that wait at most `acquire_timeout` for a database connection.
    #[must_use]
    pub fn with_acquire_timeout(self, acquire_timeout: Duration) -> Self {
        Self { db: self.db.with_acquire_timeout(acquire_timeout), ..self }
    }

    /// The database of the log.
    pub fn database(&self) -> &Database {
        &self.db
    }

    /// Records a batch completely or not at all, and only once. An error means that the batch was not recorded or that the
    /// outcome is unknown; in both cases the caller can safely record the batch again.
    pub async fn record(&self, batch: &EventBatch<'_>) -> Result<RecordOutcome, DatabaseError> {
        on_database!(self, log => log.record(batch))
    }

    /// Marks the events of a batch as published to the bus.
    pub async fn mark_published(&self, batch_id: i64) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!("update {schema}batches set published = true where id = $1");
        self.db.execute(sql, vec![batch_id.into()]).await.map(drop)
    }

    /// Returns the keys of the events that the batch with this id added to the log. Events of the batch that were in the log
    /// before are not included.
    pub async fn batch_event_keys(&self, batch_id: i64) -> Result<Vec<EventKey>, DatabaseError> {
        let dialect = LogDialect::of(&self.db);
        let (schema, micros) = (dialect.schema, dialect.micros_of("time"));
        let (min, max) = (dialect.time_literal(Timestamp::MIN), dialect.time_literal(Timestamp::MAX));
        let sql = format!(
            "select {micros} as micros, id from {schema}events where batch = $1
               and time >= (select coalesce(oldest, {min}) from {schema}batches where id = $1)
               and time <= (select coalesce(newest, {max}) from {schema}batches where id = $1)"
        );
        let key_from_row = |row: &Row| Ok(EventKey { time: row.get("micros")?, id: row.get("id")? });
        self.db.query(sql, vec![batch_id.into()]).await?.iter().map(key_from_row).collect()
    }

    /// Returns those `origins` (archive URLs of batches) from which the log has recorded no batch, in the order of `origins`.
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
        self.search_rows(search, page, is_selective(search))
            .await?
            .iter()
            .map(StoredEvent::from_row)
            .collect()
    }

    async fn search_rows(
        &self,
        search: &Search,
        page: &PageRequest,
        avoids_table_scans: bool,
    ) -> Result<Vec<Row>, DatabaseError> {
        let candidates = self.find_candidates(search).await?;
        let query = sql::search_query(LogDialect::of(&self.db), search, candidates.as_ref(), page);
        self.fetch_with_limits(query, avoids_table_scans).await
    }

    /// Makes the events of a database of an earlier version findable by their keys, where that is not done when they are recorded.
    /// May be interrupted, and continues where it was. Calls `report` with the number of keys that are written.
    #[cfg(feature = "command")]
    pub async fn finish_upgrade(&self, report: impl Fn(usize) + Sync) -> Result<(), DatabaseError> {
        let (state, report) = (&*self.state, &report);
        self.db
            .with_pool(|pool| async move {
                match pool {
                    Pool::Postgres(_) => Ok(()),
                    Pool::Sqlite(file) => SqliteLog { file, state }.write_missing_runs(report).await,
                }
            })
            .await
    }

    /// Finds where the events that match a search may be; `None` if the search needs no such help, as in PostgreSQL.
    async fn find_candidates(&self, search: &Search) -> Result<Option<Candidates>, DatabaseError> {
        let find = |pool| async move {
            match pool {
                Pool::Postgres(_) => Ok(None),
                #[cfg(feature = "command")]
                Pool::Sqlite(file) => SqliteLog { file, state: &self.state }.find_candidates(search).await,
            }
        };
        // A function, which has no SQLite, uses no search.
        let _ = search;
        self.db.with_pool(find).await
    }

    /// Counts the events that match a search.
    pub async fn count(&self, search: &Search) -> Result<u64, DatabaseError> {
        let candidates = self.find_candidates(search).await?;
        let query = sql::count_query(LogDialect::of(&self.db), search, candidates.as_ref());
        let rows = self.fetch_with_limits(query, is_selective(search)).await?;
        let count: i64 = rows.first().map_or(Ok(0), |row| row.get("events"))?;
        Ok(count.try_into().unwrap_or_default())
    }

    /// Creates the partitions of coming weeks (PostgreSQL only) and removes the events that `retention` does not keep. If the run
    /// fails, its completed steps stay in effect.
    pub async fn maintain(&self, retention: &RetentionPolicy) -> Result<MaintenanceReport, DatabaseError> {
        on_database!(self, log => log.maintain(retention))
    }

    /// Assigns positions to recorded batches that have none, and returns the position that the next event will get. Readers also
    /// call this method: otherwise a batch would stay invisible if its recorder stopped before assigning positions.
    pub async fn assign_positions(&self) -> Result<Position, DatabaseError> {
        on_database!(self, log => log.assign_positions())
    }

    /// Returns the first stored position and the position that the next event will get.
    pub async fn bounds(&self) -> Result<Bounds, DatabaseError> {
        let end_position = self.assign_positions().await?;
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!("select min(position) as first from {schema}batches");
        let first: Option<Position> =
            self.db.query(sql, vec![]).await?.first().map_or(Ok(None), |row| row.get("first"))?;
        Ok(Bounds { first_position: first.unwrap_or(end_position), end_position })
    }

    /// Returns the events at `positions` that match the filter, in the order of their positions, up to `page_limit`; `None` if
    /// some of `positions` have expired. The end of `positions` must not exceed the result of [`EventLog::assign_positions`].
    pub async fn read_events(
        &self,
        positions: Range<Position>,
        filter: &EventFilter,
        page_limit: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, DatabaseError> {
        let mut events = Vec::new();
        for part in page::scan_ranges(&positions, filter, page_limit) {
            let read = RangeRead {
                window: &part,
                requested_start: positions.start,
                filter,
                page_limit: page::remaining_limit(page_limit, &events),
            };
            let part_events = on_database!(self, log => log.read_range(read))?;
            let Some(part_events) = part_events else { return Ok(None) };
            events = page::merge(events, part_events, page_limit);
            if page_limit.is_reached(&events) {
                break;
            }
        }
        Ok(Some(events))
    }

    /// Returns the position of the first event that was recorded at `time` or later; the end of the log if there is none.
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

    /// Returns when the event at `position` was recorded. If that event has expired, returns the time of the first event after it
    /// that is still stored; `None` at the end of the log.
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

    /// Returns the newest event with this id from one of `sources`; empty `sources` accept every source.
    pub async fn find_event(
        &self,
        id: &str,
        sources: &[String],
    ) -> Result<Option<StoredEvent>, DatabaseError> {
        let search = Search {
            from: Timestamp::MIN,
            to: Timestamp::MAX,
            ids: vec![id.to_owned()],
            sources: sources.to_vec(),
            ..Search::default()
        };
        let newest = PageRequest { order: SortOrder::NewestFirst, after: None, offset: 0, limit: 1 };
        self.search_rows(&search, &newest, true).await?.first().map(StoredEvent::from_row).transpose()
    }

    async fn fetch_with_limits(
        &self,
        query: SqlBuilder,
        avoids_table_scans: bool,
    ) -> Result<Vec<Row>, DatabaseError> {
        self.db.fetch(&query.build().with_read_limits(ReadLimits { avoids_table_scans })).await
    }

    /// Returns the key that signs this log's cursors. The database stores the key, so cursors stay valid when the database is
    /// moved.
    pub async fn cursor_signing_key(&self) -> Result<CursorSigningKey, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let rows = self.db.query(format!("select cursor_key from {schema}log"), vec![]).await?;
        let missing_key_error = || DatabaseError::Rejected("the log has no cursor signing key".into());
        Ok(CursorSigningKey::new(rows.first().ok_or_else(missing_key_error)?.get("cursor_key")?))
    }

    /// Waits until the log has an event at this position. An event that this process records ends the wait immediately, an event
    /// of another process within a short polling interval. If the end of the log cannot be queried, the method keeps waiting.
    pub async fn wait_for_position(&self, position: Position) {
        self.state.append_watch.wait_beyond(position, || self.assign_positions()).await;
    }

    /// Starts to listen for PostgreSQL's notifications (`NOTIFY`) of appends by other processes. If the database is SQLite, or a
    /// proxy does not forward notifications, waiting readers poll the database instead.
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

/// Whether a search names a value of a selective column. PostgreSQL must use the column's index for such a search: its planner
/// may otherwise prefer to scan every partition.
fn is_selective(search: &Search) -> bool {
    search.columns.iter().any(|(index, _)| COLUMNS[*index].is_selective)
}
