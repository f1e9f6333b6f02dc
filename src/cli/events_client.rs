//! A client of `/events`: reads pages of a running server's log, or of the function `feed` on AWS.

use clap::Args;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::subscriber::escape_control_characters;
use crate::util::error::error_chain;
use crate::util::http_client;

/// How long one request waits for events, in seconds: the maximum of the API.
pub(super) const WAIT_SECONDS: u32 = 25;
pub(super) const EVENTS_PER_PAGE: u32 = 500;

/// The log to read, and which of its events.
#[derive(Args)]
pub(super) struct LogSelection {
    /// Read from this server, or from the URL in the stack's output FunctionUrlEndpoint
    #[arg(long, env = "HOOKBRIDGE_URL", value_name = "URL", default_value = "http://127.0.0.1:8787")]
    pub(super) from: Url,
    /// Authenticate with this API token; a local server without a token needs none
    #[arg(long, env = "HOOKBRIDGE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(super) token: Option<String>,
    /// Only events of this type, or of this prefix if it ends in *; repeatable
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) types: Vec<String>,
    /// Only events of this source; repeatable
    #[arg(long = "source", value_name = "SOURCE")]
    pub(super) sources: Vec<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum EventsError {
    #[error("--from: '{0}' is not a URL of a server; write https://HOST")]
    Url(Url),
    #[error("cannot read the system's root certificates: {0}")]
    Client(reqwest::Error),
    #[error("no response from {url}: {error}; start `hookbridge serve`, or name another server with --from")]
    NoResponse { url: Url, error: String },
    #[error(
        "{url} answered 401: the API token is missing or invalid; pass a valid token with --token or in HOOKBRIDGE_TOKEN"
    )]
    Unauthorized { url: Url },
    #[error("{url} answered {status}: {message}")]
    Status { url: Url, status: u16, message: String },
    #[error("{url} answered 404; pass the base URL of the server in --from, without /events")]
    NotFound { url: Url },
    #[error("the response of {url} is not a page of events: {error}")]
    InvalidResponse { url: Url, error: String },
}

impl EventsError {
    /// Whether the same request may succeed later.
    pub(super) fn is_transient(&self) -> bool {
        match self {
            Self::NoResponse { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// A page of events, as the API returns it.
#[derive(Deserialize)]
pub(super) struct Page {
    pub(super) data: Vec<Box<RawValue>>,
    pub(super) has_more: bool,
    pub(super) cursor: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<ErrorMessage>,
}

#[derive(Deserialize)]
struct ErrorMessage {
    message: String,
}

/// Reads pages of events.
pub(super) struct EventsClient {
    http: reqwest::Client,
    url: Url,
    token: Option<String>,
    filter: Vec<(&'static str, String)>,
}

/// The server and the filter, by which a checkpoint recognises its log.
impl std::fmt::Display for LogSelection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} types {:?} sources {:?}", self.from, self.types, self.sources)
    }
}

impl LogSelection {
    pub(super) fn client(&self) -> Result<EventsClient, EventsError> {
        let invalid_url = || EventsError::Url(self.from.clone());
        let host = self.from.host_str().ok_or_else(invalid_url)?;
        let mut url = self.from.clone();
        url.path_segments_mut().map_err(|()| invalid_url())?.pop_if_empty().push("events");
        let types = self.types.iter().map(|text| ("type", text.clone()));
        let sources = self.sources.iter().map(|text| ("source", text.clone()));
        let http = http_client::client_for(host).map_err(EventsError::Client)?;
        Ok(EventsClient { http, url, token: self.token.clone(), filter: types.chain(sources).collect() })
    }
}

impl EventsClient {
    /// Requests a page.
    pub(super) async fn page(&self, query: &[(&str, String)]) -> Result<Page, EventsError> {
        let url = || self.url.clone();
        let mut url_with_query = url();
        url_with_query.query_pairs_mut().extend_pairs(query).extend_pairs(&self.filter);
        let mut request = self.http.get(url_with_query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let response = request.send().await.map_err(|error| no_response(url(), error))?;
        let status = response.status();
        let body = response.text().await.map_err(|error| no_response(url(), error))?;
        if status == StatusCode::UNAUTHORIZED {
            return Err(EventsError::Unauthorized { url: url() });
        }
        if status == StatusCode::NOT_FOUND {
            return Err(EventsError::NotFound { url: url() });
        }
        if !status.is_success() {
            let message = serde_json::from_str(&body)
                .ok()
                .and_then(|ErrorBody { errors }| errors.into_iter().next())
                .map_or_else(String::new, |error| escape_control_characters(&error.message));
            return Err(EventsError::Status { url: url(), status: status.as_u16(), message });
        }
        serde_json::from_str(&body)
            .map_err(|error| EventsError::InvalidResponse { url: url(), error: error.to_string() })
    }
}

fn no_response(url: Url, error: reqwest::Error) -> EventsError {
    EventsError::NoResponse { url, error: error_chain(&error.without_url()) }
}
