//! The order of the log, for readers by position.

use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use hookbridge::log::{
    Bounds, EventBatch, EventFilter, EventReader, EventStore, LogError, PageLimit, Position, PostgresLog,
    RecordOutcome, RetentionPolicy, SqlExecutor, TypePattern,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::{TestRng, TestRunner};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::actors::database::Database;
use crate::actors::log::{Interrupted, batch, both, now, record};

both! {
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

pub async fn read(log: &impl EventReader, positions: Range<Position>) -> Vec<(Position, String)> {
    let events = log
        .read_events(positions, &EventFilter::default(), PageLimit::UNLIMITED)
        .await
        .unwrap()
        .expect("all of it is kept");
    events.into_iter().map(|placed| (placed.position, placed.event.key.id)).collect()
}

async fn positions_run_from_one_without_gaps(log: impl EventReader) {
    assert_eq!(log.bounds().await.unwrap(), Bounds { first: 1, end: 1 });
    assert_eq!(read(&log, 1..1).await, []);
    let t = now();
    let week = SignedDuration::from_hours(24 * 7);
    log.record(&batch("1", vec![record("c", t), record("a", t - week), record("b", t)])).await.unwrap();
    log.record(&batch("2", vec![])).await.unwrap();
    // Two events are recorded already, and one is repeated.
    let second = ["b", "y", "c", "x", "y"].map(|id| record(id, t));
    log.record(&batch("3", second.into())).await.unwrap();
    log.record(&batch("4", vec![record("b", t)])).await.unwrap();
    log.record(&batch("5", vec![record("z", t)])).await.unwrap();
    assert_eq!(log.assign_positions().await.unwrap(), 7);
    let all = read(&log, 1..7).await;
    let expected = ["c", "a", "b", "y", "x", "z"];
    assert_eq!(all, (1..).zip(expected.map(str::to_owned)).collect::<Vec<_>>(), "as they were sent");
    assert_eq!(log.bounds().await.unwrap(), Bounds { first: 1, end: 7 });
}

async fn manually_deleted_events_do_not_hide_later_ones(log: impl EventReader + SqlExecutor) {
    for n in 0..10 {
        let records = (0..10).map(|k| record(&format!("{n}-{k}"), now())).collect();
        log.record(&batch(&n.to_string(), records)).await.unwrap();
    }
    let end = log.assign_positions().await.unwrap();
    // A single one, several whole batches, and the last.
    for ids in ["0-3", "2-%", "3-%", "4-%", "9-9"] {
        let sql = format!("delete from {{log}}events where id like '{ids}'");
        log.query(&sql, vec![]).await.unwrap();
    }
    let there = read(&log, 1..end).await;
    assert_eq!(there.len(), 68);
    for events in [1, 7, 30] {
        let most = PageLimit { max_events: events, ..PageLimit::UNLIMITED };
        let (mut from, mut found) = (1, Vec::new());
        while from < end {
            let page = log.read_events(from..end, &EventFilter::default(), most).await.unwrap().unwrap();
            let is_cut = most.is_reached(&page);
            from = page.last().filter(|_| is_cut).map_or(end, |last| last.position + 1);
            found.extend(page.into_iter().map(|placed| placed.position));
        }
        assert!(found.iter().eq(there.iter().map(|(position, _)| position)), "{events} at once: {found:?}");
        let last = PageLimit { from_end: true, ..most };
        let page = log.read_events(1..end, &EventFilter::default(), last).await.unwrap().unwrap();
        let expected = there[there.len() - events..].iter().map(|(position, _)| position);
        assert!(page.iter().map(|placed| &placed.position).eq(expected), "the last {events}");
    }
}

async fn every_range_is_read_exactly(log: impl EventReader) {
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
        log.record(&batch(&format!("{n}"), ids.iter().map(|id| record(id, time)).collect())).await.unwrap();
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
        let window = start..(start + length).min(end);
        let found = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(read(&log, window.clone()))
        });
        let at = |position: Position| usize::try_from(position - 1).unwrap();
        prop_assert_eq!(&found, &expected[at(window.start)..at(window.end)]);
        Ok(())
    });
    result.unwrap();
}

async fn a_filter_returns_matching_events_only(log: impl EventReader) {
    let t = now();
    let hour = SignedDuration::from_hours(1);
    let mut records: Vec<_> = ["a", "b", "c", "d"].map(|id| record(id, t)).into();
    records[0].detail_type = "push".into();
    records[1].detail_type = "pull_request.opened".into();
    records[2].detail_type = "pull_request.closed".into();
    records[2].source = "github.com".into();
    records[3].time = t - hour;
    log.record(&batch("1", records)).await.unwrap();
    let end = log.assign_positions().await.unwrap();
    let find = async |filter: EventFilter| {
        let events = log.read_events(1..end, &filter, PageLimit::UNLIMITED).await.unwrap().unwrap();
        events.iter().map(|placed| placed.event.key.id.clone()).collect::<Vec<_>>().join(" ")
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
    assert_eq!(find(EventFilter { from: Some(t), ..EventFilter::default() }).await, "a b c");
    assert_eq!(find(EventFilter { to: Some(t), ..EventFilter::default() }).await, "d");
    assert_eq!(find(EventFilter { from: Some(t), to: Some(t), ..EventFilter::default() }).await, "");
    assert_eq!(find(EventFilter { from: Some(t + hour), ..EventFilter::default() }).await, "");
}

async fn the_first_position_since_a_time_is_found(log: impl EventReader) {
    let long_ago = Timestamp::UNIX_EPOCH;
    assert_eq!(log.first_position_since(long_ago).await.unwrap(), 1);
    assert_eq!(log.recorded_at(1).await.unwrap(), None);
    log.record(&batch("1", vec![record("a", long_ago), record("b", long_ago)])).await.unwrap();
    log.assign_positions().await.unwrap();
    let between = now();
    log.record(&batch("2", vec![record("c", long_ago)])).await.unwrap();
    assert_eq!(log.first_position_since(long_ago).await.unwrap(), 1);
    assert_eq!(log.first_position_since(between).await.unwrap(), 3, "the time is that of recording");
    assert_eq!(log.first_position_since(now() + SignedDuration::from_hours(1)).await.unwrap(), 4);
    let (a, b, c) = (
        log.recorded_at(1).await.unwrap(),
        log.recorded_at(2).await.unwrap(),
        log.recorded_at(3).await.unwrap(),
    );
    assert!(a.is_some() && a == b && b <= c && c >= Some(between), "{a:?} {b:?} {c:?} {between}");
    assert_eq!(log.recorded_at(4).await.unwrap(), None);
}

async fn an_event_is_found_by_id(log: impl EventReader) {
    let t = now();
    let records = vec![record("a", t), record("b", t - SignedDuration::from_hours(9)), record("b", t)];
    log.record(&batch("1", records)).await.unwrap();
    let found = log.find_event("b", &[]).await.unwrap().unwrap();
    assert_eq!((found.key.id.as_str(), found.key.time), ("b", t), "the latest");
    assert_eq!(log.find_event("x", &[]).await.unwrap(), None);
    assert_eq!(log.find_event("a", &["github.com".into()]).await.unwrap(), None);
    assert!(log.find_event("a", &["github.com".into(), "sparkpost.com".into()]).await.unwrap().is_some());
}

async fn a_waiting_reader_is_woken_by_an_append(log: impl EventReader) {
    let log = Arc::new(log);
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let log = log.clone();
            tokio::spawn(async move { timeout(Duration::from_secs(20), log.wait_for_position(1)).await })
        })
        .collect();
    assert!(
        timeout(Duration::from_millis(1), log.wait_for_position(1)).await.is_err(),
        "there is nothing yet"
    );
    log.record(&batch("1", vec![record("a", now())])).await.unwrap();
    for waiting in waiting {
        waiting.await.unwrap().expect("in time").unwrap();
    }
    assert_eq!(read(&*log, 1..2).await.len(), 1, "what it waited for is there");
}

async fn dropped_events_are_reported_as_expired(log: impl EventReader) {
    let long_ago = now() - SignedDuration::from_hours(24 * 50);
    log.record(&batch("1", vec![record("a", long_ago), record("b", long_ago)])).await.unwrap();
    log.assign_positions().await.unwrap();
    let later = now();
    log.record(&batch("2", vec![record("c", long_ago), record("d", now())])).await.unwrap();
    log.maintain(&RetentionPolicy { keep_since: Some(later), ..RetentionPolicy::default() }).await.unwrap();
    assert_eq!(log.bounds().await.unwrap(), Bounds { first: 3, end: 5 });
    assert_eq!(log.read_events(1..5, &EventFilter::default(), PageLimit::UNLIMITED).await.unwrap(), None);
    assert_eq!(log.read_events(2..3, &EventFilter::default(), PageLimit::UNLIMITED).await.unwrap(), None);
    assert_eq!(read(&log, 3..5).await, [(3, "c".to_owned()), (4, "d".to_owned())]);
    log.maintain(&RetentionPolicy { keep_since: Some(now()), ..RetentionPolicy::default() }).await.unwrap();
    assert_eq!(log.bounds().await.unwrap(), Bounds { first: 5, end: 5 }, "positions are not given again");
    assert_eq!(log.read_events(4..5, &EventFilter::default(), PageLimit::UNLIMITED).await.unwrap(), None);
    assert_eq!(read(&log, 5..5).await, []);
    log.record(&batch("3", vec![record("e", now())])).await.unwrap();
    assert_eq!(log.assign_positions().await.unwrap(), 6);
    assert_eq!(read(&log, 5..6).await, [(5, "e".to_owned())]);
}

async fn pages_respect_their_limits(log: impl EventReader) {
    for n in 0..4 {
        let records = (0..5).map(|k| {
            let mut record = record(&format!("{n}-{k}"), now());
            record.detail = format!("\"{}\"", "x".repeat(98)).into();
            record
        });
        log.record(&batch(&format!("{n}"), records.collect())).await.unwrap();
    }
    let end = log.assign_positions().await.unwrap();
    let read = async |events, bytes, from_end| {
        let most = PageLimit { max_events: events, max_detail_bytes: bytes, from_end };
        let events = log.read_events(2..end, &EventFilter::default(), most).await.unwrap().unwrap();
        let positions: Vec<_> = events.iter().map(|placed| placed.position).collect();
        (positions, most.is_reached(&events))
    };
    assert_eq!(read(3, usize::MAX, false).await, (vec![2, 3, 4], true));
    assert_eq!(read(3, usize::MAX, true).await, (vec![18, 19, 20], true));
    assert_eq!(
        read(100, 650, false).await,
        ((2..9).collect(), true),
        "the last may be the one that is too much"
    );
    assert_eq!(read(100, 650, true).await, ((14..21).collect(), true));
    assert_eq!(read(100, 1, false).await, (vec![2], true), "one in any case");
    assert_eq!(read(100, 10_000, false).await, ((2..21).collect(), false));
}

/// Fills a log with five weeks of events, makes them as old as their times by `age`, and drops a part of them.
async fn too_large(log: impl EventReader, age: impl AsyncFnOnce()) {
    for week in (0..5_i64).rev() {
        let time = now() - SignedDuration::from_hours(24 * 7 * week);
        for n in 0..5 {
            let records = (0..100).map(|k| {
                let mut record = record(&format!("{week}-{n}-{k}"), time);
                let bulk: String = std::iter::repeat_with(fastrand::alphanumeric).take(1500).collect();
                record.detail = format!("\"{bulk}\"").into();
                record
            });
            log.record(&batch(&format!("{week}-{n}"), records.collect())).await.unwrap();
            log.assign_positions().await.unwrap();
        }
    }
    age().await;
    log.maintain(&RetentionPolicy { max_bytes: Some(1 << 30), ..RetentionPolicy::default() }).await.unwrap();
    assert_eq!(log.bounds().await.unwrap(), Bounds { first: 1, end: 2501 });
    // About half of it.
    log.maintain(&RetentionPolicy { max_bytes: Some(3_000_000), ..RetentionPolicy::default() })
        .await
        .unwrap();
    let Bounds { first, end } = log.bounds().await.unwrap();
    assert!(first > 1 && first < 2400 && end == 2501, "{first} {end}");
    let left = read(&log, first..end).await;
    assert_eq!(left.last().unwrap().1, "0-4-99");
    assert_eq!(left.len(), usize::try_from(end - first).unwrap(), "what is said to be kept is");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_sqlite_log_drops_its_oldest_events() {
    let folder = tempfile::tempdir().unwrap();
    too_large(hookbridge::log::SqliteLog::open(&folder.path().join("log.db")).await.unwrap(), async || {})
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oversized_postgres_log_drops_whole_weeks_except_the_current_one() {
    let database = Database::new().await;
    let log = database.log().await;
    log.record(&batch("now", vec![record("now", now())])).await.unwrap();
    log.assign_positions().await.unwrap();
    log.maintain(&RetentionPolicy { max_bytes: Some(1), ..RetentionPolicy::default() }).await.unwrap();
    assert_eq!(log.bounds().await.unwrap(), Bounds { first: 1, end: 2 }, "what is of this week stays");
    database.run("delete from hookbridge.batches; delete from hookbridge.events; update hookbridge.log set next = 1").await;
    too_large(log, async || database.run("update hookbridge.batches set recorded = newest").await).await;
}

/// A writer with many batches: some are interrupted or lose their connection, and are recorded again.
async fn write(
    logs: &[Arc<impl EventReader>],
    writers: usize,
    batches: usize,
    done: &Arc<AtomicUsize>,
) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for writer in 0..writers {
        let (log, done) = (logs[writer % logs.len()].clone(), done.clone());
        tasks.spawn(async move {
            for n in 0..batches {
                let t = now() - SignedDuration::from_hours(24 * fastrand::i64(0..30));
                let records = (0..fastrand::usize(1..40)).map(|k| record(&format!("{writer}-{n}-{k}"), t));
                let batch = batch(&format!("{writer}-{n}"), records.collect());
                if fastrand::u8(0..4) == 0 {
                    let work = pin!(log.record(&batch));
                    Interrupted { work, polls: fastrand::usize(0..12) }.await;
                }
                let events = until_recorded(&*log, &batch).await;
                done.fetch_add(events, Ordering::Relaxed);
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

async fn until_recorded(log: &impl EventStore, batch: &EventBatch<'_>) -> usize {
    loop {
        match log.record(batch).await {
            Ok(RecordOutcome::Inserted { .. } | RecordOutcome::AlreadyRecorded { .. }) => {
                return batch.events.len();
            }
            Err(LogError::Unavailable(_) | LogError::Rejected(_)) => {
                sleep(Duration::from_millis(fastrand::u64(0..5))).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

/// Follows the log from its start until it has ended.
async fn follow(log: Arc<impl EventReader>, ended: Arc<AtomicBool>) -> Vec<(Position, String)> {
    let (mut next, mut seen) = (1, Vec::new());
    loop {
        let is_last = ended.load(Ordering::SeqCst);
        let _ = timeout(Duration::from_millis(fastrand::u64(1..400)), log.wait_for_position(next)).await;
        let Ok(end) = log.assign_positions().await else { continue };
        let end = end.min(next + fastrand::i64(1..500));
        let mut filter = EventFilter::default();
        if fastrand::bool() {
            filter.types.push(TypePattern("*".into()));
        }
        let Ok(events) = log.read_events(next..end, &filter, PageLimit::UNLIMITED).await else { continue };
        let events = events.expect("nothing was dropped");
        assert_eq!(events.len(), usize::try_from(end - next).unwrap(), "{next}..{end} was to be seen");
        let is_all = events.is_empty();
        seen.extend(events.into_iter().map(|placed| (placed.position, placed.event.key.id)));
        next = end;
        if is_last && is_all {
            return seen;
        }
    }
}

/// Every reader sees every event once, and all in the same order.
async fn all_see_the_same<L: EventReader>(readers: JoinSet<Vec<(Position, String)>>, log: &L, events: usize) {
    let seen = readers.join_all().await;
    let again = read(log, 1..log.assign_positions().await.unwrap()).await;
    assert_eq!(again.len(), events);
    let mut ids: Vec<_> = again.iter().map(|(_, id)| id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events, "each once");
    for one in seen {
        assert!(one == again, "a reader saw {} events, and not in the order of the log", one.len());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_postgres_reader_skips_an_event() {
    let database = Database::new().await;
    // Like several processes.
    let logs = [Arc::new(database.log().await), Arc::new(database.log().await)];
    let (done, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut readers = JoinSet::new();
    for n in 0..6 {
        let log = Arc::new(database.log().await);
        if n % 2 == 0 {
            log.listen_for_appends();
        }
        readers.spawn(follow(log, ended.clone()));
    }
    logs[0].maintain(&RetentionPolicy::default()).await.unwrap();
    let mut writers = write(&logs, 8, 40, &done).await;
    // Transactions that commit late or roll back, whose batch numbers others have overtaken.
    for slow in 0..4 {
        let (pool, done) = (database.pool.clone(), done.clone());
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
                    done.fetch_add(3, Ordering::Relaxed);
                }
            }
        });
    }
    // Connections are cut.
    let cut = {
        let database = Database { url: database.url.clone(), pool: database.pool.clone() };
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(40)).await;
                let one = "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity
                    where application_name = 'hookbridge' and datname = current_database()
                    order by random() limit 2) chosen";
                database.number(one).await;
            }
        })
    };
    writers.join_all().await;
    cut.abort();
    let _ = cut.await;
    ended.store(true, Ordering::SeqCst);
    all_see_the_same(readers, &database.log().await, done.load(Ordering::Relaxed)).await;
}

/// In rare cases a PostgreSQL session does not know a new partition. The test hides rows from one session, by its number, to
/// simulate that.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_missed_by_one_session_is_read_by_another() {
    let database = Database::new().await;
    let log = database.log().await;
    let t = now();
    for (n, time) in [t, t - SignedDuration::from_hours(24 * 21), t].into_iter().enumerate() {
        let records = (0..10).map(|k| record(&format!("{n}-{k}"), time)).collect();
        log.record(&batch(&n.to_string(), records)).await.unwrap();
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
    let reader = PostgresLog::open(&url.parse().unwrap(), 1).await.unwrap();
    let sessions = format!("select pid::text from pg_stat_activity where usename = '{role}'");
    // The pool's only session, once the others are closed.
    let session = async || loop {
        reader.bounds().await.unwrap();
        if let [session] = database.texts(&sessions).await.as_slice() {
            return session.clone();
        }
        sleep(Duration::from_millis(5)).await;
    };
    let all = EventFilter { types: vec![TypePattern("*".into())], ..EventFilter::default() };
    let nothing = EventFilter { types: vec![TypePattern("none".into())], ..EventFilter::default() };
    let first = PageLimit { max_events: 15, ..PageLimit::UNLIMITED };
    for (filter, most, ids) in [
        (&EventFilter::default(), PageLimit::UNLIMITED, 30),
        (&all, PageLimit::UNLIMITED, 30),
        (&nothing, PageLimit::UNLIMITED, 0),
        (&all, first, 15),
        (&EventFilter::default(), PageLimit { from_end: true, ..first }, 15),
    ] {
        let hides = session().await;
        database.run(&format!("delete from hidden; insert into hidden values ({hides})")).await;
        let read = reader.read_events(1..end, filter, most).await.unwrap().unwrap();
        assert_eq!(read.len(), ids, "{filter:?} {most:?}");
        assert!(read.windows(2).all(|two| two[1].position == two[0].position + 1));
        assert_ne!(session().await, hides, "that session is not used again");
    }
    // Once the rows are deleted, no session finds them, and this one is valid again.
    database.run("delete from hidden; delete from hookbridge.events where id = '2-3'").await;
    let before = session().await;
    assert_eq!(reader.read_events(1..end, &all, PageLimit::UNLIMITED).await.unwrap().unwrap().len(), 29);
    assert_eq!(session().await, before);
    reader.close().await;
    database.run(&format!("drop owned by {role}; drop role {role}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_sqlite_reader_skips_an_event() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let open = async || Arc::new(hookbridge::log::SqliteLog::open(&path).await.unwrap());
    // Like several processes.
    let logs = [open().await, open().await];
    let (done, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
    let mut readers = JoinSet::new();
    for n in 0..6 {
        let log = if n % 2 == 0 { open().await } else { logs[0].clone() };
        readers.spawn(follow(log, ended.clone()));
    }
    write(&logs, 8, 20, &done).await.join_all().await;
    ended.store(true, Ordering::SeqCst);
    all_see_the_same(readers, &*open().await, done.load(Ordering::Relaxed)).await;
}
