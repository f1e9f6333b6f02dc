//! The weekly tables that `events` consists of: made before they are needed, dropped when they are old.
//!
//! A table is made beside the log and then attached, which lets readers and writers of the other weeks go on. What the
//! default table holds of that week goes with it: otherwise PostgreSQL would refuse to attach. Dropping a week takes the
//! whole log for a moment.

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};
use tracing::warn;

use super::{CancelSafeConnection, PostgresLog};
use crate::log::week::Week;
use crate::log::{Bounds, EventReader as _, LogError, MaintenanceReport, NewEvent, RetentionPolicy};

/// One at a time makes tables.
const LOCK: i64 = 0x686f_6f6b;
/// While somebody waits for a lock on a table, everybody else waits behind: rather fail, and come again.
const SHORT_WAIT: &str = "set local lock_timeout = '3s'";
/// Weeks ahead that have tables.
const AHEAD: i64 = 4;
/// The oldest week that gets a table, in weeks from now: ten years. What is older is in the default table.
const BACK: i64 = 522;

impl PostgresLog {
    /// Looks anew whether these weeks have tables.
    pub(super) fn invalidate_known_weeks(&self, records: &[(usize, &NewEvent<'_>)]) {
        let mut known = self.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (_, record) in records {
            known.remove(&Week::containing(record.time));
        }
    }

    /// Makes the tables that a batch needs, unless its times are out of all reason.
    pub(super) async fn create_missing_partitions(
        &self,
        records: &[(usize, &NewEvent<'_>)],
    ) -> Result<(), LogError> {
        let now = Week::containing(Timestamp::now());
        let mut missing = Vec::new();
        {
            let known = self.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // They are in the order of time.
            for (_, record) in records {
                let week = Week::containing(record.time);
                let reasonable = (now.add_weeks(-BACK)..=now.add_weeks(AHEAD)).contains(&week);
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
            make(&mut lent.connection, week).await?;
            self.known_weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(week);
        }
        lent.is_idle = true;
        Ok(())
    }
}

/// Whether events of a batch that is being recorded are in the default table though their weeks have tables, or should: a week
/// was dropped that was known here, or the session was not told of one that was made. There they would not be found by time.
pub(super) async fn has_events_in_default_partition(
    connection: &mut PgConnection,
    batch: i64,
) -> Result<bool, sqlx::Error> {
    let now = Week::containing(Timestamp::now());
    let (from, to) = (now.add_weeks(-BACK).start(), now.add_weeks(AHEAD + 1).start());
    let strayed = format!(
        "select exists (select from hookbridge.events_default where batch = {batch} and time >= '{from}' and time < '{to}')"
    );
    sqlx::query(sqlx::AssertSqlSafe(strayed)).persistent(false).fetch_one(connection).await?.try_get(0)
}

/// Makes the table of a week, unless it is there; says whether it was made.
async fn make(connection: &mut PgConnection, week: Week) -> Result<bool, LogError> {
    let table = week.events_partition_name();
    let is_there = "select exists (select from pg_inherits i
        where i.inhparent = 'hookbridge.events'::regclass and i.inhrelid = to_regclass($1))";
    let name = format!("hookbridge.{table}");
    if sqlx::query(is_there).bind(&name).fetch_one(&mut *connection).await?.try_get(0)? {
        // Whoever has just made it tells other sessions of it after its commit: until then a reader might not look into it. It
        // holds the lock until they are told; nothing is recorded in it before.
        sqlx::query("select pg_advisory_xact_lock_shared($1)").bind(LOCK).execute(&mut *connection).await?;
        return Ok(false);
    }
    let (from, to) = (week.start(), week.add_weeks(1).start());
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(SHORT_WAIT).execute(&mut *transaction).await?;
    sqlx::query("select pg_advisory_xact_lock($1)").bind(LOCK).execute(&mut *transaction).await?;
    if sqlx::query(is_there).bind(&name).fetch_one(&mut *transaction).await?.try_get(0)? {
        return Ok(false);
    }
    // Nobody adds to the default table while what it has of this week moves out of it.
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
    if let Err(error) = tell_again(connection).await {
        let error = LogError::from(error).to_string();
        warn!(
            error,
            table, "could not invalidate other sessions' catalog caches; one may miss the new partition"
        );
    }
    Ok(true)
}

/// A session that was just reading the catalogs when a table came keeps what it read, and does not know of the table. This changes
/// nothing, but sessions are told that they have to read them again.
async fn tell_again(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::raw_sql(SHORT_WAIT).execute(&mut *transaction).await?;
    sqlx::raw_sql("alter table only hookbridge.events alter column place set statistics -1")
        .execute(&mut *transaction)
        .await?;
    transaction.commit().await
}

/// Makes the tables of this week and the next ones, and those of what strayed into the default table; removes what need
/// not be kept.
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
    let strays = strays.filter(|week| (now.add_weeks(-BACK)..=now.add_weeks(AHEAD)).contains(week));
    for week in (0..=AHEAD).map(|weeks| now.add_weeks(weeks)).chain(strays) {
        if make(connection, week).await? {
            done.created_partitions.push(week.events_partition_name());
        } else {
            bring_back(connection, week).await?;
        }
    }
    if let Some(oldest) = keep.keep_since.max(too_large) {
        drop_before(connection, oldest, &mut done).await?;
    }
    lent.is_idle = true;
    Ok(done)
}

/// Moves what strayed into the default table though its week has a table.
async fn bring_back(connection: &mut PgConnection, week: Week) -> Result<(), LogError> {
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

/// The time before which so much was recorded that without it the log is not larger than `bytes`, events being of one size;
/// `None` when it is not larger. Of a week that is over, its end: whole weeks go.
async fn start_within(log: &PostgresLog, bytes: u64, now: Week) -> Result<Option<Timestamp>, LogError> {
    // A week of which a part was deleted is as large as before: it counts by the rows that it has, each as large as in the
    // densest week, and half as much again.
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
    // What is of this week stays, and so does what was recorded in it.
    Ok(Some(week.add_weeks(1).min(now).start()))
}

/// Removes what was recorded before `oldest` and is from before it: the marks of batches first, which ends what readers
/// are told is kept; then whole weeks, as many of them as can be had, and the events of those batches in weeks and among
/// strays where others stay.
async fn drop_before(
    connection: &mut PgConnection,
    oldest: Timestamp,
    done: &mut MaintenanceReport,
) -> Result<(), LogError> {
    // What has a place in the archive stays known, so that it does not come again; of the rest nothing is left.
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

/// Whether no batch that is kept has an event in a table. Numbers of batches are given in about their order.
async fn is_all_old(connection: &mut PgConnection, table: &str) -> Result<bool, LogError> {
    let sql = format!(
        "select coalesce((select max(batch) from hookbridge.{table}) < (select min(id) from hookbridge.batches where events > 0), true)"
    );
    Ok(sqlx::query(sqlx::AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(0)?)
}

/// Drops a week, unless something new has come into it; then none of it is deleted.
async fn drop_week(connection: &mut PgConnection, table: &str) -> Result<Option<u64>, LogError> {
    let mut transaction = connection.begin().await?;
    // The whole log before a part of it, as recorders do.
    let lock = format!(
        "{SHORT_WAIT}; lock table only hookbridge.events in access exclusive mode;
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

/// Deletes what is older than `oldest` and of batches that are gone, and says how many events those were.
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
