//! The HTTP client of deliveries: sends one signed request and classifies the response.
//!
//! A response with a status from 200 to 299 is a success. Every other status is a failure, redirects included. The client reads
//! and records at most the first 16 KB of the response body, for at most half of the time that is left until the subscriber's
//! timeout.

use std::error::Error as _;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::connection::HttpClient;
use super::ssrf::{BlockedUrlError, SsrfGuard};
use super::subscriber::PreparedSubscriber;

/// The maximum number of bytes of a response body that are recorded.
const MAX_RECORDED_BODY_BYTES: usize = 16 * 1024;
const USER_AGENT: &str = concat!("hookbridge/", env!("CARGO_PKG_VERSION"));
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
    /// Whether the request was sent a second time, because a kept-alive connection broke before any byte of a response.
    pub is_repeated: bool,
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
    https_client: HttpClient,
    /// Sends requests to `http://` URLs, and dials only networks that the operator has allowed.
    plaintext_client: HttpClient,
    guard: SsrfGuard,
}

impl DeliveryClient {
    /// Creates a client that dials only the addresses that `guard` permits, uses no proxy, and follows no redirect.
    ///
    /// # Errors
    /// The system's root certificates cannot be read.
    pub fn new(guard: SsrfGuard) -> io::Result<Self> {
        Ok(Self {
            https_client: HttpClient::new(guard.clone())?,
            plaintext_client: HttpClient::new(guard.clone().allowed_only())?,
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
        let (mut address, mut is_repeated) = (None, false);
        let connection = (&mut address, &mut is_repeated);
        let outcome = match timeout(
            time_limit,
            self.exchange(subscriber, request, now, connection, started + time_limit),
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
        AttemptResult { duration: started.elapsed(), address, is_repeated, outcome }
    }

    async fn exchange(
        &self,
        subscriber: &PreparedSubscriber,
        request: DeliveryRequest<'_>,
        now: Timestamp,
        (address, is_repeated): (&mut Option<String>, &mut bool),
        deadline: Instant,
    ) -> Result<HttpResponse, AttemptError> {
        let url = subscriber.url.as_ref().ok_or(BlockedUrlError::InvalidUrl)?;
        self.guard.check_literal(url)?;
        let client = if url.scheme() == "https" { &self.https_client } else { &self.plaintext_client };
        let not_sent = |message: &str| AttemptError::NotSent(message.to_owned());
        let body =
            subscriber.request_body(request.event_json).ok_or_else(|| not_sent("the event has no detail"))?;
        let signer = subscriber.signer(now).map_err(|error| AttemptError::NotSent(error.to_string()))?;
        let mut request_builder = Request::post(url.as_str())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::ACCEPT, "*/*")
            .header(ATTEMPT_HEADER, request.attempt_number);
        if let Ok(detail_type) = HeaderValue::from_str(request.detail_type) {
            request_builder = request_builder.header(EVENT_TYPE_HEADER, detail_type);
        }
        for (name, value) in signer.headers(request.event_id, now, body.as_bytes()) {
            request_builder = request_builder.header(name, value);
        }
        let http_request = request_builder.body(Full::new(Bytes::from(body)));
        let http_request = http_request.map_err(|_| not_sent("the URL is not valid in HTTP"))?;
        let result;
        (result, *is_repeated) = client.send(http_request).await;
        let mut response = result.map_err(|error| attempt_error(&error))?;
        *address = response.remote_address().map(|address| address.to_string());
        let status = response.response.status();
        let retry_after = parse_retry_after(status, response.response.headers(), now);
        let mut recorded_body = Vec::new();
        // Only the status decides the outcome, so an error while the body is read is ignored. Reading takes at most half of the
        // time that is left until the deadline.
        let read_limit = deadline.saturating_duration_since(Instant::now()) / 2;
        let _ = timeout(read_limit, async {
            while let Some(Ok(frame)) = response.response.body_mut().frame().await {
                let Ok(chunk) = frame.into_data() else { continue };
                let room = MAX_RECORDED_BODY_BYTES - recorded_body.len();
                recorded_body.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if recorded_body.len() == MAX_RECORDED_BODY_BYTES {
                    return;
                }
            }
            response.finish();
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
fn attempt_error(error: &hyper_util::client::legacy::Error) -> AttemptError {
    let mut cause = error.source();
    let mut message = error.to_string();
    while let Some(source) = cause {
        if let Some(blocked) = source.downcast_ref::<BlockedUrlError>() {
            return AttemptError::Blocked(blocked.clone());
        }
        message = source.to_string();
        cause = source.source();
    }
    if error.is_connect() { AttemptError::Connect(message) } else { AttemptError::Protocol(message) }
}
