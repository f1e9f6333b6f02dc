//! The job **bridge**: a provider's webhook comes in, is verified, and goes out as an event on a bus.
//!
//! Actors: a [`WebhookHandler`] knows one provider, its secrets and a bus. It takes a request and ends in an
//! [`Outcome`], from which follow the [`WebhookResponse`] (what the sender may know) and the [`RequestLog`] (what the operator
//! reads). The function and `hookbridge serve` are two ways to the same [`WebhookHandler::handle`].
//!
//! Order is safety here: method, then the shape of the signature, then the secret, then the signature, and only
//! then is the body looked at. Nothing is fetched for a request that could not be verified anyway.
//!
//! What few webhooks need (the archive, the overflow bucket, the queue) is boxed: each has the SDK's calls in it, and every
//! webhook would be made, moved and cleared with room for all of them.

mod environment;
mod function;
mod metrics;
mod outcome;
mod redrive;
mod response;

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

pub use environment::{DEFAULT_MAX_ENTRY_BYTES, Environment, parse_max_entry_bytes};
pub use function::{BridgeFunction, FunctionUrlResponse};
pub use metrics::format_emf_line;
pub use outcome::{Outcome, RequestLog};
pub use redrive::RedriveFunction;
pub use response::WebhookResponse;

use crate::archive::{Archive, ArchiveEntry, ClaimCheckStore, PutOutcome};
use crate::bus::{Bus, SpillQueue};
use crate::call::CallError;
use crate::event::Event;
use crate::providers::{Provider, RawWebhook, UnverifiedWebhook, VerificationError, VerifiedWebhook};
use crate::secrets::{SecretError, SigningSecrets};

/// One endpoint: a provider's webhooks become events on a bus.
pub struct WebhookHandler<K, B> {
    /// Who sends.
    pub provider: &'static Provider,
    /// What it signs with.
    pub secrets: K,
    /// Where events go.
    pub bus: B,
    /// The largest entry that is put on the bus, in bytes of [`Event::entry_size`].
    pub max_entry_bytes: usize,
    /// Where details go that are too large for an entry.
    pub overflow: Option<ClaimCheckStore>,
    /// Where events wait that the bus does not take.
    pub spill: Option<SpillQueue>,
    /// Where webhooks are kept, and not put on the bus; a provider that sends batches needs it.
    pub archive: Option<Archive>,
}

/// How long the bus is tried where there is a queue to spill to.
const BEFORE_SPILLING: Duration = Duration::from_millis(1500);

/// An HTTP request to an endpoint, unread.
pub struct WebhookRequest {
    /// Its method.
    pub method: Method,
    /// All the rest, which nobody can read before it is verified.
    pub webhook: RawWebhook,
}

impl<K: SigningSecrets, B: Bus> WebhookHandler<K, B> {
    /// Takes a request to its end, which comes before `deadline`.
    pub async fn handle(&self, request: WebhookRequest, deadline: Instant) -> RequestLog {
        let started = Instant::now();
        let mut record = RequestLog::new(self.provider, request.webhook.body_len());
        record.outcome = self.outcome(request, deadline, &mut record).await;
        record.elapsed = started.elapsed();
        record
    }

    async fn outcome(&self, request: WebhookRequest, deadline: Instant, record: &mut RequestLog) -> Outcome {
        if request.method != Method::POST {
            return Outcome::MethodNotAllowed;
        }
        let claim = match self.provider.parse_signature(request.webhook, Timestamp::now()) {
            Ok(claim) => claim,
            Err(refusal) => return Outcome::VerificationFailed(refusal),
        };
        let verified = match timeout_at(deadline, self.verify(claim)).await {
            Ok(Ok(Some(verified))) => verified,
            Ok(Ok(None)) => return Outcome::VerificationFailed(VerificationError::SignatureMismatch),
            Ok(Err(error)) => return Outcome::SecretUnavailable(error),
            Err(_) => {
                return Outcome::SecretUnavailable(SecretError::Unavailable("no answer in time".into()));
            }
        };
        if verified.is_batch() {
            (record.event_type, record.delivery_id) = verified.header_metadata();
            return match verified.non_empty_batch() {
                Ok(Some(_)) => self.keep(&verified, verified.batch_id().map(<[u8]>::to_vec), deadline).await,
                Ok(None) => Outcome::EmptyBatch,
                Err(why) => Outcome::TranslationFailed(why),
            };
        }
        let event = match verified.to_event() {
            Ok(event) => event,
            Err(why) => {
                (record.event_type, record.delivery_id) = verified.header_metadata();
                return Outcome::TranslationFailed(why);
            }
        };
        record.set_event(&event);
        match &self.archive {
            Some(_) => {
                // The id has just been read: to the key it is what it is to the log line.
                let id = record.delivery_id.clone().map(String::into_bytes);
                self.keep(&verified, id, deadline).await
            }
            None => {
                // Nothing of it but the event waits for the bus, which may take its time.
                drop(verified);
                self.put(event, deadline).await
            }
        }
    }

    /// Tries the secrets that count, the likeliest first. `None` is said only where all of them are known: one that could not
    /// be asked for may be the right one.
    async fn verify(&self, claim: UnverifiedWebhook) -> Result<Option<VerifiedWebhook>, SecretError> {
        let current = self.secrets.current().await?;
        let mut claim = match claim.verify(&current.secret) {
            Ok(verified) => return Ok(Some(verified)),
            Err(claim) => claim,
        };
        let previous = self.secrets.previous(&current).await;
        if let Ok(Some(previous)) = &previous {
            claim = match claim.verify(&previous.secret) {
                Ok(verified) => return Ok(Some(verified)),
                Err(claim) => claim,
            };
        }
        let newer = self.secrets.newer(&current).await?;
        match newer.and_then(|newer| claim.verify(&newer.secret).ok()) {
            Some(verified) => Ok(Some(verified)),
            None => previous.map(|_| None),
        }
    }

    /// Keeps a webhook, or a batch, under the provider's own id of it.
    async fn keep(&self, verified: &VerifiedWebhook, id: Option<Vec<u8>>, deadline: Instant) -> Outcome {
        let Some(archive) = &self.archive else {
            return Outcome::ArchiveFailed(CallError::Refused("there is no archive".into()));
        };
        let batch = ArchiveEntry {
            provider: self.provider.name,
            id,
            is_polled: false,
            received_at: Timestamp::now(),
            headers: verified.archived_headers(),
            body: verified.body().clone(),
        };
        match Box::pin(archive.put_if_absent(&batch, deadline)).await {
            Ok(PutOutcome::Created) => Outcome::Archived,
            Ok(PutOutcome::AlreadyExists) => Outcome::AlreadyArchived,
            Err(error) => Outcome::ArchiveFailed(error),
        }
    }

    async fn put(&self, event: Event, deadline: Instant) -> Outcome {
        let came = Timestamp::now();
        let event = Arc::new(event);
        let size = event.entry_size();
        let refused = if size > self.max_entry_bytes {
            Outcome::TooLarge { size, limit: Some(self.max_entry_bytes) }
        } else {
            match self.put_or_spill(&event, came, deadline).await {
                Outcome::PublishFailed(CallError::TooLarge) => Outcome::TooLarge { size, limit: None },
                outcome => return outcome,
            }
        };
        match &self.overflow {
            None => refused,
            Some(bucket) => {
                match Box::pin(bucket.store_detail(self.provider.name, &event, halfway(deadline))).await {
                    Ok(check) => self.put_or_spill(&Arc::new(check), came, deadline).await,
                    Err(error) => Outcome::OverflowFailed(error),
                }
            }
        }
    }

    async fn put_or_spill(&self, event: &Arc<Event>, came: Timestamp, deadline: Instant) -> Outcome {
        let Some(spill) = &self.spill else {
            let put = self.bus.publish(event, deadline).await;
            return put.map_or_else(Outcome::PublishFailed, |()| Outcome::Published);
        };
        // Bounded, because a blocked request occupies a concurrency slot.
        let error =
            match self.bus.publish(event, halfway(deadline).min(Instant::now() + BEFORE_SPILLING)).await {
                Ok(()) => return Outcome::Published,
                // Permanently rejected events are not worth spilling.
                Err(error @ (CallError::Malformed(_) | CallError::TooLarge)) => {
                    return Outcome::PublishFailed(error);
                }
                Err(error) => error,
            };
        Box::pin(self.spill_to(spill, self.with_time(event, came), error, deadline)).await
    }

    /// Sends the event to the spill queue after the bus failed with `error`.
    async fn spill_to(
        &self,
        queue: &SpillQueue,
        event: Arc<Event>,
        error: CallError,
        deadline: Instant,
    ) -> Outcome {
        let spilled = match &self.overflow {
            // It may be that this region's bus takes no entry of this size, and then it would wait for ever.
            Some(bucket) if event.entry_size() > DEFAULT_MAX_ENTRY_BYTES => {
                match bucket.store_detail(self.provider.name, &event, halfway(deadline)).await {
                    Ok(check) => queue.publish(&Arc::new(check), deadline).await,
                    Err(error) => Err(error),
                }
            }
            _ => queue.publish(&event, deadline).await,
        };
        match spilled {
            Ok(()) => Outcome::Spilled(error),
            Err(why) => {
                warn!(error = %why, "the spill queue also rejected the event");
                Outcome::PublishFailed(error)
            }
        }
    }

    /// The event with the time at which it came, where it has none of its own and there is room for one: otherwise
    /// its time would be that of its way out of the queue.
    fn with_time(&self, event: &Arc<Event>, came: Timestamp) -> Arc<Event> {
        let timed = Event { time: event.time.or(Some(came)), ..Event::clone(event) };
        if timed.entry_size() <= self.max_entry_bytes { Arc::new(timed) } else { event.clone() }
    }
}

/// Half of the time that is left.
fn halfway(deadline: Instant) -> Instant {
    deadline - deadline.saturating_duration_since(Instant::now()) / 2
}
