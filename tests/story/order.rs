//! The order of the log, for readers by position.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hookbridge::db::DatabaseError;
use hookbridge::log::{
    Bounds, EventBatch, EventFilter, EventLog, PageLimit, Position, RecordOutcome, RetentionPolicy,
    TypePattern,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{TestRng, TestRunner};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::actors::database::{Database, open_postgres};
use crate::actors::log::{InterruptedFuture, batch, for_each_database, new_event, now, open_sqlite};

for_each_database! {
    positions_run_from_one_without_gaps
    every_range_is_read_exactly
    a_filter_returns_matching_events_only
    the_first_position_since_a_time_is_found
    an_event_is_found_by_id
    a_waiting_reader_is_woken_by_an_append
    dropped_events_are_reported_as_expired
    pages_respect_their_limits
    manually_deleted_events_do_not_hide_later_ones
}

pub async fn read(log: &EventLog, positions: Range<Position>) -> Vec<(Position, String)> {
    let events = log
        .read_events(positions, &EventFilter::default(), PageLimit::UNLIMITED)
        .await
        .unwrap()
        .expect("no event was dropped");
    events.into_iter().map(|positioned| (positioned.position, positioned.event.key.id)).collect()
}

async fn positions_run_from_one_without_gaps(log: EventLog) {
    assert_eq!(log.bounds().await.unwrap(), Bounds { first_position: 1, end_position: 1 });
    assert_eq!(read(&log, 1..1).await, []);
    let t = now();
    let week = SignedDuration::from_hours(24 * 7);
    log.record(&batch("1", vec![new_event("c", t), new_event("a", t - week), new_event("b", t)]))
        .await
        .unwrap();
    log.record(&batch("2", vec![])).await.unwrap();
    // Two events are recorded already, and one is repeated.
    let second = ["b", "y", "c", "x", "y"].map(|id| new_event(id, t));
    log.record(&batch("3", second.into())).await.unwrap();
    log.record(&batch("4", vec![new_event("b", t)])).await.unwrap();
    log.record(&batch("5", vec![new_event("z", t)])).await.unwrap();
    assert_eq!(log.assign_positions().await.unwrap(), 7);
    let events = read(&log, 1..7).await;
    let expected = ["c", "a", "b", "y", "x", "z"];
    assert_eq!(
        events,
        (1..).zip(expected.map(str::to_owned)).collect::<Vec<_>>(),
        "in the order in which they were recorded"
    );
    assert_eq!(log.bounds().await.unwrap(), Bounds { first_position: 1, end_position: 7 });
}

async fn manually_deleted_events_do_not_hide_later_ones(log: EventLog) {
    for n in 0..10 {
        let events = (0..10).map(|k| new_event(&format!("{n}-{k}"), now())).collect();
        log.record(&batch(&n.to_string(), events)).await.unwrap();
    }
    let end = log.assign_positions().await.unwrap();
    // A single event, several whole batches, and the last event.
    for ids in ["0-3", "2-%", "3-%", "4-%", "9-9"] {
        let schema = log.database().dialect().schema;
        let sql = format!("delete from {schema}events where id like '{ids}'");
        log.database().execute(sql, vec![]).await.unwrap();
    }
    let remaining = read(&log, 1..end).await;
    assert_eq!(remaining.len(), 68);
    for max_events in [1, 7, 30] {
        let limit = PageLimit { max_events, ..PageLimit::UNLIMITED };
        let (mut from, mut found) = (1, Vec::new());
        while from < end {
            let page = log.read_events(from..end, &EventFilter::default(), limit).await.unwrap().unwrap();
            let is_partial = limit.is_reached(&page);
            from = page.last().filter(|_| is_partial).map_or(end, |last| last.position + 1);
            found.extend(page.into_iter().map(|positioned| positioned.position));
        }
        assert!(
            found.iter().eq(remaining.iter().map(|(position, _)| position)),
            "{max_events} a page: {found:?}"
        );
        let from_end = PageLimit { from_end: true, ..limit };
        let page = log.read_events(1..end, &EventFilter::default(), from_end).await.unwrap().unwrap();
        let expected = remaining[remaining.len() - max_events..].iter().map(|(position, _)| position);
        assert!(page.iter().map(|positioned| &positioned.position).eq(expected), "the last {max_events}");
    }
}

async fn every_range_is_read_exactly(log: EventLog) {
    let mut runner = TestRunner::new_with_rng(
        ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() },
        TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    // Batches of all sizes, with weeks in random order.
    let mut expected = Vec::new();
    for n in 0..40_i64 {
        let size = [1, 1, 5, 60][usize::try_from(n % 4).unwrap()];
        let time = now() - SignedDuration::from_hours(24 * 5 * (n * 7 % 11));
        let ids: Vec<_> = (0..size).map(|k| format!("{n}-{k}")).collect();
        log.record(&batch(&format!("{n}"), ids.iter().map(|id| new_event(id, time)).collect()))
            .await
            .unwrap();
        // Positions are assigned to one batch at a time, and to several at once.
        if n % 3 == 0 {
            log.assign_positions().await.unwrap();
        }
        expected.extend(ids);
    }
    let end = log.assign_positions().await.unwrap();
    let expected: Vec<_> = (1..).zip(expected).collect();
    assert_eq!(expected.len(), usize::try_from(end - 1).unwrap());
    let result = runner.run(&(1..end, 0..end), |(start, length)| {
        let range = start..(start + length).min(end);
        let found = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(read(&log, range.clone()))
        });
        let index = |position: Position| usize::try_from(position - 1).unwrap();
        prop_assert_eq!(&found, &expected[index(range.start)..index(range.end)]);
        Ok(())
    });
    result.unwrap();
}

async fn a_filter_returns_matching_events_only(log: EventLog) {
    let t = now();
    let hour = SignedDuration::from_hours(1);
    let mut events: Vec<_> = ["a", "b", "c", "d"].map(|id| new_event(id, t)).into();
    events[0].detail_type = "push".into();
    events[1].detail_type = "pull_request.opened".into();
    events[2].detail_type = "pull_request.closed".into();
    events[2].source = "github.com".into();
    events[2].resources = vec!["urn:webhook:github:delivery-77".into()];
    events[3].time = t - hour;
    log.record(&batch("1", events)).await.unwrap();
    let end = log.assign_positions().await.unwrap();
    let find = async |filter: EventFilter| {
        let events = log.read_events(1..end, &filter, PageLimit::UNLIMITED).await.unwrap().unwrap();
        events.iter().map(|positioned| positioned.event.key.id.clone()).collect::<Vec<_>>().join(" ")
    };
    let types = |types: &[&str]| EventFilter {
        types: types.iter().map(|text| TypePattern((*text).to_owned())).collect(),
        ..EventFilter::default()
    };
    assert_eq!(find(EventFilter::default()).await, "a b c d");
    assert_eq!(find(types(&["push"])).await, "a");
    assert_eq!(find(types(&["pull_request.*"])).await, "b c");
    assert_eq!(find(types(&["pull_request.*", "push"])).await, "a b c");
    assert_eq!(find(types(&["pull*", "de*"])).await, "b c d");
    assert_eq!(find(types(&["*"])).await, "a b c d");
    assert_eq!(find(types(&["pull_request", "p%", "_ush", "'", "PUSH"])).await, "");
    assert_eq!(find(EventFilter { sources: vec!["github.com".into()], ..EventFilter::default() }).await, "c");
    let id_part = |part: &str| EventFilter { id_part: Some(part.into()), ..EventFilter::default() };
    assert_eq!(find(id_part("a")).await, "a");
    assert_eq!(find(id_part("delivery-7")).await, "c", "a part of a resource");
    assert_eq!(find(id_part("%")).await, "", "no character is special");
    assert_eq!(find(id_part("A")).await, "");
    assert_eq!(find(EventFilter { from: Some(t), ..EventFilter::default() }).await, "a b c");
    assert_eq!(find(EventFilter { to: Some(t), ..EventFilter::default() }).await, "d");
    assert_eq!(find(EventFilter { from: Some(t), to: Some(t), ..EventFilter::default() }).await, "");
    assert_eq!(find(EventFilter { from: Some(t + hour), ..EventFilter::default() }).await, "");
}

async fn the_first_position_since_a_time_is_found(log: EventLog) {
    let long_ago = Timestamp::UNIX_EPOCH;
    assert_eq!(log.first_position_since(long_ago).await.unwrap(), 1);
    assert_eq!(log.recorded_at(1).await.unwrap(), None);
    log.record(&batch("1", vec![new_event("a", long_ago), new_event("b", long_ago)])).await.unwrap();
    log.assign_positions().await.unwrap();
    let between = now();
    log.record(&batch("2", vec![new_event("c", long_ago)])).await.unwrap();
    assert_eq!(log.first_position_since(long_ago).await.unwrap(), 1);
    assert_eq!(log.first_position_since(between).await.unwrap(), 3, "the time of recording counts");
    assert_eq!(log.first_position_since(now() + SignedDuration::from_hours(1)).await.unwrap(), 4);
    let (a, b, c) = (
        log.recorded_at(1).await.unwrap(),
        log.recorded_at(2).await.unwrap(),
        log.recorded_at(3).await.unwrap(),
    );
    assert!(a.is_some() && a == b && b <= c && c >= Some(between), "{a:?} {b:?} {c:?} {between}");
    assert_eq!(log.recorded_at(4).await.unwrap(), None);
}

async fn an_event_is_found_by_id(log: EventLog) {
    let t = now();
    let events =
        vec![new_event("a", t), new_event("b", t - SignedDuration::from_hours(9)), new_event("b", t)];
    log.record(&batch("1", events)).await.unwrap();
    let found = log.find_event("b", &[]).await.unwrap().unwrap();
    assert_eq!((found.key.id.as_str(), found.key.time), ("b", t), "the latest");
    assert_eq!(log.find_event("x", &[]).await.unwrap(), None);
    assert_eq!(log.find_event("a", &["github.com".into()]).await.unwrap(), None);
    assert!(log.find_event("a", &["github.com".into(), "sparkpost.com".into()]).await.unwrap().is_some());
}

async fn a_waiting_reader_is_woken_by_an_append(log: EventLog) {
    let log = Arc::new(log);
    let readers: Vec<_> = (0..20)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { timeout(Duration::from_secs(20), log.wait_for_position(1)).await })
        })
        .collect();
    assert!(timeout(Duration::from_millis(1), log.wait_for_position(1)).await.is_err(), "the log is empty");
    log.record(&batch("1", vec![new_event("a", now())])).await.unwrap();
    for reader in readers {
        reader.await.unwrap().expect("in time");
    }
    assert_eq!(read(&log, 1..2).await.len(), 1, "the event can be read");
}

async fn dropped_events_are_reported_as_expired(log: EventLog) {
    let long_ago = now() - SignedDuration::from_hours(24 * 50);
    log.record(&batch("1", vec![new_event("a", long_ago), new_event("b", long_ago)])).await.unwrap();
    log.assign_positions().await.unwrap();
    let cutoff = now();
    log.record(&batch("2", vec![new_event("c", long_ago), new_event("d", now())])).await.unwrap();
    log.maintain(&RetentionPolicy { keep_since: Some(cutoff), ..RetentionPolicy::default() }).await.unwrap();
    assert_eq!(log.bounds().await.unwrap(), Bounds { first_position: 3, end_position: 5 });
    assert_eq!(log.read_events(1..5, &EventFilter::default(), PageLimit::UNLIMITED).await.unwrap(), None);
    assert_eq!(log.read_events(2..3, &EventFilter::default(), PageLimit::UNLIMITED).await.unwrap(), None);
    assert_eq!(read(&log, 3..5).await, [(3, "c".to_owned()), (4, "d".to_owned())]);
    log.maintain(&RetentionPolicy { keep_since: Some(now()), ..RetentionPolicy::default() }).await.unwrap();
    assert_eq!(
        log.bounds().await.unwrap(),
        Bounds { first_position: 5, end_position: 5 },
        "positions are not reused"
    );
    assert_eq!(log.read_events(4..5, &EventFilter::default(), PageLimit::UNLIMITED).await.unwrap(), None);
    assert_eq!(read(&log, 5..5).await, []);
    log.record(&batch("3", vec![new_event("e", now())])).await.unwrap();
    assert_eq!(log.assign_positions().await.unwrap(), 6);
    assert_eq!(read(&log, 5..6).await, [(5, "e".to_owned())]);
}

async fn pages_respect_their_limits(log: EventLog) {
    for n in 0..4 {
        let events = (0..5).map(|k| {
            let mut event = new_event(&format!("{n}-{k}"), now());
            event.detail = format!("\"{}\"", "x".repeat(98)).into();
            event
        });
        log.record(&batch(&format!("{n}"), events.collect())).await.unwrap();
    }
    let end = log.assign_positions().await.unwrap();
    let read = async |max_events, max_detail_bytes, from_end| {
        let limit = PageLimit { max_events, max_detail_bytes, from_end };
        let events = log.read_events(2..end, &EventFilter::default(), limit).await.unwrap().unwrap();
        let positions: Vec<_> = events.iter().map(|positioned| positioned.position).collect();
        (positions, limit.is_reached(&events))
    };
    assert_eq!(read(3, usize::MAX, false).await, (vec![2, 3, 4], true));
    assert_eq!(read(3, usize::MAX, true).await, (vec![18, 19, 20], true));
    assert_eq!(read(100, 650, false).await, ((2..9).collect(), true), "the last event may exceed the limit");
    assert_eq!(read(100, 650, true).await, ((14..21).collect(), true));
    assert_eq!(read(100, 1, false).await, (vec![2], true), "a page has at least one event");
    assert_eq!(read(100, 10_000, false).await, ((2..21).collect(), false));
}

/// Fills a log with five weeks of events, runs `age` to make their recording times match their event times, and drops about half.
async fn drops_oldest_events(log: EventLog, age: impl AsyncFnOnce()) {
    for week in (0..5_i64).rev() {
        let time = now() - SignedDuration::from_hours(24 * 7 * week);
        for n in 0..5 {
            let events = (0..100).map(|k| {
                let mut event = new_event(&format!("{week}-{n}-{k}"), time);
                let padding: String = std::iter::repeat_with(fastrand::alphanumeric).take(1500).collect();
                event.detail = format!("\"{padding}\"").into();
                event
            });
            log.record(&batch(&format!("{week}-{n}"), events.collect())).await.unwrap();
            log.assign_positions().await.unwrap();
        }
    }
    age().await;
    log.maintain(&RetentionPolicy { max_bytes: Some(1 << 30), ..RetentionPolicy::default() }).await.unwrap();
    assert_eq!(log.bounds().await.unwrap(), Bounds { first_position: 1, end_position: 2501 });
    // About half of it.
    log.maintain(&RetentionPolicy { max_bytes: Some(3_000_000), ..RetentionPolicy::default() })
        .await
        .unwrap();
    let Bounds { first_position: first, end_position: end } = log.bounds().await.unwrap();
    assert!(first > 1 && first < 2400 && end == 2501, "{first} {end}");
    let remaining = read(&log, first..end).await;
    assert_eq!(remaining.last().unwrap().1, "0-4-99");
    assert_eq!(
        remaining.len(),
        usize::try_from(end - first).unwrap(),
        "every position within the bounds can be read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_sqlite_log_drops_its_oldest_events() {
    let folder = tempfile::tempdir().unwrap();
    drops_oldest_events(open_sqlite(&folder.path().join("log.db")).await, async || {}).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn an_oversized_postgres_log_drops_whole_weeks_except_the_current_one() {
    let database = Database::new().await;
    let log = database.log().await;
    log.record(&batch("now", vec![new_event("now", now())])).await.unwrap();
    log.assign_positions().await.unwrap();
    log.maintain(&RetentionPolicy { max_bytes: Some(1), ..RetentionPolicy::default() }).await.unwrap();
    assert_eq!(
        log.bounds().await.unwrap(),
        Bounds { first_position: 1, end_position: 2 },
        "the current week is kept"
    );
    database.run("delete from hookbridge.batches; delete from hookbridge.events; update hookbridge.log set next = 1").await;
    drops_oldest_events(log, async || database.run("update hookbridge.batches set recorded = newest").await)
        .await;
}

/// Starts writers of many batches. A batch whose recording is interrupted or loses its connection is recorded again.
async fn start_writers(
    logs: &[Arc<EventLog>],
    writers: usize,
    batches: usize,
    recorded_count: &Arc<AtomicUsize>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let (log, recorded_count) = (logs[writer % logs.len()].clone(), recorded_count.clone());
        tasks.spawn(async move {
            for n in 0..batches {
                let time = now() - SignedDuration::from_hours(24 * fastrand::i64(0..30));
                let events =
                    (0..fastrand::usize(1..40)).map(|k| new_event(&format!("{writer}-{n}-{k}"), time));
                let batch = batch(&format!("{writer}-{n}"), events.collect());
                if fastrand::u8(0..4) == 0 {
                    let future = pin!(log.record(&batch));
                    InterruptedFuture { future, polls: fastrand::usize(0..12) }.await;
                }
                let event_count = retry_record(&log, &batch).await;
                recorded_count.fetch_add(event_count, Ordering::Relaxed);
                if fastrand::u8(0..3) == 0 {
                    let _ = log.assign_positions().await;
                }
                if fastrand::bool() {
                    sleep(Duration::from_micros(fastrand::u64(0..3000))).await;
                }
            }
        });
    }
    tasks
}

async fn retry_record(log: &EventLog, batch: &EventBatch<'_>) -> usize {
    loop {
        match log.record(batch).await {
            Ok(RecordOutcome::Inserted { .. } | RecordOutcome::AlreadyRecorded { .. }) => {
                return batch.events.len();
            }
            Err(DatabaseError::Unavailable(_) | DatabaseError::Rejected(_)) => {
                sleep(Duration::from_millis(fastrand::u64(0..5))).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Reads the log from its start until `writers_ended` is set and no event is left.
async fn follow(log: Arc<EventLog>, writers_ended: Arc<AtomicBool>) -> Vec<(Position, String)> {
    let (mut next, mut seen) = (1, Vec::new());
    loop {
        let is_last_read = writers_ended.load(Ordering::SeqCst);
        let _ = timeout(Duration::from_millis(fastrand::u64(1..400)), log.wait_for_position(next)).await;
        let Ok(end) = log.assign_positions().await else { continue };
        let end = end.min(next + fastrand::i64(1..500));
        let mut filter = EventFilter::default();
        if fastrand::bool() {
            filter.types.push(TypePattern("*".into()));
        }
        let Ok(events) = log.read_events(next..end, &filter, PageLimit::UNLIMITED).await else { continue };
        let events = events.expect("nothing was dropped");
        assert_eq!(events.len(), usize::try_from(end - next).unwrap(), "{next}..{end} has gaps");
        let is_at_end = events.is_empty();
        seen.extend(events.into_iter().map(|positioned| (positioned.position, positioned.event.key.id)));
        next = end;
        if is_last_read && is_at_end {
            return seen;
        }
    }
}

/// Asserts that every reader saw every event once, in the order of the log.
async fn assert_all_saw_the_log(readers: JoinSet<Vec<(Position, String)>>, log: &EventLog, events: usize) {
    let seen_by_reader = readers.join_all().await;
    let expected = read(log, 1..log.assign_positions().await.unwrap()).await;
    assert_eq!(expected.len(), events);
    let mut ids: Vec<_> = expected.iter().map(|(_, id)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events, "each once");
    for seen in seen_by_reader {
        assert!(seen == expected, "a reader saw {} events, and not in the order of the log", seen.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn no_postgres_reader_skips_an_event() {
    let database = Database::new().await;
    // Several logs, like several processes.
    let logs = [Arc::new(database.log().await), Arc::new(database.log().await)];
    let (recorded_count, writers_ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut readers = JoinSet::new();
    for n in 0..6 {
        let log = Arc::new(database.log().await);
        if n % 2 == 0 {
            log.listen_for_appends().await.unwrap();
        }
        readers.spawn(follow(log, writers_ended.clone()));
    }
    logs[0].maintain(&RetentionPolicy::default()).await.unwrap();
    let mut writers = start_writers(&logs, 8, 40, &recorded_count).await;
    // Transactions that commit late or roll back, whose batch numbers others have overtaken.
    for slow in 0..4 {
        let (pool, recorded_count) = (database.pool.clone(), recorded_count.clone());
        writers.spawn(async move {
            for n in 0..12 {
                let mut transaction = pool.begin().await.unwrap();
                let insert = format!(
                    "with b as (insert into hookbridge.batches (origin, events) values ('slow-{slow}-{n}', 3) returning id)
                     insert into hookbridge.events (time, id, source, type, batch, place, account, region, resources, detail)
                     select now(), 'slow-{slow}-{n}-' || place, '', '', b.id, place, '', '', '{{}}', '{{}}'
                     from b, generate_series(0, 2) place"
                );
                sqlx::raw_sql(sqlx::AssertSqlSafe(insert)).execute(&mut *transaction).await.unwrap();
                sleep(Duration::from_millis(fastrand::u64(0..30))).await;
                if n % 3 == 2 {
                    transaction.rollback().await.unwrap();
                } else {
                    transaction.commit().await.unwrap();
                    recorded_count.fetch_add(3, Ordering::Relaxed);
                }
            }
        });
    }
    // Connections are terminated at random.
    let terminator = {
        let database = Database { url: database.url.clone(), pool: database.pool.clone() };
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(40)).await;
                let terminate =
                    "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity
                    where application_name = 'hookbridge' and datname = current_database()
                    order by random() limit 2) chosen";
                database.number(terminate).await;
            }
        })
    };
    writers.join_all().await;
    terminator.abort();
    let _ = terminator.await;
    writers_ended.store(true, Ordering::SeqCst);
    assert_all_saw_the_log(readers, &database.log().await, recorded_count.load(Ordering::Relaxed)).await;
}

/// In rare cases a PostgreSQL session does not see a new partition. The test simulates that by hiding rows from one session, by
/// its process id.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn an_event_missed_by_one_session_is_read_by_another() {
    let database = Database::new().await;
    let log = database.log().await;
    let t = now();
    for (n, time) in [t, t - SignedDuration::from_hours(24 * 21), t].into_iter().enumerate() {
        let events = (0..10).map(|k| new_event(&format!("{n}-{k}"), time)).collect();
        log.record(&batch(&n.to_string(), events)).await.unwrap();
    }
    let end = log.assign_positions().await.unwrap();
    let role = crate::actors::aws::name("reader").replace('-', "_");
    database
        .run(&format!(
            "create role {role} login;
             grant usage on schema hookbridge to {role};
             grant all on all tables in schema hookbridge to {role};
             create table hidden (pid int);
             grant select on hidden to {role};
             alter table hookbridge.events enable row level security;
             create policy hides on hookbridge.events using
               (id not like '1-%' or not exists (select from hidden where pid = pg_backend_pid()))"
        ))
        .await;
    let url = format!("postgres://{role}@{}", database.url.split_once('@').unwrap().1);
    let reader = open_postgres(&url, 1).await.unwrap();
    let sessions = format!("select pid::text from pg_stat_activity where usename = '{role}'");
    // The process id of the pool's only session, once the others are closed.
    let session = async || loop {
        reader.bounds().await.unwrap();
        if let [session] = database.texts(&sessions).await.as_slice() {
            return session.clone();
        }
        sleep(Duration::from_millis(5)).await;
    };
    let all_types = EventFilter { types: vec![TypePattern("*".into())], ..EventFilter::default() };
    let no_type = EventFilter { types: vec![TypePattern("none".into())], ..EventFilter::default() };
    let first_page = PageLimit { max_events: 15, ..PageLimit::UNLIMITED };
    for (filter, limit, expected_count) in [
        (&EventFilter::default(), PageLimit::UNLIMITED, 30),
        (&all_types, PageLimit::UNLIMITED, 30),
        (&no_type, PageLimit::UNLIMITED, 0),
        (&all_types, first_page, 15),
        (&EventFilter::default(), PageLimit { from_end: true, ..first_page }, 15),
    ] {
        let hiding_session = session().await;
        database.run(&format!("delete from hidden; insert into hidden values ({hiding_session})")).await;
        let events = reader.read_events(1..end, filter, limit).await.unwrap().unwrap();
        assert_eq!(events.len(), expected_count, "{filter:?} {limit:?}");
        assert!(events.windows(2).all(|pair| pair[1].position == pair[0].position + 1));
        assert_ne!(session().await, hiding_session, "the session is not reused");
    }
    // Once the rows are deleted, no session finds them, and this one is valid again.
    database.run("delete from hidden; delete from hookbridge.events where id = '2-3'").await;
    let session_before = session().await;
    assert_eq!(
        reader.read_events(1..end, &all_types, PageLimit::UNLIMITED).await.unwrap().unwrap().len(),
        29
    );
    assert_eq!(session().await, session_before);
    reader.database().close().await;
    database.run(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sqlite_reader_skips_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let open = async || Arc::new(open_sqlite(&path).await);
    // Several logs, like several processes.
    let logs = [open().await, open().await];
    let (recorded_count, writers_ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut readers = JoinSet::new();
    for n in 0..6 {
        let log = if n % 2 == 0 { open().await } else { logs[0].clone() };
        readers.spawn(follow(log, writers_ended.clone()));
    }
    start_writers(&logs, 8, 20, &recorded_count).await.join_all().await;
    writers_ended.store(true, Ordering::SeqCst);
    assert_all_saw_the_log(readers, &*open().await, recorded_count.load(Ordering::Relaxed)).await;
}
