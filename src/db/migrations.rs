//! Schema migrations, each applied once in order.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

use super::DatabaseError;

/// Version, name and SQL of a migration. A released migration is never edited: databases store its checksum.
pub(super) type Migrations = [(i64, &'static str, &'static str); 8];

/// The migrations of a database, in order.
macro_rules! migrations {
    ($database:literal) => {
        [
            (1, "events", include_str!(concat!("../../migrations/", $database, "/0001_events.sql"))),
            (2, "order", include_str!(concat!("../../migrations/", $database, "/0002_order.sql"))),
            (3, "consumers", include_str!(concat!("../../migrations/", $database, "/0003_consumers.sql"))),
            (4, "deliveries", include_str!(concat!("../../migrations/", $database, "/0004_deliveries.sql"))),
            (
                5,
                "fewer_indexes",
                include_str!(concat!("../../migrations/", $database, "/0005_fewer_indexes.sql")),
            ),
            (6, "pauses", include_str!(concat!("../../migrations/", $database, "/0006_pauses.sql"))),
            (
                7,
                "subscriber versions",
                include_str!(concat!("../../migrations/", $database, "/0007_subscriber_versions.sql")),
            ),
            (
                8,
                "queue leases",
                include_str!(concat!("../../migrations/", $database, "/0008_queue_leases.sql")),
            ),
        ]
    };
}
pub(super) use migrations;

/// Applies the pending ones of `migrations` (version, name, SQL). In PostgreSQL, concurrent runs wait for each other; in SQLite
/// they do not.
pub(super) async fn run<C: Migrate>(
    connection: &mut C,
    migrations: &[(i64, &'static str, &'static str)],
    table: &'static str,
    schema: Option<&'static str>,
) -> Result<(), DatabaseError> {
    let migration = |(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(*version, (*name).into(), MigrationType::Simple, (*sql).into_sql_str(), false)
    };
    let mut migrator = Migrator::with_migrations(migrations.iter().map(migration).collect());
    migrator.dangerous_set_table_name(table);
    if let Some(schema) = schema {
        migrator.create_schema(schema);
    }
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        MigrateError::VersionMissing(version) => DatabaseError::Rejected(format!(
            "the schema is newer than this binary (migration {version}); upgrade hookbridge"
        )),
        error => DatabaseError::Rejected(error.to_string()),
    })
}
