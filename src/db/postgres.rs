//! PostgreSQL: parses the database's URL, requires TLS, opens the pool, applies migrations and runs statements.

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{
    PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgSslMode, Postgres,
};
use sqlx::query::Query;
use sqlx::{Connection as _, Row as _};
use tokio::time::timeout;

use super::statement::ColumnValues;
use super::{DatabaseError, ReadLimits, Row, SqlValue, Statement, migrations};

/// The timeout for getting a connection, and for a statement with [`ReadLimits`].
pub(crate) const DATABASE_TIMEOUT: Duration = Duration::from_secs(20);

/// All migrations in order. A released migration is never edited.
const MIGRATIONS: [(i64, &str, &str); 10] = [
    (1, "events", include_str!("../../migrations/postgres/0001_events.sql")),
    (2, "order", include_str!("../../migrations/postgres/0002_order.sql")),
    (3, "consumers", include_str!("../../migrations/postgres/0003_consumers.sql")),
    (4, "deliveries", include_str!("../../migrations/postgres/0004_deliveries.sql")),
    (5, "fewer_indexes", include_str!("../../migrations/postgres/0005_fewer_indexes.sql")),
    (6, "pauses", include_str!("../../migrations/postgres/0006_pauses.sql")),
    (7, "subscriber versions", include_str!("../../migrations/postgres/0007_subscriber_versions.sql")),
    (8, "queue leases", include_str!("../../migrations/postgres/0008_queue_leases.sql")),
    (9, "repeated requests", include_str!("../../migrations/postgres/0009_repeated_requests.sql")),
    (10, "page claims", include_str!("../../migrations/postgres/0010_page_claims.sql")),
];

/// The certificate authorities of Amazon RDS and Aurora in all regions. Source: "Using SSL/TLS to encrypt a
/// connection to a DB instance", Amazon RDS User Guide, which names
/// <https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem>.
const RDS_CERTIFICATES: &[u8] = include_bytes!("rds.pem");

/// The address and credentials of a PostgreSQL database. `Display` and `Debug` omit the password.
#[derive(Clone)]
pub struct DatabaseUrl(Box<PgConnectOptions>);

/// The text is not a valid [`DatabaseUrl`]. The error omits the text, which may contain a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a PostgreSQL URL; the format is postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
pub struct DatabaseUrlError;

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    /// If the URL has no `sslmode`, the client verifies the server's certificate and host name, unless the server is this
    /// machine.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| text.starts_with(scheme)) {
            return Err(DatabaseUrlError);
        }
        let options: PgConnectOptions = text.parse().map_err(|_| DatabaseUrlError)?;
        let has_parameter = |spellings: [&str; 2]| spellings.iter().any(|spelling| text.contains(spelling));
        let (has_ssl_mode, has_root_certificate) =
            (has_parameter(["sslmode=", "ssl-mode="]), has_parameter(["sslrootcert=", "ssl-root-cert="]));
        Ok(Self(Box::new(require_tls(options, has_ssl_mode, has_root_certificate))))
    }
}

impl DatabaseUrl {
    /// Builds a URL without credentials. The client verifies the server's certificate.
    pub fn from_parts(host: &str, port: u16, database: &str) -> Self {
        let options = PgConnectOptions::new_without_pgpass().host(host).port(port).database(database);
        Self(Box::new(require_tls(options, false, false)))
    }

    /// Sets the user and password.
    #[must_use]
    pub fn with_credentials(self, user: &str, password: &str) -> Self {
        Self(Box::new(self.0.username(user).password(password)))
    }
}

/// Turns on verification of the server's certificate and host name, unless the URL sets `sslmode` or the server is this machine.
/// For RDS hosts the client trusts [`RDS_CERTIFICATES`], unless the URL sets `sslrootcert`.
fn require_tls(
    options: PgConnectOptions,
    has_ssl_mode: bool,
    has_root_certificate: bool,
) -> PgConnectOptions {
    let host = options.get_host().to_owned();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    if is_local || host.starts_with('/') || options.get_socket().is_some() {
        return options;
    }
    let options = if has_ssl_mode { options } else { options.ssl_mode(PgSslMode::VerifyFull) };
    if has_root_certificate
        || !host.ends_with(".rds.amazonaws.com") && !host.ends_with(".rds.amazonaws.com.cn")
    {
        return options;
    }
    options.ssl_root_cert_from_pem(RDS_CERTIFICATES.to_vec())
}

impl std::fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = self.0.get_database().unwrap_or(self.0.get_username());
        write!(f, "postgres://{}:{}/{name}", self.0.get_host(), self.0.get_port())
    }
}

impl std::fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// Whether all migrations have been applied. Opening such a database runs no DDL, so that a read-only user can open it.
async fn is_schema_current(connection: &mut PgConnection) -> Result<bool, DatabaseError> {
    let exists = sqlx::query("select to_regclass('hookbridge.migrations') is not null");
    if !exists.fetch_one(&mut *connection).await?.try_get::<bool, _>(0)? {
        return Ok(false);
    }
    let applied = sqlx::query("select version from hookbridge.migrations where success order by version");
    let applied = applied.fetch_all(connection).await?;
    let applied: Vec<i64> = applied.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    Ok(applied == MIGRATIONS.map(|(version, ..)| version))
}

/// Connects once to apply pending migrations, and returns a pool of at most `max_connections` connections.
///
/// # Errors
/// The database is unreachable, rejects the credentials, or a migration fails.
pub(super) async fn open_pool(
    url: &DatabaseUrl,
    max_connections: u32,
) -> Result<PostgresPool, DatabaseError> {
    // Set no session parameters for the connection, because a connection pooler may reject them.
    let options = (*url.0).clone().application_name("hookbridge");
    // The first connection bypasses the pool, because the pool would keep retrying an unreachable address.
    let connection = timeout(DATABASE_TIMEOUT, PgConnection::connect_with(&options)).await;
    let mut connection =
        connection.map_err(|_| DatabaseError::Unavailable("connecting timed out".into()))??;
    if !is_schema_current(&mut connection).await? {
        migrations::run(&mut connection, &MIGRATIONS, "hookbridge.migrations", Some("hookbridge")).await?;
    }
    connection.close().await?;
    let pool = PgPoolOptions::new()
        .max_connections(max_connections)
        .acquire_timeout(DATABASE_TIMEOUT)
        .idle_timeout(Duration::from_secs(300));
    Ok(PostgresPool { pool: pool.connect_lazy_with(options), acquire_timeout: DATABASE_TIMEOUT })
}

/// A pool, and how long an operation waits for one of its connections.
#[derive(Clone)]
pub(crate) struct PostgresPool {
    pub(super) pool: PgPool,
    pub(super) acquire_timeout: Duration,
}

impl PostgresPool {
    async fn acquire(&self) -> Result<PoolConnection<Postgres>, DatabaseError> {
        let seconds = self.acquire_timeout.as_secs_f32();
        let connection = timeout(self.acquire_timeout, self.pool.acquire()).await;
        connection
            .map_err(|_| DatabaseError::Unavailable(format!("no connection within {seconds} s")))?
            .map_err(DatabaseError::from)
    }
}

impl std::ops::Deref for PostgresPool {
    type Target = PgPool;

    fn deref(&self) -> &PgPool {
        &self.pool
    }
}

/// A connection of a pool. On drop, it returns to the pool if `is_reusable` is true; otherwise it is closed. A query that was
/// cancelled, for example at the end of a Lambda invocation, leaves its response in the connection, so no other query may use it.
pub(crate) struct CancelSafeConnection {
    pub(crate) connection: PoolConnection<Postgres>,
    /// Whether the connection may return to the pool. The caller sets it after its last query has completed.
    pub(crate) is_reusable: bool,
}

impl CancelSafeConnection {
    pub(crate) async fn acquire(pool: &PostgresPool) -> Result<Self, DatabaseError> {
        Ok(Self { connection: pool.acquire().await?, is_reusable: false })
    }
}

impl Drop for CancelSafeConnection {
    fn drop(&mut self) {
        if !self.is_reusable {
            self.connection.close_on_drop();
        }
    }
}

/// Runs one statement, in a read-only transaction if it has [`ReadLimits`], and returns its rows.
pub(super) async fn query(pool: &PostgresPool, statement: &Statement) -> Result<Vec<Row>, DatabaseError> {
    let mut guard = CancelSafeConnection::acquire(pool).await?;
    let rows = match statement.read_limits {
        None => fetch_rows(&mut guard.connection, statement).await?,
        Some(ReadLimits { avoids_table_scans }) => {
            let timeout = DATABASE_TIMEOUT.as_millis();
            let planner = if avoids_table_scans { "; set local enable_seqscan = off" } else { "" };
            let begin = format!("begin read only; set local statement_timeout = {timeout}{planner}");
            // Safe: the text consists of constants.
            let mut transaction = guard.connection.begin_with(sqlx::AssertSqlSafe(begin)).await?;
            let rows = fetch_rows(&mut transaction, statement).await?;
            transaction.rollback().await?;
            rows
        }
    };
    guard.is_reusable = true;
    Ok(rows)
}

/// Runs the statements in one transaction and returns the rows of each statement.
pub(super) async fn execute_transaction(
    pool: &PostgresPool,
    statements: &[Statement],
) -> Result<Vec<Vec<Row>>, DatabaseError> {
    if let [statement] = statements {
        return Ok(vec![query(pool, statement).await?]);
    }
    let mut guard = CancelSafeConnection::acquire(pool).await?;
    let mut transaction = guard.connection.begin().await?;
    let mut results = Vec::with_capacity(statements.len());
    for statement in statements {
        results.push(fetch_rows(&mut transaction, statement).await?);
    }
    transaction.commit().await?;
    guard.is_reusable = true;
    Ok(results)
}

/// Runs one statement on this connection and returns its rows.
async fn fetch_rows(connection: &mut PgConnection, statement: &Statement) -> Result<Vec<Row>, DatabaseError> {
    fetch_mapped(connection, statement, Ok).await
}

/// Runs one statement on this connection, and converts each row as it arrives.
pub(super) async fn fetch_mapped<T: Send + Unpin>(
    connection: &mut PgConnection,
    Statement { sql, values, input_rows, .. }: &Statement,
    mut from_row: impl FnMut(Row) -> Result<T, DatabaseError> + Send,
) -> Result<Vec<T>, DatabaseError> {
    let sql = match input_rows {
        None => sql.clone(),
        Some(rows) => {
            let cast = |(index, (_, cells)): (usize, &(_, ColumnValues))| match cells {
                ColumnValues::Texts(_) => format!("${}::text[]", index + 1),
                ColumnValues::Numbers(_) => format!("${}::bigint[]", index + 1),
            };
            let arrays = rows.columns.iter().enumerate().map(cast).collect::<Vec<_>>().join(", ");
            format!("with v ({}) as (select * from unnest({arrays})) {sql}", rows.column_names())
        }
    };
    // Safe: the text of a `Statement` contains no text from users, and its values are bound. Do not prepare the statement: a
    // generic plan would not know the values of its parameters, such as a small `limit`, and a cached plan would be based on
    // earlier table sizes.
    let mut query: Query<'_, Postgres, PgArguments> = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false);
    for (_, cells) in input_rows.iter().flat_map(|rows| &rows.columns) {
        query = match cells {
            ColumnValues::Texts(texts) => query.bind(texts),
            ColumnValues::Numbers(numbers) => query.bind(numbers),
        };
    }
    for value in values {
        query = match value {
            SqlValue::Text(text) => query.bind(text),
            SqlValue::Number(number) => query.bind(number),
        };
    }
    query.map(|row| from_row(Row::Postgres(row))).fetch_all(connection).await?.into_iter().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn tls_is_verified_except_on_loopback_or_by_the_url() {
        let mode = |url: &str| format!("{:?}", url.parse::<DatabaseUrl>().unwrap().0.get_ssl_mode());
        for host in ["db.example", "10.0.0.1", "127.db.example", "x.eu-central-1.rds.amazonaws.com"] {
            assert_eq!(mode(&format!("postgres://u:p@{host}/db")), "VerifyFull", "{host}");
        }
        assert_eq!(mode("postgres://u:p@db.example/db?sslmode=require"), "Require");
        for host in ["localhost", "127.0.0.1:1", "[::1]"] {
            assert_eq!(mode(&format!("postgres://u:p@{host}/db")), "Prefer", "{host}");
        }
        assert_eq!(
            format!("{:?}", DatabaseUrl::from_parts("db.example", 1, "x").0.get_ssl_mode()),
            "VerifyFull"
        );
    }

    #[test]
    fn a_url_shows_no_password() {
        let url: DatabaseUrl = "postgres://user:hunter2@db.example:5433/log".parse().unwrap();
        let expected = "postgres://db.example:5433/log DatabaseUrl(postgres://db.example:5433/log)";
        assert_eq!(format!("{url} {url:?}"), expected);
        let error = "mysql://user:hunter2@x".parse::<DatabaseUrl>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"));
    }
}
