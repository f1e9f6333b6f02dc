//! Weekly partitions of `events`: creation and retention.
//!
//! [`create_partition`] creates a table on its own and then attaches it, so that readers and writers of other weeks
//! are not blocked. PostgreSQL refuses to attach a partition while the default partition holds rows of its range, so
//! [`create_partition`] moves those rows first. Dropping a week locks the whole `events` table briefly.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tracing::warn;

use super::PostgresLog;
use crate::db::{CancelSafeConnection, DatabaseError, Week, timestamp_from_micros};
use crate::log::{MaintenanceReport, NewEvent, RetentionPolicy};

/// The advisory lock that serializes the creation of partitions.
const ADVISORY_LOCK: i64 = 0x686f_6f6b;
/// A session that waits for a table lock blocks every later session, so DDL fails early and is retried later.
const SET_LOCK_TIMEOUT: &str = "set local lock_timeout = '3s'";
/// The number of future weeks whose partitions are created in advance.
const WEEKS_AHEAD: i64 = 4;
/// The oldest week that gets a partition, in weeks before now: ten years. Older events stay in the default partition.
const WEEKS_BACK: i64 = 522;

/// Marks SQL as safe although it contains values that cannot be bound: constants, batch ids, times, and names of partitions,
/// which come from [`Week`] or the database's catalog.
fn trusted_sql(sql: String) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(sql)
}

impl PostgresLog<'_> {
    /// Forgets the weeks of these events, so that `create_missing_partitions` checks again whether their partitions exist.
    pub(super) fn invalidate_known_weeks(&self, records: &[(usize, &NewEvent<'_>)]) {
        let mut known = self.state.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (_, record) in records {
            known.remove(&Week::containing(record.time));
        }
    }

    /// Creates the partitions that a batch needs. `records` are sorted by time. Times outside the supported range of
    /// weeks get no partition.
    pub(super) async fn create_missing_partitions(
        &self,
        records: &[(usize, &NewEvent<'_>)],
    ) -> Result<(), DatabaseError> {
        let now = Week::containing(Timestamp::now());
        let mut missing = Vec::new();
        {
            let known = self.state.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // The records are sorted by time, so equal weeks are adjacent.
            for (_, record) in records {
                let week = Week::containing(record.time);
                let is_in_range = (now.add_weeks(-WEEKS_BACK)..=now.add_weeks(WEEKS_AHEAD)).contains(&week);
                if is_in_range && missing.last() != Some(&week) && !known.contains(&week) {
                    missing.push(week);
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let mut guard = CancelSafeConnection::acquire(&self.pool).await?;
        for week in missing {
            create_partition(&mut guard.connection, week).await?;
            self.state.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(week);
        }
        guard.is_idle = true;
        Ok(())
    }
}

/// Whether a batch that is being recorded has events in the default partition although their week should have its own.
/// This happens when a known week was dropped, or when this session's catalog cache misses a new partition. A reader
/// that searches by time does not find such events.
pub(super) async fn has_events_in_default_partition(
    connection: &mut PgConnection,
    batch: i64,
) -> Result<bool, sqlx::Error> {
    let now = Week::containing(Timestamp::now());
    let (from, to) = (now.add_weeks(-WEEKS_BACK).start(), now.add_weeks(WEEKS_AHEAD + 1).start());
    let exists_sql = format!(
        "select exists (select from hookbridge.events_default where batch = {batch} and time >= '{from}' and time < '{to}')"
    );
    sqlx::query(trusted_sql(exists_sql)).persistent(false).fetch_one(connection).await?.try_get(0)
}

/// Creates the partition of a week, unless it exists. Returns whether it was created.
async fn create_partition(connection: &mut PgConnection, week: Week) -> Result<bool, DatabaseError> {
    let table = week.events_partition_name();
    let exists_sql = "select exists (select from pg_inherits i
        where i.inhparent = 'hookbridge.events'::regclass and i.inhrelid = to_regclass($1))";
    let qualified_name = format!("hookbridge.{table}");
    if sqlx::query(exists_sql).bind(&qualified_name).fetch_one(&mut *connection).await?.try_get(0)? {
        // The session that creates a partition holds this lock until its commit has invalidated the other sessions' catalog
        // caches. Waiting for the lock keeps events out of the partition while a reader may still miss it.
        sqlx::query("select pg_advisory_xact_lock_shared($1)")
            .bind(ADVISORY_LOCK)
            .execute(&mut *connection)
            .await?;
        return Ok(false);
    }
    let (from, to) = (week.start(), week.add_weeks(1).start());
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(SET_LOCK_TIMEOUT).execute(&mut *transaction).await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(ADVISORY_LOCK).execute(&mut *transaction).await?;
    if sqlx::query(exists_sql).bind(&qualified_name).fetch_one(&mut *transaction).await?.try_get(0)? {
        return Ok(false);
    }
    // The exclusive lock keeps new events out of the default partition while its rows of this week move.
    sqlx::raw_sql(trusted_sql(format!(
        "create table hookbridge.{table} (like hookbridge.events including all);
         lock table hookbridge.events_default in access exclusive mode;
         with misplaced as (
           delete from hookbridge.events_default where time >= '{from}' and time < '{to}' returning *
         )
         insert into hookbridge.{table} select * from misplaced;
         alter table hookbridge.events attach partition hookbridge.{table} for values from ('{from}') to ('{to}')"
    )))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    if let Err(error) = invalidate_catalog_caches(connection).await {
        let error = DatabaseError::from(error).to_string();
        warn!(
            error,
            table, "could not invalidate other sessions' catalog caches; one may miss the new partition"
        );
    }
    Ok(true)
}

/// Invalidates other sessions' catalog caches with a DDL statement that changes nothing. A session that read the catalogs while
/// the partition was being attached may have cached the older state.
async fn invalidate_catalog_caches(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(SET_LOCK_TIMEOUT).execute(&mut *transaction).await?;
    sqlx::raw_sql("alter table only hookbridge.events alter column place set statistics -1")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Creates the partitions of this week, of the next four weeks, and of older weeks whose events are in the default partition;
/// then applies retention.
pub(super) async fn maintain(
    log: &PostgresLog<'_>,
    retention: &RetentionPolicy,
) -> Result<MaintenanceReport, DatabaseError> {
    let size_cutoff = match retention.max_bytes {
        Some(bytes) => find_size_cutoff(log, bytes, Week::containing(Timestamp::now())).await?,
        None => None,
    };
    let mut guard = CancelSafeConnection::acquire(&log.pool).await?;
    let connection = &mut *guard.connection;
    let mut report = MaintenanceReport::default();
    let now = Week::containing(Timestamp::now());
    let sql = "select distinct (extract(epoch from date_trunc('week', time)) * 1000000)::bigint
        from hookbridge.events_default where isfinite(time) order by 1";
    let rows = sqlx::query(sql).fetch_all(&mut *connection).await?;
    let starts: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let misplaced_weeks = starts.into_iter().map(|start| Week::containing(timestamp_from_micros(start)));
    let misplaced_weeks = misplaced_weeks
        .filter(|week| (now.add_weeks(-WEEKS_BACK)..=now.add_weeks(WEEKS_AHEAD)).contains(week));
    for week in (0..=WEEKS_AHEAD).map(|weeks| now.add_weeks(weeks)).chain(misplaced_weeks) {
        if create_partition(connection, week).await? {
            report.created_partitions.push(week.events_partition_name());
        } else {
            move_from_default(connection, week).await?;
        }
    }
    if let Some(cutoff) = retention.keep_since.max(size_cutoff) {
        drop_before(connection, cutoff, &mut report).await?;
    }
    guard.is_idle = true;
    Ok(report)
}

/// Moves the events of a week that are in the default partition into the partition of that week.
async fn move_from_default(connection: &mut PgConnection, week: Week) -> Result<(), DatabaseError> {
    let (from, to) = (week.start(), week.add_weeks(1).start());
    let condition = format!("time >= '{from}' and time < '{to}'");
    let exists_sql = format!("select exists (select from hookbridge.events_default where {condition})");
    if sqlx::query(trusted_sql(exists_sql)).fetch_one(&mut *connection).await?.try_get(0)? {
        let move_sql = format!(
            "with misplaced as (delete from hookbridge.events_default where {condition} returning *)
             insert into hookbridge.events select * from misplaced"
        );
        sqlx::raw_sql(trusted_sql(move_sql)).execute(connection).await?;
    }
    Ok(())
}

/// Finds the cutoff time that brings the log down to `max_bytes`, estimated from the average event size; `None` when
/// the log is small enough. The cutoff is the end of a week, because PostgreSQL drops whole weeks.
async fn find_size_cutoff(
    log: &PostgresLog<'_>,
    max_bytes: u64,
    now: Week,
) -> Result<Option<Timestamp>, DatabaseError> {
    // Deletes do not shrink a partition's file. So the size of a partition is estimated from its rows, at 1.5 times the row size
    // of the densest partition, unless its file is smaller than that.
    let sql = "with week as (
          select pg_total_relation_size(c.oid)::float as size, c.reltuples as rows
          from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'hookbridge.events'::regclass
        ), dense as (select min(size / rows) as row from week where rows > 10000)
        select coalesce(sum(case when rows >= 0 and row is not null then least(size, rows * row * 1.5) else size end), 0)::bigint
        from week, dense";
    let size: i64 = sqlx::query(sql).fetch_one(&log.pool).await?.try_get(0)?;
    let excess = i128::from(size) - i128::from(max_bytes);
    if excess <= 0 {
        return Ok(None);
    }
    let end = log.assign_positions().await?;
    let sql = "select coalesce(min(position), $1) from hookbridge.batches";
    let first: i64 = sqlx::query(sql).bind(end).fetch_one(&log.pool).await?.try_get(0)?;
    let excess_events = i128::from(end - first) * excess / i128::from(size);
    let first_retained = first + i64::try_from(excess_events).unwrap_or(end - first);
    let sql = "select (extract(epoch from recorded) * 1000000)::bigint from hookbridge.batches
        where position + events > $1 order by position limit 1";
    let row = sqlx::query(sql).bind(first_retained).fetch_optional(&log.pool).await?;
    let Some(row) = row else { return Ok(None) };
    let week = Week::containing(timestamp_from_micros(row.try_get(0)?));
    // The current week is never dropped.
    Ok(Some(week.add_weeks(1).min(now).start()))
}

/// Removes events that were recorded before `cutoff` and happened before it. First it removes their batches from the positions
/// that readers can read; then it drops each partition without such a batch, and deletes the expired events of the other
/// partitions row by row.
async fn drop_before(
    connection: &mut PgConnection,
    cutoff: Timestamp,
    report: &mut MaintenanceReport,
) -> Result<(), DatabaseError> {
    // Batches from the archive keep their row, so that they are not recorded again. The rows of other expired batches are
    // deleted.
    let expire_sql = format!(
        "update hookbridge.batches set position = null, events = 0, oldest = null, newest = null
         where position is not null and recorded < timestamptz '{cutoff:.6}';
         delete from hookbridge.batches where events = 0 and origin is null"
    );
    sqlx::raw_sql(trusted_sql(expire_sql)).execute(&mut *connection).await?;
    let tables_sql = "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'hookbridge.events'::regclass order by 1";
    let mut last_error = None;
    for row in sqlx::query(tables_sql).fetch_all(&mut *connection).await? {
        let table: String = row.try_get(0)?;
        let week = Week::from_events_partition_name(&table);
        if week.is_some_and(|week| week.add_weeks(1).start() > cutoff) {
            continue;
        }
        let result = match week {
            Some(_) if is_expired(connection, &table).await? => drop_partition(connection, &table).await,
            _ => delete_expired(connection, &table, cutoff).await,
        };
        match result {
            Ok(None) => report.dropped_partitions.push(table),
            Ok(Some(deleted)) => report.deleted_events += deleted,
            Err(error) => last_error = Some(error),
        }
    }
    last_error.map_or(Ok(()), Err)
}

/// Whether every event in a partition belongs to an expired batch: its batch ids are lower than those of all batches that have
/// events. Batch ids ascend roughly in the order of recording.
async fn is_expired(connection: &mut PgConnection, table: &str) -> Result<bool, DatabaseError> {
    let sql = format!(
        "select coalesce((select max(batch) from hookbridge.{table}) < (select min(id) from hookbridge.batches where events > 0), true)"
    );
    Ok(sqlx::query(trusted_sql(sql)).fetch_one(connection).await?.try_get(0)?)
}

/// Drops the partition of a week and returns `None`. If a new event has been inserted into it meanwhile, it drops nothing and
/// returns `Some(0)`, the number of deleted events.
async fn drop_partition(connection: &mut PgConnection, table: &str) -> Result<Option<u64>, DatabaseError> {
    let mut transaction = connection.begin().await?;
    // Lock the parent before the partition, in the same order as recorders, to avoid a deadlock.
    let lock_sql = format!(
        "{SET_LOCK_TIMEOUT}; lock table only hookbridge.events in access exclusive mode;
         lock table hookbridge.{table} in access exclusive mode"
    );
    sqlx::raw_sql(trusted_sql(lock_sql)).execute(&mut *transaction).await?;
    if !is_expired(&mut transaction, table).await? {
        return Ok(Some(0));
    }
    let drop_sql = format!("drop table hookbridge.{table}");
    sqlx::raw_sql(trusted_sql(drop_sql)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(None)
}

/// Deletes events of a partition that are older than `cutoff` and belong to expired batches. Returns their number, never `None`.
async fn delete_expired(
    connection: &mut PgConnection,
    table: &str,
    cutoff: Timestamp,
) -> Result<Option<u64>, DatabaseError> {
    let delete_sql = format!(
        "delete from hookbridge.{table} e where time < timestamptz '{cutoff:.6}'
           and not exists (select from hookbridge.batches b where b.id = e.batch and b.events > 0)"
    );
    let result = sqlx::raw_sql(trusted_sql(delete_sql)).execute(connection).await?;
    Ok(Some(result.rows_affected()))
}
