//! HTTP routes of the API: the log, its search, subscribers and deliveries.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use hyper::body::Frame;
use tokio::sync::{mpsc, watch};

use super::access::{AccessPolicy, build_authenticator, read_body};
use super::server_api::ServerResources;
use crate::api::{Api, ApiRequest, ApiResponse, EventStream, MAX_WAIT, STREAM_HEADERS, is_stream_request};
use crate::delivery::SubscriberService;
use crate::log::EventLog;
use crate::serve::config::ServeSettings;
use crate::serve::metrics::Metrics;
use crate::serve::reporter::Reporter;
use crate::serve::spans::Spans;

struct ApiState {
    api: Api,
    policy: AccessPolicy,
    metrics: Arc<Metrics>,
    spans: Option<Arc<Spans>>,
    shutdown: watch::Receiver<bool>,
}

pub(in crate::serve) fn router(
    settings: &ServeSettings,
    log: EventLog,
    service: SubscriberService,
    server: ServerResources,
    shutdown: watch::Receiver<bool>,
) -> Router {
    let Reporter { metrics, spans, .. } = server.health.reporter.clone();
    let api = Api::new(build_authenticator(settings));
    let guard = service.client.guard().clone();
    let api = api.with_replays(log.clone(), server.health.bus.clone(), guard);
    let api = api.with_log(log).with_subscribers(service).with_group(server);
    let paths = api.paths();
    let state =
        Arc::new(ApiState { api, policy: AccessPolicy::from_settings(settings), metrics, spans, shutdown });
    let mut router = Router::new();
    for path in paths {
        for suffix in ["", "/", "/{*rest}"] {
            router = router.route(&format!("{path}{suffix}"), any(handle));
        }
    }
    router.with_state(state)
}

async fn handle(State(state): State<Arc<ApiState>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(response) = state.policy.rejection_for(&parts.headers) {
        return response;
    }
    // The body is read only for a client that has been authenticated.
    let token = match state.api.authenticate(&parts.headers, parts.uri.path(), false).await {
        Ok(token) => token,
        Err(response) => return into_axum_response(response),
    };
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let needs_event_urns = state.spans.is_some();
    let request = api_request(&parts, &body, Duration::ZERO, needs_event_urns);
    if is_stream_request(&request) {
        return match state.api.open_stream(request, &token).await {
            Ok((first_chunk, events)) => stream_response(first_chunk, events, state.shutdown.clone()),
            Err(response) => into_axum_response(response),
        };
    }
    let mut shutdown = state.shutdown.clone();
    let started = Instant::now();
    let _long_poll = state.metrics.open_long_poll(request.query);
    let response = tokio::select! {
        response = state.api.handle(api_request(&parts, &body, MAX_WAIT, needs_event_urns), &token) => Some(response),
        // At shutdown, a GET that waits for events is cancelled, and handled again without waiting.
        _ = shutdown.wait_for(|is_requested| *is_requested), if parts.method == Method::GET => None,
    };
    let response = match response {
        Some(response) => response,
        None => state.api.handle(request, &token).await,
    };
    if let (Some(spans), Some(route)) = (&state.spans, page_route(&parts)) {
        spans.page(route, response.status.as_u16(), started.elapsed(), &response.event_urns);
    }
    into_axum_response(response)
}

/// The route of a request for a page of events; `None` for another request.
fn page_route(parts: &Parts) -> Option<&'static str> {
    let segments: Vec<_> = parts.uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    match (&parts.method, &segments[..]) {
        (&Method::GET, ["events"]) => Some("/events"),
        (&Method::GET, ["consumers", _, "events"]) => Some("/consumers/{name}/events"),
        _ => None,
    }
}

fn api_request<'a>(
    parts: &'a Parts,
    body: &'a [u8],
    max_wait: Duration,
    needs_event_urns: bool,
) -> ApiRequest<'a> {
    ApiRequest {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body,
        max_wait,
        needs_event_urns,
    }
}

pub(super) fn into_axum_response(response: ApiResponse) -> Response {
    let ApiResponse { status, headers, body, .. } = response;
    let mut response = (status, body).into_response();
    // axum sets the content type `application/octet-stream` for bytes; `headers` contains the response's own content type.
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A response body that streams the chunks that a channel receives.
struct ChannelBody(mpsc::Receiver<Bytes>);

impl hyper::body::Body for ChannelBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// Streams events until the client disconnects or the server shuts down.
fn stream_response(
    first_chunk: String,
    mut events: EventStream,
    mut shutdown: watch::Receiver<bool>,
) -> Response {
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut next_chunk = Some(first_chunk);
        while let Some(chunk) = next_chunk {
            if sender.send(chunk.into()).await.is_err() {
                return;
            }
            next_chunk = tokio::select! {
                chunk = events.next_chunk() => chunk,
                () = sender.closed() => return,
                _ = shutdown.wait_for(|is_requested| *is_requested) => return,
            };
        }
    });
    (STREAM_HEADERS, Body::new(ChannelBody(receiver))).into_response()
}
