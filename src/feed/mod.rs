//! The feed: reads the log over HTTP.
//!
//! [`Feed::handle`] serves `GET /events` (`events`), named consumers (`consumers`) and SparkPost's search API (`search`), for the
//! function `feed` and for `hookbridge serve`. Events contain personal data, so callers authenticate a request before anything
//! of it is read.

mod consumers;
mod environment;
mod events;
mod function;
mod response;
mod search;

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use tokio::sync::OnceCell;
use tracing::error;

pub use environment::FeedEnvironment;
#[cfg(feature = "command")]
pub(crate) use events::cursor;
pub use events::stream::{EventStream, STREAM_HEADERS, is_stream_request};
pub use function::FeedFunction;
pub use response::FeedResponse;
pub use search::SEARCH_PATHS;

use crate::auth::{Authenticator, TokenScope};
use crate::log::{CursorSigningKey, EventLog};

/// The most bytes of results in a response, counted as a JSON string: Lambda's limit is 6 MB.
const MAX_RESPONSE_BYTES: usize = 5_000_000;

pub struct Feed {
    log: EventLog,
    authenticator: Authenticator,
    cursor_key: OnceCell<CursorSigningKey>,
}

#[derive(Clone, Copy)]
pub struct FeedRequest<'a> {
    pub method: &'a Method,
    /// Begins with a slash.
    pub path: &'a str,
    /// Without the question mark.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// The longest time for which the request may wait.
    pub max_wait: Duration,
}

impl<'a> FeedRequest<'a> {
    /// A header's text; a header that is not text counts as absent.
    fn header(&self, name: header::HeaderName) -> Option<&'a str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or(""))
    }
}

impl Feed {
    pub fn new(log: EventLog, authenticator: Authenticator) -> Self {
        Self { log, authenticator, cursor_key: OnceCell::new() }
    }

    /// Authenticates a request by its `Authorization` header, or because AWS has checked its signature (`is_signed`). Callers do
    /// this before they read or decode the body.
    ///
    /// # Errors
    /// The response: 401, or 503 when the tokens cannot be read.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        is_signed: bool,
    ) -> Result<TokenScope, FeedResponse> {
        let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or(""));
        match self.authenticator.authenticate(authorization, is_signed).await {
            Ok(Some(token)) => Ok(token.scope),
            Ok(None) => {
                let response = FeedResponse::error(StatusCode::UNAUTHORIZED, "Unauthorized.");
                Err(response.with_header(header::WWW_AUTHENTICATE, "Bearer"))
            }
            Err(error) => {
                error!(
                    error = error.to_string(),
                    "cannot authenticate requests: the token secret is unavailable"
                );
                Err(FeedResponse::error(StatusCode::SERVICE_UNAVAILABLE, "Try again later.")
                    .with_header(header::RETRY_AFTER, "5"))
            }
        }
    }

    /// Handles a request with the scope that [`authenticate`](Self::authenticate) returned.
    pub async fn handle(&self, request: FeedRequest<'_>, scope: &TokenScope) -> FeedResponse {
        let request = FeedRequest { path: trim_slashes(request.path), ..request };
        // HEAD is handled like GET, except where GET has side effects.
        let is_head = request.method == Method::HEAD && !request.path.starts_with("/consumers/");
        let request = if is_head { FeedRequest { method: &Method::GET, ..request } } else { request };
        let mut response = self.route(&request, scope).await.finalize(&request);
        if is_head {
            response.body = Vec::new();
        }
        response
    }

    async fn route(&self, request: &FeedRequest<'_>, scope: &TokenScope) -> FeedResponse {
        let parts: Vec<_> = request.path.split('/').skip(1).collect();
        match parts.as_slice() {
            ["events"] => self.list_events(request, scope).await,
            ["events", id] => self.get_event(request, scope, id).await,
            ["consumers", parts @ ..] => self.route_consumers(request, scope, parts).await,
            ["openapi.json"] => openapi_document(request),
            _ if SEARCH_PATHS.contains(&request.path) => self.search(request, scope).await,
            _ => FeedResponse::error(
                StatusCode::NOT_FOUND,
                "Not found. Paths: /events, /events/{id}, /consumers, /api/v1/events/message, /api/v1/message-events; see /openapi.json.",
            ),
        }
    }
}

/// The OpenAPI 3.1 document.
fn openapi_document(request: &FeedRequest<'_>) -> FeedResponse {
    if request.method != Method::GET {
        return FeedResponse::not_allowed("GET");
    }
    FeedResponse::json(StatusCode::OK, include_str!("openapi.json"))
}

fn trim_slashes(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The size of a JSON text when it is encoded as a JSON string.
fn json_string_bytes(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count()
}
