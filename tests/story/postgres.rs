//! The log in PostgreSQL: weekly partitions, and errors.

use hookbridge::db::DatabaseError;
use hookbridge::log::{COLUMNS, RetentionPolicy};
use jiff::{SignedDuration, Timestamp};

use crate::actors::database::{Database, open_postgres};
use crate::actors::log::{all_events, batch, new_event, now};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn a_search_reads_only_the_partitions_of_its_range() {
    let database = Database::new().await;
    let log = database.log().await;
    let days = |days: i64| now() - SignedDuration::from_hours(24 * days);
    let events = [60, 50, 41, 40, 39, 30, 20, 10, 0].map(|age| new_event(&format!("{age}"), days(age)));
    log.record(&batch("1", events.into())).await.unwrap();
    log.maintain(&RetentionPolicy::default()).await.unwrap();
    let (from, to) = (days(41), days(39));
    let plan = database
        .texts(&format!(
            "explain select id from hookbridge.events where time >= timestamptz '{from}' and time < timestamptz '{to}' and rcpt_to in ('a')"
        ))
        .await
        .join("\n");
    let tables: Vec<_> = plan.lines().filter(|line| line.contains("events_")).collect();
    assert!((1..=2).contains(&tables.len()) && !plan.contains("events_default"), "{plan}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn events_in_the_default_partition_move_to_their_week() {
    let database = Database::new().await;
    let log = database.log().await;
    // Ten weeks ahead there is no partition, so the event goes to the default partition.
    let ahead = now() + SignedDuration::from_hours(24 * 70);
    log.record(&batch("1", vec![new_event("ahead", ahead), new_event("1970", Timestamp::UNIX_EPOCH)]))
        .await
        .unwrap();
    let count_default = "select count(*) from hookbridge.events_default";
    assert_eq!(database.number(count_default).await, 2);
    // As if those weeks had passed: the event's week is due for a partition and has none.
    database
        .run("update hookbridge.events_default set time = time - interval '9 weeks' where id = 'ahead'")
        .await;
    let created = log.maintain(&RetentionPolicy::default()).await.unwrap().created_partitions;
    assert_eq!(created.len(), 5, "this week and four ahead: {created:?}");
    assert_eq!(
        log.maintain(&RetentionPolicy::default()).await.unwrap().created_partitions.len(),
        0,
        "a second run creates nothing"
    );
    assert_eq!(database.number(count_default).await, 1, "only the event of 1970 remains");
    assert_eq!(all_events(&log).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn an_event_outside_its_partition_is_moved_to_it() {
    let database = Database::new().await;
    let log = database.log().await;
    let old = now() - SignedDuration::from_hours(24 * 7 * 5);
    log.record(&batch("1", vec![new_event("a", old)])).await.unwrap();
    // Another process drops the partition; this log has cached that it exists.
    let week = "select c.relname::text from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where inhparent = 'hookbridge.events'::regclass and c.relname <> 'events_default' order by 1 limit 1";
    let table = database.texts(week).await.remove(0);
    database.run(&format!("drop table hookbridge.{table}")).await;
    log.record(&batch("2", vec![new_event("b", old)])).await.unwrap();
    assert_eq!(database.number("select count(*) from hookbridge.events_default").await, 0);
    assert_eq!(database.number(&format!("select count(*) from hookbridge.{table}")).await, 1);
    // Maintenance moves an event that reached the default partition nevertheless.
    database
        .run(&format!(
            "alter table hookbridge.events detach partition hookbridge.{table};
             insert into hookbridge.events select * from hookbridge.{table};
             delete from hookbridge.{table}"
        ))
        .await;
    assert_eq!(database.number("select count(*) from hookbridge.events_default").await, 1);
    database.run(&format!("drop table hookbridge.{table}")).await;
    log.maintain(&RetentionPolicy::default()).await.unwrap();
    assert_eq!(database.number("select count(*) from hookbridge.events_default").await, 0);
    assert_eq!(all_events(&log).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn concurrent_processes_create_the_tables_once() {
    let database = Database::new().await;
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..6 {
        let url = database.url.clone();
        tasks.spawn(async move {
            let log = open_postgres(&url, 2).await?;
            log.maintain(&RetentionPolicy::default()).await?;
            log.record(&batch(&format!("{n}"), vec![new_event("a", now())])).await
        });
    }
    for result in tasks.join_all().await {
        result.unwrap();
    }
    let columns = "select column_name::text from information_schema.columns
        where table_schema = 'hookbridge' and table_name = 'events' order by ordinal_position";
    let names = database.texts(columns).await;
    assert!(names[10..].iter().map(String::as_str).eq(COLUMNS.iter().map(|column| column.name)), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn an_error_contains_no_stored_data() {
    let server = crate::actors::test_environment("HOOKBRIDGE_TEST_DATABASE");
    let missing_database = format!("{}/absent", server.rsplit_once('/').unwrap().0);
    let error = open_postgres(&missing_database, 1).await.err().unwrap();
    insta::assert_snapshot!(error, @r#"the database rejected the request: database "absent" does not exist (code 3D000)"#);
    let closed_port = "postgres://user:secret@127.0.0.1:1/x";
    let error = open_postgres(closed_port, 1).await.err().unwrap();
    assert!(matches!(error, DatabaseError::Unavailable(_)), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    // Verification cannot be bypassed: a server without TLS cannot be verified.
    let without_tls = format!("{}?sslmode=verify-full", server.split('?').next().unwrap());
    let error = open_postgres(&without_tls, 1).await.err().unwrap();
    assert!(matches!(error, DatabaseError::Unavailable(_)), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let error = hookbridge::db::Database::open(&folder.path().into(), 1).await.err().unwrap();
    insta::assert_snapshot!(error, @"the database rejected the request: unable to open database file (code 14)");
}
