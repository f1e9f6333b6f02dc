//! Measures the speed of recording and reading, as ratios within one run on one machine: the recorder against PostgreSQL's
//! server-side COPY of the same rows into a table with the same key; a log with many rows against the log with one million; the
//! search against hand-written SQL; and the log in a SQLite file against PostgreSQL.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking, and prints")]
#![allow(clippy::cast_precision_loss, reason = "rates need no more digits")]

mod embedded;
mod generator;
mod pages;

use std::sync::Arc;
use std::time::{Duration, Instant};

use generator::Generator;
use hookbridge::api::{Api, ApiRequest, AuthenticatedToken, Authenticator, SEARCH_PATHS};
use hookbridge::db::Database;
use hookbridge::log::{EventLog, RecordOutcome};
use hookbridge::providers::email::sparkpost::SPARKPOST;
use hookbridge::recorder;
use jiff::{SignedDuration, Timestamp};
use sqlx::postgres::PgPool;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const BATCH_SIZE: usize = 350;
const MEASURED_BATCHES: usize = 1000;
const DAYS: u64 = 30;
const CONCURRENT_RECORDERS: usize = 8;

fn env_number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    let url = std::env::var("BENCH_DATABASE").unwrap();
    let rows = env_number("BENCH_ROWS", 2_000_000).max(1_500_000);
    let log = Arc::new(EventLog::new(Database::open(&url.parse().unwrap(), 8).await.unwrap()));
    let pool = PgPool::connect(&url).await.unwrap();
    let mut generator = Generator::new(DAYS, rows / usize::try_from(DAYS).unwrap());

    let sample: Vec<String> = (0..100).map(|_| generator.batch(BATCH_SIZE)).collect();
    let bytes: usize = sample.iter().map(String::len).sum();
    println!("batches of {BATCH_SIZE} events, {} bytes", bytes / sample.len());

    load(&log, &mut generator, 1_000_000 / BATCH_SIZE).await;
    let base_rate = best_rate(&log, &mut generator).await;
    println!("at 1 million rows: {base_rate:.0} events/s");
    embedded::compare(base_rate, rows).await;
    copy(&pool, base_rate).await;
    positions_cost(&log, &pool, &mut generator).await;
    sqlx::raw_sql("vacuum analyze hookbridge.events").execute(&pool).await.unwrap();
    let base_pages = pages::compare(&log, &pool).await;
    let remaining_batches = (rows - 1_000_000) / BATCH_SIZE;
    println!("loading up to {rows} rows");
    load(&log, &mut generator, remaining_batches.saturating_sub(4 * MEASURED_BATCHES)).await;
    let full_rate = best_rate(&log, &mut generator).await;
    println!(
        "at {rows} rows: {full_rate:.0} events/s, {:.2} of the rate at 1 million, wanted at least 0.85",
        full_rate / base_rate
    );
    sqlx::raw_sql("vacuum analyze hookbridge.events").execute(&pool).await.unwrap();
    let full_pages = pages::compare(&log, &pool).await;
    for ((position, base), (_, full)) in base_pages.into_iter().zip(full_pages) {
        println!("a page at {position}: {:.2} of the time at 1 million rows", full / base);
    }
    search(&log, &pool).await;
    log.database().close().await;
}

async fn best_rate(log: &Arc<EventLog>, generator: &mut Generator) -> f64 {
    let mut best = 0.0_f64;
    for _ in 0..3 {
        best = best.max(load_while_following(log, generator).await);
    }
    best
}

/// Records the measured batches while another task assigns positions, and returns the recorded events per second.
async fn load_while_following(log: &Arc<EventLog>, generator: &mut Generator) -> f64 {
    let follower_log = log.clone();
    let follower = tokio::spawn(async move {
        loop {
            follower_log.assign_positions().await.unwrap();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let rate = load(log, generator, MEASURED_BATCHES).await;
    follower.abort();
    rate
}

/// Records batches, and returns the recorded events per second.
async fn load(log: &Arc<EventLog>, generator: &mut Generator, batches: usize) -> f64 {
    // Measured batches are generated before the measurement starts.
    let generated: Vec<_> = if batches == MEASURED_BATCHES {
        (0..batches).map(|_| generator.batch(BATCH_SIZE)).collect()
    } else {
        vec![]
    };
    let mut generated = generated.into_iter();
    let (sender, receiver) = mpsc::channel::<(usize, String)>(64);
    let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
    let run_time = Timestamp::now();
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..CONCURRENT_RECORDERS {
        let (log, receiver) = (log.clone(), receiver.clone());
        tasks.spawn(async move {
            let mut recorded = 0;
            loop {
                let next = receiver.lock().await.recv().await;
                let Some((n, body)) = next else { return recorded };
                let batch = recorder::parse_batch(
                    SPARKPOST.batch_format().unwrap(),
                    Some(format!("{run_time}/{n}")),
                    &body,
                    run_time,
                );
                let RecordOutcome::Inserted { events, .. } = log.record(&batch).await.unwrap() else {
                    unreachable!()
                };
                recorded += events;
            }
        });
    }
    for n in 0..batches {
        let body = generated.next().unwrap_or_else(|| generator.batch(BATCH_SIZE));
        sender.send((n, body)).await.unwrap();
    }
    drop(sender);
    let recorded: usize = tasks.join_all().await.into_iter().sum();
    assert_eq!(recorded, batches * BATCH_SIZE);
    recorded as f64 / started.elapsed().as_secs_f64()
}

/// Measures how much positions slow recording down: alternates between runs with and without the index of positions and the
/// task that assigns positions.
async fn positions_cost(log: &Arc<EventLog>, pool: &PgPool, generator: &mut Generator) {
    let (mut with_positions, mut without_positions) = (0.0_f64, 0.0_f64);
    for _ in 0..4 {
        sqlx::raw_sql("drop index hookbridge.events_order").execute(pool).await.unwrap();
        sqlx::raw_sql("checkpoint").execute(pool).await.unwrap();
        without_positions = without_positions.max(load(log, generator, MEASURED_BATCHES).await);
        sqlx::raw_sql(
            "create index events_order on hookbridge.events (batch, place) with (fillfactor = 100)",
        )
        .execute(pool)
        .await
        .unwrap();
        sqlx::raw_sql("checkpoint").execute(pool).await.unwrap();
        with_positions = with_positions.max(load_while_following(log, generator).await);
    }
    println!(
        "without positions: {without_positions:.0} events/s; with them {with_positions:.0}, {:.2} of that, wanted at least 0.90",
        with_positions / without_positions
    );
}

/// Copies recorded rows to a file, and compares the speed of PostgreSQL's COPY from that file with `recorder_rate`.
async fn copy(pool: &PgPool, recorder_rate: f64) {
    let file = std::env::var("BENCH_SERVER_FILE").unwrap();
    let rows = MEASURED_BATCHES * BATCH_SIZE;
    for format in ["text", "binary"] {
        let mut best = 0.0_f64;
        for _ in 0..3 {
            let setup = format!(
                "drop table if exists baseline;
                 create table baseline (like hookbridge.events including defaults);
                 alter table baseline add primary key (time, id);
                 copy (select * from hookbridge.events order by batch desc, place limit {rows}) to '{file}' ({format});
                 checkpoint"
            );
            let setup = setup.replace(&format!("({format})"), &format!("(format {format})"));
            sqlx::raw_sql(sqlx::AssertSqlSafe(setup)).execute(pool).await.unwrap();
            let started = Instant::now();
            let copy = format!("copy baseline from '{file}' (format {format})");
            let copied =
                sqlx::raw_sql(sqlx::AssertSqlSafe(copy)).execute(pool).await.unwrap().rows_affected();
            best = best.max(copied as f64 / started.elapsed().as_secs_f64());
        }
        println!(
            "server-side COPY ({format}): {best:.0} events/s; the recorder reaches {:.2} of it, wanted at least 0.6",
            recorder_rate / best
        );
    }
    sqlx::raw_sql("drop table baseline").execute(pool).await.unwrap();
}

async fn get(api: &Api, path: &str, query: &str) -> Vec<u8> {
    let (method, headers) = (http::Method::GET, http::HeaderMap::new());
    let request = ApiRequest {
        method: &method,
        path,
        query,
        headers: &headers,
        body: b"",
        max_wait: Duration::ZERO,
        needs_event_urns: false,
    };
    let response = api.handle(request, &AuthenticatedToken::all_sources()).await;
    assert_eq!(response.status, 200, "{}", String::from_utf8_lossy(&response.body));
    response.body
}

async fn find(api: &Api, query: &str) {
    get(api, SEARCH_PATHS[0], query).await;
}

/// Measures, for each filter, the first page of a search over one day. The baseline is the two SQL statements of that search,
/// written by hand.
async fn search(log: &Arc<EventLog>, pool: &PgPool) {
    let api = Api::new(Authenticator::Open).with_log(EventLog::clone(log));
    let to = Timestamp::now() - SignedDuration::from_hours(24);
    let from = to - SignedDuration::from_hours(24);
    let month = to - SignedDuration::from_hours(24 * 29);
    let filter = "recipients=recipient77@domain7.example";
    let started = Instant::now();
    find(&api, &format!("from={month:.6}&to={to:.6}&{filter}")).await;
    println!("29 days, {filter}: {:.1} ms", started.elapsed().as_secs_f64() * 1000.0);
    for (filter, sql) in [
        ("events=bounce", "type in ('bounce')"),
        ("recipient_domains=domain7.example", "recipient_domain ~ '(?i)(^|\\W)(domain7\\.example)(\\W|$)'"),
        ("recipients=recipient77@domain7.example", "rcpt_to in ('recipient77@domain7.example')"),
        ("campaigns=campaign%207", "campaign_id ~ '(?i)(^|\\W)(campaign 7)(\\W|$)'"),
        ("messages=0123456789abcdef0123456789abcdef", "message_id in ('0123456789abcdef0123456789abcdef')"),
        ("subaccounts=3&events=click", "subaccount_id in ('3') and type in ('click')"),
    ] {
        let range = format!(
            "time >= timestamptz '{from:.6}' and time < timestamptz '{to:.6}' and source in ('sparkpost.com') and {sql}"
        );
        let (mut api_time, mut sql_time) = (Duration::MAX, Duration::MAX);
        for _ in 0..5 {
            let started = Instant::now();
            find(&api, &format!("from={from:.6}&to={to:.6}&{filter}")).await;
            api_time = api_time.min(started.elapsed());
            let started = Instant::now();
            let count = format!("select count(*) from hookbridge.events where {range}");
            let page = format!(
                "select (extract(epoch from time) * 1000000)::bigint, id, source, type, account, region, resources, detail from hookbridge.events where {range} order by time desc, id desc limit 1001"
            );
            let count = sqlx::query(sqlx::AssertSqlSafe(count)).fetch_one(pool);
            let page = sqlx::query(sqlx::AssertSqlSafe(page)).fetch_all(pool);
            let (count, page) = tokio::join!(count, page);
            count.unwrap();
            page.unwrap();
            sql_time = sql_time.min(started.elapsed());
        }
        println!(
            "one day, {filter}: {:.1} ms, {:.2} of the same SQL by hand, wanted at most 1.5",
            api_time.as_secs_f64() * 1000.0,
            api_time.as_secs_f64() / sql_time.as_secs_f64()
        );
    }
}
