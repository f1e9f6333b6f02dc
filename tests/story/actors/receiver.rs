//! A subscriber's HTTP server: it records requests and responds as configured.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;

use super::{checkout, test_environment};

#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl ReceivedRequest {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub fn id(&self) -> String {
        self.header("webhook-id").to_owned()
    }

    pub fn event(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

type Responder = dyn Fn(&ReceivedRequest) -> (u16, Vec<(&'static str, String)>, String) + Send + Sync;

#[derive(Clone)]
pub struct Receiver {
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
    responder: Arc<Mutex<Arc<Responder>>>,
    is_forgetful: Arc<AtomicBool>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let receiver = Self {
            address: listener.local_addr().unwrap(),
            received: Arc::default(),
            is_forgetful: Arc::default(),
            responder: Arc::new(Mutex::new(Arc::new(|_: &ReceivedRequest| {
                (200, vec![], "thanks".to_owned())
            }))),
        };
        let router = Router::new().fallback(post(handle)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    pub fn respond_with(&self, status: u16) {
        self.respond_by(move |_| (status, vec![], "no".to_owned()));
    }

    pub fn respond_by(
        &self,
        responder: impl Fn(&ReceivedRequest) -> (u16, Vec<(&'static str, String)>, String) + Send + Sync + 'static,
    ) {
        *self.responder.lock().unwrap() = Arc::new(responder);
    }

    /// Records no requests from now on, for a test with too many of them.
    pub fn record_nothing(&self) {
        self.is_forgetful.store(true, Ordering::Relaxed);
    }

    pub fn received(&self) -> Vec<ReceivedRequest> {
        self.received.lock().unwrap().clone()
    }

    pub fn ids(&self) -> Vec<String> {
        self.received().iter().map(ReceivedRequest::id).collect()
    }

    pub fn clear(&self) {
        self.received.lock().unwrap().clear();
    }
}

async fn handle(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: String) -> Response {
    let request = ReceivedRequest { path: uri.path().to_owned(), headers, body };
    if !receiver.is_forgetful.load(Ordering::Relaxed) {
        receiver.received.lock().unwrap().push(request.clone());
    }
    let responder = receiver.responder.lock().unwrap().clone();
    // A responder may block its thread.
    let (status, headers, body) = spawn_blocking(move || responder(&request)).await.unwrap();
    let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
    for (name, value) in headers {
        response.headers_mut().append(name, value.parse().unwrap());
    }
    response
}

/// Verifies signed requests with the JavaScript and Python libraries of Standard Webhooks and Svix. Returns four texts per
/// request: "true", or the error.
pub fn verifications(secret: &str, requests: &[(HeaderMap, String)]) -> Vec<String> {
    let request = |(headers, body): &(HeaderMap, String)| {
        let headers: BTreeMap<_, _> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        json!({"headers": headers, "body": body}).to_string() + "\n"
    };
    let requests: String = requests.iter().map(request).collect();
    let environment = PathBuf::from(test_environment("HOOKBRIDGE_TEST_ENV"));
    let verifiers = [
        ("node", environment.join("node/verifies.mjs")),
        ("python", checkout().join("tests/python/verifies.py")),
    ];
    let mut results = Vec::new();
    for (program, script) in verifiers {
        let mut verifier = Command::new(environment.join("tools/bin").join(program))
            .arg(script)
            .arg(secret)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        verifier.stdin.take().unwrap().write_all(requests.as_bytes()).unwrap();
        let output = String::from_utf8(verifier.wait_with_output().unwrap().stdout).unwrap();
        results.extend(output.lines().map(str::to_owned));
    }
    results
}
