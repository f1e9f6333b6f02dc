//! HTTP routes of the feed: the log and its search.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

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

use super::access::{AccessPolicy, read_body, token_access};
use super::settings::ServeSettings;
use crate::feed::{
    EventStream, Feed, FeedRequest, FeedResponse, SEARCH_PATHS, STREAM_HEADERS, is_stream_request,
};
use crate::log::AnyLog;

/// The longest wait of a long poll.
const MAX_WAIT: Duration = Duration::from_secs(25);

struct FeedState {
    feed: Arc<Feed<AnyLog>>,
    policy: AccessPolicy,
    shutdown: watch::Receiver<bool>,
}

pub(super) fn router(settings: &ServeSettings, log: AnyLog, end: watch::Receiver<bool>) -> Router {
    let access = token_access(settings);
    let readers = Arc::new(FeedState {
        feed: Arc::new(Feed::new(log, access)),
        policy: AccessPolicy::from_settings(settings),
        shutdown: end,
    });
    let mut router = Router::new();
    for path in ["/events/{id}", "/consumers/{*rest}"] {
        router = router.route(path, any(handle));
    }
    for path in ["/events", "/consumers", "/openapi.json"].into_iter().chain(SEARCH_PATHS) {
        router = router.route(path, any(handle)).route(&format!("{path}/"), any(handle));
    }
    router.with_state(readers)
}

async fn handle(State(readers): State<Arc<FeedState>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(refused) = readers.policy.reject(&parts.headers) {
        return refused;
    }
    // The body is read only for a client that has been authenticated.
    let scope = match readers.feed.authenticate(&parts.headers, false).await {
        Ok(scope) => scope,
        Err(refused) => return into_axum_response(refused),
    };
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let request = feed_request(&parts, &body, Duration::ZERO);
    if is_stream_request(&request) {
        return match readers.feed.open_stream(request, scope).await {
            Ok((first, follower)) => stream_response(first, follower, readers.shutdown.clone()),
            Err(answer) => into_axum_response(answer),
        };
    }
    let mut end = readers.shutdown.clone();
    let held = tokio::select! {
        answer = readers.feed.handle(feed_request(&parts, &body, MAX_WAIT), &scope) => Some(answer),
        // At shutdown a waiting GET ends with 503; the client can repeat it.
        _ = end.wait_for(|ended| *ended), if parts.method == Method::GET => None,
    };
    into_axum_response(match held {
        Some(answer) => answer,
        None => readers.feed.handle(feed_request(&parts, &body, Duration::ZERO), &scope).await,
    })
}

fn feed_request<'a>(parts: &'a Parts, body: &'a [u8], patience: Duration) -> FeedRequest<'a> {
    FeedRequest {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body,
        max_wait: patience,
    }
}

fn into_axum_response(answer: FeedResponse) -> Response {
    let mut response = (answer.status, answer.body).into_response();
    // axum sets application/octet-stream for bytes.
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// A body that streams the chunks of a channel.
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

/// Streams until the client disconnects or the server shuts down.
fn stream_response(
    first: String,
    mut follower: EventStream<AnyLog>,
    mut end: watch::Receiver<bool>,
) -> Response {
    let (give, take) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut text = Some(first);
        while let Some(chunk) = text {
            if give.send(chunk.into()).await.is_err() {
                return;
            }
            text = tokio::select! {
                next = follower.next_chunk() => next,
                () = give.closed() => return,
                _ = end.wait_for(|ended| *ended) => return,
            };
        }
    });
    (STREAM_HEADERS, Body::new(ChannelBody(take))).into_response()
}
