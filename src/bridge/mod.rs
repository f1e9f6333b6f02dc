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

use http::Method;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

pub use answer::Answer;
pub use environment::{DEFAULT_MAX_ENTRY_BYTES, Environment, EnvironmentError, entry_limit};
pub use function::{Function, FunctionAnswer};
pub use metrics::log_line;
pub use outcome::{Outcome, Record};

use crate::bus::{Bus, PutError};
use crate::event::Event;
use crate::providers::{Claim, Provider, Refusal, Verified, Webhook};
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
    /// All the rest, which nobody can read before it is verified.
    pub webhook: Webhook,
}

impl<K: Keys, B: Bus> Bridge<K, B> {
    /// Takes a request to its end, which comes before `deadline`.
    pub async fn handle(&self, request: Request, deadline: Instant) -> Record {
        let started = Instant::now();
        let mut record = Record::of(self.provider, request.webhook.body_len());
        record.outcome = self.outcome(request, deadline, &mut record).await;
        record.elapsed = started.elapsed();
        record
    }

    async fn outcome(&self, request: Request, deadline: Instant, record: &mut Record) -> Outcome {
        if request.method != Method::POST {
            return Outcome::MethodNotAllowed;
        }
        let claim = match self.provider.claim(request.webhook, Timestamp::now()) {
            Ok(claim) => claim,
            Err(refusal) => return Outcome::Refused(refusal),
        };
        let verified = match timeout_at(deadline, self.verify(claim)).await {
            Ok(Ok(Some(verified))) => verified,
            Ok(Ok(None)) => return Outcome::Refused(Refusal::Wrong),
            Ok(Err(error)) => return Outcome::NoSecret(error),
            Err(_) => return Outcome::NoSecret(SecretError::Unavailable("no answer in time".into())),
        };
        let event = match verified.event() {
            Ok(event) => event,
            Err(why) => {
                (record.event_type, record.delivery_id) = verified.said_by_headers();
                return Outcome::Untranslatable(why);
            }
        };
        record.describe(&event);
        self.put(event, deadline).await
    }

    /// Tries the secrets that count, the likeliest first.
    async fn verify(&self, claim: Claim) -> Result<Option<Verified>, SecretError> {
        let current = self.keys.current().await?;
        let mut claim = match claim.verify(&current.secret) {
            Ok(verified) => return Ok(Some(verified)),
            Err(claim) => claim,
        };
        if let Some(previous) = self.keys.previous(&current).await {
            claim = match claim.verify(&previous.secret) {
                Ok(verified) => return Ok(Some(verified)),
                Err(claim) => claim,
            };
        }
        let newer = self.keys.newer(&current).await;
        Ok(newer.and_then(|newer| claim.verify(&newer.secret).ok()))
    }

    async fn put(&self, event: Event, deadline: Instant) -> Outcome {
        let size = event.entry_size();
        if size > self.max_entry_bytes {
            return Outcome::TooLarge { size, limit: Some(self.max_entry_bytes) };
        }
        match self.bus.put(event, deadline).await {
            Ok(()) => Outcome::Published,
            Err(PutError::TooLarge) => Outcome::TooLarge { size, limit: None },
            Err(error) => Outcome::NotPublished(error),
        }
    }
}
