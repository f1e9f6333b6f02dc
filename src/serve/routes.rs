//! The paths of the server: `/hooks/{provider}` and a page at `/`.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{any, get};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

use super::endpoints::{Endpoint, Endpoints};
use super::settings::Settings;
use super::terminal::Terminal;
use crate::bridge::{Answer, Request};
use crate::providers::{self, PublicUrl, RequestUrl, Webhook};

/// The largest body that is read: what a Function URL takes.
const MAX_BODY: usize = 6_291_456;
/// How long a webhook may take: a little less than most senders wait.
const TIME: Duration = Duration::from_secs(9);

/// What every webhook of an endpoint passes through.
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
        router = router.merge(Router::new().route(&path, any(webhook)).with_state(Arc::new(gate)));
    }
    router.fallback(not_found)
}

async fn webhook(State(gate): State<Arc<Gate>>, request: axum::extract::Request) -> Response {
    let deadline = Instant::now() + TIME;
    let (parts, body) = request.into_parts();
    let provider = gate.endpoint.bridge.provider;
    let turned_away = |status: StatusCode, why: &str| {
        gate.terminal.turned_away(provider.name, status.as_u16());
        text(status, why)
    };
    // What can only be refused has no place in hand, and its body is not waited for.
    let plausible = parts.method == Method::POST && parts.headers.contains_key(provider.signature.header);
    let place = plausible.then(|| gate.in_hand.try_acquire());
    let body = match place {
        None => Bytes::new(),
        Some(Err(_)) => return turned_away(StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsException"),
        Some(Ok(_)) => match timeout_at(deadline, Limited::new(body, MAX_BODY).collect()).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => {
                return turned_away(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large");
            }
            Ok(Err(_)) => return turned_away(StatusCode::BAD_REQUEST, "Bad Request"),
            Err(_) => return turned_away(StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
        },
    };
    let webhook = Webhook::new(url(&parts, gate.public_url.as_ref()), parts.headers, body);
    let record = gate.endpoint.bridge.handle(Request { method: parts.method, webhook }, deadline).await;
    gate.terminal.record(&record);
    let Answer { status, header, body } = record.answer();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::response::AppendHeaders(header), body).into_response()
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
    let searches = crate::feed::SEARCH_PATHS.join(", ");
    text(
        StatusCode::NOT_FOUND,
        &format!(
            "Not Found. There are: /, {endpoints}, /events, /consumers, /openapi.json, {searches}, /subscribers, /deliveries"
        ),
    )
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
