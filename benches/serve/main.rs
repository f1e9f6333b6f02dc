//! Measures the webhooks per second that `hookbridge serve` verifies and stores durably. There are two baselines. The first is
//! the same server without verification and storage (same threads, allocator, connections, limits and router; it reads the body).
//! The second is a minimal server with the same libraries on all cores. Also measures what ten viewers of the console cost.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark prints, fails by panicking"
)]
#![allow(unreachable_pub, reason = "nothing is reached from outside a benchmark")]

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::IntoResponse as _;
use axum::routing::{any, post};
use hookbridge::serve::http::admission::AdmissionControl;
use hookbridge::serve::http::listener;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const CONNECTIONS: usize = 64;
/// The number of consoles that show the webhooks as they arrive.
const VIEWERS: usize = 10;
const ROUNDS: usize = 6;
const ROUND_DURATION: Duration = Duration::from_secs(3);
const SECRET: &str = "a secret for measuring";

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let has_role = |role: &str| std::env::args().any(|argument| argument == role);
    let all_cores = || tokio::runtime::Runtime::new().unwrap();
    if has_role("same-server") {
        hookbridge::serve::build_runtime().unwrap().block_on(same_server());
    } else if has_role("plain-server") {
        all_cores().block_on(plain_server());
    } else {
        all_cores().block_on(compare());
    }
}

async fn same_server() {
    let admission = Arc::new(AdmissionControl::new(1024));
    let handler = move |body: Body| {
        let admission = admission.clone();
        async move {
            match admission.admit(body, tokio::time::Instant::now() + Duration::from_secs(9)).await {
                Ok(_) => (http::StatusCode::ACCEPTED, "ok").into_response(),
                Err(rejected) => rejected.into_response(),
            }
        }
    };
    listen(Router::new().route("/hooks/github", any(handler))).await;
}

async fn plain_server() {
    let handler = |_: Bytes| std::future::ready((http::StatusCode::ACCEPTED, "ok"));
    listen(Router::new().route("/hooks/github", post(handler))).await;
}

async fn listen(router: Router) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    let (_shutdown_sender, shutdown) = watch::channel(false);
    listener::serve(listener, router, shutdown).await;
}

async fn compare() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let request = request();
    let (mut rates, mut stored_count) = ([0.0; 4], 0);
    for round in 0..ROUNDS {
        let mut servers =
            [("same-server", 0, 0), ("plain-server", 0, 1), ("serve", 0, 2), ("serve", VIEWERS, 3)];
        // By turns, because the server that comes later finds more in the page cache to be written.
        if round % 2 == 1 {
            servers.swap(2, 3);
        }
        for (server, viewers, index) in servers {
            // Start a new server for each round, because unfinished work of one round would slow the next round.
            let folder = tempfile::tempdir().unwrap();
            let process = ServerProcess::new(command(server, folder.path()));
            let viewers: Vec<_> = (0..viewers).map(|_| tokio::spawn(view(process.address))).collect();
            rates[index] += measure_request_rate(process.address, &request).await / ROUNDS as f64;
            viewers.iter().for_each(tokio::task::JoinHandle::abort);
            let events = std::fs::read_to_string(folder.path().join("events.jsonl"));
            stored_count += events.map_or(0, |events| events.lines().count());
        }
    }
    let [same, plain, serve, viewed] = rates;
    println!(
        "webhooks/s at {CONNECTIONS} connections: serve {serve:.0}, the same server without verification and storage {same:.0}, \
         a minimal one on all cores {plain:.0} ({ROUNDS} rounds of {ROUND_DURATION:?})"
    );
    println!("  ratio {:.2}, wanted at least 0.50; to the minimal one {:.2}", serve / same, serve / plain);
    println!(
        "  with {VIEWERS} viewers of the console: {viewed:.0}, ratio {:.3}, wanted at least 0.98",
        viewed / serve
    );
    println!("  stored: {stored_count} events");
}

/// Reads the newest webhooks again and again, as the console does.
async fn view(address: SocketAddr) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut cursor = 0_u64;
    loop {
        let url = format!("http://{address}/webhooks?after={cursor}&limit=100&wait=20");
        let page = client.get(url).send().await.unwrap().text().await.unwrap();
        // Not parsed, because it is the browser's work, on another machine.
        let digits = page.split_once("\"cursor\":").unwrap().1.split(',').next().unwrap();
        let (last, listed) = (cursor, page.matches("\"number\":").count() as u64);
        cursor = digits.parse().unwrap();
        // As the console does in a flood.
        if cursor > last + listed {
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }
}

fn command(server: &str, folder: &Path) -> Command {
    if server != "serve" {
        let mut baseline = Command::new(std::env::current_exe().unwrap());
        baseline.arg(server);
        return baseline;
    }
    let serve = std::env::var("BENCH_HOOKBRIDGE").unwrap_or_else(|_| panic!("run scripts/bench"));
    let mut serve = Command::new(serve);
    serve
        .args(["serve", "--quiet", "--listen", "127.0.0.1:0", "--concurrency", "1024", "--data"])
        .arg(folder);
    serve.arg(format!("--secret=github={SECRET}"));
    serve
}

struct ServerProcess {
    process: std::process::Child,
    address: SocketAddr,
}

impl ServerProcess {
    fn new(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(process.stdout.take().unwrap()));
        let address = lines.find_map(|line| line.unwrap().rsplit_once("http://")?.1.parse().ok()).unwrap();
        // Drains the output, because a full pipe would block the server.
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, address }
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A GitHub webhook of 2 KB, as bytes.
fn request() -> Vec<u8> {
    let body = format!(r#"{{"ref":"refs/heads/main","commits":"{}"}}"#, "0123456789abcdef".repeat(125));
    let github = hookbridge::providers::find_provider("github").unwrap();
    let url = "http://x.example/".parse().unwrap();
    let request = hookbridge::providers::WebhookRequest::post(url, body.clone());
    let secret = hookbridge::secrets::Secret::new(SECRET);
    let signature = github.signature_scheme.signature(request, &secret, jiff::Timestamp::now()).unwrap();
    format!(
        "POST /hooks/github HTTP/1.1\r\nhost: x.example\r\ncontent-type: application/json\r\nx-github-event: push\r\n\
         x-github-delivery: 72d3162e\r\nx-hub-signature-256: {signature}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// The requests per second over [`CONNECTIONS`] connections, each of which waits for a response before its next request.
async fn measure_request_rate(address: SocketAddr, request: &[u8]) -> f64 {
    let started = Instant::now();
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let request = request.to_vec();
            tokio::spawn(async move {
                let mut stream = BufReader::new(TcpStream::connect(address).await.unwrap());
                stream.get_ref().set_nodelay(true).unwrap();
                let mut response_count = 0_u32;
                while started.elapsed() < ROUND_DURATION {
                    stream.get_mut().write_all(&request).await.unwrap();
                    read_response(&mut stream).await;
                    response_count += 1;
                }
                response_count
            })
        })
        .collect();
    let mut response_count = 0;
    for client in clients {
        response_count += client.await.unwrap();
    }
    f64::from(response_count) / started.elapsed().as_secs_f64()
}

async fn read_response(stream: &mut BufReader<TcpStream>) {
    let mut response = Vec::new();
    loop {
        let mut buffer = [0; 1024];
        let n = stream.read(&mut buffer).await.unwrap();
        assert!(n > 0, "the server closed the connection");
        response.extend_from_slice(&buffer[..n]);
        let Some(head_end) = response.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&response[..head_end]).to_lowercase();
        assert!(head.starts_with("http/1.1 202"), "{head}");
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if response.len() >= head_end + 4 + length.parse::<usize>().unwrap() {
            return;
        }
    }
}
