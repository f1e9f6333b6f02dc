//! Named consumers over HTTP: readers whose place in the log the server keeps.
//!
//! Each event is handed out at least once: to one reader at a time, which has some time (the lease) to acknowledge what it
//! was given. What it has not acknowledged by then is handed out again.

use std::time::Duration;

use http::{HeaderName, Method, StatusCode, header};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::answer::Answer;
use super::events::format::Format;
use super::events::query::{Parameters, Point, Query};
use super::events::{NoPage, answered};
use super::{Feed, Request, Scope};
use crate::log::{Bounds, Consumer, ConsumerStore, EventReader, Lag, LeaseOutcome, LogError, Position};

/// The header with the lease of the events that are handed out.
const LEASE: HeaderName = HeaderName::from_static("hookbridge-lease");
/// How long a reader has for the events it is given, when it does not say.
const USUAL_LEASE: u64 = 60;
const LONGEST_LEASE: u64 = 3600;
/// How often is looked whether another reader has let go.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// The longest name, in characters.
const LONGEST_NAME: usize = 64;

/// Where a consumer begins, or goes to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Going {
    after: String,
}

/// Acknowledgement request.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Done {
    cursor: String,
    lease: String,
}

/// Why a consumer does not do what it should.
enum NoConsumer {
    /// There is none of this name.
    Unknown,
    /// Another reader has its events in hand.
    Leased(Option<Timestamp>),
    /// The lease is not, or no longer, the consumer's.
    NotLeased,
    /// There are no events.
    NoPage(NoPage),
}

impl<E: Into<NoPage>> From<E> for NoConsumer {
    fn from(error: E) -> Self {
        Self::NoPage(error.into())
    }
}

impl NoConsumer {
    fn answer(&self) -> Answer {
        match self {
            Self::Unknown => {
                Answer::error(StatusCode::NOT_FOUND, "There is no consumer of this name: make one with PUT.")
            }
            Self::Leased(until) => {
                let until = until.map(|until| format!(" until {until:.0}")).unwrap_or_default();
                let why = format!("Another reader has events of this consumer in hand{until}.");
                Answer::error_of(StatusCode::CONFLICT, "leased", &why).with(header::RETRY_AFTER, "1")
            }
            Self::NotLeased => Answer::error_of(
                StatusCode::CONFLICT,
                "not_leased",
                "The lease was given to another reader since, or the consumer was put elsewhere: these events are handed out again.",
            ),
            Self::NoPage(no_page) => no_page.answer(),
        }
    }
}

impl<L: EventReader + ConsumerStore> Feed<L> {
    /// Answers what is asked of consumers: `parts` is the path behind `/consumers`.
    pub(super) async fn named(&self, request: &Request<'_>, scope: &Scope, parts: &[&str]) -> Answer {
        if *scope != Scope::Everything {
            let why =
                "Tokens restricted to sources cannot use consumers: go on from a cursor of GET /events.";
            return Answer::error(StatusCode::FORBIDDEN, why);
        }
        if parts.first().is_some_and(|name| !is_name(name)) {
            let why = format!(
                "A consumer's name begins with a letter or a digit, and is of these, '-', '_' and '.', at most {LONGEST_NAME}."
            );
            return Answer::error(StatusCode::BAD_REQUEST, &why);
        }
        if !request.query.is_empty() && parts.get(1) != Some(&"events") {
            let why = "There are no parameters here; where to begin is said in the body.";
            return Answer::error(StatusCode::BAD_REQUEST, why);
        }
        let answer = match (parts, request.method) {
            ([], &Method::GET) => self.list().await,
            ([], _) => return Answer::not_allowed("GET"),
            ([name], &Method::GET) => self.one(name).await,
            ([name], &Method::PUT) => self.make(name, request.body).await,
            ([name], &Method::DELETE) => self.remove(name).await,
            ([_], _) => return Answer::not_allowed("GET, PUT, DELETE"),
            ([name, "events"], &Method::GET) => self.hand_out(name, request).await,
            ([_, "events"], _) => return Answer::not_allowed("GET"),
            ([name, "ack"], &Method::POST) => self.acknowledge(name, request.body).await,
            ([name, "seek"], &Method::POST) => self.put_at(name, request.body).await,
            ([_, "ack" | "seek"], _) => return Answer::not_allowed("POST"),
            _ => return Answer::error(StatusCode::NOT_FOUND, "Of a consumer there are: events, ack, seek."),
        };
        answer.unwrap_or_else(|no_consumer| no_consumer.answer())
    }

    async fn list(&self) -> Result<Answer, NoConsumer> {
        let mut shown = Vec::new();
        let bounds = self.log.bounds().await?;
        for consumer in self.log.find_consumers(None).await? {
            shown.push(self.shown(&consumer, bounds).await?);
        }
        Ok(Answer::json(StatusCode::OK, json!({"object": "list", "data": shown}).to_string()))
    }

    async fn one(&self, name: &str) -> Result<Answer, NoConsumer> {
        let consumer = self.consumer(name).await?;
        let shown = self.shown(&consumer, self.log.bounds().await?).await?;
        Ok(Answer::json(StatusCode::OK, shown.to_string()))
    }

    async fn consumer(&self, name: &str) -> Result<Consumer, NoConsumer> {
        self.log.find_consumers(Some(name)).await?.pop().ok_or(NoConsumer::Unknown)
    }

    async fn shown(&self, consumer: &Consumer, bounds: Bounds) -> Result<Value, LogError> {
        let Lag { events, seconds } = consumer.lag(&self.log, bounds).await?;
        let time = |time: Option<Timestamp>| time.map(|time| format!("{time:.3}"));
        Ok(json!({
            "object": "consumer",
            "name": consumer.name,
            "cursor": super::events::cursor::write(consumer.position, self.cursor_key().await?),
            "lag": {"events": events, "seconds": seconds},
            "expired": consumer.position < bounds.first,
            "leased_until": time(consumer.leased_until),
            "acknowledged": time(consumer.acknowledged_at),
        }))
    }

    async fn make(&self, name: &str, body: &[u8]) -> Result<Answer, NoConsumer> {
        let point = if body.is_empty() { Point::Start } else { Point::read(&read::<Going>(body)?.after) };
        let position = self.position(&point).await?;
        let is_new = self.log.create_consumer(name, position).await?;
        let mut answer = self.one(name).await?;
        answer.status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok(answer)
    }

    async fn remove(&self, name: &str) -> Result<Answer, NoConsumer> {
        if self.log.delete_consumer(name).await? {
            return Ok(Answer::empty(StatusCode::NO_CONTENT));
        }
        Err(NoConsumer::Unknown)
    }

    async fn acknowledge(&self, name: &str, body: &[u8]) -> Result<Answer, NoConsumer> {
        let Done { cursor, lease } = read(body)?;
        let position = self.position(&Point::Cursor(cursor)).await?;
        if !self.log.acknowledge(name, &lease, position).await? {
            // A 404 takes precedence over `not_leased`.
            self.consumer(name).await?;
            return Err(NoConsumer::NotLeased);
        }
        self.one(name).await
    }

    async fn put_at(&self, name: &str, body: &[u8]) -> Result<Answer, NoConsumer> {
        let position = self.position(&Point::read(&read::<Going>(body)?.after)).await?;
        if self.log.seek(name, position).await? { self.one(name).await } else { Err(NoConsumer::Unknown) }
    }

    /// Hands out what comes next for a consumer, with a lease; without one when there is nothing.
    async fn hand_out(&self, name: &str, request: &Request<'_>) -> Result<Answer, NoConsumer> {
        let (query, lease_time) = asked(request.query)?;
        let until = Instant::now() + query.wait.min(request.patience);
        let key = self.cursor_key().await?.clone();
        let format = Format::of_page(request.header(header::ACCEPT));
        loop {
            let consumer = self.consumer(name).await?;
            let wait = until.saturating_duration_since(Instant::now());
            if consumer.leased_until.is_some() {
                if wait.is_zero() {
                    return Err(NoConsumer::Leased(consumer.leased_until));
                }
                sleep(LOOK_AGAIN.min(wait)).await;
                continue;
            }
            // Whoever waits holds no lease.
            let query = Query { wait, ..query.clone() };
            let page = self.after(consumer.position, &query).await?;
            let lease = format!("{:032x}", fastrand::u128(..));
            match self.log.acquire_lease(name, &lease, lease_time).await? {
                LeaseOutcome::AlreadyLeased if wait.is_zero() => {
                    return Err(NoConsumer::Leased(self.consumer(name).await?.leased_until));
                }
                LeaseOutcome::AlreadyLeased => {}
                // Another reader moved it meanwhile.
                LeaseOutcome::Acquired(position) if position != consumer.position => {
                    self.give_up(name, &lease, position).await?;
                }
                LeaseOutcome::Acquired(_) if page.events.is_empty() => {
                    // Nothing of what there was is wanted.
                    self.give_up(name, &lease, page.next).await?;
                    return Ok(answered(request, format, &query, &page, &key, None));
                }
                LeaseOutcome::Acquired(_) => {
                    let answer = answered(request, format, &query, &page, &key, Some(&lease));
                    return Ok(answer.with(LEASE, &lease));
                }
            }
        }
    }

    async fn give_up(&self, name: &str, lease: &str, position: Position) -> Result<(), LogError> {
        self.log.acknowledge(name, lease, position).await.map(drop)
    }
}

/// What is asked of a consumer: a page, and how long its lease is.
fn asked(query: &str) -> Result<(Query, Duration), NoPage> {
    let is_lease = |pair: &&str| pair.split('=').next() == Some("lease");
    let (lease, others): (Vec<_>, Vec<_>) = query.split('&').partition(is_lease);
    let seconds = match lease.as_slice() {
        [] => USUAL_LEASE,
        [one] => one["lease".len()..].trim_start_matches('=').parse().unwrap_or(0),
        _ => 0,
    };
    if !(1..=LONGEST_LEASE).contains(&seconds) {
        return Err(NoPage::Bad(format!("lease is not a whole number from 1 to {LONGEST_LEASE}")));
    }
    Ok((Query::read(&others.join("&"), Parameters::Consumer)?, Duration::from_secs(seconds)))
}

/// Reads a body. The error names the place, never the content.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, NoPage> {
    serde_json::from_slice(body).map_err(|error| {
        let why = match error.classify() {
            serde_json::error::Category::Data => "the body is not what is wanted here; see /openapi.json",
            _ => "the body is not JSON",
        };
        NoPage::Bad(format!("{why} (line {}, column {})", error.line(), error.column()))
    })
}

fn is_name(text: &str) -> bool {
    let is_known = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let begins = text.starts_with(|char: char| char.is_ascii_alphanumeric());
    begins && text.len() <= LONGEST_NAME && text.chars().all(is_known)
}
