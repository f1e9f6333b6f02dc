//! Weekly partitions of `events`: creation and retention.
//!
//! [`create_partition`] creates a table on its own and then attaches it, so that readers and writers of other weeks continue.
//! PostgreSQL refuses to attach a partition while the default partition holds rows of its range, so [`create_partition`] moves
//! those rows first. Dropping a week locks the whole `events` table briefly.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tracing::warn;

use super::{CancelSafeConnection, PostgresLog};
use crate::log::week::Week;
use crate::log::{Bounds, EventReader as _, LogError, MaintenanceReport, NewEvent, RetentionPolicy};

/// The advisory lock that serializes the creation of partitions.
const ADVISORY_LOCK: i64 = 0x686f_6f6b;
/// A session that waits for a table lock blocks every later session, so DDL fails early and is retried later.
const LOCK_TIMEOUT: &str = "set local lock_timeout = '3s'";
/// The number of future weeks that have a partition.
const WEEKS_AHEAD: i64 = 4;
/// The oldest week that gets a partition, in weeks before now: ten years. Older events stay in the default partition.
const WEEKS_BACK: i64 = 522;

impl PostgresLog {
    /// Forgets the weeks of these events, so that the next batch checks again whether their partitions exist.
    pub(super) fn invalidate_known_weeks(&self, records: &[(usize, &NewEvent<'_>)]) {
        let mut known = self.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (_, record) in records {
            known.remove(&Week::containing(record.time));
        }
    }

    /// Creates the partitions that a batch needs. `records` are sorted by time. Times outside the supported range of
    /// weeks get no partition.
    pub(super) async fn create_missing_partitions(
        &self,
        records: &[(usize, &NewEvent<'_>)],
    ) -> Result<(), LogError> {
        let now = Week::containing(Timestamp::now());
        let mut missing = Vec::new();
        {
            let known = self.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // The records are sorted by time, so equal weeks are adjacent.
            for (_, record) in records {
                let week = Week::containing(record.time);
                let reasonable = (now.add_weeks(-WEEKS_BACK)..=now.add_weeks(WEEKS_AHEAD)).contains(&week);
                if reasonable && missing.last() != Some(&week) && !known.contains(&week) {
                    missing.push(week);
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let mut lent = CancelSafeConnection::from(&self.pool).await?;
        for week in missing {
            create_partition(&mut lent.connection, week).await?;
            self.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(week);
        }
        lent.is_idle = true;
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
    let strayed = format!(
        "select exists (select from hookbridge.events_default where batch = {batch} and time >= '{from}' and time < '{to}')"
    );
    sqlx::query(sqlx::AssertSqlSafe(strayed)).persistent(false).fetch_one(connection).await?.try_get(0)
}

/// Creates the partition of a week, unless it exists. Returns whether it was created.
async fn create_partition(connection: &mut PgConnection, week: Week) -> Result<bool, LogError> {
    let table = week.events_partition_name();
    let is_there = "select exists (select from pg_inherits i
        where i.inhparent = 'hookbridge.events'::regclass and i.inhrelid = to_regclass($1))";
    let name = format!("hookbridge.{table}");
    if sqlx::query(is_there).bind(&name).fetch_one(&mut *connection).await?.try_get(0)? {
        // The session that creates the partition holds this lock until its commit has invalidated the other sessions'
        // catalog caches. Waiting for it keeps events out of the partition while a reader may still miss it.
        sqlx::query("select pg_advisory_xact_lock_shared($1)")
            .bind(ADVISORY_LOCK)
            .execute(&mut *connection)
            .await?;
        return Ok(false);
    }
    let (from, to) = (week.start(), week.add_weeks(1).start());
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(ADVISORY_LOCK).execute(&mut *transaction).await?;
    if sqlx::query(is_there).bind(&name).fetch_one(&mut *transaction).await?.try_get(0)? {
        return Ok(false);
    }
    // The exclusive lock keeps new events out of the default partition while its rows of this week move.
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "create table hookbridge.{table} (like hookbridge.events including all);
         lock table hookbridge.events_default in access exclusive mode;
         with strays as (
           delete from hookbridge.events_default where time >= '{from}' and time < '{to}' returning *
         )
         insert into hookbridge.{table} select * from strays;
         alter table hookbridge.events attach partition hookbridge.{table} for values from ('{from}') to ('{to}')"
    )))
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    if let Err(error) = invalidate_again(connection).await {
        let error = LogError::from(error).to_string();
        warn!(
            error,
            table, "could not invalidate other sessions' catalog caches; one may miss the new partition"
        );
    }
    Ok(true)
}

/// Invalidates other sessions' catalog caches with a no-op DDL statement. A session that read the catalogs while the
/// partition was attached may have cached the older state.
async fn invalidate_again(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(LOCK_TIMEOUT).execute(&mut *transaction).await?;
    sqlx::raw_sql("alter table only hookbridge.events alter column place set statistics -1")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Creates the partitions of this week, of the next weeks and of misplaced events in the default partition; then
/// applies retention.
pub(super) async fn maintain(
    log: &PostgresLog,
    keep: &RetentionPolicy,
) -> Result<MaintenanceReport, LogError> {
    let too_large = match keep.max_bytes {
        Some(bytes) => start_within(log, bytes, Week::containing(Timestamp::now())).await?,
        None => None,
    };
    let mut lent = CancelSafeConnection::from(&log.pool).await?;
    let connection = &mut *lent.connection;
    let mut done = MaintenanceReport::default();
    let now = Week::containing(Timestamp::now());
    let strays = "select distinct (extract(epoch from date_trunc('week', time)) * 1000000)::bigint
        from hookbridge.events_default where isfinite(time) order by 1";
    let strays = sqlx::query(strays).fetch_all(&mut *connection).await?;
    let strays: Vec<i64> = strays.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let strays = strays.into_iter().map(|start| Week::containing(crate::log::timestamp_from_micros(start)));
    let strays =
        strays.filter(|week| (now.add_weeks(-WEEKS_BACK)..=now.add_weeks(WEEKS_AHEAD)).contains(week));
    for week in (0..=WEEKS_AHEAD).map(|weeks| now.add_weeks(weeks)).chain(strays) {
        if create_partition(connection, week).await? {
            done.created_partitions.push(week.events_partition_name());
        } else {
            move_from_default(connection, week).await?;
        }
    }
    if let Some(oldest) = keep.keep_since.max(too_large) {
        drop_before(connection, oldest, &mut done).await?;
    }
    lent.is_idle = true;
    Ok(done)
}

/// Moves misplaced events of a week from the default partition into the partition of that week.
async fn move_from_default(connection: &mut PgConnection, week: Week) -> Result<(), LogError> {
    let (from, to) = (week.start(), week.add_weeks(1).start());
    let which = format!("time >= '{from}' and time < '{to}'");
    let strays = format!("select exists (select from hookbridge.events_default where {which})");
    if sqlx::query(sqlx::AssertSqlSafe(strays)).fetch_one(&mut *connection).await?.try_get(0)? {
        let bring = format!(
            "with strays as (delete from hookbridge.events_default where {which} returning *)
             insert into hookbridge.events select * from strays"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(bring)).execute(connection).await?;
    }
    Ok(())
}

/// The cutoff time that brings the log down to `bytes`, estimated from the average event size; `None` when the log is
/// small enough. The cutoff is the end of a week, because PostgreSQL drops whole weeks.
async fn start_within(log: &PostgresLog, bytes: u64, now: Week) -> Result<Option<Timestamp>, LogError> {
    // Deletes do not shrink a partition's file. So a partition counts by its rows, at 1.5 times the row size of the
    // densest partition, if that is less than its file.
    let size = "with week as (
          select pg_total_relation_size(c.oid)::float as size, c.reltuples as rows
          from pg_inherits i join pg_class c on c.oid = i.inhrelid where i.inhparent = 'hookbridge.events'::regclass
        ), dense as (select min(size / rows) as row from week where rows > 10000)
        select coalesce(sum(case when rows >= 0 and row is not null then least(size, rows * row * 1.5) else size end), 0)::bigint
        from week, dense";
    let size: i64 = sqlx::query(size).fetch_one(&log.pool).await?.try_get(0)?;
    let too_much = i128::from(size) - i128::from(bytes);
    if too_much <= 0 {
        return Ok(None);
    }
    let Bounds { first, end } = log.bounds().await?;
    let goes = i128::from(end - first) * too_much / i128::from(size);
    let first_kept = first + i64::try_from(goes).unwrap_or(end - first);
    let Some(start) = log.recorded_at(first_kept).await? else { return Ok(None) };
    let week = Week::containing(start);
    // The current week is never dropped.
    Ok(Some(week.add_weeks(1).min(now).start()))
}

/// Removes events that were recorded before `oldest` and happened before it. First it removes the batches from the
/// readable range; then it drops each partition that holds no readable event, and deletes the expired events of the
/// other partitions row by row.
async fn drop_before(
    connection: &mut PgConnection,
    oldest: Timestamp,
    done: &mut MaintenanceReport,
) -> Result<(), LogError> {
    // Batches from the archive keep their row, so that they are not recorded again. Other empty batches are deleted.
    let marks = format!(
        "update hookbridge.batches set position = null, events = 0, oldest = null, newest = null
         where position is not null and recorded < timestamptz '{oldest:.6}';
         delete from hookbridge.batches where events = 0 and origin is null"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&mut *connection).await?;
    let tables = "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'hookbridge.events'::regclass order by 1";
    let mut failed = None;
    for row in sqlx::query(tables).fetch_all(&mut *connection).await? {
        let table: String = row.try_get(0)?;
        let week = Week::from_events_partition_name(&table);
        if week.is_some_and(|week| week.add_weeks(1).start() > oldest) {
            continue;
        }
        let removed = match week {
            Some(_) if is_all_old(connection, &table).await? => drop_week(connection, &table).await,
            _ => delete_old(connection, &table, oldest).await,
        };
        match removed {
            Ok(None) => done.dropped_partitions.push(table),
            Ok(Some(deleted)) => done.deleted_events += deleted,
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Whether every event in a table belongs to an expired batch. Batch ids ascend roughly in the order of recording.
async fn is_all_old(connection: &mut PgConnection, table: &str) -> Result<bool, LogError> {
    let sql = format!(
        "select coalesce((select max(batch) from hookbridge.{table}) < (select min(id) from hookbridge.batches where events > 0), true)"
    );
    Ok(sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(0)?)
}

/// Drops the partition of a week. If a new event arrived in it meanwhile, nothing is deleted and the result is
/// `Some(0)`.
async fn drop_week(connection: &mut PgConnection, table: &str) -> Result<Option<u64>, LogError> {
    let mut transaction = connection.begin().await?;
    // Lock the parent before the partition, in the same order as recorders, to avoid a deadlock.
    let lock = format!(
        "{LOCK_TIMEOUT}; lock table only hookbridge.events in access exclusive mode;
         lock table hookbridge.{table} in access exclusive mode"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock)).execute(&mut *transaction).await?;
    if !is_all_old(&mut transaction, table).await? {
        return Ok(Some(0));
    }
    let drop = format!("drop table hookbridge.{table}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut *transaction).await?;
    transaction.commit().await?;
    Ok(None)
}

/// Deletes events that are older than `oldest` and belong to expired batches. Returns their number.
async fn delete_old(
    connection: &mut PgConnection,
    table: &str,
    oldest: Timestamp,
) -> Result<Option<u64>, LogError> {
    let delete = format!(
        "delete from hookbridge.{table} e where time < timestamptz '{oldest:.6}'
           and not exists (select from hookbridge.batches b where b.id = e.batch and b.events > 0)"
    );
    let deleted = sqlx::raw_sql(sqlx::AssertSqlSafe(delete)).execute(connection).await?;
    Ok(Some(deleted.rows_affected()))
}
