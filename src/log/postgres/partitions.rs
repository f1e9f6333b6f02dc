//! The weekly tables that `events` consists of: made before they are needed, dropped when they are old.
//!
//! A table is made beside the log and then attached, which lets readers and writers go on. What the default table holds
//! of that week goes with it: otherwise PostgreSQL would refuse to attach.

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection as _, Row as _};

use super::PostgresLog;
use crate::log::week::Week;
use crate::log::{LogError, Maintained, Record};

/// One at a time makes tables.
const LOCK: i64 = 0x686f_6f6b;
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
        let mut connection = self.pool.acquire().await?;
        for week in missing {
            make(&mut connection, week).await?;
            self.weeks.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(week);
        }
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
    let mut connection = pool.acquire().await?;
    let mut done = Maintained::default();
    let now = Week::of(Timestamp::now());
    let strays = "select distinct (extract(epoch from date_trunc('week', time)) * 1000000)::bigint
        from hookbridge.events_default where isfinite(time) order by 1";
    let strays = sqlx::query(strays).fetch_all(&mut *connection).await?;
    let strays: Vec<i64> = strays.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let strays = strays.into_iter().map(|start| Week::of(crate::log::time_of(start)));
    let strays = strays.filter(|week| (now.later(-BACK)..=now.later(AHEAD)).contains(week));
    for week in (0..=AHEAD).map(|weeks| now.later(weeks)).chain(strays) {
        if make(&mut connection, week).await? {
            done.made.push(week.table());
        }
    }
    let Some(oldest) = oldest else { return Ok(done) };
    let tables = "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = 'hookbridge.events'::regclass order by 1";
    for row in sqlx::query(tables).fetch_all(&mut *connection).await? {
        let table: String = row.try_get(0)?;
        let is_old = Week::of_table(&table).is_some_and(|week| week.later(1).start() <= oldest);
        if is_old {
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("drop table hookbridge.{table}")))
                .execute(&mut *connection)
                .await?;
            done.dropped.push(table);
        }
    }
    let strays = format!("delete from hookbridge.events_default where time < timestamptz '{oldest:.6}'");
    done.deleted =
        sqlx::raw_sql(sqlx::AssertSqlSafe(strays)).execute(&mut *connection).await?.rows_affected();
    Ok(done)
}
