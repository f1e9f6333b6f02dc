//! Statements of both databases, run in PostgreSQL.

use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Column as _, Connection as _, Row as _, TypeInfo as _};

use super::{Lent, PostgresLog};
use crate::log::sql::Dialect as _;
use crate::log::statements::other_form;
use crate::log::{LogError, Row, Statement, Statements, Value};

impl Statements for PostgresLog {
    async fn transact(&self, statements: Vec<Statement>) -> Result<Vec<Vec<Row>>, LogError> {
        let mut lent = Lent::from(&self.pool).await?;
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
}

async fn rows(connection: &mut PgConnection, statement: Statement) -> Result<Vec<Row>, LogError> {
    let now = Postgres::microseconds("clock_timestamp()");
    let sql = statement.sql.replace("{log}", "hookbridge.").replace("{now}", &now);
    let sql = sqlx::AssertSqlSafe(sql.replace("{skip_locked}", "for update skip locked"));
    // A plan for any values would not know how few rows are wanted.
    let mut query: Query<'_, Postgres, PgArguments> = sqlx::query(sql).persistent(false);
    for value in statement.values {
        query = match value {
            Value::Text(text) => query.bind(text),
            Value::Number(number) => query.bind(number),
            Value::Bytes(bytes) => query.bind(bytes),
        };
    }
    query.fetch_all(connection).await?.iter().map(row).collect()
}

fn row(row: &PgRow) -> Result<Row, LogError> {
    let value = |at: usize| match row.column(at).type_info().name() {
        "INT8" => Ok(Value::Number(row.try_get(at)?)),
        "TEXT" => Ok(Value::Text(row.try_get(at)?)),
        "BYTEA" => Ok(Value::Bytes(row.try_get(at)?)),
        _ => Err(other_form()),
    };
    (0..row.len()).map(value).collect::<Result<_, _>>().map(Row)
}
