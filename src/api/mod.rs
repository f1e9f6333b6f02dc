//! The HTTP API: the log (`events`, `consumers`, `search`), subscribers and their deliveries.
//!
//! `hookbridge serve` serves an [`Api`] with all resources; the function `feed` serves the resources of the log, and the function
//! `subscribers` serves subscribers and deliveries. Responses contain personal data, so `serve` and the functions authenticate
//! every request before they read or decode its body.
//!
//! This module authenticates requests, and `routes` dispatches authenticated requests by path. Every response is an
//! [`ApiResponse`], errors included. `openapi.json` describes all routes.

mod auth;
mod body;
mod consumers;
#[cfg(feature = "command")]
pub(crate) mod cursor;
#[cfg(not(feature = "command"))]
mod cursor;
mod deliveries;
mod environment;
mod error;
mod events;
mod function;
#[cfg(feature = "command")]
mod replays;
mod response;
mod routes;
mod search;
mod subscribers;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, header};
use tracing::error;

pub use auth::{ApiToken, AuthenticatedToken, Authenticator, TokenList, TokenScope};
pub use environment::FeedEnvironment;
pub use events::long_poll::MAX_WAIT;
pub use events::stream::{EventStream, STREAM_HEADERS, is_stream_request};
pub use function::ApiFunction;
pub use response::ApiResponse;
pub use search::SEARCH_PATHS;

use crate::delivery::SubscriberService;
use crate::log::EventLog;
pub(crate) use error::ApiError;
use events::reader::LogReader;
pub(crate) use routes::ResourceGroup;
use routes::{LogResources, SubscriberResources};
#[cfg(feature = "command")]
use {crate::bus::Bus, crate::delivery::SsrfGuard};
#[cfg(feature = "command")]
pub(crate) use {body::parse_body, routes::RouteFuture};

/// How long a request waits for a database connection. A client that gets a 503 soon can try again or ask another instance.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(2500);
/// The maximum size of the events in a response, measured after escaping for a JSON string. A Lambda function returns the
/// response body as a JSON string, and Lambda limits the whole response to 6 MB.
const MAX_RESPONSE_BYTES: usize = 5_000_000;
/// The maximum size of a request body.
pub const MAX_BODY_BYTES: usize = 64 * 1024;

/// The API with the resources that it serves.
pub struct Api {
    authenticator: Authenticator,
    groups: Vec<Box<dyn ResourceGroup>>,
}

/// A request to the API, independent of the HTTP server or Lambda event from which it came.
#[derive(Clone, Copy)]
pub struct ApiRequest<'a> {
    pub method: &'a Method,
    /// The path, which begins with a slash.
    pub path: &'a str,
    /// The query string, without the question mark.
    pub query: &'a str,
    pub headers: &'a HeaderMap,
    pub body: &'a [u8],
    /// The longest time for which a long poll may wait.
    pub max_wait: Duration,
    /// Whether the response of a page needs [`ApiResponse::event_urns`].
    pub needs_event_urns: bool,
}

impl<'a> ApiRequest<'a> {
    /// Returns the value of a header: `None` if the header is absent, an empty text if the value is not ASCII text.
    fn header(&self, name: header::HeaderName) -> Option<&'a str> {
        self.headers.get(name).map(|value| value.to_str().unwrap_or(""))
    }
}

impl Api {
    /// Creates an API that serves no resources yet.
    pub fn new(authenticator: Authenticator) -> Self {
        Self { authenticator, groups: Vec::new() }
    }

    /// Adds the resources of the log: events, consumers and the search.
    #[must_use]
    pub fn with_log(mut self, log: EventLog) -> Self {
        let log = log.with_acquire_timeout(ACQUIRE_TIMEOUT);
        self.groups.push(Box::new(LogResources(Arc::new(LogReader::new(log)))));
        self
    }

    /// Adds the resources of delivery: subscribers and deliveries.
    #[must_use]
    pub fn with_subscribers(mut self, service: SubscriberService) -> Self {
        let store = service.store.with_acquire_timeout(ACQUIRE_TIMEOUT);
        let reader = LogReader::new(EventLog::new(store.database().clone()));
        let service = SubscriberService { store, ..service };
        self.groups.push(Box::new(SubscriberResources { service, reader }));
        self
    }

    /// Adds the resources of replays, to the bus or to URLs that the guard permits.
    #[cfg(feature = "command")]
    #[must_use]
    pub(crate) fn with_replays(mut self, log: EventLog, bus: impl Bus + Clone, guard: SsrfGuard) -> Self {
        let reader = LogReader::new(log.with_acquire_timeout(ACQUIRE_TIMEOUT));
        self.groups.push(Box::new(replays::ReplayResources { reader, bus, guard }));
        self
    }

    /// Adds the resources of the server itself.
    #[cfg(feature = "command")]
    #[must_use]
    pub(crate) fn with_group(mut self, group: impl ResourceGroup + 'static) -> Self {
        self.groups.push(Box::new(group));
        self
    }

    /// Authenticates a request by its `Authorization` header or, if `is_signed`, by its SigV4 signature, which AWS has verified.
    /// Also checks that the token's scope allows the path. Callers authenticate a request before they read or decode its body.
    ///
    /// # Errors
    /// The error response: 401 for a missing or invalid token; 403 for a token whose scope excludes the path; 503 if the token
    /// secret cannot be read.
    pub async fn authenticate(
        &self,
        headers: &HeaderMap,
        path: &str,
        is_signed: bool,
    ) -> Result<AuthenticatedToken, ApiResponse> {
        let authorization = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or(""));
        match self.authenticator.authenticate(authorization, is_signed).await {
            Ok(Some(token))
                if token.scope != TokenScope::AllSources
                    && self.find_group(path).is_some_and(|group| !group.allows_limited_tokens()) =>
            {
                Err(ApiError::Forbidden("This token is limited to some sources.").into_response())
            }
            Ok(Some(token)) => Ok(token),
            Ok(None) => Err(ApiError::Unauthorized.into_response()),
            Err(error) => {
                error!(
                    error = error.to_string(),
                    "cannot authenticate requests: the token secret is unavailable"
                );
                Err(ApiError::Unavailable.into_response())
            }
        }
    }

    /// Handles a request of a client that [`authenticate`](Self::authenticate) has accepted.
    pub async fn handle(&self, request: ApiRequest<'_>, token: &AuthenticatedToken) -> ApiResponse {
        let request = ApiRequest { path: trim_slash(request.path), ..request };
        // HEAD is handled like GET, except below `/consumers/`: there GET can acquire a lease, and HEAD is rejected.
        let is_head = request.method == Method::HEAD && !request.path.starts_with("/consumers/");
        let request = if is_head { ApiRequest { method: &Method::GET, ..request } } else { request };
        let response = self.route(&request, &token.scope).await.unwrap_or_else(ApiError::into_response);
        let mut response = response.finalize(&request);
        if is_head {
            response.body = Vec::new();
        }
        response
    }

    /// Opens a stream of events for a client that [`authenticate`](Self::authenticate) has accepted: returns its first chunk, and
    /// the stream of the remaining chunks.
    ///
    /// # Errors
    /// The response to return instead of a stream.
    pub async fn open_stream(
        &self,
        request: ApiRequest<'_>,
        token: &AuthenticatedToken,
    ) -> Result<(String, EventStream), ApiResponse> {
        match self.groups.iter().find_map(|group| group.open_stream(&request, &token.scope)) {
            Some(stream) => stream.await.map_err(ApiError::into_response),
            None => Err(self.handle(request, token).await),
        }
    }
}

fn trim_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// The size of a JSON text after escaping for a JSON string.
fn json_string_bytes(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count()
}
