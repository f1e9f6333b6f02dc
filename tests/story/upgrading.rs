//! A log of an earlier version: what it has gets its place in the order, and its recorder may still run for a while.

use hookbridge::log::{EventReader, EventStore as _};

use crate::actors::database::Database;
use crate::actors::log::{batch, now, record};
use crate::order::read;

/// Brings a database to the tables of the first version.
async fn first_version<C: sqlx::migrate::Migrate>(
    connection: &mut C,
    table: &'static str,
    sql: &'static str,
) {
    use sqlx::SqlSafeStr as _;
    use sqlx::migrate::{Migration, MigrationType, Migrator};
    let first = Migration::new(1, "events".into(), MigrationType::Simple, sql.into_sql_str(), false);
    let mut migrator = Migrator::with_migrations(vec![first]);
    migrator.dangerous_set_table_name(table);
    if table.contains('.') {
        migrator.create_schema("hookbridge");
    }
    migrator.run_direct(None, connection, false).await.unwrap();
}

/// Two batches of the first version, of which the second had a repeat in its middle.
const OLD_BATCHES: &str = "
    insert into batches (origin, events, repeats) values ('1', 2, 0), ('2', 0, 1), ('3', 2, 1);
    insert into events (time, id, source, type, batch, place, account, region, resources, detail)
    values (T+0, 'a', '', '', 1, 0, '', '', R, ''), (T+2, 'b', '', '', 1, 1, '', '', R, ''),
           (T+1, 'c', '', '', 3, 2, '', '', R, ''), (T+3, 'd', '', '', 3, 0, '', '', R, '');";

async fn the_old_batches_have_positions(log: &impl EventReader) {
    log.record(&batch("4", vec![record("e", now())])).await.unwrap();
    assert_eq!(log.assign_positions().await.unwrap(), 6);
    let ids = ["a", "b", "d", "c", "e"].map(str::to_owned);
    assert_eq!(read(log, 1..6).await, (1..).zip(ids).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_the_first_version_gets_positions_in_postgres() {
    let database = Database::new().await;
    let mut connection = database.pool.acquire().await.unwrap();
    let sql = include_str!("../../src/log/postgres/0001_events.sql");
    first_version(&mut *connection, "hookbridge.migrations", sql).await;
    let old = OLD_BATCHES.replace("T+", "now() + interval '1 minute' * ").replace('R', "'{}'");
    database.run(&format!("set search_path = hookbridge; {old}; reset search_path")).await;
    drop(connection);
    the_old_batches_have_positions(&database.log().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recorder_of_the_first_version_may_still_run() {
    let database = Database::new().await;
    let log = database.log().await;
    log.record(&batch("0", vec![record("z", now())])).await.unwrap();
    log.assign_positions().await.unwrap();
    // What that one writes: no times of the batch, and a gap where there was a repeat.
    database
        .run(
            "with b as (insert into hookbridge.batches (origin, events, repeats) values ('old', 2, 1) returning id)
             insert into hookbridge.events (time, id, source, type, batch, place, account, region, resources, detail)
             select now() - make_interval(weeks => place), 'old-' || place, '', '', b.id, place, '', '', '{}', '{}'
             from b, unnest('{0,2}'::int[]) place",
        )
        .await;
    log.record(&batch("1", vec![record("a", now()), record("b", now())])).await.unwrap();
    assert_eq!(log.assign_positions().await.unwrap(), 6);
    let ids = ["z", "old-0", "old-2", "a", "b"].map(str::to_owned);
    assert_eq!(read(&log, 1..6).await, (1..).zip(ids).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_of_the_first_version_gets_positions_in_sqlite() {
    use sqlx::Connection as _;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(&path).create_if_missing(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    first_version(&mut connection, "migrations", include_str!("../../src/log/sqlite/0001_events.sql")).await;
    let old = OLD_BATCHES.replace("T+", "1000 + ").replace('R', "'[]'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(old)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    the_old_batches_have_positions(&hookbridge::log::SqliteLog::open(&path).await.unwrap()).await;
}
