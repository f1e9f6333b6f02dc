//! The paths of the server: `/hooks/{provider}` and a page at `/`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header, request::Parts};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::endpoints::{Endpoint, Endpoints};
use super::settings::Settings;
use super::terminal::Terminal;
use crate::bridge::{Answer, Request};
use crate::providers::{self, PublicUrl, RequestUrl};

/// The largest body that is read: what a Function URL takes.
const MAX_BODY: usize = 6_291_456;
/// How long a webhook may take: what most senders wait.
const TIME: Duration = Duration::from_secs(10);

/// What every webhook passes through.
#[derive(Clone)]
struct Gate {
    endpoint: Arc<Endpoint>,
    in_hand: Arc<Semaphore>,
    public_url: Option<PublicUrl>,
    terminal: Terminal,
}

pub(super) fn router(endpoints: &Endpoints, settings: &Settings, terminal: &Terminal) -> Router {
    let in_hand = Arc::new(Semaphore::new(settings.concurrency));
    let page = page();
    let mut router = Router::new().route("/", get(move || std::future::ready(Html(page))));
    for endpoint in endpoints.iter() {
        let gate = Gate {
            endpoint: endpoint.clone(),
            in_hand: in_hand.clone(),
            public_url: settings.public_url.clone(),
            terminal: terminal.clone(),
        };
        let path = format!("/hooks/{}", endpoint.bridge.provider.name);
        router = router.merge(Router::new().route(&path, any(webhook)).with_state(gate));
    }
    router.fallback(not_found)
}

async fn webhook(State(gate): State<Gate>, request: axum::extract::Request) -> Response {
    let Ok(_place) = gate.in_hand.try_acquire() else {
        return text(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException");
    };
    let deadline = Instant::now() + TIME;
    let (parts, body) = request.into_parts();
    let body = match read(&parts.headers, body, deadline).await {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let url = url(&parts, gate.public_url.as_ref());
    let request = Request { method: parts.method, url, headers: parts.headers, body };
    let record = gate.endpoint.bridge.handle(request, deadline).await;
    gate.terminal.record(&record);
    let Answer { status, header, body } = record.answer();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::response::AppendHeaders(header), body).into_response()
}

async fn read(headers: &HeaderMap, body: Body, deadline: Instant) -> Result<bytes::Bytes, Response> {
    let too_large = || text(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large");
    let declared = headers.get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAX_BODY) {
        return Err(too_large());
    }
    match timeout_at(deadline, to_bytes(body, MAX_BODY)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // Too long, or cut off by its sender, who reads no answer any more.
        Ok(Err(_)) => Err(too_large()),
        Err(_) => Err(text(StatusCode::REQUEST_TIMEOUT, "Request Timeout")),
    }
}

/// The URL as its sender wrote it.
fn url(parts: &Parts, public_url: Option<&PublicUrl>) -> RequestUrl {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let url = RequestUrl {
        scheme: "http",
        authority: host.to_owned(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
    };
    match public_url {
        Some(public) => public.seen_from_outside(url),
        None => url,
    }
}

async fn not_found() -> Response {
    let endpoints = providers::ALL.map(|p| format!("/hooks/{}", p.name)).join(", ");
    text(StatusCode::NOT_FOUND, &format!("Not Found. There are: / and {endpoints}"))
}

fn text(status: StatusCode, body: &str) -> Response {
    (status, format!("{body}\n")).into_response()
}

/// A page that says what there is. It shows no event and no secret, so it may be seen by anybody.
fn page() -> String {
    let row = |p: &providers::Provider| {
        format!(
            "<tr><td>{}</td><td><code>POST /hooks/{}</code></td><td><a href=\"{}\">how it signs</a></td></tr>\n",
            p.title, p.name, p.documentation
        )
    };
    include_str!("page.html").replace("{rows}", &providers::ALL.map(row).concat())
}
