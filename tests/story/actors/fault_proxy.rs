//! A proxy between the SDK and LocalStack that makes AWS requests fail.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;

#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// 400 `ThrottlingException`, as EventBridge, Secrets Manager and SQS throttle; for S3, 503 `SlowDown`.
    Throttled,
    /// 500 `InternalException`.
    InternalError,
    /// 400 with this error code.
    ClientError(&'static str),
    /// 200 with a failed entry of this code.
    EntryFailed(&'static str),
    /// 200 with a failed fourth entry of this code. No entry is forwarded.
    FourthEntryFailed(&'static str),
    /// 200 without a result for any entry.
    EmptyResult,
    /// 400 of a region that rejects requests of this size.
    TotalSize,
    /// The response is delayed.
    Slow(Duration),
    /// The request is not forwarded; the connection closes within the response.
    Truncated,
    /// The request is forwarded; the connection closes within the response.
    ResponseLost,
    /// 409, as S3 returns while another request writes the object.
    Conflict,
    /// No fault.
    None,
}

#[derive(Default)]
struct Plan {
    /// Faults for the next requests, by operation.
    next: VecDeque<(&'static str, Fault)>,
    /// Faults for all other requests.
    always: Vec<(&'static str, Fault)>,
    /// The operations of the requests received.
    calls: Vec<String>,
    published: Vec<String>,
    /// Whether `calls` and `published` stay empty.
    is_forgetful: bool,
}

#[derive(Clone)]
pub struct FaultProxy {
    pub address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
}

impl FaultProxy {
    pub async fn in_front_of(target: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), plan: Arc::default() };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = (proxy.clone(), target.to_owned(), reqwest::Client::new());
        let router = Router::new().fallback(forward).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        proxy
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Records no requests from now on, for a test with too many of them.
    pub fn record_nothing(&self) {
        self.plan.lock().unwrap().is_forgetful = true;
    }

    /// The next requests of `operation` get these faults, one each.
    pub fn next(&self, operation: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.plan.lock().unwrap().next.extend(faults.into_iter().map(|fault| (operation, fault)));
    }

    pub fn always(&self, operation: &'static str, fault: Fault) {
        let mut plan = self.plan.lock().unwrap();
        plan.always.retain(|(o, _)| *o != operation);
        plan.always.push((operation, fault));
    }

    pub fn calls(&self, operation: &str) -> usize {
        self.plan.lock().unwrap().calls.iter().filter(|call| *call == operation).count()
    }

    /// The bodies of the forwarded `PutEvents` requests.
    pub fn published(&self) -> Vec<String> {
        self.plan.lock().unwrap().published.clone()
    }

    fn next_fault(&self, operation: &str) -> Fault {
        let mut plan = self.plan.lock().unwrap();
        if !plan.is_forgetful {
            plan.calls.push(operation.to_owned());
        }
        if let Some(index) = plan.next.iter().position(|(o, _)| *o == operation) {
            return plan.next.remove(index).unwrap().1;
        }
        plan.always.iter().find(|(o, _)| *o == operation).map_or(Fault::None, |(_, fault)| *fault)
    }
}

async fn forward(
    State((proxy, target, client)): State<(FaultProxy, String, reqwest::Client)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let operation = parts.headers.get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let operation = match operation.rsplit('.').next().unwrap_or_default() {
        // S3 requests have no operation header.
        "" if parts.method == "PUT" => "PutObject".to_owned(),
        "" if parts.method == "GET" => "GetObject".to_owned(),
        name => name.to_owned(),
    };
    let error = |status: u16, code: &str| {
        json(status, &serde_json::json!({"__type": code, "message": "made by the fault proxy"}).to_string())
    };
    let fault = proxy.next_fault(&operation);
    match fault {
        Fault::Throttled if operation.ends_with("Object") => {
            let body = "<Error><Code>SlowDown</Code><Message>made by the fault proxy</Message></Error>";
            return Response::builder().status(503).body(Body::from(body)).unwrap();
        }
        Fault::Throttled => return error(400, "ThrottlingException"),
        Fault::InternalError => return error(500, "InternalException"),
        Fault::ClientError(code) => return error(400, code),
        Fault::TotalSize => {
            let message = "Total size of the entries in the request is over the limit.";
            let response = serde_json::json!({"__type": "ValidationException", "message": message});
            return json(400, &response.to_string());
        }
        Fault::EntryFailed(code) => {
            let entry = serde_json::json!({"ErrorCode": code, "ErrorMessage": "made by the fault proxy"});
            let response = serde_json::json!({"FailedEntryCount": 1, "Entries": [entry]});
            return json(200, &response.to_string());
        }
        Fault::FourthEntryFailed(code) => {
            let request: serde_json::Value = serde_json::from_slice(&body).unwrap();
            let result = |index: usize| match index {
                3 => serde_json::json!({"ErrorCode": code, "ErrorMessage": "made by the fault proxy"}),
                _ => serde_json::json!({"EventId": format!("{index}")}),
            };
            let entries: Vec<_> = (0..request["Entries"].as_array().unwrap().len()).map(result).collect();
            let response = serde_json::json!({"FailedEntryCount": 1, "Entries": entries});
            return json(200, &response.to_string());
        }
        Fault::EmptyResult => return json(200, "{}"),
        Fault::Conflict => return error(409, "ConditionalRequestConflict"),
        Fault::Truncated => return truncated_response(),
        Fault::Slow(time) => tokio::time::sleep(time).await,
        Fault::ResponseLost | Fault::None => {}
    }
    if operation == "PutEvents" {
        let mut plan = proxy.plan.lock().unwrap();
        if !plan.is_forgetful {
            plan.published.push(String::from_utf8_lossy(&body).into_owned());
        }
    }
    let mut forwarded = client.request(parts.method, format!("{target}{}", parts.uri)).body(body);
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "host") {
        forwarded = forwarded.header(name, value);
    }
    let response = forwarded.send().await.unwrap();
    if matches!(fault, Fault::ResponseLost) {
        return truncated_response();
    }
    let mut forwarded = Response::builder().status(response.status());
    for (name, value) in response.headers().iter().filter(|(name, _)| *name != "transfer-encoding") {
        forwarded = forwarded.header(name, value);
    }
    forwarded.body(Body::from(response.bytes().await.unwrap())).unwrap()
}

fn truncated_response() -> Response {
    Response::new(truncated_body(b"{\"Ent"))
}

/// A body whose connection closes after these bytes.
pub fn truncated_body(bytes: &'static [u8]) -> Body {
    let chunks = [Ok(Bytes::from_static(bytes)), Err(std::io::Error::other("cut"))];
    Body::from_stream(ChunkedBody(chunks.into_iter()))
}

fn json(status: u16, body: &str) -> Response {
    let builder = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    builder.body(Body::from(body.to_owned())).unwrap()
}

struct ChunkedBody<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for ChunkedBody<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}
