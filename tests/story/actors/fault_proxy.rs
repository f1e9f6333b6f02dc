//! Between the SDK and LocalStack: a proxy that makes AWS fail as it does on bad days.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;

/// What happens to one call.
#[derive(Clone, Copy, Debug)]
pub enum Fault {
    /// 400 `ThrottlingException`, as EventBridge and Secrets Manager throttle.
    Throttled,
    /// 500 `InternalException`.
    Broken,
    /// 400 with this code.
    Refused(&'static str),
    /// 200, and the entry failed with this code.
    EntryFailed(&'static str),
    /// 200, and nothing is said of any entry.
    NothingSaid,
    /// 400, as a region says it that takes no request of this size.
    TotalSize,
    /// The answer comes this late.
    Slow(Duration),
    /// The connection is cut after the first bytes of an answer.
    Cut,
    /// The call passes, and the connection is cut after the first bytes of its answer.
    Lost,
    /// 409, as S3 says it of an object that somebody else is writing.
    Conflict,
    /// Nothing: the call passes.
    None,
}

#[derive(Default)]
struct Plan {
    /// What happens to the next calls, by the name of the operation.
    next: VecDeque<(&'static str, Fault)>,
    /// What happens to all others.
    always: Vec<(&'static str, Fault)>,
    calls: Vec<String>,
    bodies: Vec<String>,
}

/// The proxy. Calls pass unless they were told otherwise.
#[derive(Clone)]
pub struct FaultProxy {
    pub address: SocketAddr,
    plan: Arc<Mutex<Plan>>,
}

impl FaultProxy {
    /// Stands in front of `target`, a URL.
    pub async fn before(target: &str) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self { address: listener.local_addr().unwrap(), plan: Arc::default() };
        let _ = rustls::crypto::ring::default_provider().install_default();
        let state = (proxy.clone(), target.to_owned(), reqwest::Client::new());
        let router = Router::new().fallback(pass).with_state(state);
        tokio::spawn(async move { axum::serve(listener, router).await });
        proxy
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next calls of `operation` meet these faults, one each.
    pub fn next(&self, operation: &'static str, faults: impl IntoIterator<Item = Fault>) {
        self.plan.lock().unwrap().next.extend(faults.into_iter().map(|fault| (operation, fault)));
    }

    /// Every call of `operation` meets this fault from now on.
    pub fn always(&self, operation: &'static str, fault: Fault) {
        let mut plan = self.plan.lock().unwrap();
        plan.always.retain(|(o, _)| *o != operation);
        plan.always.push((operation, fault));
    }

    /// How often `operation` was called.
    pub fn calls(&self, operation: &str) -> usize {
        self.plan.lock().unwrap().calls.iter().filter(|call| *call == operation).count()
    }

    /// The bodies of the calls of `PutEvents` that passed.
    pub fn published(&self) -> Vec<String> {
        self.plan.lock().unwrap().bodies.clone()
    }

    fn fault(&self, operation: &str) -> Fault {
        let mut plan = self.plan.lock().unwrap();
        plan.calls.push(operation.to_owned());
        if let Some(at) = plan.next.iter().position(|(o, _)| *o == operation) {
            return plan.next.remove(at).unwrap().1;
        }
        plan.always.iter().find(|(o, _)| *o == operation).map_or(Fault::None, |(_, fault)| *fault)
    }
}

async fn pass(
    State((proxy, target, client)): State<(FaultProxy, String, reqwest::Client)>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    let operation = parts.headers.get("x-amz-target").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let operation = match operation.rsplit('.').next().unwrap_or_default() {
        // S3 has no such header, and we call nothing else of it.
        "" if parts.method == "PUT" => "PutObject".to_owned(),
        name => name.to_owned(),
    };
    let error = |status: u16, code: &str| {
        json(status, &serde_json::json!({"__type": code, "message": "made by the fault proxy"}).to_string())
    };
    let fault = proxy.fault(&operation);
    match fault {
        Fault::Throttled => return error(400, "ThrottlingException"),
        Fault::Broken => return error(500, "InternalException"),
        Fault::Refused(code) => return error(400, code),
        Fault::TotalSize => {
            let message = "Total size of the entries in the request is over the limit.";
            let answer = serde_json::json!({"__type": "ValidationException", "message": message});
            return json(400, &answer.to_string());
        }
        Fault::EntryFailed(code) => {
            let entry = serde_json::json!({"ErrorCode": code, "ErrorMessage": "made by the fault proxy"});
            let answer = serde_json::json!({"FailedEntryCount": 1, "Entries": [entry]});
            return json(200, &answer.to_string());
        }
        Fault::NothingSaid => return json(200, "{}"),
        Fault::Conflict => return error(409, "ConditionalRequestConflict"),
        Fault::Cut => return cut(),
        Fault::Slow(time) => tokio::time::sleep(time).await,
        Fault::Lost | Fault::None => {}
    }
    if operation == "PutEvents" {
        proxy.plan.lock().unwrap().bodies.push(String::from_utf8_lossy(&body).into_owned());
    }
    let mut forward = client.request(parts.method, format!("{target}{}", parts.uri)).body(body);
    for (name, value) in parts.headers.iter().filter(|(name, _)| *name != "host") {
        forward = forward.header(name, value);
    }
    let answer = forward.send().await.unwrap();
    if matches!(fault, Fault::Lost) {
        return cut();
    }
    let status = answer.status().as_u16();
    json(status, &answer.text().await.unwrap())
}

/// The beginning of an answer.
fn cut() -> Response {
    let pieces = [Ok(Bytes::from_static(b"{\"Ent")), Err(std::io::Error::other("cut"))];
    Response::new(Body::from_stream(Pieces(pieces.into_iter())))
}

fn json(status: u16, body: &str) -> Response {
    let builder = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    builder.body(Body::from(body.to_owned())).unwrap()
}

/// The pieces of a body that is cut off.
struct Pieces<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Pieces<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}
