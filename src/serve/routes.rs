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
use tokio::time::Instant;

use super::endpoints::{Endpoint, Endpoints};
use super::gate::Gate;
use super::settings::Settings;
use super::terminal::Terminal;
use crate::bridge::{WebhookRequest, WebhookResponse};
use crate::providers::{self, PublicUrl, RawWebhook, RequestUrl};

/// How long a webhook may take: a little less than most senders wait.
const TIME: Duration = Duration::from_secs(9);

/// The way of an endpoint's webhooks.
struct Way {
    gate: Arc<Gate>,
    endpoint: Arc<Endpoint>,
    public_url: Option<PublicUrl>,
    terminal: Terminal,
}

pub(super) fn router(endpoints: &Endpoints, settings: &Settings, terminal: &Terminal) -> Router {
    let gate = Arc::new(Gate::new(settings.concurrency));
    let page = page();
    let mut router = Router::new().route("/", get(move || std::future::ready(Html(page))));
    for endpoint in endpoints.iter() {
        let way = Way {
            gate: gate.clone(),
            endpoint: endpoint.clone(),
            public_url: settings.public_url.clone(),
            terminal: terminal.clone(),
        };
        let path = format!("/hooks/{}", endpoint.bridge.provider.name);
        router = router.merge(Router::new().route(&path, any(webhook)).with_state(Arc::new(way)));
    }
    router.fallback(not_found)
}

async fn webhook(State(way): State<Arc<Way>>, request: axum::extract::Request) -> Response {
    let deadline = Instant::now() + TIME;
    let (parts, body) = request.into_parts();
    let provider = way.endpoint.bridge.provider;
    // Obviously invalid requests take no slot and their body is not read.
    let is_plausible = parts.method == Method::POST && parts.headers.contains_key(provider.signature.header);
    let (body, _place) = if is_plausible {
        match way.gate.admit(body, deadline).await {
            Ok((body, place)) => (body, Some(place)),
            Err(turned_away) => {
                way.terminal.turned_away(provider.name, turned_away.status().as_u16());
                return turned_away.answer();
            }
        }
    } else {
        (Bytes::new(), None)
    };
    let webhook = RawWebhook::new(url(&parts, way.public_url.as_ref()), parts.headers, body);
    let record = way.endpoint.bridge.handle(WebhookRequest { method: parts.method, webhook }, deadline).await;
    way.terminal.record(&record);
    let WebhookResponse { status, extra_header: header, body } = record.response();
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
        Some(public) => public.rewrite(url),
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
