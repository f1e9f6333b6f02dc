//! The weekly tables that `events` consists of: made before they are needed, dropped when they are old.
//!
//! A table is made beside the log and then attached, which lets readers and writers of the other weeks go on. What the
//! default table holds of that week goes with it: otherwise PostgreSQL would refuse to attach. Dropping a week takes the
//! whole log for a moment.

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection as _, Row as _};

use super::{Lent, PostgresLog};
use crate::log::week::Week;
use crate::log::{LogError, Maintained, Record};

/// One at a time makes tables.
const LOCK: i64 = 0x686f_6f6b;
/// While somebody waits for a lock on a table, everybody else waits behind: rather fail, and come again.
const SHORT_WAIT: &str = "set local lock_timeout = '3s'";
/// Weeks ahead that have tables.
const AHEAD: i64 = 4;
/// The oldest week that gets a table, in weeks from now: ten years. What is older is in the default table.
const BACK: i64 = 522;

impl PostgresLog {
    /// Makes the tables that a batch needs, unless its times are out of all reason.
    pub(super) async fn make_weeks(&self, records: &[(usize, &Record<'_>)]) -> Result<(), LogError> {
        let now = Week::of(Timestamp::now());
        let mut missing = Vec::new();
        {
            let known = self.weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // They are in the order of time.
            for (_, record) in records {
                let week = Week::of(record.time);
                let reasonable = (now.later(-BACK)..=now.later(AHEAD)).contains(&week);
                if reasonable && missing.last() != Some(&week) && !known.contains(&week) {
                    missing.push(week);
                }
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        let mut lent = Lent::from(&self.pool).await?;
        for week in missing {
            make(&mut lent.connection, week).await?;
            self.weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(week);
        }
        lent.is_idle = true;
        Ok(())
    }
}

/// Makes the table of a week, unless it is there; says whether it was made.
async fn make(connection: &mut PgConnection, week: Week) -> Result<bool, LogError> {
    let table = week.table();
    let is_there = "select exists (select from pg_inherits i
        where i.inhparent = 'hookbridge.events'::regclass and i.inhrelid = to_regclass($1))";
    let name = format!("hookbridge.{table}");
    if sqlx::query(is_there).bind(&name).fetch_one(&mut *connection).await?.try_get(0)? {
        return Ok(false);
    }
    let (from, to) = (week.start(), week.later(1).start());
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
    Ok(true)
}

/// Makes the tables of this week and the next ones, and those of what strayed into the default table; drops those that
/// hold only what is older than `oldest`.
pub(super) async fn maintain(pool: &PgPool, oldest: Option<Timestamp>) -> Result<Maintained, LogError> {
    let mut lent = Lent::from(pool).await?;
    let connection = &mut *lent.connection;
    let mut done = Maintained::default();
    let now = Week::of(Timestamp::now());
    let strays = "select distinct (extract(epoch from date_trunc('week', time)) * 1000000)::bigint
        from hookbridge.events_default where isfinite(time) order by 1";
    let strays = sqlx::query(strays).fetch_all(&mut *connection).await?;
    let strays: Vec<i64> = strays.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let strays = strays.into_iter().map(|start| Week::of(crate::log::time_of(start)));
    let strays = strays.filter(|week| (now.later(-BACK)..=now.later(AHEAD)).contains(week));
    for week in (0..=AHEAD).map(|weeks| now.later(weeks)).chain(strays) {
        if make(connection, week).await? {
            done.made.push(week.table());
        }
    }
    if let Some(oldest) = oldest {
        drop_before(connection, oldest, &mut done).await?;
    }
    lent.is_idle = true;
    Ok(done)
}

/// Drops the weeks that end before `oldest`, as many of them as can be had, and the marks of batches and the strays from
/// before it.
async fn drop_before(
    connection: &mut PgConnection,
    oldest: Timestamp,
    done: &mut Maintained,
) -> Result<(), LogError> {
    let tables = "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'hookbridge.events'::regclass order by 1";
    let mut failed = None;
    for row in sqlx::query(tables).fetch_all(&mut *connection).await? {
        let table: String = row.try_get(0)?;
        if Week::of_table(&table).is_none_or(|week| week.later(1).start() > oldest) {
            continue;
        }
        let mut transaction = connection.begin().await?;
        sqlx::raw_sql(SHORT_WAIT).execute(&mut *transaction).await?;
        let drop = sqlx::AssertSqlSafe(format!("drop table hookbridge.{table}"));
        match sqlx::raw_sql(drop).execute(&mut *transaction).await {
            Ok(_) => {
                transaction.commit().await?;
                done.dropped.push(table);
            }
            Err(error) => {
                transaction.rollback().await?;
                failed = Some(error);
            }
        }
    }
    let marks = format!("delete from hookbridge.batches where recorded < timestamptz '{oldest:.6}'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(marks)).execute(&mut *connection).await?;
    let strays = format!("delete from hookbridge.events_default where time < timestamptz '{oldest:.6}'");
    done.deleted =
        sqlx::raw_sql(sqlx::AssertSqlSafe(strays)).execute(&mut *connection).await?.rows_affected();
    failed.map_or(Ok(()), |error| Err(error.into()))
}
