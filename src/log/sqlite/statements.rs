//! Portable SQL statements, run in SQLite.

use jiff::Timestamp;
use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection, SqliteRow};
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

use super::SqliteLog;
use crate::log::statements::{ColumnValues, unexpected_column_type};
use crate::log::{InputRows, LogError, Row, SqlExecutor, SqlValue, Statement};

impl SqlExecutor for SqliteLog {
    async fn execute_transaction(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, LogError> {
        if let [statement] = statements.as_slice()
            && statement.sql.trim_start().starts_with("select")
        {
            let mut connection = self.pool.acquire().await?;
            return Ok(vec![fetch_rows(&mut connection, statement.clone()).await?]);
        }
        let _write_guard = self.write_lock.lock().await;
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        let mut results = Vec::with_capacity(statements.len());
        for statement in statements {
            results.push(fetch_rows(&mut transaction, statement).await?);
        }
        transaction.commit().await?;
        Ok(results)
    }

    async fn maintain_partitions(&self, _: &'static str, _: Timestamp) -> Result<(), LogError> {
        // SQLite has no partitions; callers delete old rows instead.
        Ok(())
    }
}

async fn fetch_rows(connection: &mut SqliteConnection, statement: Statement) -> Result<Vec<Row>, LogError> {
    let now = Timestamp::now().as_microsecond().to_string();
    // SQLite has one writer at a time, so rows need no locks.
    let sql = statement.sql.replace("{log}", "").replace("{now}", &now).replace("{skip_locked}", "");
    let rows = statement.rows.as_deref();
    let sql = rows.map_or(sql.clone(), |rows| format!("{} {sql}", values_clause(rows)));
    let mut query: Query<'_, Sqlite, SqliteArguments> =
        sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false);
    for row in 0..rows.map_or(0, row_count) {
        for (_, cells) in rows.into_iter().flat_map(|rows| &rows.columns) {
            query = match cells {
                ColumnValues::Texts(texts) => query.bind(texts[row].as_deref()),
                ColumnValues::Numbers(numbers) => query.bind(numbers[row]),
            };
        }
    }
    for value in statement.values {
        query = match value {
            SqlValue::Text(text) => query.bind(text),
            SqlValue::Number(number) => query.bind(number),
            SqlValue::Bytes(bytes) => query.bind(bytes),
        };
    }
    query.fetch_all(connection).await?.iter().map(convert_row).collect()
}

fn row_count(rows: &InputRows) -> usize {
    rows.columns.first().map_or(0, |(_, cells)| match cells {
        ColumnValues::Texts(texts) => texts.len(),
        ColumnValues::Numbers(numbers) => numbers.len(),
    })
}

/// Builds the table `v` with one parameter per value, row by row. The parameters are not numbered: SQLite searches all
/// earlier parameters for each numbered one.
fn values_clause(rows: &InputRows) -> String {
    let row = format!("({})", vec!["?"; rows.columns.len()].join(", "));
    format!("with v({}) as (values {})", rows.column_names(), vec![row; row_count(rows)].join(", "))
}

fn convert_row(row: &SqliteRow) -> Result<Row, LogError> {
    let value = |index: usize| {
        let raw = row.try_get_raw(index)?;
        let name = if raw.is_null() { "NULL".to_owned() } else { raw.type_info().name().to_owned() };
        match name.as_str() {
            "NULL" => Ok(SqlValue::Number(None)),
            "INTEGER" => Ok(SqlValue::Number(row.try_get(index)?)),
            "TEXT" => Ok(SqlValue::Text(row.try_get(index)?)),
            "BLOB" => Ok(SqlValue::Bytes(row.try_get(index)?)),
            _ => Err(unexpected_column_type()),
        }
    };
    (0..row.len()).map(value).collect::<Result<_, _>>().map(Row)
}
