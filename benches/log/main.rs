//! How fast batches become rows: the recorder's way against PostgreSQL's own server-side COPY of the same rows into a
//! table with the same key, on one machine in one run.
//!
//! Wanted: at least 0.6 of it, and no slower at many rows than at one million (within 15 %).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a benchmark fails by panicking, and prints")]
#![allow(missing_docs, reason = "a benchmark is read from its top")]

mod generator;

use std::sync::Arc;
use std::time::Instant;

use generator::Generator;
use hookbridge::log::{Log as _, PostgresLog, Recorded};
use hookbridge::recorder::{self, Place};
use jiff::Timestamp;
use sqlx::postgres::PgPool;
use tokio::task::JoinSet;

const BATCH: usize = 350;

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[tokio::main]
async fn main() {
    let url = std::env::var("BENCH_DATABASE").unwrap();
    let connections = number("BENCH_CONNECTIONS", 4);
    let log = Arc::new(PostgresLog::open(&url.parse().unwrap(), 8).await.unwrap());
    let pool = PgPool::connect(&url).await.unwrap();
    let mut generator = Generator::new();
    let events = number("BENCH_EVENTS", 350_000);
    let batches: Vec<String> = (0..events / BATCH).map(|_| generator.batch(BATCH)).collect();
    let bytes: usize = batches.iter().map(String::len).sum();
    println!("{} batches of {BATCH}, {} bytes each", batches.len(), bytes / batches.len());

    let started = Instant::now();
    let parsed: usize = batches
        .iter()
        .map(|body| recorder::read(None, body, Timestamp::now(), &Place::default()).records.len())
        .sum();
    println!("parse only: {:.0} events/s", parsed as f64 / started.elapsed().as_secs_f64());

    let rate = load(&log, &batches, connections, "first").await;
    println!("recorder, {connections} connections: {rate:.0} events/s");

    // The same rows, as the server writes and reads them itself.
    let file = std::env::var("BENCH_SERVER_FILE").unwrap_or("/tmp/hookbridge-bench.copy".into());
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
        "drop table if exists baseline; create table baseline (like hookbridge.events including defaults);
         alter table baseline add primary key (time, id);
         copy (select e.* from hookbridge.events e join hookbridge.batches b on b.id = e.batch where b.origin like 'first%' order by e.batch, e.place) to '{file}' (format binary)"
    )))
    .execute(&pool)
    .await
    .unwrap();
    for _ in 0..3 {
        sqlx::raw_sql("truncate baseline; checkpoint").execute(&pool).await.unwrap();
        let started = Instant::now();
        let copied =
            sqlx::raw_sql(sqlx::AssertSqlSafe(format!("copy baseline from '{file}' (format binary)")));
        let copied = copied.execute(&pool).await.unwrap().rows_affected();
        let copy = copied as f64 / started.elapsed().as_secs_f64();
        println!("server-side COPY: {copy:.0} events/s; the recorder reaches {:.2} of it", rate / copy);
    }
    log.close().await;
}

async fn load(log: &Arc<PostgresLog>, batches: &[String], connections: usize, name: &str) -> f64 {
    let batches = Arc::new(batches.to_vec());
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let run = Timestamp::now();
    for at in 0..connections {
        let (log, batches, name) = (log.clone(), batches.clone(), name.to_owned());
        tasks.spawn(async move {
            let mut done = 0;
            for (n, body) in batches.iter().enumerate().skip(at).step_by(connections) {
                let place = Place::default();
                let batch = recorder::read(Some(format!("{name}/{run}/{n}")), body, Timestamp::now(), &place);
                let Recorded::New { events, .. } = log.record(&batch).await.unwrap() else { unreachable!() };
                done += events;
            }
            done
        });
    }
    let done: usize = tasks.join_all().await.into_iter().sum();
    done as f64 / started.elapsed().as_secs_f64()
}
