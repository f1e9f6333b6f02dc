//! `/consumers`: named consumers, whose cursors are stored in the log's database.
//!
//! Several readers can share a consumer, but only one at a time holds the lease on a page of events. If that reader does not
//! acknowledge the page before the lease expires, the next reader receives the same events. So readers receive each event at
//! least once.

use std::time::Duration;

use http::{HeaderName, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::error::ApiError;
use super::events::format::Format;
use super::events::long_poll::retry_while_unavailable;
use super::events::page_response;
use super::events::query::{AllowedParameters, EventQuery, LogPoint};
use super::events::reader::LogReader;
use super::{ApiRequest, ApiResponse, TokenScope, cursor};
use crate::db::DatabaseError;
use crate::log::{Bounds, Consumer, Lag, LeaseOutcome, Position};
use crate::util::names::{MAX_NAME_CHARS, is_valid_name};

/// The response header with the id of the lease on the returned events. The acknowledgement of these events must contain the id.
const LEASE_HEADER: HeaderName = HeaderName::from_static("hookbridge-lease");
const DEFAULT_LEASE_SECONDS: u64 = 60;
const MAX_LEASE_SECONDS: u64 = 3600;
/// The pause between two checks whether another reader's lease has ended.
const LEASE_POLL_INTERVAL: Duration = Duration::from_millis(250);

/// The request body of `PUT /consumers/{name}` and `POST /consumers/{name}/seek`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SeekRequest {
    after: String,
}

/// The request body of `POST /consumers/{name}/ack`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AckRequest {
    cursor: String,
    lease: String,
}

/// Handles a request; `segments` are the path segments after `/consumers`.
pub(super) async fn route(
    reader: &LogReader,
    request: &ApiRequest<'_>,
    scope: &TokenScope,
    segments: &[&str],
) -> Result<ApiResponse, ApiError> {
    if *scope != TokenScope::AllSources {
        return Err(ApiError::Forbidden(
            "Tokens restricted to sources cannot use consumers: continue from a cursor of GET /events.",
        ));
    }
    if segments.first().is_some_and(|name| !is_valid_name(name)) {
        return Err(ApiError::BadRequest(format!(
            "A consumer's name begins with a letter or digit, and contains at most {MAX_NAME_CHARS} letters, digits, '-', '_' and '.'."
        )));
    }
    if !request.query.is_empty() && segments.get(1) != Some(&"events") {
        return Err(ApiError::BadRequest(
            "This path takes no parameters; specify the start in the body.".into(),
        ));
    }
    let consumers = Consumers(reader);
    match (segments, request.method) {
        ([], &Method::GET) => consumers.list().await,
        ([], _) => Err(ApiError::MethodNotAllowed("GET")),
        ([name], &Method::GET) => consumers.show(name).await,
        ([name], &Method::PUT) => consumers.create(name, request.body).await,
        ([name], &Method::DELETE) => consumers.delete(name).await,
        ([_], _) => Err(ApiError::MethodNotAllowed("GET, PUT, DELETE")),
        ([name, "events"], &Method::GET) => consumers.read_events(name, request).await,
        ([_, "events"], _) => Err(ApiError::MethodNotAllowed("GET")),
        ([name, "ack"], &Method::POST) => consumers.acknowledge(name, request.body).await,
        ([name, "seek"], &Method::POST) => consumers.seek(name, request.body).await,
        ([_, "ack" | "seek"], _) => Err(ApiError::MethodNotAllowed("POST")),
        _ => Err(ApiError::NotFound("Not found. Paths of a consumer: events, ack, seek.".into())),
    }
}

/// The error for a name that no consumer has.
fn not_found() -> ApiError {
    ApiError::NotFound("There is no consumer with this name; create it with PUT.".into())
}

/// The operations on the consumers of a log.
struct Consumers<'r>(&'r LogReader);

impl Consumers<'_> {
    async fn list(&self) -> Result<ApiResponse, ApiError> {
        let mut consumers = Vec::new();
        let bounds = self.0.log.bounds().await?;
        for consumer in self.0.log.find_consumers(None).await? {
            consumers.push(self.consumer_json(&consumer, bounds).await?);
        }
        Ok(ApiResponse::json(StatusCode::OK, json!({"object": "list", "data": consumers}).to_string()))
    }

    async fn show(&self, name: &str) -> Result<ApiResponse, ApiError> {
        let consumer = self.find(name).await?;
        let json = self.consumer_json(&consumer, self.0.log.bounds().await?).await?;
        Ok(ApiResponse::json(StatusCode::OK, json.to_string()))
    }

    async fn find(&self, name: &str) -> Result<Consumer, ApiError> {
        self.0.log.find_consumers(Some(name)).await?.pop().ok_or_else(not_found)
    }

    async fn consumer_json(&self, consumer: &Consumer, bounds: Bounds) -> Result<Value, DatabaseError> {
        let Lag { events, seconds } = consumer.lag(&self.0.log, bounds).await?;
        let format_time = |time: Option<Timestamp>| time.map(|time| format!("{time:.3}"));
        Ok(json!({
            "object": "consumer",
            "name": consumer.name,
            "cursor": cursor::encode_cursor(consumer.position, self.0.cursor_signing_key().await?),
            "lag": {"events": events, "seconds": seconds},
            "expired": consumer.position < bounds.first_position,
            "leased_until": format_time(consumer.leased_until),
            "acknowledged": format_time(consumer.acknowledged_at),
        }))
    }

    async fn create(&self, name: &str, body: &[u8]) -> Result<ApiResponse, ApiError> {
        let point = if body.is_empty() {
            LogPoint::Start
        } else {
            LogPoint::parse(&parse_body::<SeekRequest>(body)?.after)
        };
        let position = self.0.resolve_point(&point).await?;
        let is_new = self.0.log.create_consumer(name, position).await?;
        let mut response = self.show(name).await?;
        response.status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok(response)
    }

    async fn delete(&self, name: &str) -> Result<ApiResponse, ApiError> {
        if self.0.log.delete_consumer(name).await? {
            return Ok(ApiResponse::empty(StatusCode::NO_CONTENT));
        }
        Err(not_found())
    }

    async fn acknowledge(&self, name: &str, body: &[u8]) -> Result<ApiResponse, ApiError> {
        let AckRequest { cursor, lease } = parse_body(body)?;
        let position = self.0.resolve_point(&LogPoint::Cursor(cursor)).await?;
        if !self.0.log.acknowledge(name, &lease, position).await? {
            // If the consumer does not exist, `find` returns the error 404, which says more than `not_leased`.
            self.find(name).await?;
            return Err(ApiError::NotLeased);
        }
        self.show(name).await
    }

    async fn seek(&self, name: &str, body: &[u8]) -> Result<ApiResponse, ApiError> {
        let position =
            self.0.resolve_point(&LogPoint::parse(&parse_body::<SeekRequest>(body)?.after)).await?;
        if self.0.log.seek(name, position).await? { self.show(name).await } else { Err(not_found()) }
    }

    /// Reads the consumer's next page of events and leases the page to the reader. An empty page has no lease.
    async fn read_events(&self, name: &str, request: &ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
        let (query, lease_duration) = parse_query(request.query)?;
        let deadline = Instant::now() + query.wait.min(request.max_wait);
        let key = self.0.cursor_signing_key().await?.clone();
        let format = Format::for_page(request.header(header::ACCEPT));
        loop {
            let consumer = retry_while_unavailable(deadline, || self.find(name)).await?;
            let wait = deadline.saturating_duration_since(Instant::now());
            if consumer.leased_until.is_some() {
                if wait.is_zero() {
                    return Err(ApiError::Leased(consumer.leased_until));
                }
                sleep(LEASE_POLL_INTERVAL.min(wait)).await;
                continue;
            }
            // The lease is acquired after the wait for events, so that a waiting reader does not block other readers.
            let page = self.0.page_after(consumer.position, &query, deadline).await?;
            let lease = format!("{:032x}", fastrand::u128(..));
            match self.0.log.acquire_lease(name, &lease, lease_duration).await? {
                LeaseOutcome::AlreadyLeased if wait.is_zero() => {
                    return Err(ApiError::Leased(self.find(name).await?.leased_until));
                }
                LeaseOutcome::AlreadyLeased => {}
                // The consumer moved while this request read the page, for example because another reader acknowledged events:
                // read the page again from the new position.
                LeaseOutcome::Acquired(position) if position != consumer.position => {
                    self.release_lease(name, &lease, position).await?;
                }
                LeaseOutcome::Acquired(_) if page.events.is_empty() => {
                    // The page has no matching event: move the consumer past the scanned range.
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

    /// Moves the consumer to `position` and releases the lease.
    async fn release_lease(&self, name: &str, lease: &str, position: Position) -> Result<(), DatabaseError> {
        self.0.log.acknowledge(name, lease, position).await.map(drop)
    }
}

/// Parses a query string. Returns the event query, and the duration of the lease from the parameter `lease` (in seconds).
fn parse_query(query: &str) -> Result<(EventQuery, Duration), ApiError> {
    let is_lease_parameter = |pair: &&str| pair.split('=').next() == Some("lease");
    let (lease_pairs, other_pairs): (Vec<_>, Vec<_>) = query.split('&').partition(is_lease_parameter);
    let seconds = match lease_pairs.as_slice() {
        [] => DEFAULT_LEASE_SECONDS,
        [pair] => pair["lease".len()..].trim_start_matches('=').parse().unwrap_or(0),
        _ => 0,
    };
    if !(1..=MAX_LEASE_SECONDS).contains(&seconds) {
        return Err(ApiError::BadRequest(format!(
            "lease must be a whole number from 1 to {MAX_LEASE_SECONDS}"
        )));
    }
    Ok((
        EventQuery::parse(&other_pairs.join("&"), AllowedParameters::Consumer)?,
        Duration::from_secs(seconds),
    ))
}

/// Parses a JSON body. The error names the line and the column, never the content.
fn parse_body<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let message = match error.classify() {
            serde_json::error::Category::Data => "the body does not match the schema; see /openapi.json",
            _ => "the body is not JSON",
        };
        ApiError::BadRequest(format!("{message} (line {}, column {})", error.line(), error.column()))
    })
}
