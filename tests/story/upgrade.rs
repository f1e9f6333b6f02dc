//! Data of earlier versions: logs, databases and data folders open, and old recorders can still write.

use std::path::Path;
use std::process::Command;

use hookbridge::log::EventLog;
use serde_json::Value;

use crate::actors::database::Database;
use crate::actors::log::{batch, new_event, now, open_sqlite};
use crate::actors::receiver::{Receiver, verifications};
use crate::actors::server::{Server, hookbridge};
use crate::actors::{checkout, run, wait_until};
use crate::log::{assert_found_by_keys, message_event};
use crate::order::read;

/// Creates the tables of the first version.
async fn create_first_version<C: sqlx::migrate::Migrate>(
    connection: &mut C,
    table: &'static str,
    sql: &'static str,
) {
    use sqlx::SqlSafeStr as _;
    use sqlx::migrate::{Migration, MigrationType, Migrator};
    let migration = Migration::new(1, "events".into(), MigrationType::Simple, sql.into_sql_str(), false);
    let mut migrator = Migrator::with_migrations(vec![migration]);
    migrator.dangerous_set_table_name(table);
    if table.contains('.') {
        migrator.create_schema("hookbridge");
    }
    migrator.run_direct(None, connection, false).await.unwrap();
}

/// Batches of the first version; one contained a repeated event.
const OLD_BATCHES: &str = "
    insert into batches (origin, events, repeats) values ('1', 2, 0), ('2', 0, 1), ('3', 2, 1);
    insert into events (time, id, source, type, batch, place, account, region, resources, detail)
    values (T+0, 'a', '', '', 1, 0, '', '', R, ''), (T+2, 'b', '', '', 1, 1, '', '', R, ''),
           (T+1, 'c', '', '', 3, 2, '', '', R, ''), (T+3, 'd', '', '', 3, 0, '', '', R, '');";

async fn assert_old_batches_have_positions(log: &EventLog) {
    log.record(&batch("4", vec![new_event("e", now())])).await.unwrap();
    assert_eq!(log.assign_positions().await.unwrap(), 6);
    let ids = ["a", "b", "d", "c", "e"].map(str::to_owned);
    assert_eq!(read(log, 1..6).await, (1..).zip(ids).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn a_log_of_the_first_version_gets_positions_in_postgres() {
    let database = Database::new().await;
    let mut connection = database.pool.acquire().await.unwrap();
    let sql = include_str!("../../migrations/postgres/0001_events.sql");
    create_first_version(&mut *connection, "hookbridge.migrations", sql).await;
    let insert = OLD_BATCHES.replace("T+", "now() + interval '1 minute' * ").replace('R', "'{}'");
    database.run(&format!("set search_path = hookbridge; {insert}; reset search_path")).await;
    drop(connection);
    assert_old_batches_have_positions(&database.log().await).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn a_recorder_of_the_first_version_can_still_record() {
    let database = Database::new().await;
    let log = database.log().await;
    log.record(&batch("0", vec![new_event("z", now())])).await.unwrap();
    log.assign_positions().await.unwrap();
    // The first version writes no times of the batch, and leaves a gap for a repeat.
    database
        .run(
            "with b as (insert into hookbridge.batches (origin, events, repeats) values ('old', 2, 1) returning id)
             insert into hookbridge.events (time, id, source, type, batch, place, account, region, resources, detail)
             select now() - make_interval(weeks => place), 'old-' || place, '', '', b.id, place, '', '', '{}', '{}'
             from b, unnest('{0,2}'::int[]) place",
        )
        .await;
    log.record(&batch("1", vec![new_event("a", now()), new_event("b", now())])).await.unwrap();
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
    create_first_version(
        &mut connection,
        "migrations",
        include_str!("../../migrations/sqlite/0001_events.sql"),
    )
    .await;
    let insert = OLD_BATCHES.replace("T+", "1000 + ").replace('R', "'[]'");
    sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    assert_old_batches_have_positions(&open_sqlite(&path).await).await;
}

/// The runs of keys of a database that an earlier version recorded are written once, also after an interruption, and events are found
/// meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_an_earlier_version_are_written_once_even_if_interrupted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let (log, time) = (open_sqlite(&path).await, now());
    for first in (0..50_000).step_by(1000) {
        let events = (first..first + 1000).map(|n| message_event(n, time)).collect();
        log.record(&batch(&first.to_string(), events)).await.unwrap();
    }
    // An earlier version has written no keys.
    for table in ["key_runs", "key_buckets"] {
        log.database().execute(format!("delete from {table}"), vec![]).await.unwrap();
    }
    log.database().close().await;
    let runs = async |log: &EventLog| {
        let rows = log.database().query("select count(*) as runs from key_runs", vec![]).await.unwrap();
        rows[0].get::<i64>("runs").unwrap()
    };
    let log = open_sqlite(&path).await;
    assert_found_by_keys(&log, 50_000).await;
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let report = |_| {
        stop.send_replace(true);
    };
    tokio::select! {
        _ = log.finish_upgrade(report) => panic!("it was not interrupted"),
        _ = stopped.wait_for(|is_stopped| *is_stopped) => {}
    }
    let before = runs(&log).await;
    assert!((1..3).contains(&before), "{before} runs");
    assert_found_by_keys(&log, 50_000).await;
    log.database().close().await;
    let log = open_sqlite(&path).await;
    let reported = std::sync::Mutex::new(Vec::new());
    log.finish_upgrade(|events| reported.lock().unwrap().push(events)).await.unwrap();
    assert_eq!((runs(&log).await, reported.lock().unwrap().len() as i64), (2, 2 - before));
    assert_found_by_keys(&log, 50_000).await;
    log.finish_upgrade(|events| panic!("{events} events again")).await.unwrap();
}

/// Unpacks the data folder that an earlier version made with this kind of database.
fn earlier_data(database: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let archive = checkout().join(format!("tests/earlier_versions/7e53a87-{database}.tar.gz"));
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder.path()));
    folder
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Opens the data of an earlier version with the current commands and server, and compares their output with the output of the
/// earlier version.
async fn assert_current_version_reads(folder: tempfile::TempDir, database: &str) {
    let file = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let key = folder.path().join("subscriber.key");
    let command = |arguments: &[&str]| {
        let output = run(hookbridge().args(arguments).args(["--database", database, "--json"]));
        json_lines(&output)
    };
    // Before the server starts, because it fails the old pending deliveries: their seven days are over.
    assert_eq!(command(&["delivery", "list"]), json_lines(&file("deliveries.jsonl")));
    assert_eq!(command(&["subscriber", "list"]), json_lines(&file("subscribers.jsonl")));

    let receiver = Receiver::start().await;
    let url = receiver.url("in");
    let flags = ["--allow-to", "127.0.0.0/8", "--subscriber-key", key.to_str().unwrap()];
    command(&[&["subscriber", "update", "healthy", "--url", &url], &flags[..]].concat());

    let subscriber = serde_json::from_str::<Value>(&file("healthy.json")).unwrap();
    let events = serde_json::from_str::<Value>(&file("events.json")).unwrap();
    let server = Server::start_in(folder, &["--allow-to", "127.0.0.0/8", "--database", database]);
    assert_eq!(server.get("/events?after=start&limit=100", &[]).1["data"], events["data"]);
    let unread = server.get("/consumers/reports/events?limit=2", &[]).1;
    assert_eq!(
        unread["data"][0], events["data"][2],
        "the consumer continues after its two acknowledged events"
    );

    // The folder's development secrets still sign, and the subscriber's secret can still be decrypted.
    let hooks = format!("http://{}/hooks/github", server.address);
    run(hookbridge().args(["send", "github", "--to", &hooks, "--secret-from"]).arg(server.folder.path()));
    let delivered = wait_until("the new webhook is not delivered", || receiver.received().into_iter().next());
    let requests = [(delivered.headers.clone(), delivered.body.clone())];
    assert_eq!(verifications(subscriber["secret"].as_str().unwrap(), &requests), ["true"; 4]);
    assert_eq!(delivered.event()["source"], "github.com");
    let received = server.get("/events?after=start&limit=100", &[]).1;
    // The older the data, the more notices there are of the subscriber that fails.
    let is_notice = |event: &&Value| event["source"] == "hookbridge";
    let event_count = received["data"].as_array().unwrap().iter().filter(|event| !is_notice(event)).count();
    assert_eq!(
        event_count,
        events["data"].as_array().unwrap().len() + 1,
        "the archive's batches are not recorded twice"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the providers' SDKs: run scripts/test"]
async fn a_data_folder_of_an_earlier_version_opens_unchanged() {
    let folder = earlier_data("sqlite");
    let database = folder.path().join("log.db");
    assert_current_version_reads(folder, database.to_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn a_postgres_database_of_an_earlier_version_opens_unchanged() {
    let (folder, database) = (earlier_data("postgres"), Database::new().await);
    let dump: &Path = &folder.path().join("postgres.sql");
    let mut connection = database.pool.acquire().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(std::fs::read_to_string(dump).unwrap()))
        .execute(&mut *connection)
        .await
        .unwrap();
    // The dump empties the search path of its session.
    connection.close_on_drop();
    drop(connection);
    assert_current_version_reads(folder, &database.url).await;
}
