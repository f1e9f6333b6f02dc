//! Schema migrations, each applied once in order.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

use super::DatabaseError;

/// Applies those `migrations` (version, name, SQL) that `table` does not list as applied. In PostgreSQL, concurrent runs wait for
/// each other; in SQLite they do not.
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
