//! Serves the Lambda Runtime API to one function process.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use tokio::sync::{Mutex, mpsc};

/// A running function. Dropping this value kills the process.
pub struct FunctionProcess {
    pub process: Child,
    started: Instant,
    events: mpsc::Sender<String>,
    responses: mpsc::Receiver<(Instant, String)>,
}

#[derive(Clone)]
struct Api {
    events: Arc<Mutex<mpsc::Receiver<String>>>,
    responses: mpsc::Sender<(Instant, String)>,
}

impl FunctionProcess {
    /// Starts the function `program`, which receives `first` as its first event and logs to `log`.
    pub async fn start(
        program: &str,
        environment: &[(&'static str, String)],
        first: String,
        log: Stdio,
    ) -> Self {
        let (events, event_receiver) = mpsc::channel(1);
        let (response_sender, responses) = mpsc::channel(1);
        let api = Api { events: Arc::new(Mutex::new(event_receiver)), responses: response_sender };
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{id}/response", post(response))
            .with_state(api);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        events.send(first).await.unwrap();
        let started = Instant::now();
        let process = Command::new(program)
            .env_clear()
            .envs(environment.iter().map(|(name, value)| (*name, value)))
            .env("AWS_LAMBDA_RUNTIME_API", address.to_string())
            .env("AWS_LAMBDA_FUNCTION_NAME", "hookbridge-github-Function-4Nq1yDQ0Xw3E")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128")
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .stdout(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        Self { process, started, events, responses }
    }

    /// Waits for the first response; returns the milliseconds since the process started.
    pub async fn first_response(&mut self) -> f64 {
        let received_at = self.next_response().await;
        received_at.duration_since(self.started).as_secs_f64() * 1e3
    }

    /// Invokes the function with a further event, and waits for its response.
    pub async fn invoke(&mut self, event: String) {
        self.events.send(event).await.unwrap();
        self.next_response().await;
    }

    async fn next_response(&mut self) -> Instant {
        let (received_at, text) = self.responses.recv().await.unwrap();
        assert!(text.contains("202"), "{text}");
        received_at
    }

    /// The processor time that the process has used, in seconds.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).unwrap();
        // The fields after the name of the program, which is in parentheses; a tick is 10 ms.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let ticks = |index: usize| fields[index].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / 100.0
    }

    /// The resident memory of the process in KiB, including file-backed pages.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}

impl Drop for FunctionProcess {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

async fn next(State(api): State<Api>) -> impl IntoResponse {
    let event = api.events.lock().await.recv().await.unwrap_or_default();
    let deadline = SystemTime::now() + Duration::from_secs(9);
    let deadline = deadline.duration_since(UNIX_EPOCH).unwrap().as_millis().to_string();
    let headers = [
        ("lambda-runtime-aws-request-id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd".to_owned()),
        ("lambda-runtime-deadline-ms", deadline),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned(),
        ),
    ];
    (headers, event)
}

async fn response(State(api): State<Api>, body: Bytes) -> StatusCode {
    let text = String::from_utf8_lossy(&body).into_owned();
    let _ = api.responses.send((Instant::now(), text)).await;
    StatusCode::ACCEPTED
}
