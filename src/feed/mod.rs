//! The job **feed**: the log, read over HTTP.
//!
//! A [`Feed`] answers `GET /events`, the log in its order with a cursor (`events`), named consumers whose place it keeps
//! (`consumers`), and the search that senders of email know (`search`). The function and `hookbridge serve` are two ways to
//! the same [`Feed::answer`]. Who may read what is decided before anything is looked at: email addresses are personal data.

mod answer;
mod consumers;
mod environment;
mod events;
mod function;
mod search;

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use tokio::sync::OnceCell;
use tracing::error;

pub use answer::Answer;
pub use environment::Environment;
#[cfg(feature = "command")]
pub(crate) use events::cursor;
pub use events::stream::{Follower, STREAM_HEADERS, is_for_stream};
pub use function::FeedFunction;
pub use search::PATHS as SEARCH_PATHS;

use crate::access::{Access, Scope};
use crate::log::{ConsumerStore, CursorKey, EventReader};

/// An answer ends before it is larger than this, in bytes of its results as a string of JSON: a function's may have 6 MB.
const LARGEST: usize = 5_000_000;

/// Answers what is asked of a log.
pub struct Feed<L> {
    log: L,
    access: Access,
    cursor_key: OnceCell<CursorKey>,
}

/// A request, as far as it matters here.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, from the first slash.
    pub path: &'a str,
    /// Its query, without the question mark.
    pub query: &'a str,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: &'a [u8],
    /// How long it can be held at most.
    pub patience: Duration,
}

impl<'a> Request<'a> {
    /// A header; what is not text is as good as empty.
    fn header(&self, name: header::HeaderName) -> Option<&'a str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or(""))
    }
}

impl<L: EventReader + ConsumerStore> Feed<L> {
    /// Reads `log` for those who have `access`.
    pub fn new(log: L, access: Access) -> Self {
        Self { log, access, cursor_key: OnceCell::new() }
    }

    /// Authenticates a request by its `Authorization` header, or because AWS has checked its signature (`is_signed`).
    /// Callers do this before they read or decode the body.
    ///
    /// # Errors
    /// The response: 401, or 503 when the tokens cannot be read.
    pub async fn authenticate(&self, headers: &HeaderMap, is_signed: bool) -> Result<Scope, Answer> {
        let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or(""));
        match self.access.of(authorization, is_signed).await {
            Ok(Some(admitted)) => Ok(admitted.scope),
            Ok(None) => {
                let answer = Answer::error(StatusCode::UNAUTHORIZED, "Unauthorized.");
                Err(answer.with(header::WWW_AUTHENTICATE, "Bearer"))
            }
            Err(why) => {
                error!(
                    error = why.to_string(),
                    "cannot authenticate requests: the token secret is unavailable"
                );
                Err(Answer::error(StatusCode::SERVICE_UNAVAILABLE, "Try again later.")
                    .with(header::RETRY_AFTER, "5"))
            }
        }
    }

    /// Answers a request that [`authenticate`](Self::authenticate) gave this scope.
    pub async fn answer(&self, request: Request<'_>, scope: &Scope) -> Answer {
        let request = Request { path: trimmed(request.path), ..request };
        // The head of what GET would answer, but of what changes when it is asked for.
        let is_head = request.method == Method::HEAD && !request.path.starts_with("/consumers/");
        let request = if is_head { Request { method: &Method::GET, ..request } } else { request };
        let mut answer = self.route(&request, scope).await.encoded(&request);
        if is_head {
            answer.body = Vec::new();
        }
        answer
    }

    async fn route(&self, request: &Request<'_>, scope: &Scope) -> Answer {
        let parts: Vec<_> = request.path.split('/').skip(1).collect();
        match parts.as_slice() {
            ["events"] => self.events(request, scope).await,
            ["events", id] => self.event(request, scope, id).await,
            ["consumers", parts @ ..] => self.named(request, scope, parts).await,
            ["openapi.json"] => openapi(request),
            _ if SEARCH_PATHS.contains(&request.path) => self.search(request, scope).await,
            _ => Answer::error(
                StatusCode::NOT_FOUND,
                "There are: /events, /events/{id}, /consumers, /api/v1/events/message, /api/v1/message-events; /openapi.json says more.",
            ),
        }
    }
}

/// The description of all of this, in OpenAPI 3.1.
fn openapi(request: &Request<'_>) -> Answer {
    if request.method != Method::GET {
        return Answer::not_allowed("GET");
    }
    Answer::json(StatusCode::OK, include_str!("openapi.json"))
}

/// A path without the slash at its end.
fn trimmed(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The size of a text of JSON as a string in JSON.
fn in_json(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count()
}
