//! Measures `hookbridge serve` with SQLite and with PostgreSQL: the latency of a long poll, and the processor time that a
//! thousand idle long polls use.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints, fails by panicking"
)]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hookbridge::db::Database;
use hookbridge::log::{EventBatch, EventLog, NewEvent, SearchColumns};

const ITERATIONS: usize = 500;
const LONG_POLLS: usize = 1000;
const IDLE_PERIOD: Duration = Duration::from_secs(10);
const SECRET: &str = "a secret for measuring";

fn main() {
    let database = std::env::var("BENCH_DATABASE").unwrap();
    let sqlite = ServerProcess::new(&[]);
    println!(
        "SQLite: from the webhook's 202 to a waiting reader's first byte: {}",
        latency(&sqlite, send_webhook)
    );
    println!(
        "SQLite: {LONG_POLLS} long polls use {:.4} of a core, wanted at most 0.1",
        idle_cpu_share(&sqlite)
    );
    let postgres = ServerProcess::new(&["--database", &database]);
    println!(
        "PostgreSQL: from the webhook's 202 to a waiting reader's first byte: {}",
        latency(&postgres, send_webhook)
    );
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let log = EventLog::new(runtime.block_on(Database::open(&database.parse().unwrap(), 2)).unwrap());
    let mut n = 0;
    let recorder = |_: SocketAddr| {
        n += 1;
        runtime.block_on(record_event(&log, n))
    };
    println!(
        "PostgreSQL: from another process's commit to a waiting reader's first byte: {}",
        latency(&postgres, recorder)
    );
    println!(
        "PostgreSQL: {LONG_POLLS} long polls use {:.4} of a core, wanted at most 0.1",
        idle_cpu_share(&postgres)
    );
}

struct ServerProcess {
    process: Child,
    address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl ServerProcess {
    fn new(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let serve = std::env::var("BENCH_HOOKBRIDGE").unwrap_or_else(|_| panic!("run scripts/bench"));
        let mut process = Command::new(serve)
            .args(["serve", "--quiet", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path())
            .arg(format!("--secret=github={SECRET}"))
            .args(flags)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().rsplit_once("http://")?.1.parse().ok()).unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address, _folder: folder }
    }

    /// The processor time that the server has used, in seconds.
    fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        let fields: Vec<_> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        // User and system time, in hundredths of a second.
        (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn send_request(address: SocketAddr, query: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    write!(stream, "GET /events?{query} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    stream
}

fn read_response(mut stream: TcpStream) -> String {
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    assert!(response.starts_with("HTTP/1.1 200"), "{response}");
    response
}

fn parse_cursor(response: &str) -> String {
    let (_, rest) = response.rsplit_once("\"cursor\":\"").unwrap();
    rest.split('"').next().unwrap().to_owned()
}

/// The median and the 99th percentile of the latency: the time from the instant that `trigger` returns to the first byte of the
/// long poll's response.
fn latency(server: &ServerProcess, mut trigger: impl FnMut(SocketAddr) -> Instant) -> String {
    let mut next = parse_cursor(&read_response(send_request(server.address, "after=now")));
    let mut times = Vec::new();
    for _ in 0..ITERATIONS {
        let stream = send_request(server.address, &format!("after={next}&wait=25"));
        // Gives the server time to start the long poll.
        std::thread::sleep(Duration::from_millis(3));
        let reader = std::thread::spawn(move || {
            let mut byte = [0];
            stream.peek(&mut byte).unwrap();
            (Instant::now(), read_response(stream))
        });
        let triggered_at = trigger(server.address);
        let (first_byte, response) = reader.join().unwrap();
        times.push(first_byte.saturating_duration_since(triggered_at));
        next = parse_cursor(&response);
    }
    times.sort_unstable();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    let (p50, p99) = (times[ITERATIONS / 2], times[ITERATIONS * 99 / 100]);
    format!("p50 {:.2} ms, p99 {:.2} ms, wanted at most 25 ms", milliseconds(p50), milliseconds(p99))
}

/// Sends a webhook, and returns the instant at which the response arrived.
fn send_webhook(address: SocketAddr) -> Instant {
    let body = r#"{"ref":"refs/heads/main"}"#;
    let github = hookbridge::providers::find_provider("github").unwrap();
    let url = "http://x.example/".parse().unwrap();
    let request = hookbridge::providers::WebhookRequest::post(url, body);
    let secret = hookbridge::secrets::Secret::new(SECRET);
    let signature = github.signature_scheme.signature(request, &secret, jiff::Timestamp::now()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_nodelay(true).unwrap();
    let head = format!(
        "POST /hooks/github HTTP/1.1\r\nhost: x.example\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-hub-signature-256: {signature}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut status = [0; 12];
    stream.read_exact(&mut status).unwrap();
    assert_eq!(&status, b"HTTP/1.1 202");
    Instant::now()
}

/// Records an event outside the server's process, and returns the instant after the commit.
async fn record_event(log: &EventLog, n: usize) -> Instant {
    let record = NewEvent {
        time: jiff::Timestamp::now(),
        id: format!("{n}").into(),
        source: "bench".into(),
        detail_type: "bench".into(),
        account: "".into(),
        region: "".into(),
        resources: vec![],
        detail: "{}".into(),
        search_columns: SearchColumns::default(),
    };
    log.record(&EventBatch { origin: None, events: vec![record], unrecognized_count: 0 }).await.unwrap();
    let committed = Instant::now();
    log.assign_positions().await.unwrap();
    committed
}

/// The share of a core that a thousand long polls use while no event arrives.
fn idle_cpu_share(server: &ServerProcess) -> f64 {
    let connections: Vec<_> =
        (0..LONG_POLLS).map(|_| send_request(server.address, "after=now&wait=25")).collect();
    std::thread::sleep(Duration::from_secs(2));
    let (before, started) = (server.cpu_seconds(), Instant::now());
    std::thread::sleep(IDLE_PERIOD);
    let share = (server.cpu_seconds() - before) / started.elapsed().as_secs_f64();
    drop(connections);
    share
}
