//! The feed, as HTTP paths: the log and the search of it.
//!
//! Without a token, only this machine is answered: neither another one, nor a page in a browser that was told that its
//! name is this machine, nor, as far as it can be seen, who comes through a proxy or a tunnel. Nobody is where the settings
//! name what stands in front.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Frame;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::settings::Settings;
use crate::feed::{
    Access, Answer, Feed, Follower, Request, SEARCH_PATHS, STREAM_HEADERS, Token, Tokens, is_for_stream,
};
use crate::log::AnyLog;

/// The longest that a reader is held.
const PATIENCE: Duration = Duration::from_secs(25);
/// How long a body may take to come, and how large it may be, in bytes.
const BODY: (Duration, usize) = (Duration::from_secs(10), 64 * 1024);

struct Readers {
    feed: Arc<Feed<AnyLog>>,
    door: Door,
    end: watch::Receiver<bool>,
}

/// Who comes as far as the feed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Everybody: there the token is asked for.
    Token,
    /// This machine.
    Machine,
    /// Nobody.
    Closed,
}

pub(super) fn router(settings: &Settings, log: AnyLog, end: watch::Receiver<bool>) -> Router {
    let access = match &settings.token {
        Some(token) => Access::Tokens(Tokens::new(vec![Token::of("serve", token, vec![])])),
        None => Access::Open,
    };
    let door = match (&settings.token, &settings.public_url) {
        (Some(_), _) => Door::Token,
        (None, None) => Door::Machine,
        (None, Some(_)) => Door::Closed,
    };
    let readers = Arc::new(Readers { feed: Arc::new(Feed::new(log, access)), door, end });
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
    let is_let_in = match readers.door {
        Door::Token => true,
        Door::Machine => is_of_this_machine(&parts.headers),
        Door::Closed => false,
    };
    if !is_let_in {
        let why = "Without a token only this machine is answered, and nobody behind a --public-url: start hookbridge serve with --token.";
        return refused(StatusCode::FORBIDDEN, why);
    }
    let Ok(Ok(body)) = timeout(BODY.0, Limited::new(body, BODY.1).collect()).await else {
        return refused(
            StatusCode::BAD_REQUEST,
            "The body did not come as a whole, or is larger than 64 KB.",
        );
    };
    let body = body.to_bytes();
    let request = request_of(&parts, &body, Duration::ZERO);
    if is_for_stream(&request) {
        return match readers.feed.follow(request).await {
            Ok((first, follower)) => stream(first, follower, readers.end.clone()),
            Err(answer) => response(answer),
        };
    }
    let mut end = readers.end.clone();
    let held = tokio::select! {
        answer = readers.feed.answer(request_of(&parts, &body, PATIENCE)) => Some(answer),
        // Who waits is let go when the server ends. Only who asks waits, and asking again changes nothing.
        _ = end.wait_for(|ended| *ended), if parts.method == Method::GET => None,
    };
    response(match held {
        Some(answer) => answer,
        None => readers.feed.answer(request_of(&parts, &body, Duration::ZERO)).await,
    })
}

fn request_of<'a>(parts: &'a Parts, body: &'a [u8], patience: Duration) -> Request<'a> {
    Request {
        method: &parts.method,
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &parts.headers,
        body,
        is_signed: false,
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

fn refused(status: StatusCode, why: &str) -> Response {
    let body = serde_json::json!({"errors": [{"message": why}]}).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
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

/// Whether a request names this machine by a name that is nobody else's, and came by no proxy.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let by_proxy = ["forwarded", "x-forwarded-for", "x-forwarded-host", "via"];
    if by_proxy.iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    // Nor may a page of somewhere else have a browser of this machine ask: it could move a consumer without seeing the answer.
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_of_a_page_elsewhere = text(HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site != "same-origin" && site != "none")
        || text(header::ORIGIN).is_some_and(|origin| {
            origin.split_once("://").is_none_or(|(_, authority)| !is_this_machine(authority))
        });
    !is_of_a_page_elsewhere && is_this_machine(text(header::HOST).unwrap_or_default())
}

/// Whether a host, with its port or without, is this machine.
fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_known_by_its_names() {
        let is = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            is_of_this_machine(&headers)
        };
        for host in ["localhost", "localhost:8787", "127.0.0.1:1", "127.1.2.3", "[::1]:8787", "[::1]"] {
            assert!(is(host), "{host}");
        }
        for host in [
            "",
            "hooks.example",
            "127.0.0.1.hooks.example",
            "localhost.example:80",
            "10.0.0.1:8787",
            "[::2]:1",
        ] {
            assert!(!is(host), "{host}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        headers.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
        assert!(!is_of_this_machine(&headers));
        for (name, value, expected) in [
            ("origin", "http://localhost:3000", true),
            ("origin", "https://evil.example", false),
            ("origin", "null", false),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "none", true),
            ("sec-fetch-site", "cross-site", false),
            ("sec-fetch-site", "same-site", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost".parse().unwrap());
            headers.insert(name, value.parse().unwrap());
            assert_eq!(is_of_this_machine(&headers), expected, "{name}: {value}");
        }
    }
}
