//! Weekly partitions of `events`: creation and retention.
//!
//! [`create_partition`] creates a separate table and then attaches it to `events`, so that readers and writers of other weeks are
//! not blocked. PostgreSQL refuses to attach a partition while the default partition holds rows of the same week, so
//! [`create_partition`] first moves those rows. Dropping the partition of a week locks the whole `events` table briefly.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tracing::warn;

use super::PostgresLog;
use crate::db::{CancelSafeConnection, DatabaseError, Week, timestamp_from_micros};
use crate::log::{MaintenanceReport, NewEvent, RetentionPolicy};

/// The advisory lock that serializes the creation of partitions.
const ADVISORY_LOCK: i64 = 0x686f_6f6b;
/// Makes a DDL statement fail if it waits longer than three seconds for its table lock, because every later session that uses the
/// table queues behind the waiting statement. The next recording or maintenance run tries the DDL again.
const SET_LOCK_TIMEOUT: &str = "set local lock_timeout = '3s'";
/// The number of weeks after the current one whose partitions are created in advance.
const WEEKS_AHEAD: i64 = 4;
/// The number of weeks before the current one that can get a partition: ten years. Older events stay in the default partition.
const WEEKS_BACK: i64 = 522;

/// Marks SQL as safe although it contains values that cannot be bound: constants, batch ids, times, and names of partitions,
/// which come from [`Week`] or the database's catalog.
fn trusted_sql(sql: String) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(sql)
}

impl PostgresLog<'_> {
    /// Removes the weeks of these events from the known weeks, so that `create_missing_partitions` checks again whether their
    /// partitions exist.
    pub(super) fn invalidate_known_weeks(&self, indexed_events: &[(usize, &NewEvent<'_>)]) {
        let mut known_weeks =
            self.state.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (_, event) in indexed_events {
            known_weeks.remove(&Week::containing(event.time));
        }
    }

    /// Creates the missing partitions for the weeks of `indexed_events`, which are sorted by time. Weeks more than ten years back
    /// or more than four weeks ahead get no partition.
    pub(super) async fn create_missing_partitions(
        &self,
        indexed_events: &[(usize, &NewEvent<'_>)],
    ) -> Result<(), DatabaseError> {
        let current_week = Week::containing(Timestamp::now());
        let mut missing_weeks = Vec::new();
        {
            let known_weeks =
                self.state.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // The events are sorted by time, so equal weeks are adjacent.
            for (_, event) in indexed_events {
                let week = Week::containing(event.time);
                let is_in_range = (current_week.add_weeks(-WEEKS_BACK)..=current_week.add_weeks(WEEKS_AHEAD))
                    .contains(&week);
                if is_in_range && missing_weeks.last() != Some(&week) && !known_weeks.contains(&week) {
                    missing_weeks.push(week);
                }
            }
        }
        if missing_weeks.is_empty() {
            return Ok(());
        }
        let mut guard = CancelSafeConnection::acquire(&self.pool).await?;
        for week in missing_weeks {
            create_partition(&mut guard.connection, week).await?;
            self.state.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(week);
        }
        guard.is_reusable = true;
        Ok(())
    }
}

/// Whether a batch that is being recorded has events in the default partition although their week should have its own partition:
/// the partition of a known week was dropped, or this session's catalog cache misses a new partition. A search for a time range
/// would not find such events.
pub(super) async fn has_events_in_default_partition(
    connection: &mut PgConnection,
    batch_id: i64,
) -> Result<bool, sqlx::Error> {
    let current_week = Week::containing(Timestamp::now());
    let (from, to) =
        (current_week.add_weeks(-WEEKS_BACK).start(), current_week.add_weeks(WEEKS_AHEAD + 1).start());
    let exists_sql = format!(
        "select exists (select from hookbridge.events_default where batch = {batch_id} and time >= '{from}' and time < '{to}')"
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
        // The session that creates a partition holds this advisory lock until its commit has invalidated other sessions' catalog
        // caches. Wait for the lock, so that no event enters the partition while a reader's session may still miss the partition.
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
    // The exclusive lock keeps other sessions from inserting into the default partition while the rows of the week are moved.
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

/// Invalidates other sessions' catalog caches with a DDL statement that changes nothing. Without it, a session that read the
/// catalogs while the partition was being attached could keep a cache without the partition.
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
    let current_week = Week::containing(Timestamp::now());
    let sql = "select distinct (extract(epoch from date_trunc('week', time)) * 1000000)::bigint
        from hookbridge.events_default where isfinite(time) order by 1";
    let rows = sqlx::query(sql).fetch_all(&mut *connection).await?;
    let starts: Vec<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let misplaced_weeks = starts.into_iter().map(|start| Week::containing(timestamp_from_micros(start)));
    let misplaced_weeks = misplaced_weeks.filter(|week| {
        (current_week.add_weeks(-WEEKS_BACK)..=current_week.add_weeks(WEEKS_AHEAD)).contains(week)
    });
    for week in (0..=WEEKS_AHEAD).map(|weeks| current_week.add_weeks(weeks)).chain(misplaced_weeks) {
        if create_partition(connection, week).await? {
            report.created_partitions.push(week.events_partition_name());
        } else {
            move_from_default(connection, week).await?;
        }
    }
    if let Some(cutoff) = retention.keep_since.max(size_cutoff) {
        expire_before(connection, cutoff, &mut report).await?;
    }
    guard.is_reusable = true;
    Ok(report)
}

/// Moves the events of a week from the default partition into the partition of that week.
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

/// Estimates, from the average event size, the time such that the log is about `max_bytes` large without the events recorded
/// before that time; `None` if the log is small enough. The time is the end of a week, because whole weeks are dropped.
async fn find_size_cutoff(
    log: &PostgresLog<'_>,
    max_bytes: u64,
    current_week: Week,
) -> Result<Option<Timestamp>, DatabaseError> {
    // Deleting rows does not shrink a partition's file. So the size of a partition is the smaller of its file size and an
    // estimate: its number of rows times 1.5 times the row size of the densest partition.
    let sql = "with week as (
          select pg_total_relation_size(c.oid)::float as size, c.reltuples as rows
          from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'hookbridge.events'::regclass
        ), dense as (select min(size / rows) as row from week where rows > 10000)
        select coalesce(sum(case when rows >= 0 and row is not null then least(size, rows * row * 1.5) else size end), 0)::bigint
        from week, dense";
    let size: i64 = sqlx::query(sql).fetch_one(&*log.pool).await?.try_get(0)?;
    let excess = i128::from(size) - i128::from(max_bytes);
    if excess <= 0 {
        return Ok(None);
    }
    let end = log.assign_positions().await?;
    let sql = "select coalesce(min(position), $1) from hookbridge.batches";
    let first: i64 = sqlx::query(sql).bind(end).fetch_one(&*log.pool).await?.try_get(0)?;
    let excess_events = i128::from(end - first) * excess / i128::from(size);
    let first_retained = first + i64::try_from(excess_events).unwrap_or(end - first);
    let sql = "select (extract(epoch from recorded) * 1000000)::bigint from hookbridge.batches
        where position + events > $1 order by position limit 1";
    let row = sqlx::query(sql).bind(first_retained).fetch_optional(&*log.pool).await?;
    let Some(row) = row else { return Ok(None) };
    let week = Week::containing(timestamp_from_micros(row.try_get(0)?));
    // The current week is never dropped.
    Ok(Some(week.add_weeks(1).min(current_week).start()))
}

/// Removes the events that were both recorded and happened before `cutoff`. First expires the batches recorded before
/// `cutoff`, so that their positions can no longer be read. Then drops each older partition whose events all belong to expired
/// batches, and deletes the expired events of the other partitions row by row.
async fn expire_before(
    connection: &mut PgConnection,
    cutoff: Timestamp,
    report: &mut MaintenanceReport,
) -> Result<(), DatabaseError> {
    // Expired batches from the archive keep their row in `batches`, so that they are not recorded again. The rows of other
    // expired batches are deleted.
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
            Some(_) if is_partition_expired(connection, &table).await? => {
                drop_partition(connection, &table).await
            }
            _ => delete_expired_events(connection, &table, cutoff).await,
        };
        match result {
            Ok(None) => report.dropped_partitions.push(table),
            Ok(Some(deleted)) => report.deleted_events += deleted,
            Err(error) => last_error = Some(error),
        }
    }
    last_error.map_or(Ok(()), Err)
}

/// Whether every event in a partition belongs to an expired batch. The check is that all batch ids in the partition are lower
/// than those of unexpired batches. Old partitions normally pass, because batch ids ascend roughly in the order of recording.
async fn is_partition_expired(connection: &mut PgConnection, table: &str) -> Result<bool, DatabaseError> {
    let sql = format!(
        "select coalesce((select max(batch) from hookbridge.{table}) < (select min(id) from hookbridge.batches where events > 0), true)"
    );
    Ok(sqlx::query(trusted_sql(sql)).fetch_one(connection).await?.try_get(0)?)
}

/// Drops the partition of a week and returns `None`. If a recorder has inserted a new event into the partition meanwhile, the
/// function drops nothing and returns `Some(0)`, the number of deleted events.
async fn drop_partition(connection: &mut PgConnection, table: &str) -> Result<Option<u64>, DatabaseError> {
    let mut transaction = connection.begin().await?;
    // Lock the parent before the partition, in the same order as recorders, to avoid a deadlock.
    let lock_sql = format!(
        "{SET_LOCK_TIMEOUT}; lock table only hookbridge.events in access exclusive mode;
         lock table hookbridge.{table} in access exclusive mode"
    );
    sqlx::raw_sql(trusted_sql(lock_sql)).execute(&mut *transaction).await?;
    if !is_partition_expired(&mut transaction, table).await? {
        return Ok(Some(0));
    }
    let drop_sql = format!("drop table hookbridge.{table}");
    sqlx::raw_sql(trusted_sql(drop_sql)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(None)
}

/// Deletes events of a partition that are older than `cutoff` and belong to expired batches. Returns their number, never `None`.
async fn delete_expired_events(
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
