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
        let mut guard = CancelSafeConnection::acquire(&self.pool).await?;
        let mut results = Vec::with_capacity(statements.len());
        if statements.len() == 1 {
            for statement in statements {
                results.push(fetch_rows(&mut guard.connection, statement).await?);
            }
        } else {
            let mut transaction = guard.connection.begin().await?;
            for statement in statements {
                results.push(fetch_rows(&mut transaction, statement).await?);
            }
            transaction.commit().await?;
        }
        guard.is_idle = true;
        Ok(results)
    }

    async fn maintain_partitions(&self, table: &'static str, oldest: Timestamp) -> Result<(), LogError> {
        let mut guard = CancelSafeConnection::acquire(&self.pool).await?;
        let connection = &mut *guard.connection;
        let now = Week::containing(Timestamp::now());
        for week in (0..=WEEKS_AHEAD).map(|weeks| now.add_weeks(weeks)) {
            let (from, to) = (week.start().as_microsecond(), week.add_weeks(1).start().as_microsecond());
            let create_sql = format!(
                "create table if not exists hookbridge.{} partition of hookbridge.{table} for values from ({from}) to ({to})",
                week.partition_name(table)
            );
            match sqlx::raw_sql(sqlx::AssertSqlSafe(create_sql)).execute(&mut *connection).await {
                // The default partition already has rows of this week, so they stay there.
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
        for row in sqlx::query(sqlx::AssertSqlSafe(partitions_sql)).fetch_all(&mut *connection).await? {
            let partition: String = row.try_get(0)?;
            if Week::from_partition_name(&partition, table)
                .is_some_and(|week| week.add_weeks(1).start() <= oldest)
            {
                let drop_sql = format!("drop table if exists hookbridge.{partition}");
                sqlx::raw_sql(sqlx::AssertSqlSafe(drop_sql)).execute(&mut *connection).await?;
            }
        }
        guard.is_idle = true;
        Ok(())
    }
}

async fn fetch_rows(connection: &mut PgConnection, statement: Statement) -> Result<Vec<Row>, LogError> {
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
        return query.fetch_all(connection).await?.iter().map(convert_row).collect();
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
    query.fetch_all(connection).await?.iter().map(convert_row).collect()
}

fn convert_row(row: &PgRow) -> Result<Row, LogError> {
    let value = |index: usize| match row.column(index).type_info().name() {
        "INT8" => Ok(SqlValue::Number(row.try_get(index)?)),
        "TEXT" => Ok(SqlValue::Text(row.try_get(index)?)),
        "BYTEA" => Ok(SqlValue::Bytes(row.try_get(index)?)),
        _ => Err(unexpected_column_type()),
    };
    (0..row.len()).map(value).collect::<Result<_, _>>().map(Row)
}
