//! The job **bridge**: a provider's webhook comes in, is verified, and goes out as an event on a bus.
//!
//! Actors: a [`Bridge`] knows one provider, its secrets and a bus. It takes a request and ends in an
//! [`Outcome`], from which follow the [`Answer`] (what the sender may know) and the [`Record`] (what the operator
//! reads). The function and `hookbridge serve` are two ways to the same [`Bridge::handle`].
//!
//! Order is safety here: method, then the shape of the signature, then the secret, then the signature, and only
//! then is the body looked at. Nothing is fetched for a request that could not be verified anyway.

mod answer;
mod environment;
mod function;
mod metrics;
mod outcome;

use bytes::Bytes;
use http::{HeaderMap, Method};
use jiff::Timestamp;
use tokio::time::Instant;

pub use answer::Answer;
pub use environment::{Environment, EnvironmentError, MAX_ENTRY_BYTES, check_entry_limit};
pub use function::{Function, FunctionAnswer};
pub use metrics::log_line;
pub use outcome::{Outcome, Record};

use crate::bus::{Bus, PutError};
use crate::event::Event;
use crate::providers::{Claim, Provider, Refusal, RequestUrl, Verified, Webhook};
use crate::secrets::{Keys, SecretError};

/// One endpoint: a provider's webhooks become events on a bus.
pub struct Bridge<K, B> {
    /// Who sends.
    pub provider: &'static Provider,
    /// What it signs with.
    pub keys: K,
    /// Where events go.
    pub bus: B,
    /// The largest entry that is put on the bus, in bytes of [`Event::entry_size`].
    pub max_entry_bytes: usize,
}

/// An HTTP request to an endpoint, unread.
pub struct Request {
    /// Its method.
    pub method: Method,
    /// Where it was sent to, as its sender wrote it.
    pub url: RequestUrl,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, raw.
    pub body: Bytes,
}

impl<K: Keys, B: Bus> Bridge<K, B> {
    /// Takes a request to its end, which comes before `deadline`.
    pub async fn handle(&self, request: Request, deadline: Instant) -> Record {
        let started = Instant::now();
        let mut record = Record::of(self.provider, request.body.len());
        record.outcome = self.outcome(request, deadline, &mut record).await;
        record.elapsed = started.elapsed();
        record
    }

    async fn outcome(&self, request: Request, deadline: Instant, record: &mut Record) -> Outcome {
        if request.method != Method::POST {
            return Outcome::MethodNotAllowed;
        }
        let webhook = Webhook::new(request.url, request.headers, request.body);
        let claim = match self.provider.signature.claim(&webhook, Timestamp::now()) {
            Ok(claim) => claim,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let verified = match self.verify(webhook, &claim).await {
            Ok(Some(verified)) => verified,
            Ok(None) => return Outcome::Refused(Refusal::Wrong),
            Err(error) => return Outcome::NoSecret(error),
        };
        let event = match verified.event() {
            Ok(event) => event,
            Err(why) => return Outcome::Untranslatable(why),
        };
        record.describe(&event);
        self.put(event, deadline).await
    }

    /// Tries the secrets that count, the likeliest first.
    async fn verify(&self, webhook: Webhook, claim: &Claim) -> Result<Option<Verified>, SecretError> {
        let current = self.keys.current().await?;
        let webhook = match self.provider.verify(webhook, claim, &current.secret) {
            Ok(verified) => return Ok(Some(verified)),
            Err(webhook) => webhook,
        };
        let webhook = match self.keys.previous(&current).await {
            Some(previous) => match self.provider.verify(webhook, claim, &previous.secret) {
                Ok(verified) => return Ok(Some(verified)),
                Err(webhook) => webhook,
            },
            None => webhook,
        };
        let newer = self.keys.newer(&current).await;
        Ok(newer.and_then(|newer| self.provider.verify(webhook, claim, &newer.secret).ok()))
    }

    async fn put(&self, event: Event, deadline: Instant) -> Outcome {
        let size = event.entry_size();
        if size > self.max_entry_bytes {
            return Outcome::TooLarge { size, limit: self.max_entry_bytes };
        }
        match self.bus.put(event, deadline).await {
            Ok(()) => Outcome::Published,
            Err(PutError::TooLarge) => Outcome::TooLarge { size, limit: self.max_entry_bytes },
            Err(error) => Outcome::NotPublished(error),
        }
    }
}
