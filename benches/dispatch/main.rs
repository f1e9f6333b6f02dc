//! Measures deliveries per second, from an event in the log to the recorded attempt. The baselines are one loop that posts signed
//! bodies with the same HTTP client, and as many such loops as there are concurrent attempts. Also measures how long the claim of
//! due deliveries takes, and how much memory `serve` needs, while a million deliveries are pending.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints, fails by panicking"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use hookbridge::aws::AwsError;
use hookbridge::bus::Bus;
use hookbridge::db::Database;
use hookbridge::delivery::{
    DeliveryClient, DeliveryStore, DeliveryWorker, KeyRing, KeySource, SIGNATURE_HEADERS, SigningSecret,
    SsrfGuard,
};
use hookbridge::event::Event;
use hookbridge::log::{EventBatch, EventLog, NewEvent, SearchColumns};
use hookbridge::util::http_client;
use jiff::Timestamp;

const EVENT_COUNT: usize = 40_000;
const CONCURRENCY: usize = 64;
const PENDING_DELIVERIES: usize = 1_000_000;
/// Number of subscribers among which the pending deliveries are divided.
const SUBSCRIBER_COUNT: usize = 100;
const DUE_PER_SUBSCRIBER: usize = 5;
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn main() {
    let database = std::env::var("BENCH_DATABASE").unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (url, received_count) = start_subscriber_server();
    // The baselines run before and after each measurement, because the machine's speed varies.
    let baseline = || {
        [(1, EVENT_COUNT / 4), (CONCURRENCY, EVENT_COUNT)]
            .map(|(n, events)| runtime.block_on(post_rate(&url, n, events)))
    };
    for (name, flags) in [("SQLite", vec![]), ("PostgreSQL", vec!["--database", database.as_str()])] {
        let baseline_before = baseline();
        let server = ServerProcess::new(&flags);
        let log = runtime.block_on(server.log(&flags));
        server.command(&flags, &["create", "bench", "--url", &url, "--limit", &CONCURRENCY.to_string()]);
        // Deliver one event before the measurement, so that one-time work is not measured.
        let before = received_count.load(Ordering::SeqCst);
        runtime.block_on(log.record(0..1));
        wait_until(|| received_count.load(Ordering::SeqCst) > before);
        let (started, before) = (Instant::now(), received_count.load(Ordering::SeqCst));
        let total_count = EVENT_COUNT + 1;
        runtime.block_on(async {
            for start in (1..total_count).step_by(1000) {
                log.record(start..(start + 1000).min(total_count)).await;
            }
        });
        // Wait for the last delivery before counting attempts in the database, because counting rows slows the database
        // down.
        wait_until(|| received_count.load(Ordering::SeqCst) >= before + EVENT_COUNT);
        wait_until(|| runtime.block_on(log.attempts()) >= total_count);
        let rate = EVENT_COUNT as f64 / started.elapsed().as_secs_f64();
        server.command(&flags, &["delete", "bench"]);
        drop(server);
        let baseline_after = baseline();
        let [single, concurrent] = [0, 1].map(|n| f64::midpoint(baseline_before[n], baseline_after[n]));
        println!(
            "{name}: {rate:.0} deliveries/s to the record, {:.2} of a bare loop of signed posts ({single:.0}/s), wanted 0.50; \
             {:.2} of {CONCURRENCY} such loops at once ({concurrent:.0}/s)",
            rate / single,
            rate / concurrent
        );
    }
    runtime.block_on(measure_claims(&database));
    let server = ServerProcess::new(&["--database", &database]);
    std::thread::sleep(Duration::from_secs(5));
    println!(
        "PostgreSQL: serve with {PENDING_DELIVERIES} pending deliveries: {} MiB at rest",
        server.resident_mebibytes()
    );
}

/// Starts a subscriber's HTTP server on its own threads. Returns its URL and the number of received requests.
fn start_subscriber_server() -> (String, Arc<AtomicUsize>) {
    let received_count = Arc::new(AtomicUsize::new(0));
    let (url_sender, url_receiver) = std::sync::mpsc::channel();
    let counter = received_count.clone();
    std::thread::spawn(move || {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            url_sender.send(format!("http://{}/in", listener.local_addr().unwrap())).unwrap();
            let handler = move |_: Bytes| {
                counter.fetch_add(1, Ordering::SeqCst);
                std::future::ready("ok")
            };
            axum::serve(listener, Router::new().route("/in", post(handler))).await.unwrap();
        });
    });
    (url_receiver.recv().unwrap(), received_count)
}

/// Returns the signed posts per second of the HTTP client alone, in `loops` concurrent loops.
async fn post_rate(url: &str, loops: usize, events: usize) -> f64 {
    let client = http_client::client_builder().no_proxy().build().unwrap();
    let secret: Arc<SigningSecret> = Arc::new(SECRET.parse().unwrap());
    let next = Arc::new(AtomicUsize::new(0));
    let started = Instant::now();
    let workers: Vec<_> = (0..loops)
        .map(|_| {
            let (client, secret, next, url) = (client.clone(), secret.clone(), next.clone(), url.to_owned());
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= events {
                        return;
                    }
                    let body = detail(n);
                    let signed = secret.sign(&n.to_string(), Timestamp::now(), body.as_bytes());
                    let mut request = client.post(&url).header("content-type", "application/json");
                    for (name, value) in SIGNATURE_HEADERS.into_iter().zip(signed) {
                        request = request.header(name, value);
                    }
                    let response = request.body(body).send().await.unwrap();
                    assert!(response.status().is_success());
                    response.bytes().await.unwrap();
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    events as f64 / started.elapsed().as_secs_f64()
}

fn detail(n: usize) -> String {
    format!("{{\"n\":{n},\"text\":\"{}\"}}", "x".repeat(1000))
}

fn wait_until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(600);
    while !condition() {
        assert!(Instant::now() < deadline, "timed out after ten minutes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A running `hookbridge serve` with its own data folder.
struct ServerProcess {
    process: Child,
    folder: tempfile::TempDir,
}

impl ServerProcess {
    fn new(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let serve = std::env::var("BENCH_HOOKBRIDGE").unwrap_or_else(|_| panic!("run scripts/bench"));
        let mut process = Command::new(serve)
            .args(["serve", "--quiet", "--listen", "127.0.0.1:0", "--allow-to", "127.0.0.1", "--data"])
            .arg(folder.path())
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("listen")));
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, folder }
    }

    /// Runs `hookbridge subscriber` on the server's log.
    fn command(&self, flags: &[&str], arguments: &[&str]) {
        let mut command = Command::new(std::env::var("BENCH_HOOKBRIDGE").unwrap());
        command.arg("subscriber").args(arguments).env("HOOKBRIDGE_ALLOW_TO", "127.0.0.1");
        command.arg("--subscriber-key").arg(self.folder.path().join("subscriber.key"));
        if flags.is_empty() {
            command.arg("--database").arg(self.folder.path().join("log.db"));
        }
        assert!(command.args(flags).stdout(Stdio::null()).status().unwrap().success());
    }

    async fn log(&self, flags: &[&str]) -> BenchLog {
        let database = match flags {
            [_, url] => (*url).to_owned(),
            _ => self.folder.path().join("log.db").display().to_string(),
        };
        BenchLog::open(&database).await
    }

    fn resident_mebibytes(&self) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server's log, in which the benchmark records events and counts attempts.
enum BenchLog {
    Postgres(EventLog, sqlx::PgPool),
    Sqlite(EventLog, sqlx::SqlitePool),
}

impl BenchLog {
    async fn open(database: &str) -> Self {
        if database.starts_with("postgres") {
            let log = EventLog::new(Database::open(&database.parse().unwrap(), 1).await.unwrap());
            return Self::Postgres(log, sqlx::PgPool::connect(database).await.unwrap());
        }
        let log = EventLog::new(Database::open(&database.parse().unwrap(), 1).await.unwrap());
        Self::Sqlite(log, sqlx::SqlitePool::connect(&format!("sqlite://{database}")).await.unwrap())
    }

    async fn record(&self, range: std::ops::Range<usize>) {
        let start: Timestamp = "2026-11-20T10:00:00Z".parse().unwrap();
        let records = range.clone().map(|n| NewEvent {
            time: start + jiff::SignedDuration::from_millis(n as i64),
            id: format!("{n}").into(),
            source: "bench".into(),
            detail_type: "bench".into(),
            account: "".into(),
            region: "".into(),
            resources: vec![],
            detail: detail(n).into(),
            search_columns: SearchColumns::default(),
        });
        let batch = EventBatch {
            origin: Some(format!("{}", range.start).into()),
            events: records.collect(),
            unrecognized_count: 0,
        };
        match self {
            Self::Postgres(log, _) => {
                log.record(&batch).await.unwrap();
                log.assign_positions().await.unwrap();
            }
            Self::Sqlite(log, _) => {
                log.record(&batch).await.unwrap();
            }
        }
    }

    async fn attempts(&self) -> usize {
        let count: i64 = match self {
            Self::Postgres(_, pool) => {
                sqlx::query_scalar("select count(*) from hookbridge.attempts").fetch_one(pool).await.unwrap()
            }
            Self::Sqlite(_, pool) => {
                sqlx::query_scalar("select count(*) from attempts").fetch_one(pool).await.unwrap()
            }
        };
        usize::try_from(count).unwrap()
    }
}

/// A bus that drops every event.
struct NullBus;

impl Bus for NullBus {
    async fn publish(&self, _: &Arc<Event>, _: tokio::time::Instant) -> Result<(), AwsError> {
        Ok(())
    }
}

/// Measures how long the worker takes to claim the due deliveries among a million pending deliveries, with none due and with
/// [`DUE_PER_SUBSCRIBER`] due for each subscriber.
async fn measure_claims(database: &str) {
    let pool = sqlx::PgPool::connect(database).await.unwrap();
    let (subscribers, due) = (SUBSCRIBER_COUNT, DUE_PER_SUBSCRIBER);
    let fill = format!(
        "truncate hookbridge.deliveries, hookbridge.messages, hookbridge.attempts;
         insert into hookbridge.subscribers (name, url, settings, secrets, created)
           select 'waiting-' || n, 'https://192.0.2.1/', '{{}}', '[]', 0 from generate_series(1, {subscribers}) n;
         update hookbridge.dispatch set revision = revision + 1;
         insert into hookbridge.messages (event, type, body, created)
           select n, 'bench', '{{\"detail\":{{}}}}', 0 from generate_series(1, {PENDING_DELIVERIES}) n;
         insert into hookbridge.deliveries (event, subscriber, message, created, since, next_attempt, attempts, tried)
           select m.event, s.id, m.id, now.at, now.at, now.at + 86400000000 + m.id, 1, now.at
           from (select (extract(epoch from now()) * 1000000)::bigint as at) now, hookbridge.messages m
           join (select id, row_number() over (order by id) - 1 as n from hookbridge.subscribers where state = 'active') s on s.n = m.id % {subscribers};
         analyze hookbridge.deliveries"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(fill)).execute(&pool).await.unwrap();
    let log = EventLog::new(Database::open(&database.parse().unwrap(), 4).await.unwrap());
    let keys = KeySource::Static(KeyRing::parse("a key of at least thirty-two characters").unwrap());
    let client = DeliveryClient::new(SsrfGuard::new(vec![])).unwrap();
    let mut idle_times = Vec::new();
    let mut claim_times = Vec::new();
    for _ in 0..20 {
        let (keys, client) = (KeySource::Static(keys.key_ring().await.unwrap()), client.clone());
        let dispatcher = DeliveryWorker::new(
            DeliveryStore::new(log.database().clone()),
            keys,
            client,
            NullBus,
            Arc::new(Timestamp::now),
        );
        let started = Instant::now();
        assert!(dispatcher.claim_due().await.unwrap().is_empty());
        idle_times.push(started.elapsed());
        let make_due = format!(
            "update hookbridge.deliveries set next_attempt = 1, held = null where id in (
               select id from (select id, row_number() over (partition by subscriber) n from hookbridge.deliveries where next_attempt > 1) x
               where n <= {due})"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(make_due)).execute(&pool).await.unwrap();
        let started = Instant::now();
        assert_eq!(dispatcher.claim_due().await.unwrap().len(), subscribers * due);
        claim_times.push(started.elapsed());
    }
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1000.0
    };
    println!(
        "PostgreSQL: a sweep over {PENDING_DELIVERIES} pending deliveries, none due: {:.1} ms, wanted at most 50",
        median(idle_times)
    );
    println!(
        "PostgreSQL: a sweep that claims {} due deliveries of {subscribers} subscribers: {:.1} ms",
        subscribers * due,
        median(claim_times)
    );
    pool.close().await;
}
