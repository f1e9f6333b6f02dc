//! A local server with GitHub's API of the deliveries of a webhook: its pages, its errors and its rate limits.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub const TOKEN: &str = "ghp_test_token";
pub const HOOK: &str = "repos/acme/demo/hooks/42";
const PAGE_SIZE: usize = 100;

/// A failure of a request, planned by a test.
#[derive(Clone, Copy, Debug)]
pub enum GithubFault {
    Status(u16),
    /// 403 with `Retry-After`.
    SecondaryLimit(u32),
    /// 403 with `X-RateLimit-Remaining: 0`, and the limit's end in this number of seconds.
    PrimaryLimit(i64),
}

#[derive(Default)]
struct Inner {
    /// The newest first.
    deliveries: Vec<Value>,
    faults: VecDeque<GithubFault>,
    delayed_fault: Option<(usize, GithubFault)>,
    refuses_requests: bool,
    requested_guids: Vec<String>,
    authorizations: Vec<String>,
    requests: usize,
    next_id: u64,
}

type Receiver = Box<dyn Fn(&str) -> u16 + Send + Sync>;

/// A running API. It stops with the test.
#[derive(Clone)]
pub struct GithubApi {
    pub address: SocketAddr,
    path: String,
    inner: Arc<Mutex<Inner>>,
    /// Receives a redelivered webhook with this guid, and returns the status of its response.
    receiver: Arc<Receiver>,
}

impl GithubApi {
    pub async fn start(path: &str, receiver: impl Fn(&str) -> u16 + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Self {
            address: listener.local_addr().unwrap(),
            path: path.to_owned(),
            inner: Arc::default(),
            receiver: Arc::new(Box::new(receiver)),
        };
        let router = Router::new().fallback(handle_request).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        api
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Adds a delivery that was made `age` ago; the newest must be added last. The second delivery of a guid is a redelivery.
    pub fn add(&self, guid: &str, age: SignedDuration, status: u16) {
        self.inner.lock().unwrap().add(guid, Timestamp::now() - age, status);
    }

    /// The next responses get these faults, one each.
    pub fn next(&self, faults: impl IntoIterator<Item = GithubFault>) {
        self.inner.lock().unwrap().faults.extend(faults);
    }

    /// The response after `responses` more gets this fault.
    pub fn next_after(&self, responses: usize, fault: GithubFault) {
        let mut inner = self.inner.lock().unwrap();
        inner.delayed_fault = Some((inner.requests + responses, fault));
    }

    /// Answers 404 to requests for redeliveries, as for a token without the permission.
    pub fn refuse_requests(&self, refuses: bool) {
        self.inner.lock().unwrap().refuses_requests = refuses;
    }

    /// The guids of the deliveries that were requested again.
    pub fn requested_guids(&self) -> Vec<String> {
        self.inner.lock().unwrap().requested_guids.clone()
    }

    pub fn requests(&self) -> usize {
        self.inner.lock().unwrap().requests
    }

    /// Waits until this number of redeliveries was made.
    pub async fn wait_for_redeliveries(&self, count: usize) {
        let made = || {
            let inner = self.inner.lock().unwrap();
            inner.deliveries.iter().filter(|delivery| delivery["redelivery"] == true).count()
        };
        while made() < count {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }

    pub fn authorizations(&self) -> Vec<String> {
        self.inner.lock().unwrap().authorizations.clone()
    }
}

impl Inner {
    fn add(&mut self, guid: &str, time: Timestamp, status: u16) {
        self.next_id += 1;
        let is_redelivery = self.deliveries.iter().any(|delivery| delivery["guid"] == guid);
        let delivery = json!({
            "id": self.next_id, "guid": guid, "delivered_at": time, "redelivery": is_redelivery, "duration": 0.27,
            "status": if status == 200 { "OK" } else { "failed to connect to host" }, "status_code": status,
            "event": "issues", "action": "opened", "installation_id": null, "repository_id": 7, "url": "",
        });
        self.deliveries.insert(0, delivery);
    }
}

async fn handle_request(State(api): State<GithubApi>, request: Request) -> Response {
    let (request, _) = request.into_parts();
    let header =
        |name: &str| request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authorization = header("authorization").to_owned();
    assert!(!header("user-agent").is_empty(), "GitHub refuses requests without a user agent");
    let fault = {
        let mut inner = api.inner.lock().unwrap();
        inner.authorizations.push(authorization.clone());
        let number = inner.requests;
        inner.requests += 1;
        let delayed = inner.delayed_fault.take_if(|(due, _)| *due == number);
        inner.faults.pop_front().or(delayed.map(|(_, fault)| fault))
    };
    let error = |status: u16| (StatusCode::from_u16(status).unwrap(), "{\"message\":\"an error\"}");
    match fault {
        Some(GithubFault::Status(status)) => return error(status).into_response(),
        Some(GithubFault::SecondaryLimit(seconds)) => {
            return ([("retry-after", seconds.to_string())], error(403)).into_response();
        }
        Some(GithubFault::PrimaryLimit(seconds)) => {
            let reset = (Timestamp::now().as_second() + seconds).to_string();
            let headers = [("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", reset)];
            return (headers, error(403)).into_response();
        }
        None => {}
    }
    if !authorization.starts_with("Bearer ey") && authorization != format!("Bearer {TOKEN}") {
        return error(401).into_response();
    }
    let Some(rest) = request.uri.path().strip_prefix(&api.path) else { return error(404).into_response() };
    match (&request.method, rest) {
        (&Method::GET, "") => api.page(request.uri.query().unwrap_or_default()),
        (&Method::POST, rest) => {
            api.redeliver(rest.trim_start_matches('/').trim_end_matches("/attempts")).await
        }
        _ => error(404).into_response(),
    }
}

impl GithubApi {
    fn page(&self, query: &str) -> Response {
        let parameter =
            |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        assert_eq!(parameter("per_page"), Some("100"));
        let inner = self.inner.lock().unwrap();
        let first = match parameter("cursor") {
            None => 0,
            Some(cursor) => {
                let id = cursor.strip_prefix("v1%5F").unwrap_or_else(|| panic!("not a cursor: {cursor}"));
                inner.deliveries.iter().position(|d| d["id"].as_u64() == id.parse().ok()).unwrap()
            }
        };
        let end = inner.deliveries.len().min(first + PAGE_SIZE);
        let body = Value::from(inner.deliveries[first..end].to_vec()).to_string();
        match inner.deliveries.get(end) {
            None => body.into_response(),
            Some(next) => {
                // A client must not send its token to the host of this link.
                let id = &next["id"];
                let link = format!("<https://elsewhere.example/d?per_page=100&cursor=v1_{id}>; rel=\"next\"");
                ([("link", link)], body).into_response()
            }
        }
    }

    async fn redeliver(&self, id: &str) -> Response {
        let guid = {
            let mut inner = self.inner.lock().unwrap();
            if inner.refuses_requests {
                return StatusCode::NOT_FOUND.into_response();
            }
            let Some(delivery) = inner.deliveries.iter().find(|d| d["id"].as_u64() == id.parse().ok()) else {
                return StatusCode::NOT_FOUND.into_response();
            };
            let guid = delivery["guid"].as_str().unwrap().to_owned();
            inner.requested_guids.push(guid.clone());
            guid
        };
        let api = self.clone();
        tokio::task::spawn_blocking(move || {
            let status = (api.receiver)(&guid);
            api.inner.lock().unwrap().add(&guid, Timestamp::now(), status);
        });
        (StatusCode::ACCEPTED, "{}").into_response()
    }
}
