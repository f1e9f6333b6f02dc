//! The event log in a local SQLite file.
//!
//! SQLite allows one writer at a time. One transaction records a batch, and its `insert` skips events that the log already has.

mod key_index;

use std::sync::PoisonError;

use jiff::Timestamp;
use sqlx::{QueryBuilder, Row as _, Sqlite, SqliteConnection};
use std::borrow::Cow;
use tracing::warn;

use super::event_log::LogState;
use super::order::{Position, PositionedEvent};
use super::page::{self, RangeRead};
use super::sql::{Candidates, LogDialect};
use super::{COLUMNS, EventBatch, MaintenanceReport, NewEvent, RecordOutcome, RetentionPolicy, Search};
use crate::db::{DatabaseError, Session, SqliteFile};
use key_index::BatchKeys;
pub(super) use key_index::PendingKeys;

/// The maximum number of rows of one `insert`: SQLite accepts at most 32,766 parameters, and a row needs about thirty.
const INSERT_BATCH_SIZE: usize = 500;

/// The log in a SQLite file.
pub(super) struct SqliteLog<'s> {
    pub(super) file: SqliteFile,
    pub(super) state: &'s LogState,
}

impl SqliteLog<'_> {
    pub(super) async fn record(&self, batch: &EventBatch<'_>) -> Result<RecordOutcome, DatabaseError> {
        let keys = BatchKeys::of(&batch.events);
        let _write_guard = self.file.write_lock.lock().await;
        let mut transaction = self.file.pool.begin_with("begin immediate").await?;
        let row = sqlx::query(
            "insert into batches (origin, events, unrecognized) values (?, ?, ?)
             on conflict (origin) do nothing returning id",
        )
        .bind(batch.origin.as_deref())
        .bind(to_i64(batch.events.len()))
        .bind(to_i64(batch.unrecognized_count))
        .fetch_optional(&mut *transaction)
        .await?;
        let Some(row) = row else {
            let existing = sqlx::query("select id, published from batches where origin = ?")
                .bind(batch.origin.as_deref())
                .fetch_one(&mut *transaction)
                .await?;
            return Ok(RecordOutcome::AlreadyRecorded {
                batch_id: existing.try_get(0)?,
                is_published: existing.try_get(1)?,
            });
        };
        let batch_id: i64 = row.try_get(0)?;
        let events = insert_events(&mut transaction, batch_id, &batch.events).await?;
        let duplicates = batch.events.len() - events;
        if duplicates > 0 {
            sqlx::query("update batches set events = ?, repeats = ? where id = ?")
                .bind(to_i64(events))
                .bind(to_i64(duplicates))
                .bind(batch_id)
                .execute(&mut *transaction)
                .await?;
            // The skipped duplicates left gaps between the places: renumber the places without gaps.
            sqlx::query(
                "update events set place = counted.place from (
                   select rowid as row, row_number() over (order by place) - 1 as place from events where batch = ?
                 ) as counted where events.rowid = counted.row",
            )
            .bind(batch_id)
            .execute(&mut *transaction)
            .await?;
        }
        let mut end = None;
        if events > 0 {
            let times = batch.events.iter().map(|event| event.time.as_microsecond());
            let (oldest, newest) = (times.clone().min(), times.max());
            end = Some(
                assign_batch_positions(&mut transaction, batch_id, to_i64(events), (oldest, newest)).await?,
            );
        }
        transaction.commit().await?;
        if let Some(end) = end {
            self.state.append_watch.advance_to(end);
        }
        // The batch is recorded even if a run of keys cannot be written. The next batch then tries again.
        let keys = (duplicates == 0).then_some(keys);
        if let Err(error) = self.add_keys(batch_id, keys, events).await {
            warn!(error = error.to_string(), "failed to write keys; searches read these events instead");
        }
        Ok(RecordOutcome::Inserted { batch_id, events, duplicates })
    }

    /// Adds the keys of a recorded batch to the pending ones, and writes the next run if it is due. The caller holds the write lock.
    async fn add_keys(
        &self,
        batch_id: i64,
        keys: Option<BatchKeys>,
        events: usize,
    ) -> Result<(), DatabaseError> {
        let lock = || self.state.pending_keys.lock().unwrap_or_else(PoisonError::into_inner);
        if !lock().add(batch_id, keys, to_i64(events)) {
            return Ok(());
        }
        let mut pending = std::mem::take(&mut *lock());
        let mut transaction = self.file.pool.begin_with("begin immediate").await?;
        let run = key_index::write_run(&mut transaction, &pending).await?;
        transaction.commit().await?;
        pending.finish(run.is_some());
        *lock() = pending;
        Ok(())
    }

    /// Writes the runs of keys that an earlier version did not write, each in a transaction. Calls `report` with the number of
    /// keys after each run.
    pub(super) async fn write_missing_runs(&self, report: &impl Fn(usize)) -> Result<(), DatabaseError> {
        let mut done = 0;
        loop {
            let _write_guard = self.file.write_lock.lock().await;
            let mut transaction = self.file.pool.begin_with("begin immediate").await?;
            let run = key_index::write_run(&mut transaction, &PendingKeys::default()).await?;
            let Some(keys) = run else { return Ok(()) };
            transaction.commit().await?;
            done += keys;
            report(done);
        }
    }

    pub(super) async fn find_candidates(&self, search: &Search) -> Result<Option<Candidates>, DatabaseError> {
        let mut connection = self.file.pool.acquire().await?;
        key_index::find_candidates(&mut connection, search).await
    }

    pub(super) async fn maintain(
        &self,
        retention: &RetentionPolicy,
    ) -> Result<MaintenanceReport, DatabaseError> {
        let mut report = MaintenanceReport::default();
        if let Some(cutoff) = retention.keep_since {
            let _write_guard = self.file.write_lock.lock().await;
            expire_batches(&self.file.pool, "recorded < ?", Some(cutoff)).await?;
        }
        while self.is_larger_than(retention.max_bytes).await? {
            // Each round expires the batches that begin in the first thousand stored positions, at least one batch.
            let condition = "position < (select min(position) + 1000 from batches)";
            let _write_guard = self.file.write_lock.lock().await;
            let mut transaction = self.file.pool.begin_with("begin immediate").await?;
            let expired_ids = expire_batches(&mut *transaction, condition, None).await?;
            let delete_sql = "delete from events where batch in (select value from json_each(?))";
            let list = serde_json::Value::from(expired_ids.as_slice()).to_string();
            report.deleted_events +=
                sqlx::query(delete_sql).bind(list).execute(&mut *transaction).await?.rows_affected();
            transaction.commit().await?;
            if expired_ids.is_empty() {
                break;
            }
        }
        if let Some(cutoff) = retention.keep_since {
            report.deleted_events += self.delete_expired_events(cutoff).await?;
        }
        if report.deleted_events > 0 {
            let _write_guard = self.file.write_lock.lock().await;
            let mut transaction = self.file.pool.begin_with("begin immediate").await?;
            key_index::delete_expired_runs(&mut transaction).await?;
            transaction.commit().await?;
        }
        Ok(report)
    }

    /// Reads the events at the positions `read.window`; `None` if some of the requested positions have expired.
    pub(super) async fn read_range(
        &self,
        read: RangeRead<'_>,
    ) -> Result<Option<Vec<PositionedEvent>>, DatabaseError> {
        let mut connection = self.file.pool.acquire().await?;
        let mut session = Session::Sqlite(&mut connection);
        Ok(page::read_range(&mut session, LogDialect::SQLITE, read).await?.events)
    }

    /// Returns the end of the log. Assigns no positions, because `record` has assigned them.
    pub(super) async fn assign_positions(&self) -> Result<Position, DatabaseError> {
        let end = sqlx::query("select next from log").fetch_one(&self.file.pool).await?.try_get(0)?;
        self.state.append_watch.advance_to(end);
        Ok(end)
    }

    /// Deletes events older than `cutoff` whose batches have expired. The deletion runs in chunks, so that a recorder waits
    /// for one chunk at most.
    async fn delete_expired_events(&self, cutoff: Timestamp) -> Result<u64, DatabaseError> {
        let mut total = 0;
        loop {
            let _write_guard = self.file.write_lock.lock().await;
            let query = sqlx::query(
                "delete from events where rowid in (
                   select rowid from events e where time < ?
                     and not exists (select 1 from batches b where b.id = e.batch and b.events > 0) limit 5000)",
            );
            let deleted = query.bind(cutoff.as_microsecond()).execute(&self.file.pool).await?.rows_affected();
            total += deleted;
            if deleted == 0 {
                return Ok(total);
            }
        }
    }

    /// Whether the database file is larger than `max_bytes`. Pages of the file that hold no data do not count.
    async fn is_larger_than(&self, max_bytes: Option<u64>) -> Result<bool, DatabaseError> {
        let Some(max_bytes) = max_bytes else { return Ok(false) };
        let sql = "select (p.page_count - f.freelist_count) * s.page_size
            from pragma_page_count p, pragma_freelist_count f, pragma_page_size s";
        let size: i64 = sqlx::query(sql).fetch_one(&self.file.pool).await?.try_get(0)?;
        Ok(u64::try_from(size).unwrap_or_default() > max_bytes)
    }
}

fn to_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Assigns the next positions to a batch and returns the new end of the log.
async fn assign_batch_positions(
    connection: &mut SqliteConnection,
    batch_id: i64,
    event_count: i64,
    (oldest, newest): (Option<i64>, Option<i64>),
) -> Result<Position, DatabaseError> {
    // SQLite's own clock has only millisecond precision, so the time is bound. `max` makes recording times ascend with positions.
    let sql = "update log set next = next + ?, sequenced = max(sequenced, ?) returning next, sequenced";
    let now = Timestamp::now().as_microsecond();
    let row = sqlx::query(sql).bind(event_count).bind(now).fetch_one(&mut *connection).await?;
    let (next, recorded_at): (Position, i64) = (row.try_get(0)?, row.try_get(1)?);
    sqlx::query("update batches set position = ?, recorded = ?, oldest = ?, newest = ? where id = ?")
        .bind(next - event_count)
        .bind(recorded_at)
        .bind(oldest)
        .bind(newest)
        .bind(batch_id)
        .execute(connection)
        .await?;
    Ok(next)
}

/// Inserts the events that the log does not have, and returns their number.
async fn insert_events(
    connection: &mut SqliteConnection,
    batch_id: i64,
    events: &[NewEvent<'_>],
) -> Result<usize, DatabaseError> {
    let mut inserted = 0;
    let events: Vec<_> = events.iter().enumerate().collect();
    for chunk in events.chunks(INSERT_BATCH_SIZE) {
        let columns: Vec<_> = COLUMNS.iter().map(|column| column.name).collect();
        let mut query = QueryBuilder::<Sqlite>::new(format!(
            "insert into events (time, id, source, type, batch, place, account, region, resources, detail, {}) ",
            columns.join(", ")
        ));
        query.push_values(chunk, |mut row, (place, event)| {
            row.push_bind(event.time.as_microsecond())
                .push_bind(event.id.to_string())
                .push_bind(event.source.to_string())
                .push_bind(event.detail_type.to_string())
                .push_bind(batch_id)
                .push_bind(to_i64(*place))
                .push_bind(event.account.to_string())
                .push_bind(event.region.to_string())
                .push_bind(serde_json::Value::from(event.resources.clone()).to_string())
                .push_bind(event.detail.to_string());
            for value in event.search_columns.stored_values() {
                row.push_bind(value.map(Cow::into_owned));
            }
        });
        query.push(" on conflict do nothing");
        inserted += query.build().execute(&mut *connection).await?.rows_affected();
    }
    Ok(usize::try_from(inserted).unwrap_or_default())
}

/// Expires the batches that match `condition`, so that their positions can no longer be read, and returns their ids. Expired
/// batches keep their row in `batches`, so that archived batches are not recorded again.
async fn expire_batches<'c>(
    connection: impl sqlx::Executor<'c, Database = Sqlite>,
    condition: &str,
    cutoff: Option<Timestamp>,
) -> Result<Vec<i64>, DatabaseError> {
    let sql = format!(
        "update batches set position = null, events = 0, oldest = null, newest = null
         where position is not null and {condition} returning id"
    );
    // Safe: the condition is a constant in the caller.
    let mut query = sqlx::query_scalar(sqlx::AssertSqlSafe(sql));
    if let Some(cutoff) = cutoff {
        query = query.bind(cutoff.as_microsecond());
    }
    Ok(query.fetch_all(connection).await?)
}
