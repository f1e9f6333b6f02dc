//! The HTTP client of deliveries: sends one signed request and classifies the response.
//!
//! A response with a status from 200 to 299 is a success. Every other status is a failure, redirects included. The client reads
//! and records at most the first 16 KB of the response body, for at most half of the time that is left until the subscriber's
//! timeout.

use std::error::Error as _;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::ssrf::{BlockedUrlError, SsrfGuard};
use super::subscriber::PreparedSubscriber;
use crate::util::http_client;

/// The maximum number of bytes of a response body that are recorded.
const MAX_RECORDED_BODY_BYTES: usize = 16 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The request header with the event's type. A body of the form [`Envelope::Body`](super::Envelope::Body) lacks the type.
const EVENT_TYPE_HEADER: HeaderName = HeaderName::from_static("hookbridge-event-type");
/// The request header with the number of the attempt, from 1.
const ATTEMPT_HEADER: HeaderName = HeaderName::from_static("hookbridge-attempt");

#[derive(Clone, Copy)]
pub struct DeliveryRequest<'a> {
    /// The event's id. It is the same at every attempt, so that the subscriber can recognise duplicates.
    pub event_id: &'a str,
    pub detail_type: &'a str,
    /// The event as JSON, in the form that EventBridge's targets receive.
    pub event_json: &'a str,
    /// The number of the attempt, from 1.
    pub attempt_number: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptResult {
    pub duration: Duration,
    /// The IP address that was dialled, if known. If there was a response, the port follows the address.
    pub address: Option<String>,
    pub outcome: Result<HttpResponse, AttemptError>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpResponse {
    pub status: u16,
    /// The first 16 KB of the response body; invalid UTF-8 is replaced.
    pub body: String,
    /// The delay that a failure response requests by a valid header `Retry-After`; `None` for every other response.
    pub retry_after: Option<SignedDuration>,
}

/// Why an attempt got no response. The messages contain no part of the request but the host of its URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttemptError {
    /// The SSRF guard blocked the URL or an address of its host.
    #[error("refused: {0}")]
    Blocked(BlockedUrlError),
    #[error("connect: {0}")]
    Connect(String),
    /// No response arrived within the subscriber's timeout, which is this number of seconds.
    #[error("timeout: no response within {0} s")]
    Timeout(u32),
    /// The response was not HTTP, or the connection broke.
    #[error("protocol: {0}")]
    Protocol(String),
    /// The request could not be built or signed.
    #[error("request: {0}")]
    NotSent(String),
}

impl From<BlockedUrlError> for AttemptError {
    fn from(blocked: BlockedUrlError) -> Self {
        Self::Blocked(blocked)
    }
}

impl AttemptResult {
    pub fn is_success(&self) -> bool {
        matches!(&self.outcome, Ok(response) if (200..300).contains(&response.status))
    }

    /// Whether the request could not be built or signed. Such a failure does not count against the subscriber's health.
    pub fn is_local_failure(&self) -> bool {
        matches!(self.outcome, Err(AttemptError::NotSent(_)))
    }

    /// Whether the subscriber answered 410 (Gone), which means that it wants no further events.
    pub fn is_gone(&self) -> bool {
        matches!(&self.outcome, Ok(response) if response.status == 410)
    }

    /// Whether the subscriber seems overloaded: it answered 429, 502, 503 or 504, or did not answer within its timeout.
    pub fn is_overload(&self) -> bool {
        match &self.outcome {
            Ok(response) => matches!(response.status, 429 | 502 | 503 | 504),
            Err(error) => matches!(error, AttemptError::Timeout(_)),
        }
    }

    pub fn retry_after(&self) -> Option<SignedDuration> {
        self.outcome.as_ref().ok().and_then(|response| response.retry_after)
    }

    /// The error text that is recorded; `None` for a success.
    pub fn error_text(&self) -> Option<String> {
        match &self.outcome {
            Ok(HttpResponse { status: 200..300, .. }) => None,
            Ok(HttpResponse { status: 300..400, .. }) => Some("redirect: redirects are not followed".into()),
            Ok(HttpResponse { status: 410, .. }) => Some("gone: the subscriber answered 410".into()),
            Ok(HttpResponse { status, .. }) => Some(format!("status: the subscriber answered {status}")),
            Err(error) => Some(error.to_string()),
        }
    }
}

#[derive(Clone)]
pub struct DeliveryClient {
    https_client: reqwest::Client,
    /// Sends requests to `http://` URLs, and dials only networks that the operator has allowed.
    plaintext_client: reqwest::Client,
    guard: SsrfGuard,
}

impl DeliveryClient {
    /// Creates a client that dials only the addresses that `guard` permits, uses no proxy, and follows no redirect.
    ///
    /// # Errors
    /// The system's root certificates cannot be read.
    pub fn new(guard: SsrfGuard) -> Result<Self, reqwest::Error> {
        let build_client = |guard: SsrfGuard| {
            http_client::client_builder()
                .no_proxy()
                .connect_timeout(CONNECT_TIMEOUT)
                .dns_resolver(guard)
                .pool_idle_timeout(Duration::from_secs(30))
                .build()
        };
        Ok(Self {
            https_client: build_client(guard.clone())?,
            plaintext_client: build_client(guard.clone().allowed_only())?,
            guard,
        })
    }

    pub fn guard(&self) -> &SsrfGuard {
        &self.guard
    }

    /// Sends one request, signed with the time `now`, and waits for the response until the subscriber's timeout.
    pub async fn send(
        &self,
        subscriber: &PreparedSubscriber,
        request: DeliveryRequest<'_>,
        now: Timestamp,
    ) -> AttemptResult {
        let started = Instant::now();
        let time_limit = Duration::from_secs(u64::from(subscriber.settings.timeout));
        let mut address = None;
        let outcome = match timeout(
            time_limit,
            self.exchange(subscriber, request, now, &mut address, started + time_limit),
        )
        .await
        {
            Ok(outcome) => outcome,
            Err(_) => Err(AttemptError::Timeout(subscriber.settings.timeout)),
        };
        let is_blocked = matches!(outcome, Err(AttemptError::Blocked(_)));
        let address = address.or_else(|| {
            Some(self.guard.last_address(subscriber.url.as_ref()?).filter(|_| !is_blocked)?.to_string())
        });
        AttemptResult { duration: started.elapsed(), address, outcome }
    }

    async fn exchange(
        &self,
        subscriber: &PreparedSubscriber,
        request: DeliveryRequest<'_>,
        now: Timestamp,
        address: &mut Option<String>,
        deadline: Instant,
    ) -> Result<HttpResponse, AttemptError> {
        let url = subscriber.url.as_ref().ok_or(BlockedUrlError::InvalidUrl)?;
        self.guard.check_literal(url)?;
        let client = if url.scheme() == "https" { &self.https_client } else { &self.plaintext_client };
        let not_sent = |message: &str| AttemptError::NotSent(message.to_owned());
        let body =
            subscriber.request_body(request.event_json).ok_or_else(|| not_sent("the event has no detail"))?;
        let signer = subscriber.signer(now).map_err(|error| AttemptError::NotSent(error.to_string()))?;
        let headers: HeaderMap = signer.headers(request.event_id, now, body.as_bytes()).into_iter().fold(
            HeaderMap::new(),
            |mut headers, (name, value)| {
                headers.append(name, value);
                headers
            },
        );
        let response = client
            .post(url.clone())
            .headers(headers)
            .header(header::CONTENT_TYPE, "application/json")
            .header(ATTEMPT_HEADER, request.attempt_number)
            .headers(
                HeaderValue::from_str(request.detail_type)
                    .map(|value| (EVENT_TYPE_HEADER, value))
                    .into_iter()
                    .collect(),
            )
            .body(body)
            .send()
            .await;
        let mut response = response.map_err(attempt_error)?;
        *address = response.remote_addr().map(|address| address.to_string());
        let status = response.status();
        let retry_after = parse_retry_after(status, response.headers(), now);
        let mut recorded_body = Vec::new();
        // Only the status decides the outcome, so an error while the body is read is ignored. Reading takes at most half of the
        // time that is left until the deadline.
        let read_limit = deadline.saturating_duration_since(Instant::now()) / 2;
        let _ = timeout(read_limit, async {
            while let Ok(Some(chunk)) = response.chunk().await {
                let room = MAX_RECORDED_BODY_BYTES - recorded_body.len();
                recorded_body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if recorded_body.len() == MAX_RECORDED_BODY_BYTES {
                    break;
                }
            }
        })
        .await;
        // NUL characters are replaced, because PostgreSQL's type `text` rejects them.
        let body = String::from_utf8_lossy(&recorded_body).replace('\0', "\u{fffd}");
        Ok(HttpResponse { status: status.as_u16(), body, retry_after })
    }
}

/// Returns the delay that a failure response requests by `Retry-After`. Source: RFC 9110, section 10.2.3.
fn parse_retry_after(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
    if status.is_success() {
        return None;
    }
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u32>() {
        return Some(SignedDuration::from_secs(i64::from(seconds)));
    }
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    Some(time.duration_since(now)).filter(SignedDuration::is_positive)
}

/// Converts an error of the HTTP client to an [`AttemptError`], whose message does not contain the request's URL.
fn attempt_error(error: reqwest::Error) -> AttemptError {
    let error = error.without_url();
    let mut cause = error.source();
    let mut message = error.to_string();
    while let Some(source) = cause {
        if let Some(blocked) = source.downcast_ref::<BlockedUrlError>() {
            return AttemptError::Blocked(blocked.clone());
        }
        message = source.to_string();
        cause = source.source();
    }
    if error.is_connect() {
        return AttemptError::Connect(message);
    }
    if error.is_builder() { AttemptError::NotSent(message) } else { AttemptError::Protocol(message) }
}
