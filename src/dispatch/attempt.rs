//! One attempt: a signed request to a subscriber, and what its answer means.
//!
//! The status decides: from 200 to 299 it was good, and anything else, a redirect too, was not. Of the answer the first 16 KB are
//! kept; it is read no further, and no longer than the subscriber's time.

use std::error::Error as _;
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use tokio::time::timeout;

use super::guard::{Guard, Refused};
use super::subscriber::Receiver;
use crate::http_client;

/// Bytes of the response body kept for the audit record.
const ANSWER: usize = 16 * 1024;
/// How long a connection may take to come.
const TO_CONNECT: Duration = Duration::from_secs(5);
/// The header with the event's type, which not every envelope holds.
const EVENT_TYPE: HeaderName = HeaderName::from_static("hookbridge-event-type");
/// The header that says which attempt it is, from 1 on.
const ATTEMPT: HeaderName = HeaderName::from_static("hookbridge-attempt");

/// What is sent.
#[derive(Clone, Copy)]
pub struct Letter<'a> {
    /// The event's id: the same at every attempt.
    pub id: &'a str,
    /// The event's type.
    pub detail_type: &'a str,
    /// The event as EventBridge's targets receive it.
    pub event: &'a str,
    /// Which attempt it is, from 1 on.
    pub number: i64,
}

/// What an attempt came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// How long it took.
    pub duration: Duration,
    /// The address that was dialled, where it is known.
    pub address: Option<String>,
    /// The status and what came with it, or what went wrong.
    pub outcome: Result<Answered, NoAnswer>,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Its status.
    pub status: u16,
    /// Its beginning; what is not UTF-8 is replaced.
    pub body: String,
    /// `Retry-After`.
    pub away: Option<SignedDuration>,
}

/// Why there is no answer. It quotes nothing that was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoAnswer {
    /// It must not be dialled.
    #[error("refused: {0}")]
    Refused(Refused),
    /// No connection.
    #[error("connect: {0}")]
    Connect(String),
    /// Not in time.
    #[error("timeout: no answer in {0} s")]
    Timeout(u32),
    /// Not HTTP, or broken off.
    #[error("protocol: {0}")]
    Protocol(String),
    /// It could not be made.
    #[error("request: {0}")]
    Request(String),
}

impl From<Refused> for NoAnswer {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl Tried {
    /// Whether it was good.
    pub fn is_good(&self) -> bool {
        matches!(&self.outcome, Ok(answered) if (200..300).contains(&answered.status))
    }

    /// Whether the failure was local (nothing was sent).
    pub fn is_ours(&self) -> bool {
        matches!(self.outcome, Err(NoAnswer::Request(_)))
    }

    /// Whether the subscriber wants nothing any more.
    pub fn is_gone(&self) -> bool {
        matches!(&self.outcome, Ok(answered) if answered.status == 410)
    }

    /// Whether the subscriber is overloaded.
    pub fn is_overload(&self) -> bool {
        match &self.outcome {
            Ok(answered) => matches!(answered.status, 429 | 502 | 503 | 504),
            Err(no_answer) => matches!(no_answer, NoAnswer::Timeout(_)),
        }
    }

    /// For how long the subscriber asks us to stay away.
    pub fn away(&self) -> Option<SignedDuration> {
        self.outcome.as_ref().ok().and_then(|answered| answered.away)
    }

    /// What is on record as having gone wrong.
    pub fn error(&self) -> Option<String> {
        match &self.outcome {
            Ok(Answered { status: 200..300, .. }) => None,
            Ok(Answered { status: 300..400, .. }) => Some("redirect: it is not followed".into()),
            Ok(Answered { status: 410, .. }) => Some("gone: it wants nothing more".into()),
            Ok(Answered { status, .. }) => Some(format!("status: it was answered {status}")),
            Err(no_answer) => Some(no_answer.to_string()),
        }
    }
}

/// Makes attempts.
#[derive(Clone)]
pub struct Poster {
    client: reqwest::Client,
    /// For what goes without TLS.
    plain: reqwest::Client,
    guard: Guard,
}

impl Poster {
    /// One that dials what `guard` lets through: no proxy of the environment, and no redirects.
    ///
    /// # Errors
    /// When the system's root certificates cannot be read.
    pub fn new(guard: Guard) -> Result<Self, reqwest::Error> {
        let client = |guard: Guard| {
            http_client::builder()
                .no_proxy()
                .connect_timeout(TO_CONNECT)
                .dns_resolver(guard)
                .pool_idle_timeout(Duration::from_secs(30))
                .build()
        };
        Ok(Self { client: client(guard.clone())?, plain: client(guard.clone().inside_only())?, guard })
    }

    /// What is dialled.
    pub fn guard(&self) -> &Guard {
        &self.guard
    }

    /// Makes one attempt, signed at `now`.
    pub async fn post(&self, to: &Receiver, letter: Letter<'_>, now: Timestamp) -> Tried {
        let started = Instant::now();
        let limit = Duration::from_secs(u64::from(to.settings.timeout));
        let mut address = None;
        let outcome =
            match timeout(limit, self.answered(to, letter, now, &mut address, started + limit)).await {
                Ok(outcome) => outcome,
                Err(_) => Err(NoAnswer::Timeout(to.settings.timeout)),
            };
        let refused = matches!(outcome, Err(NoAnswer::Refused(_)));
        let address =
            address.or_else(|| Some(self.guard.last(to.url.as_ref()?).filter(|_| !refused)?.to_string()));
        Tried { duration: started.elapsed(), address, outcome }
    }

    async fn answered(
        &self,
        to: &Receiver,
        letter: Letter<'_>,
        now: Timestamp,
        address: &mut Option<String>,
        deadline: Instant,
    ) -> Result<Answered, NoAnswer> {
        let url = to.url.as_ref().ok_or(Refused::NotAUrl)?;
        self.guard.before(url)?;
        let client = if url.scheme() == "https" { &self.client } else { &self.plain };
        let request = |why: &str| NoAnswer::Request(why.to_owned());
        let body = to.body(letter.event).ok_or_else(|| request("the event has no detail"))?;
        let signer = to.signer(now).map_err(|error| NoAnswer::Request(error.to_string()))?;
        let headers: HeaderMap = signer.headers(letter.id, now, body.as_bytes()).into_iter().fold(
            HeaderMap::new(),
            |mut all, (name, value)| {
                all.append(name, value);
                all
            },
        );
        let sent = client
            .post(url.clone())
            .headers(headers)
            .header(header::CONTENT_TYPE, "application/json")
            .header(ATTEMPT, letter.number)
            .headers(
                HeaderValue::from_str(letter.detail_type).map(|of| (EVENT_TYPE, of)).into_iter().collect(),
            )
            .body(body)
            .send()
            .await;
        let mut response = sent.map_err(no_answer)?;
        *address = response.remote_addr().map(|address| address.to_string());
        let status = response.status();
        let away = away(status, response.headers(), now);
        let mut kept = Vec::new();
        // The status has said it: what follows is kept as far as it comes, in half of the time that is left.
        let left = deadline.saturating_duration_since(Instant::now()) / 2;
        let _ = timeout(left, async {
            while let Ok(Some(chunk)) = response.chunk().await {
                let room = ANSWER - kept.len();
                kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
                if kept.len() == ANSWER {
                    break;
                }
            }
        })
        .await;
        // A database's text takes no zero.
        let body = String::from_utf8_lossy(&kept).replace('\0', "\u{fffd}");
        Ok(Answered { status: status.as_u16(), body, away })
    }
}

/// For how long a subscriber asks us to stay away. Source: RFC 9110, 10.2.3.
fn away(status: StatusCode, headers: &HeaderMap, now: Timestamp) -> Option<SignedDuration> {
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

/// What a failure of the client means, in words that hold nothing of the request.
fn no_answer(error: reqwest::Error) -> NoAnswer {
    let error = error.without_url();
    let mut cause = error.source();
    let mut last = error.to_string();
    while let Some(error) = cause {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            return NoAnswer::Refused(refused.clone());
        }
        last = error.to_string();
        cause = error.source();
    }
    if error.is_connect() {
        return NoAnswer::Connect(last);
    }
    if error.is_builder() { NoAnswer::Request(last) } else { NoAnswer::Protocol(last) }
}
