//! `hookbridge events`: prints events of a running server's log, or of the function `feed` on AWS, and follows the log.

use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::sleep;
use tracing::warn;

use super::subscriber::escape_control_characters;
use crate::util::error::error_chain;
use crate::util::{http_client, output};

/// How long one request waits for events, in seconds: the maximum of the API.
const WAIT_SECONDS: u32 = 25;
const EVENTS_PER_PAGE: u32 = 500;
const MIN_RETRY_PAUSE: Duration = Duration::from_secs(1);
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(30);

/// Print the events of a log, and follow new ones
///
/// Reads /events of a running `hookbridge serve`, or of the event log's stack on AWS.
#[derive(Args)]
pub struct Events {
    /// Read from this server, or from the URL in the stack's output FunctionUrlEndpoint
    #[arg(long, env = "HOOKBRIDGE_URL", value_name = "URL", default_value = "http://127.0.0.1:8787")]
    from: Url,
    /// Authenticate with this API token; a local server without a token needs none
    #[arg(long, env = "HOOKBRIDGE_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<String>,
    /// Print all events after this point: a cursor, start, now, or a time (events recorded since then) [default: print only the newest
    /// events, see --limit]
    #[arg(long, value_name = "POINT")]
    after: Option<String>,
    /// Print only events of this type, or of this prefix if it ends in *; repeatable
    #[arg(long = "type", value_name = "TYPE")]
    types: Vec<String>,
    /// Print only events of this source; repeatable
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<String>,
    /// Print this number of newest events, if --after is not set
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Wait for further events, and print them as they are recorded
    #[arg(long)]
    follow: bool,
    /// Print each event as one line of JSON (EventBridge envelope)
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
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
    fn is_transient(&self) -> bool {
        match self {
            Self::NoResponse { .. } => true,
            Self::Status { status, .. } => *status == 429 || *status >= 500,
            _ => false,
        }
    }
}

/// A page of events, as the API returns it.
#[derive(Deserialize)]
struct Page {
    data: Vec<Box<RawValue>>,
    has_more: bool,
    cursor: String,
}

/// The fields of an event in the human-readable output.
#[derive(Deserialize)]
struct EventSummary {
    time: String,
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    id: String,
}

#[derive(Deserialize)]
struct ErrorBody {
    errors: Vec<ErrorMessage>,
}

#[derive(Deserialize)]
struct ErrorMessage {
    message: String,
}

struct EventsClient {
    http: reqwest::Client,
    url: Url,
    token: Option<String>,
    filter: Vec<(&'static str, String)>,
}

impl Events {
    /// Prints the events, and with `--follow` those that are recorded from then on.
    pub async fn run(self) -> Result<(), EventsError> {
        let client = self.client()?;
        let mut cursor = match self.after.clone() {
            Some(after) => after,
            None => {
                let end = client.page(&[("after", "now".into()), ("limit", "1".into())]).await?.cursor;
                let newest = [("before", end.clone()), ("limit", self.limit.to_string())];
                self.print(&client.page(&newest).await?);
                end
            }
        };
        let mut has_more = self.after.is_some();
        let mut pause = MIN_RETRY_PAUSE;
        while has_more || self.follow {
            let wait = if has_more || !self.follow { 0 } else { WAIT_SECONDS };
            let query = [
                ("after", cursor.clone()),
                ("limit", EVENTS_PER_PAGE.to_string()),
                ("wait", wait.to_string()),
            ];
            match client.page(&query).await {
                Ok(page) => {
                    self.print(&page);
                    (cursor, has_more, pause) = (page.cursor, page.has_more, MIN_RETRY_PAUSE);
                }
                Err(error) if self.follow && error.is_transient() => {
                    warn!("{error}; trying again in {} s", pause.as_secs());
                    sleep(pause).await;
                    pause = (pause * 2).min(MAX_RETRY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn client(&self) -> Result<EventsClient, EventsError> {
        let invalid_url = || EventsError::Url(self.from.clone());
        let host = self.from.host_str().ok_or_else(invalid_url)?;
        let mut url = self.from.clone();
        url.path_segments_mut().map_err(|()| invalid_url())?.pop_if_empty().push("events");
        let types = self.types.iter().map(|text| ("type", text.clone()));
        let sources = self.sources.iter().map(|text| ("source", text.clone()));
        let http = http_client::client_for(host).map_err(EventsError::Client)?;
        Ok(EventsClient { http, url, token: self.token.clone(), filter: types.chain(sources).collect() })
    }

    fn print(&self, page: &Page) {
        for event in &page.data {
            match serde_json::from_str::<EventSummary>(event.get()) {
                Ok(EventSummary { time, source, detail_type, id }) if !self.json => {
                    let line = format!("{time}  {source}  {detail_type}  {id}");
                    output::print_line(&escape_control_characters(&line));
                }
                // In JSON, a raw line break occurs only between tokens.
                _ => output::print_line(&event.get().replace(['\r', '\n'], "")),
            }
        }
    }
}

impl EventsClient {
    async fn page(&self, query: &[(&str, String)]) -> Result<Page, EventsError> {
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
