//! Weekly partitions of PostgreSQL tables that are partitioned by a column of microseconds since 1970.

use jiff::Timestamp;
use sqlx::Row as _;

use super::{CancelSafeConnection, DatabaseError, PostgresPool, Week};

/// The number of weeks after the current one whose partitions are created in advance.
const WEEKS_AHEAD: i64 = 4;

/// Marks SQL as safe although it contains names, which cannot be bound: table names are constants, and partition names come from
/// [`Week`] or the database's catalog.
fn trusted_sql(sql: String) -> sqlx::AssertSqlSafe<String> {
    sqlx::AssertSqlSafe(sql)
}

/// Creates the partitions of this week and of the next four weeks, and drops the partitions whose week ended at or before
/// `keep_from`.
pub(super) async fn maintain(
    pool: &PostgresPool,
    table: &'static str,
    keep_from: Timestamp,
) -> Result<(), DatabaseError> {
    let mut guard = CancelSafeConnection::acquire(pool).await?;
    let connection = &mut *guard.connection;
    let current_week = Week::containing(Timestamp::now());
    for week in (0..=WEEKS_AHEAD).map(|weeks| current_week.add_weeks(weeks)) {
        let (from, to) = (week.start().as_microsecond(), week.add_weeks(1).start().as_microsecond());
        let create_sql = format!(
            "create table if not exists hookbridge.{} partition of hookbridge.{table} for values from ({from}) to ({to})",
            week.partition_name(table)
        );
        match sqlx::raw_sql(trusted_sql(create_sql)).execute(&mut *connection).await {
            // The default partition already has rows of this week. The rows stay there, and the week gets no partition.
            Err(error)
                if error
                    .as_database_error()
                    .is_some_and(|error| error.code().as_deref() == Some("23514")) => {}
            result => {
                result?;
            }
        }
    }
    let partitions_sql = format!(
        "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
         where i.inhparent = 'hookbridge.{table}'::regclass"
    );
    for row in sqlx::query(trusted_sql(partitions_sql)).fetch_all(&mut *connection).await? {
        let partition: String = row.try_get(0)?;
        if Week::from_partition_name(&partition, table)
            .is_some_and(|week| week.add_weeks(1).start() <= keep_from)
        {
            let drop_sql = format!("drop table if exists hookbridge.{partition}");
            sqlx::raw_sql(trusted_sql(drop_sql)).execute(&mut *connection).await?;
        }
    }
    guard.is_reusable = true;
    Ok(())
}
