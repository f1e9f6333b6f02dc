//! Changes to the tables, in order, each once.

use sqlx::SqlSafeStr as _;
use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};

use super::LogError;

/// Makes the tables, or what is new in them. In PostgreSQL two that do so at once wait for each other.
pub(super) async fn run<C: Migrate>(
    connection: &mut C,
    migrations: &[(i64, &'static str, &'static str)],
    table: &'static str,
    schema: Option<&'static str>,
) -> Result<(), LogError> {
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
        MigrateError::VersionMissing(version) => LogError::Rejected(format!(
            "its tables are those of a later version, with migration {version}; use that version or a later one"
        )),
        other => LogError::Rejected(other.to_string()),
    })
}
