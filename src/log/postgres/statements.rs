//! Portable SQL statements, run in PostgreSQL.

use jiff::Timestamp;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Column as _, Connection as _, Row as _, TypeInfo as _};

use super::{CancelSafeConnection, PostgresLog};
use crate::log::sql::Dialect as _;
use crate::log::statements::{ColumnValues, unexpected_column_type};
use crate::log::week::Week;
use crate::log::{LogError, Row, SqlExecutor, SqlValue, Statement};

/// The number of future weeks that have a partition.
const WEEKS_AHEAD: i64 = 4;

impl SqlExecutor for PostgresLog {
    async fn execute_transaction(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, LogError> {
        let mut lent = CancelSafeConnection::from(&self.pool).await?;
        let mut all = Vec::with_capacity(statements.len());
        if statements.len() == 1 {
            for statement in statements {
                all.push(rows(&mut lent.connection, statement).await?);
            }
        } else {
            let mut transaction = lent.connection.begin().await?;
            for statement in statements {
                all.push(rows(&mut transaction, statement).await?);
            }
            transaction.commit().await?;
        }
        lent.is_idle = true;
        Ok(all)
    }

    async fn maintain_partitions(&self, table: &'static str, oldest: Timestamp) -> Result<(), LogError> {
        let mut lent = CancelSafeConnection::from(&self.pool).await?;
        let connection = &mut *lent.connection;
        let now = Week::containing(Timestamp::now());
        for week in (0..=WEEKS_AHEAD).map(|weeks| now.add_weeks(weeks)) {
            let (from, to) = (week.start().as_microsecond(), week.add_weeks(1).start().as_microsecond());
            let make = format!(
                "create table if not exists hookbridge.{} partition of hookbridge.{table} for values from ({from}) to ({to})",
                week.partition_name(table)
            );
            match sqlx::raw_sql(sqlx::AssertSqlSafe(make)).execute(&mut *connection).await {
                // The default partition already has rows of this week, so they stay there.
                Err(error)
                    if error
                        .as_database_error()
                        .is_some_and(|said| said.code().as_deref() == Some("23514")) => {}
                done => {
                    done?;
                }
            }
        }
        let parts = format!(
            "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
             where i.inhparent = 'hookbridge.{table}'::regclass"
        );
        for row in sqlx::query(sqlx::AssertSqlSafe(parts)).fetch_all(&mut *connection).await? {
            let part: String = row.try_get(0)?;
            if Week::from_partition_name(&part, table).is_some_and(|week| week.add_weeks(1).start() <= oldest)
            {
                let drop = format!("drop table if exists hookbridge.{part}");
                sqlx::raw_sql(sqlx::AssertSqlSafe(drop)).execute(&mut *connection).await?;
            }
        }
        lent.is_idle = true;
        Ok(())
    }
}

async fn rows(connection: &mut PgConnection, statement: Statement) -> Result<Vec<Row>, LogError> {
    let now = Postgres::epoch_micros("clock_timestamp()");
    let sql = statement.sql.replace("{log}", "hookbridge.").replace("{now}", &now);
    let sql = sql.replace("{skip_locked}", "for update skip locked");
    if let Some(rows) = &statement.rows {
        let cast = |(n, (_, cells)): (usize, &(_, ColumnValues))| match cells {
            ColumnValues::Texts(_) => format!("${}::text[]", n + 1),
            ColumnValues::Numbers(_) => format!("${}::bigint[]", n + 1),
        };
        let columns = rows.columns.iter().enumerate().map(cast).collect::<Vec<_>>().join(", ");
        let sql = format!("with v ({}) as (select * from unnest({columns})) {sql}", rows.column_names());
        // Not prepared: a cached plan would be based on earlier table sizes.
        let mut query: Query<'_, Postgres, PgArguments> =
            sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false);
        for (_, cells) in &rows.columns {
            query = match cells {
                ColumnValues::Texts(texts) => query.bind(texts),
                ColumnValues::Numbers(numbers) => query.bind(numbers),
            };
        }
        return query.fetch_all(connection).await?.iter().map(row).collect();
    }
    // Not prepared: a generic plan would not know the small limits in the parameters.
    let mut query: Query<'_, Postgres, PgArguments> = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false);
    for value in statement.values {
        query = match value {
            SqlValue::Text(text) => query.bind(text),
            SqlValue::Number(number) => query.bind(number),
            SqlValue::Bytes(bytes) => query.bind(bytes),
        };
    }
    query.fetch_all(connection).await?.iter().map(row).collect()
}

fn row(row: &PgRow) -> Result<Row, LogError> {
    let value = |at: usize| match row.column(at).type_info().name() {
        "INT8" => Ok(SqlValue::Number(row.try_get(at)?)),
        "TEXT" => Ok(SqlValue::Text(row.try_get(at)?)),
        "BYTEA" => Ok(SqlValue::Bytes(row.try_get(at)?)),
        _ => Err(unexpected_column_type()),
    };
    (0..row.len()).map(value).collect::<Result<_, _>>().map(Row)
}
