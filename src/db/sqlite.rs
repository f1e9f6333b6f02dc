//! SQLite: opens the file, applies migrations and runs statements.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Connection as _;
use sqlx::query::Query;
use sqlx::sqlite::{
    Sqlite, SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::Mutex;

use super::statement::ColumnValues;
use super::{DatabaseError, InputRows, Row, SqlValue, Statement, migrations};
use crate::util::files::create_private_folder;

const MIGRATIONS: [(i64, &str, &str); 11] = [
    (1, "events", include_str!("../../migrations/sqlite/0001_events.sql")),
    (2, "order", include_str!("../../migrations/sqlite/0002_order.sql")),
    (3, "consumers", include_str!("../../migrations/sqlite/0003_consumers.sql")),
    (4, "deliveries", include_str!("../../migrations/sqlite/0004_deliveries.sql")),
    (5, "fewer_indexes", include_str!("../../migrations/sqlite/0005_fewer_indexes.sql")),
    (6, "pauses", include_str!("../../migrations/sqlite/0006_pauses.sql")),
    (7, "subscriber versions", include_str!("../../migrations/sqlite/0007_subscriber_versions.sql")),
    (8, "queue leases", include_str!("../../migrations/sqlite/0008_queue_leases.sql")),
    (9, "repeated requests", include_str!("../../migrations/sqlite/0009_repeated_requests.sql")),
    (10, "key runs", include_str!("../../migrations/sqlite/0010_key_runs.sql")),
    (11, "page claims", include_str!("../../migrations/sqlite/0011_page_claims.sql")),
];

/// The size of a page of a new file. An event takes more than a third of SQLite's default, 4096 bytes, of which much then stays empty.
const PAGE_BYTES: u32 = 8192;

/// An open SQLite file.
#[derive(Clone)]
pub(crate) struct SqliteFile {
    pub(crate) pool: SqlitePool,
    /// Held by a writer, so that other writers of this process wait in a queue. SQLite's busy handler would only make them retry.
    pub(crate) write_lock: Arc<Mutex<()>>,
}

impl SqliteFile {
    /// Opens the SQLite file and applies pending migrations. Creates the file and its folder if they do not exist.
    pub(super) async fn open(path: &Path) -> Result<Self, DatabaseError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            let folder_error = |error| DatabaseError::Rejected(format!("{}: {error}", folder.display()));
            create_private_folder(folder).map_err(folder_error)?;
        }
        create_private_file(path);
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .page_size(PAGE_BYTES)
            .journal_mode(SqliteJournalMode::Wal)
            // A commit returns only after its data is on disk.
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(20))
            .with_regexp();
        // When a transaction fails because the disk is full, SQLite itself rolls it back. sqlx's own rollback then fails, and sqlx
        // would begin no further transaction on this connection. The pool replaces such a connection.
        let pool = SqlitePoolOptions::new()
            .max_connections(8)
            .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
            .connect_with(options)
            .await?;
        let mut connection = pool.acquire().await?;
        if let Err(DatabaseError::Rejected(_)) =
            migrations::run(&mut *connection, &MIGRATIONS, "migrations", None).await
        {
            // Migrations of SQLite take no lock, so this run may have failed because another process ran them at the same time.
            // Try once more.
            migrations::run(&mut *connection, &MIGRATIONS, "migrations", None).await?;
        }
        drop(connection);
        Ok(Self { pool, write_lock: Arc::default() })
    }

    pub(super) async fn query(&self, statement: &Statement) -> Result<Vec<Row>, DatabaseError> {
        let mut connection = self.pool.acquire().await?;
        fetch_rows(&mut connection, statement).await
    }

    pub(super) async fn execute_transaction(
        &self,
        statements: &[Statement],
    ) -> Result<Vec<Vec<Row>>, DatabaseError> {
        let _write_guard = self.write_lock.lock().await;
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        let mut results = Vec::with_capacity(statements.len());
        for statement in statements {
            results.push(fetch_rows(&mut transaction, statement).await?);
        }
        transaction.commit().await?;
        Ok(results)
    }
}

/// Creates the file if it does not exist, readable and writable by its owner only, because the log contains personal data.
/// Ignores errors, because opening the database reports them.
fn create_private_file(path: &Path) {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let _ = options.open(path);
}

/// Runs one statement and returns its rows.
async fn fetch_rows(
    connection: &mut SqliteConnection,
    statement: &Statement,
) -> Result<Vec<Row>, DatabaseError> {
    fetch_mapped(connection, statement, Ok).await
}

/// Runs one statement, and converts each row as it arrives.
pub(super) async fn fetch_mapped<T: Send + Unpin>(
    connection: &mut SqliteConnection,
    Statement { sql, values, input_rows, .. }: &Statement,
    mut from_row: impl FnMut(Row) -> Result<T, DatabaseError> + Send,
) -> Result<Vec<T>, DatabaseError> {
    let rows = input_rows.as_deref();
    let sql = rows.map_or(sql.clone(), |rows| format!("{} {sql}", values_clause(rows)));
    // Safe: the text of a `Statement` contains no text from users, and its values are bound.
    let mut query: Query<'_, Sqlite, SqliteArguments> =
        sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false);
    for row in 0..rows.map_or(0, InputRows::len) {
        for (_, cells) in rows.into_iter().flat_map(|rows| &rows.columns) {
            query = match cells {
                ColumnValues::Texts(texts) => query.bind(texts[row].as_deref()),
                ColumnValues::Numbers(numbers) => query.bind(numbers[row]),
            };
        }
    }
    for value in values {
        query = match value {
            SqlValue::Text(text) => query.bind(text),
            SqlValue::Number(number) => query.bind(number),
        };
    }
    query.map(|row| from_row(Row::Sqlite(row))).fetch_all(connection).await?.into_iter().collect()
}

/// Builds the `with` clause of the table `v`, with one parameter per value, row by row. The parameters are `?` without numbers,
/// because for each numbered parameter SQLite searches all parameters before it.
fn values_clause(rows: &InputRows) -> String {
    let row = format!("({})", vec!["?"; rows.columns.len()].join(", "));
    format!("with v({}) as (values {})", rows.column_names(), vec![row; rows.len()].join(", "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_connection_works_again_after_the_disk_was_full() {
        let folder = tempfile::tempdir().unwrap();
        let file = SqliteFile::open(&folder.path().join("log.db")).await.unwrap();
        let create = Statement::new("create table t (text text)", vec![]);
        file.execute_transaction(&[create]).await.unwrap();
        // SQLite reports this per-connection limit like a full disk.
        let mut connections = Vec::new();
        for _ in 0..8 {
            let mut connection = file.pool.acquire().await.unwrap();
            sqlx::query("pragma max_page_count = 1").execute(&mut *connection).await.unwrap();
            connections.push(connection);
        }
        drop(connections);
        let mut failures = 0;
        loop {
            let text = SqlValue::Text("x".repeat(1_000_000));
            let insert = Statement::new("insert into t values (?)", vec![text]);
            match file.execute_transaction(&[insert]).await.err() {
                // Every connection with the limit was replaced by one without it.
                None => break,
                Some(error) => assert_eq!(
                    error.to_string(),
                    "the database is unavailable: database or disk is full (code 13)"
                ),
            }
            failures += 1;
        }
        assert!((1..=8).contains(&failures), "{failures} failures");
    }
}
