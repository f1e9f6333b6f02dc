//! The webhook handler: verification, translation and publication.
//!
//! A [`WebhookHandler`] serves one provider. It turns each request into an [`Outcome`], which determines the
//! [`WebhookResponse`] to the sender and the [`RequestLog`] for the operator. The Lambda function and
//! `hookbridge serve` both call [`WebhookHandler::handle`].
//!
//! The order of the steps is security-relevant: check the method, parse the signature, fetch the secret, verify the
//! signature, and only then parse the body. The handler fetches no secret for a request without a well-formed
//! signature.
//!
//! The handler boxes the futures of rare paths (archive, overflow bucket, spill queue). Otherwise the future of
//! every webhook would reserve memory for the SDK calls of all these paths.

mod environment;
mod function;
mod metrics;
mod outcome;
mod redrive;
mod refusal_log_limiter;
mod repeats;
mod response;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

pub use environment::{BridgeEnvironment, DEFAULT_MAX_ENTRY_BYTES, parse_event_group, parse_max_entry_bytes};
pub use function::{BridgeFunction, webhook_from_http_request};
pub use metrics::{LogContext, format_emf_line};
pub use outcome::{Outcome, RequestLog};
pub use redrive::RedriveFunction;
pub use refusal_log_limiter::RefusalLogLimiter;
pub use repeats::RepeatWindow;
pub use response::WebhookResponse;

use crate::archive::{Archive, ArchiveEntry, ClaimCheckStore, PutOutcome};
use crate::aws::AwsError;
use crate::bus::{Bus, SpillQueue};
use crate::event::Event;
use crate::providers::{
    FieldLocation, Provider, RawWebhook, UnsignedHandshake, UnverifiedWebhook, VerificationError,
    VerifiedWebhook,
};
use crate::secrets::{SecretError, SigningSecrets};
use repeats::{BodyHash, DeliveryKey};

/// Handles the webhooks of one provider: verifies each, then publishes its event or archives it.
pub struct WebhookHandler<S, B> {
    /// The provider of the webhooks.
    pub provider: &'static Provider,
    /// The provider's signing secrets.
    pub secrets: S,
    /// The secret with which the provider will sign next, during a rotation.
    pub next_secrets: Option<S>,
    /// The bus on which the handler publishes the events.
    pub bus: B,
    /// Maximum [`Event::entry_size`] of a published event, in bytes.
    pub max_entry_bytes: usize,
    /// Stores the `detail` of an event that is too large for a `PutEvents` entry. Without this store, such an event fails.
    pub overflow_store: Option<ClaimCheckStore>,
    /// The queue for events that the bus did not accept. Without this queue, such an event fails.
    pub spill_queue: Option<SpillQueue>,
    /// When set, the handler archives webhooks instead of publishing them. Required for a provider that sends
    /// batches.
    pub archive: Option<Archive>,
    /// The webhooks that were published before. When set, the handler does not publish one of these again.
    pub repeat_window: Option<RepeatWindow>,
    /// Where a webhook states the group of its events, if the bus keeps the order of the events of a group.
    pub event_group: Option<FieldLocation>,
}

/// Maximum length of a `TraceHeader`. Source: "PutEventsRequestEntry", Amazon EventBridge API Reference.
const MAX_TRACE_HEADER_BYTES: usize = 500;

/// How long the handler tries to publish an event before it sends the event to the spill queue.
const PUBLISH_TIMEOUT: Duration = Duration::from_millis(1500);

impl<S: SigningSecrets, B: Bus> WebhookHandler<S, B> {
    /// Handles a request before `deadline`, and returns the log record of the request. `trace_header` is the X-Ray header of the
    /// invocation, whose trace the event continues.
    pub async fn handle(
        &self,
        webhook: RawWebhook,
        trace_header: Option<&str>,
        deadline: Instant,
    ) -> RequestLog {
        let started = Instant::now();
        let mut request_log = RequestLog::new(self.provider, webhook.body_len());
        request_log.outcome = self.process(webhook, trace_header, deadline, &mut request_log).await;
        request_log.elapsed = started.elapsed();
        request_log
    }

    async fn process(
        &self,
        webhook: RawWebhook,
        trace_header: Option<&str>,
        deadline: Instant,
        request_log: &mut RequestLog,
    ) -> Outcome {
        if let Some(handshake) = self.provider.find_unsigned_handshake(&webhook) {
            return self.answer_handshake(handshake, deadline).await;
        }
        if !webhook.is_method_allowed(self.provider) {
            return Outcome::MethodNotAllowed;
        }
        let unverified = match self.provider.parse_signature(webhook, Timestamp::now()) {
            Ok(unverified) => unverified,
            Err(error) => return Outcome::VerificationFailed(error),
        };
        let verified = match timeout_at(deadline, self.verify(unverified)).await {
            Ok(Ok(Ok(verified))) => verified,
            Ok(Ok(Err(error))) => return Outcome::VerificationFailed(error),
            Ok(Err(error)) => return Outcome::SecretUnavailable(error),
            Err(_) => {
                return Outcome::SecretUnavailable(SecretError::Unavailable("timed out".into()));
            }
        };
        if let Some(response) = verified.handshake_response() {
            return Outcome::Handshake(response);
        }
        if verified.is_batch() {
            (request_log.event_type, request_log.delivery_id) = verified.header_metadata();
            return match verified.non_empty_batch() {
                Ok(Some(_)) => {
                    self.archive_webhook(&verified, verified.batch_id().map(<[u8]>::to_vec), deadline).await
                }
                Ok(None) => Outcome::EmptyBatch,
                Err(error) => Outcome::TranslationFailed(error),
            };
        }
        let mut events = match verified.to_events(self.event_group) {
            Ok(events) => events,
            Err(error) => {
                (request_log.event_type, request_log.delivery_id) = verified.header_metadata();
                return Outcome::TranslationFailed(error);
            }
        };
        let Some(first) = events.first() else { return Outcome::EmptyBatch };
        request_log.set_event(first, events.len());
        match &self.archive {
            Some(_) => {
                // The object key uses the delivery id that the log record already holds. Another webhook may begin with the same
                // event, so the id of the first of several events does not identify the webhook.
                let id = request_log.delivery_id.clone().and_then(|id| match events.len() {
                    1 => Some(id),
                    _ => id.strip_suffix("#0").map(str::to_owned),
                });
                let id = id.map(String::into_bytes);
                self.archive_webhook(&verified, id, deadline).await
            }
            None => {
                // Without a window, as in `serve`, nothing is hashed.
                let window = self.repeat_window.as_ref();
                let repeatable =
                    window.and_then(|window| Some((window, DeliveryKey::new(self.provider, first)?)));
                if repeatable.is_some_and(|(window, key)| window.contains(key, verified.body())) {
                    return Outcome::AlreadyPublished;
                }
                let body = verified.body().clone();
                // Free the headers and the URL before waiting for the bus.
                drop(verified);
                let trace_header = trace_header.filter(|header| header.len() <= MAX_TRACE_HEADER_BYTES);
                for event in &mut events {
                    event.trace_header = trace_header.map(str::to_owned);
                }
                let publish = async {
                    match <[Event; 1]>::try_from(events) {
                        Ok([event]) => self.publish_event(event, deadline).await,
                        Err(events) => Box::pin(self.publish_events(events, deadline)).await,
                    }
                };
                let Some((window, key)) = repeatable else { return publish.await };
                // `join!` polls `publish` first, so the body is hashed while the bus processes the request.
                let (outcome, body_hash) = tokio::join!(publish, async move { BodyHash::new(&body) });
                if matches!(outcome, Outcome::Published | Outcome::Spilled(_)) {
                    window.insert(key, body_hash);
                }
                outcome
            }
        }
    }

    /// Responds to an unsigned handshake.
    async fn answer_handshake(&self, handshake: UnsignedHandshake, deadline: Instant) -> Outcome {
        let secret = match handshake.needs_secret() {
            false => None,
            true => match timeout_at(deadline, self.secrets.current()).await {
                Ok(Ok(current)) => Some(current.secret.clone()),
                Ok(Err(error)) => return Outcome::SecretUnavailable(error),
                Err(_) => return Outcome::SecretUnavailable(SecretError::Unavailable("timed out".into())),
            },
        };
        let response = match handshake.respond(secret.as_ref()) {
            Ok(response) => response,
            Err(error) => return Outcome::VerificationFailed(error),
        };
        if let Some(transmitted) = &response.transmitted_secret {
            match timeout_at(deadline, self.secrets.store_if_absent(transmitted)).await {
                Ok(Ok(true)) => warn!(
                    provider = self.provider.name,
                    "stored the secret that a handshake transmitted, because the stack had none"
                ),
                Ok(Ok(false)) => {}
                Ok(Err(error)) => return Outcome::SecretUnavailable(error),
                Err(_) => return Outcome::SecretUnavailable(SecretError::Unavailable("timed out".into())),
            }
        }
        Outcome::Handshake(response)
    }

    /// Verifies the signature with the current secret, then with the next, the previous and a newer secret. The inner error
    /// means that no secret verifies the webhook. The outer error means that a secret that may verify it could not be fetched.
    async fn verify(
        &self,
        unverified: UnverifiedWebhook,
    ) -> Result<Result<VerifiedWebhook, VerificationError>, SecretError> {
        let current = self.secrets.current().await?;
        let mut unverified = match unverified.verify(&current.secret) {
            Ok(verified) => return Ok(Ok(verified)),
            Err(unverified) => unverified,
        };
        let next = match &self.next_secrets {
            Some(secrets) => secrets.current().await.map(Some),
            None => Ok(None),
        };
        if let Ok(Some(next)) = &next {
            unverified = match unverified.verify(&next.secret) {
                Ok(verified) => return Ok(Ok(verified)),
                Err(unverified) => unverified,
            };
        }
        let previous = self.secrets.previous(&current).await;
        if let Ok(Some(previous)) = &previous {
            unverified = match unverified.verify(&previous.secret) {
                Ok(verified) => return Ok(Ok(verified)),
                Err(unverified) => unverified,
            };
        }
        let newer = self.secrets.newer(&current).await?;
        if let Some(newer) = newer {
            unverified = match unverified.verify(&newer.secret) {
                Ok(verified) => return Ok(Ok(verified)),
                Err(unverified) => unverified,
            };
        }
        next?;
        previous?;
        if !self.provider.signature_scheme.has_key(&current.secret) {
            let problem = format!("it does not have the form of a secret of {}", self.provider.title);
            return Err(SecretError::Unreadable(problem));
        }
        Ok(Err(unverified.error()))
    }

    /// Archives a verified webhook or batch under the `id` that the provider assigned to the webhook or batch.
    async fn archive_webhook(
        &self,
        verified: &VerifiedWebhook,
        id: Option<Vec<u8>>,
        deadline: Instant,
    ) -> Outcome {
        let Some(archive) = &self.archive else {
            return Outcome::ArchiveFailed(AwsError::Rejected("no archive is configured".into()));
        };
        let entry = ArchiveEntry {
            provider: self.provider.name,
            id,
            is_polled: false,
            received_at: Timestamp::now(),
            headers: verified.archived_headers(),
            body: verified.body().clone(),
        };
        match Box::pin(archive.put_if_absent(&entry, deadline)).await {
            Ok(PutOutcome::Created) => Outcome::Archived,
            Ok(PutOutcome::AlreadyExists) => Outcome::AlreadyArchived,
            Err(error) => Outcome::ArchiveFailed(error),
        }
    }

    /// Publishes the events of one webhook in their order. Either the bus or the spill queue accepts every event, or the outcome
    /// is a failure: the provider then sends the webhook again, and every event has the same id as before.
    async fn publish_events(&self, events: Vec<Event>, deadline: Instant) -> Outcome {
        let received_at = Timestamp::now();
        let mut prepared = Vec::new();
        for event in events {
            match self.fit_event(event, deadline).await {
                Ok(event) => prepared.push(Arc::new(event)),
                Err(outcome) => return outcome,
            }
        }
        let publish_deadline = self.spill_queue.as_ref().map_or(deadline, |_| midpoint(deadline));
        let results = self.bus.publish_all(&prepared, self.max_entry_bytes, publish_deadline).await;
        let failed = prepared.iter().zip(results).filter_map(|(event, result)| Some((event, result.err()?)));
        let (too_large, failed): (Vec<(&Arc<Event>, AwsError)>, Vec<_>) =
            failed.partition(|(_, error)| matches!(error, AwsError::TooLarge));
        // In some regions, EventBridge accepts fewer bytes in a request. Alone, an event fits, or is stored in the overflow bucket.
        let mut spill_reason = None;
        for (event, _) in too_large {
            match self.publish_event(Event::clone(event), deadline).await {
                Outcome::Published => {}
                Outcome::Spilled(error) => spill_reason = Some(error),
                outcome => return outcome,
            }
        }
        let is_rejected = |error: &AwsError| matches!(error, AwsError::Malformed(_));
        let Some((_, first_error)) =
            failed.iter().find(|(_, error)| is_rejected(error)).or_else(|| failed.first()).cloned()
        else {
            return spill_reason.map_or(Outcome::Published, Outcome::Spilled);
        };
        // Spill even if the outcome is a failure: fewer events are then published twice after the provider's retry.
        let Some(queue) = &self.spill_queue else { return Outcome::PublishFailed(first_error) };
        let mut spilled = Vec::new();
        for (event, _) in failed.iter().filter(|(_, error)| !is_rejected(error)) {
            match self.prepare_spill(self.with_arrival_time(event, received_at), deadline).await {
                Ok(event) => spilled.push(event),
                Err(_) => return Outcome::PublishFailed(first_error),
            }
        }
        let results = queue.send_all(&spilled, &first_error.to_string(), deadline).await;
        if let Some(spill_error) = results.into_iter().find_map(Result::err) {
            warn!(error = %spill_error, "the spill queue also rejected an event");
            return Outcome::PublishFailed(first_error);
        }
        if is_rejected(&first_error) {
            return Outcome::PublishFailed(first_error);
        }
        Outcome::Spilled(first_error)
    }

    /// The event, or its claim check if the event is too large for an entry.
    async fn fit_event(&self, event: Event, deadline: Instant) -> Result<Event, Outcome> {
        let size = event.entry_size();
        if size <= self.max_entry_bytes {
            return Ok(event);
        }
        let Some(overflow_store) = &self.overflow_store else {
            return Err(Outcome::TooLarge { size, limit: Some(self.max_entry_bytes) });
        };
        let claim_check = overflow_store.store_detail(self.provider.name, &event, midpoint(deadline));
        Box::pin(claim_check).await.map_err(Outcome::OverflowFailed)
    }

    async fn publish_event(&self, event: Event, deadline: Instant) -> Outcome {
        let received_at = Timestamp::now();
        let event = Arc::new(event);
        let size = event.entry_size();
        let too_large = if size > self.max_entry_bytes {
            Outcome::TooLarge { size, limit: Some(self.max_entry_bytes) }
        } else {
            match self.publish_or_spill(&event, received_at, deadline).await {
                Outcome::PublishFailed(AwsError::TooLarge) => Outcome::TooLarge { size, limit: None },
                outcome => return outcome,
            }
        };
        match &self.overflow_store {
            None => too_large,
            Some(overflow_store) => {
                match Box::pin(overflow_store.store_detail(self.provider.name, &event, midpoint(deadline)))
                    .await
                {
                    Ok(claim_check) => {
                        self.publish_or_spill(&Arc::new(claim_check), received_at, deadline).await
                    }
                    Err(error) => Outcome::OverflowFailed(error),
                }
            }
        }
    }

    async fn publish_or_spill(
        &self,
        event: &Arc<Event>,
        received_at: Timestamp,
        deadline: Instant,
    ) -> Outcome {
        let Some(queue) = &self.spill_queue else {
            let result = self.bus.publish(event, deadline).await;
            return result.map_or_else(Outcome::PublishFailed, |()| Outcome::Published);
        };
        // Wait for the bus only briefly, because a waiting request counts against the function's reserved concurrency.
        let error =
            match self.bus.publish(event, midpoint(deadline).min(Instant::now() + PUBLISH_TIMEOUT)).await {
                Ok(()) => return Outcome::Published,
                // Do not spill this event: the bus would reject it again on a redrive, and the provider learns of the error.
                Err(error @ (AwsError::Malformed(_) | AwsError::TooLarge)) => {
                    return Outcome::PublishFailed(error);
                }
                Err(error) => error,
            };
        Box::pin(self.spill_event(queue, self.with_arrival_time(event, received_at), error, deadline)).await
    }

    /// Sends the event to the spill queue after the bus failed with `error`.
    async fn spill_event(
        &self,
        queue: &SpillQueue,
        event: Arc<Event>,
        error: AwsError,
        deadline: Instant,
    ) -> Outcome {
        let result = match self.prepare_spill(event, deadline).await {
            Ok(event) => queue.send(&event, &error.to_string(), deadline).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => Outcome::Spilled(error),
            Err(spill_error) => {
                warn!(error = %spill_error, "the spill queue also rejected the event");
                Outcome::PublishFailed(error)
            }
        }
    }

    /// The event to send to the spill queue. In some regions, EventBridge rejects entries over 256 KiB. If the region of the bus is
    /// one of them, every redrive of a larger event would fail, so spill its claim check instead.
    async fn prepare_spill(&self, event: Arc<Event>, deadline: Instant) -> Result<Arc<Event>, AwsError> {
        match &self.overflow_store {
            Some(overflow_store) if event.entry_size() > DEFAULT_MAX_ENTRY_BYTES => {
                let claim_check = overflow_store.store_detail(self.provider.name, &event, midpoint(deadline));
                Ok(Arc::new(claim_check.await?))
            }
            _ => Ok(event),
        }
    }

    /// Adds the time of arrival to an event that has no time, unless the event then exceeds the entry limit.
    /// EventBridge would assign the time of the redrive to a spilled event without a time.
    fn with_arrival_time(&self, event: &Arc<Event>, received_at: Timestamp) -> Arc<Event> {
        let event_with_time = Event { time: event.time.or(Some(received_at)), ..Event::clone(event) };
        if event_with_time.entry_size() <= self.max_entry_bytes {
            Arc::new(event_with_time)
        } else {
            event.clone()
        }
    }
}

/// The instant halfway between now and `deadline`. A first AWS request that ends at that instant or earlier leaves time for a
/// second request before `deadline`.
fn midpoint(deadline: Instant) -> Instant {
    deadline - deadline.saturating_duration_since(Instant::now()) / 2
}
