//! Named consumers over HTTP: the server keeps their cursors.
//!
//! A consumer delivers each event at least once. One reader at a time holds the lease on a page of events; if it does not
//! acknowledge them before the lease expires, the next reader receives them again.

use std::time::Duration;

use http::{HeaderName, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::events::format::Format;
use super::events::query::{AllowedParameters, EventQuery, LogPoint};
use super::events::{PageError, page_response};
use super::response::FeedResponse;
use super::{Feed, FeedRequest, TokenScope};
use crate::db::DatabaseError;
use crate::log::{Bounds, Consumer, Lag, LeaseOutcome, Position};

/// Carries the lease of the returned events.
const LEASE_HEADER: HeaderName = HeaderName::from_static("hookbridge-lease");
const DEFAULT_LEASE_SECONDS: u64 = 60;
const MAX_LEASE_SECONDS: u64 = 3600;
const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(250);
const MAX_NAME_CHARS: usize = 64;

/// The body of `PUT /consumers/{name}` and of `seek`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeekRequest {
    after: String,
}

/// The body of `ack`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AckRequest {
    cursor: String,
    lease: String,
}

enum ConsumerError {
    NotFound,
    /// Another reader holds the lease.
    Leased(Option<Timestamp>),
    /// The lease has expired, or belongs to another reader.
    NotLeased,
    Page(PageError),
}

impl<E: Into<PageError>> From<E> for ConsumerError {
    fn from(error: E) -> Self {
        Self::Page(error.into())
    }
}

impl ConsumerError {
    fn to_response(&self) -> FeedResponse {
        match self {
            Self::NotFound => FeedResponse::error(
                StatusCode::NOT_FOUND,
                "There is no consumer with this name; create it with PUT.",
            ),
            Self::Leased(until) => {
                let until = until.map(|until| format!(" until {until:.0}")).unwrap_or_default();
                let message = format!("Another reader holds the lease of this consumer{until}.");
                FeedResponse::error_with_code(StatusCode::CONFLICT, "leased", &message)
                    .with_header(header::RETRY_AFTER, "1")
            }
            Self::NotLeased => FeedResponse::error_with_code(
                StatusCode::CONFLICT,
                "not_leased",
                "The lease has expired, or the consumer was moved. Read the events again; they may repeat.",
            ),
            Self::Page(error) => error.to_response(),
        }
    }
}

impl Feed {
    /// Routes requests below `/consumers`; `parts` are the path segments after it.
    pub(super) async fn route_consumers(
        &self,
        request: &FeedRequest<'_>,
        scope: &TokenScope,
        parts: &[&str],
    ) -> FeedResponse {
        if *scope != TokenScope::AllSources {
            let message =
                "Tokens restricted to sources cannot use consumers: continue from a cursor of GET /events.";
            return FeedResponse::error(StatusCode::FORBIDDEN, message);
        }
        if parts.first().is_some_and(|name| !is_valid_name(name)) {
            let message = format!(
                "A consumer's name begins with a letter or digit, and contains at most {MAX_NAME_CHARS} letters, digits, '-', '_' and '.'."
            );
            return FeedResponse::error(StatusCode::BAD_REQUEST, &message);
        }
        if !request.query.is_empty() && parts.get(1) != Some(&"events") {
            let message = "This path takes no parameters; specify the start in the body.";
            return FeedResponse::error(StatusCode::BAD_REQUEST, message);
        }
        let response = match (parts, request.method) {
            ([], &Method::GET) => self.list_consumers().await,
            ([], _) => return FeedResponse::not_allowed("GET"),
            ([name], &Method::GET) => self.show_consumer(name).await,
            ([name], &Method::PUT) => self.create_consumer(name, request.body).await,
            ([name], &Method::DELETE) => self.delete_consumer(name).await,
            ([_], _) => return FeedResponse::not_allowed("GET, PUT, DELETE"),
            ([name, "events"], &Method::GET) => self.read_events(name, request).await,
            ([_, "events"], _) => return FeedResponse::not_allowed("GET"),
            ([name, "ack"], &Method::POST) => self.acknowledge(name, request.body).await,
            ([name, "seek"], &Method::POST) => self.seek(name, request.body).await,
            ([_, "ack" | "seek"], _) => return FeedResponse::not_allowed("POST"),
            _ => {
                return FeedResponse::error(
                    StatusCode::NOT_FOUND,
                    "Not found. Paths of a consumer: events, ack, seek.",
                );
            }
        };
        response.unwrap_or_else(|error| error.to_response())
    }

    async fn list_consumers(&self) -> Result<FeedResponse, ConsumerError> {
        let mut consumers = Vec::new();
        let bounds = self.log.bounds().await?;
        for consumer in self.log.find_consumers(None).await? {
            consumers.push(self.consumer_json(&consumer, bounds).await?);
        }
        Ok(FeedResponse::json(StatusCode::OK, json!({"object": "list", "data": consumers}).to_string()))
    }

    async fn show_consumer(&self, name: &str) -> Result<FeedResponse, ConsumerError> {
        let consumer = self.find_consumer(name).await?;
        let json = self.consumer_json(&consumer, self.log.bounds().await?).await?;
        Ok(FeedResponse::json(StatusCode::OK, json.to_string()))
    }

    async fn find_consumer(&self, name: &str) -> Result<Consumer, ConsumerError> {
        self.log.find_consumers(Some(name)).await?.pop().ok_or(ConsumerError::NotFound)
    }

    async fn consumer_json(&self, consumer: &Consumer, bounds: Bounds) -> Result<Value, DatabaseError> {
        let Lag { events, seconds } = consumer.lag(&self.log, bounds).await?;
        let time = |time: Option<Timestamp>| time.map(|time| format!("{time:.3}"));
        Ok(json!({
            "object": "consumer",
            "name": consumer.name,
            "cursor": super::events::cursor::encode_cursor(consumer.position, self.cursor_signing_key().await?),
            "lag": {"events": events, "seconds": seconds},
            "expired": consumer.position < bounds.first_position,
            "leased_until": time(consumer.leased_until),
            "acknowledged": time(consumer.acknowledged_at),
        }))
    }

    async fn create_consumer(&self, name: &str, body: &[u8]) -> Result<FeedResponse, ConsumerError> {
        let point = if body.is_empty() {
            LogPoint::Start
        } else {
            LogPoint::parse(&parse_body::<SeekRequest>(body)?.after)
        };
        let position = self.resolve_point(&point).await?;
        let is_new = self.log.create_consumer(name, position).await?;
        let mut response = self.show_consumer(name).await?;
        response.status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok(response)
    }

    async fn delete_consumer(&self, name: &str) -> Result<FeedResponse, ConsumerError> {
        if self.log.delete_consumer(name).await? {
            return Ok(FeedResponse::empty(StatusCode::NO_CONTENT));
        }
        Err(ConsumerError::NotFound)
    }

    async fn acknowledge(&self, name: &str, body: &[u8]) -> Result<FeedResponse, ConsumerError> {
        let AckRequest { cursor, lease } = parse_body(body)?;
        let position = self.resolve_point(&LogPoint::Cursor(cursor)).await?;
        if !self.log.acknowledge(name, &lease, position).await? {
            // A 404 takes precedence over `not_leased`.
            self.find_consumer(name).await?;
            return Err(ConsumerError::NotLeased);
        }
        self.show_consumer(name).await
    }

    async fn seek(&self, name: &str, body: &[u8]) -> Result<FeedResponse, ConsumerError> {
        let position = self.resolve_point(&LogPoint::parse(&parse_body::<SeekRequest>(body)?.after)).await?;
        if self.log.seek(name, position).await? {
            self.show_consumer(name).await
        } else {
            Err(ConsumerError::NotFound)
        }
    }

    /// Returns the next events with a lease; an empty page has no lease.
    async fn read_events(
        &self,
        name: &str,
        request: &FeedRequest<'_>,
    ) -> Result<FeedResponse, ConsumerError> {
        let (query, lease_duration) = parse_query(request.query)?;
        let deadline = Instant::now() + query.wait.min(request.max_wait);
        let key = self.cursor_signing_key().await?.clone();
        let format = Format::for_page(request.header(header::ACCEPT));
        loop {
            let consumer = self.find_consumer(name).await?;
            let wait = deadline.saturating_duration_since(Instant::now());
            if consumer.leased_until.is_some() {
                if wait.is_zero() {
                    return Err(ConsumerError::Leased(consumer.leased_until));
                }
                sleep(LEASE_POLL_INTERVAL.min(wait)).await;
                continue;
            }
            // A waiting reader holds no lease.
            let query = EventQuery { wait, ..query.clone() };
            let page = self.page_after(consumer.position, &query).await?;
            let lease = format!("{:032x}", fastrand::u128(..));
            match self.log.acquire_lease(name, &lease, lease_duration).await? {
                LeaseOutcome::AlreadyLeased if wait.is_zero() => {
                    return Err(ConsumerError::Leased(self.find_consumer(name).await?.leased_until));
                }
                LeaseOutcome::AlreadyLeased => {}
                // Another reader moved the consumer while this one read.
                LeaseOutcome::Acquired(position) if position != consumer.position => {
                    self.release_lease(name, &lease, position).await?;
                }
                LeaseOutcome::Acquired(_) if page.events.is_empty() => {
                    // No event matched the filter: move past the scanned range.
                    self.release_lease(name, &lease, page.next_position).await?;
                    return Ok(page_response(request, format, &query, &page, &key, None));
                }
                LeaseOutcome::Acquired(_) => {
                    let response = page_response(request, format, &query, &page, &key, Some(&lease));
                    return Ok(response.with_header(LEASE_HEADER, &lease));
                }
            }
        }
    }

    async fn release_lease(&self, name: &str, lease: &str, position: Position) -> Result<(), DatabaseError> {
        self.log.acknowledge(name, lease, position).await.map(drop)
    }
}

/// Parses the page query and the length of the lease.
fn parse_query(query: &str) -> Result<(EventQuery, Duration), PageError> {
    let is_lease = |pair: &&str| pair.split('=').next() == Some("lease");
    let (lease_pairs, other_pairs): (Vec<_>, Vec<_>) = query.split('&').partition(is_lease);
    let seconds = match lease_pairs.as_slice() {
        [] => DEFAULT_LEASE_SECONDS,
        [pair] => pair["lease".len()..].trim_start_matches('=').parse().unwrap_or(0),
        _ => 0,
    };
    if !(1..=MAX_LEASE_SECONDS).contains(&seconds) {
        return Err(PageError::BadRequest(format!(
            "lease must be a whole number from 1 to {MAX_LEASE_SECONDS}"
        )));
    }
    Ok((
        EventQuery::parse(&other_pairs.join("&"), AllowedParameters::Consumer)?,
        Duration::from_secs(seconds),
    ))
}

/// Parses a JSON body. The error names the position, never the content.
fn parse_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, PageError> {
    serde_json::from_slice(body).map_err(|error| {
        let message = match error.classify() {
            serde_json::error::Category::Data => "the body does not match the schema; see /openapi.json",
            _ => "the body is not JSON",
        };
        PageError::BadRequest(format!("{message} (line {}, column {})", error.line(), error.column()))
    })
}

fn is_valid_name(name: &str) -> bool {
    let is_allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let starts_alphanumeric = name.starts_with(|char: char| char.is_ascii_alphanumeric());
    starts_alphanumeric && name.len() <= MAX_NAME_CHARS && name.chars().all(is_allowed)
}
