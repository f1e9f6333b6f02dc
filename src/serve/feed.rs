//! The feed, as HTTP paths: the log and the search of it.

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

use super::door::{Door, access, whole};
use super::settings::Settings;
use crate::feed::{Answer, Feed, Follower, Request, SEARCH_PATHS, STREAM_HEADERS, is_for_stream};
use crate::log::AnyLog;

/// The longest that a reader is held.
const PATIENCE: Duration = Duration::from_secs(25);

struct Readers {
    feed: Arc<Feed<AnyLog>>,
    door: Door,
    end: watch::Receiver<bool>,
}

pub(super) fn router(settings: &Settings, log: AnyLog, end: watch::Receiver<bool>) -> Router {
    let access = access(settings);
    let readers = Arc::new(Readers { feed: Arc::new(Feed::new(log, access)), door: Door::of(settings), end });
    let mut router = Router::new();
    for path in ["/events/{id}", "/consumers/{*rest}"] {
        router = router.route(path, any(answer));
    }
    for path in ["/events", "/consumers", "/openapi.json"].into_iter().chain(SEARCH_PATHS) {
        router = router.route(path, any(answer)).route(&format!("{path}/"), any(answer));
    }
    router.with_state(readers)
}

async fn answer(State(readers): State<Arc<Readers>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(refused) = readers.door.refuses(&parts.headers) {
        return refused;
    }
    // The body is read only for a client that has been authenticated.
    let scope = match readers.feed.authenticate(&parts.headers, false).await {
        Ok(scope) => scope,
        Err(refused) => return response(refused),
    };
    let body = match whole(body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let request = request_of(&parts, &body, Duration::ZERO);
    if is_for_stream(&request) {
        return match readers.feed.follow(request, scope).await {
            Ok((first, follower)) => stream(first, follower, readers.end.clone()),
            Err(answer) => response(answer),
        };
    }
    let mut end = readers.end.clone();
    let held = tokio::select! {
        answer = readers.feed.answer(request_of(&parts, &body, PATIENCE), &scope) => Some(answer),
        // Who waits is let go when the server ends. Only who asks waits, and asking again changes nothing.
        _ = end.wait_for(|ended| *ended), if parts.method == Method::GET => None,
    };
    response(match held {
        Some(answer) => answer,
        None => readers.feed.answer(request_of(&parts, &body, Duration::ZERO), &scope).await,
    })
}

fn request_of<'a>(parts: &'a Parts, body: &'a [u8], patience: Duration) -> Request<'a> {
    Request {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body,
        patience,
    }
}

fn response(answer: Answer) -> Response {
    let mut response = (answer.status, answer.body).into_response();
    // It takes bytes for a download.
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in answer.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// What is sent as it comes.
struct Chunks(mpsc::Receiver<Bytes>);

impl hyper::body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|chunk| chunk.map(|chunk| Ok(Frame::data(chunk))))
    }
}

/// A stream, until its client goes away or the server ends.
fn stream(first: String, mut follower: Follower<AnyLog>, mut end: watch::Receiver<bool>) -> Response {
    let (give, take) = mpsc::channel(1);
    tokio::spawn(async move {
        let mut text = Some(first);
        while let Some(chunk) = text {
            if give.send(chunk.into()).await.is_err() {
                return;
            }
            text = tokio::select! {
                next = follower.next() => next,
                () = give.closed() => return,
                _ = end.wait_for(|ended| *ended) => return,
            };
        }
    });
    (STREAM_HEADERS, Body::new(Chunks(take))).into_response()
}
