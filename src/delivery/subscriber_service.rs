//! Operations on subscribers (create, update, pause, rotate, delete, ping, replay), shared by the command `hookbridge subscriber` and the
//! HTTP API.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::{AttemptResult, DeliveryClient, DeliveryRequest};
use super::encryption::{KeyError, KeyRing};
use super::encryption::{KeySource, KeySourceError};
use super::signature::InvalidSecretError;
use super::signer::{DeliverySignature, Signer};
use super::ssrf::BlockedUrlError;
use super::store::{DeliveryStore, OutgoingEvent};
use super::subscriber::{
    Envelope, PauseReason, PreparedSubscriber, SettingsError, SignerError, StoredSecret, Subscriber,
    SubscriberSettings, check_name, generate_secret,
};
use super::worker::{ArrivedEvent, Clock, receives};
use crate::db::DatabaseError;
use crate::event::PatternError;
use crate::secrets::Secret;

const PING_EVENT_TYPE: &str = "hookbridge.ping";
/// The minimum length of a secret that the caller provides, because a shorter one could be guessed.
const MIN_SECRET_BYTES: usize = 16;
/// The maximum number of attempts to store an update. An attempt fails if a concurrent update of the subscriber was stored first.
const MAX_UPDATE_ATTEMPTS: u32 = 10;
/// The longest time for which a previous secret keeps signing after a rotation.
pub const MAX_OVERLAP: SignedDuration = SignedDuration::from_hours(7 * 24);

pub struct SubscriberService {
    pub store: DeliveryStore,
    pub keys: KeySource,
    /// Sends pings, and holds the SSRF guard that checks URLs.
    pub client: DeliveryClient,
    pub clock: Clock,
}

/// The fields to change in an update, or to set in a new subscriber. In an update, a missing field keeps its value. In a new
/// subscriber, a missing field gets its default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubscriberUpdate {
    pub url: Option<String>,
    /// Globs of event types; an empty list matches every type.
    pub types: Option<Vec<String>>,
    /// An EventBridge event pattern; `{}` removes the filter.
    pub filter: Option<Value>,
    pub signature: Option<DeliverySignature>,
    pub envelope: Option<Envelope>,
    /// The maximum number of concurrent attempts.
    pub limit: Option<u32>,
    /// The time to wait for a response, in seconds.
    pub timeout: Option<u32>,
    /// If every attempt fails for this number of hours, the subscriber is paused.
    pub failure_budget: Option<u32>,
}

#[derive(Debug, thiserror::Error)]
pub enum SubscriberServiceError {
    #[error("no subscriber {0}")]
    NotFound(String),
    #[error("subscriber {0} exists already; change it with update, or choose another name")]
    NameTaken(String),
    #[error("url: required")]
    MissingUrl,
    /// At each of the `MAX_UPDATE_ATTEMPTS`, a concurrent update was stored first.
    #[error("subscriber {0} is being updated concurrently; try again")]
    Conflict(String),
    #[error("subscriber {0} is {1}")]
    UnchangedState(String, &'static str),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error("url: {0}")]
    BlockedUrl(BlockedUrlError),
    #[error("secret: {0}")]
    InvalidSecret(InvalidSecretError),
    #[error(
        "secret: shorter than {MIN_SECRET_BYTES} bytes, so it could be guessed; create one with: openssl rand -hex 32"
    )]
    ShortSecret,
    #[error(transparent)]
    Keys(#[from] KeySourceError),
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The secrets of at least one subscriber could not be re-encrypted. The error names the last such subscriber.
    #[error("cannot re-encrypt the secrets of {0} (all others are done): {1}")]
    Reencrypt(String, KeyError),
    #[error(transparent)]
    Signer(#[from] SignerError),
    #[error("filter: {0}")]
    Filter(PatternError),
    #[error(transparent)]
    Store(#[from] DatabaseError),
}

impl From<BlockedUrlError> for SubscriberServiceError {
    fn from(blocked: BlockedUrlError) -> Self {
        Self::BlockedUrl(blocked)
    }
}

impl From<InvalidSecretError> for SubscriberServiceError {
    fn from(error: InvalidSecretError) -> Self {
        Self::InvalidSecret(error)
    }
}

impl SubscriberUpdate {
    fn apply(self, settings: &mut SubscriberSettings) {
        let Self { url: _, types, filter, signature, envelope, limit, timeout, failure_budget } = self;
        let is_empty = |filter: &Value| filter.as_object().is_some_and(serde_json::Map::is_empty);
        settings.types = types.unwrap_or_else(|| std::mem::take(&mut settings.types));
        settings.filter = filter.or(settings.filter.take()).filter(|filter| !is_empty(filter));
        settings.signature = signature.unwrap_or(settings.signature);
        settings.envelope = envelope.unwrap_or(settings.envelope);
        settings.limit = limit.unwrap_or(settings.limit);
        settings.timeout = timeout.unwrap_or(settings.timeout);
        settings.failure_budget = failure_budget.unwrap_or(settings.failure_budget);
    }
}

impl SubscriberService {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    pub async fn find(&self, name: &str) -> Result<Subscriber, SubscriberServiceError> {
        let found = self.store.subscribers.list(Some(name)).await?.pop();
        found.ok_or_else(|| SubscriberServiceError::NotFound(name.to_owned()))
    }

    /// Creates a subscriber and returns it with its secret, which is shown only once. If `existing_secret` is set, requests are
    /// signed with this secret, which the subscriber has already; otherwise a new secret is generated.
    pub async fn create(
        &self,
        name: &str,
        changes: SubscriberUpdate,
        existing_secret: Option<Secret>,
    ) -> Result<(Subscriber, Secret), SubscriberServiceError> {
        check_name(name)?;
        let url = changes.url.clone().ok_or(SubscriberServiceError::MissingUrl)?;
        let mut settings = SubscriberSettings::default();
        changes.apply(&mut settings);
        settings.validate()?;
        let url = self.client.guard().resolve_and_check(&url).await?;
        let secret = match existing_secret {
            Some(secret) if secret.expose().len() < MIN_SECRET_BYTES => {
                return Err(SubscriberServiceError::ShortSecret);
            }
            Some(secret) => secret,
            None => generate_secret()?,
        };
        Signer::new(settings.signature, vec![secret.clone()])?;
        let stored = vec![StoredSecret {
            encrypted: self.keys.fresh_key_ring().await?.encrypt(&secret, name)?,
            until: None,
        }];
        let id = self.store.subscribers.add(name, url.as_str(), &settings, &stored, self.now()).await?;
        id.ok_or_else(|| SubscriberServiceError::NameTaken(name.to_owned()))?;
        Ok((self.find(name).await?, secret))
    }

    pub async fn update(
        &self,
        name: &str,
        changes: SubscriberUpdate,
    ) -> Result<Subscriber, SubscriberServiceError> {
        let url = match &changes.url {
            Some(url) => Some(self.client.guard().resolve_and_check(url).await?),
            None => None,
        };
        let keys = self.keys.fresh_key_ring().await?;
        self.update_stored(name, |subscriber| {
            if let Some(url) = &url {
                subscriber.url = url.to_string();
            }
            changes.clone().apply(&mut subscriber.settings);
            subscriber.settings.validate()?;
            self.prepare(subscriber, &keys).map(drop)
        })
        .await
    }

    /// Delivers to a subscriber those of the events that match it, also those that were delivered before. Returns the number of
    /// deliveries that are due now; with `is_dry_run`, the number of matching events, and changes nothing.
    pub async fn replay(
        &self,
        name: &str,
        events: &[ArrivedEvent],
        is_dry_run: bool,
    ) -> Result<usize, SubscriberServiceError> {
        let subscriber = self.find(name).await?;
        let keys = self.keys.fresh_key_ring().await?;
        let prepared = self.prepare(&subscriber, &keys)?;
        let matching = events.iter().filter(|event| receives(&prepared, event, &mut None));
        let outgoing: Vec<_> = matching
            .map(|event| OutgoingEvent {
                id: event.id.clone(),
                detail_type: event.detail_type.clone(),
                json: event.json.clone(),
            })
            .collect();
        if is_dry_run {
            return Ok(outgoing.len());
        }
        Ok(self.store.replay(&outgoing, prepared.id, self.now()).await?)
    }

    /// Prepares a subscriber for delivery. Fails if its filter is invalid, or if its secrets cannot sign requests.
    fn prepare(
        &self,
        subscriber: &Subscriber,
        keys: &KeyRing,
    ) -> Result<PreparedSubscriber, SubscriberServiceError> {
        let prepared =
            PreparedSubscriber::new(subscriber, keys, self.now()).map_err(SubscriberServiceError::Filter)?;
        prepared.signer(self.now())?;
        Ok(prepared)
    }

    /// Applies `change` to the stored subscriber and stores the result. Retries if a concurrent update was stored first.
    async fn update_stored(
        &self,
        name: &str,
        change: impl Fn(&mut Subscriber) -> Result<(), SubscriberServiceError>,
    ) -> Result<Subscriber, SubscriberServiceError> {
        for _ in 0..MAX_UPDATE_ATTEMPTS {
            let mut subscriber = self.find(name).await?;
            change(&mut subscriber)?;
            if self.store.subscribers.update(&subscriber).await? {
                return Ok(subscriber);
            }
        }
        Err(SubscriberServiceError::Conflict(name.to_owned()))
    }

    /// Pauses a subscriber. Its pending deliveries wait; a delivery whose seven days of retries end during the pause fails.
    pub async fn pause(&self, name: &str) -> Result<Subscriber, SubscriberServiceError> {
        let subscriber = self.find(name).await?;
        if !self.store.subscribers.pause(subscriber.id, PauseReason::Operator, self.now()).await? {
            return Err(SubscriberServiceError::UnchangedState(name.to_owned(), "paused already"));
        }
        self.find(name).await
    }

    /// Resumes a subscriber. All its pending deliveries become due.
    pub async fn resume(&self, name: &str) -> Result<Subscriber, SubscriberServiceError> {
        let subscriber = self.find(name).await?;
        if !self.store.subscribers.resume(subscriber.id, self.now()).await? {
            return Err(SubscriberServiceError::UnchangedState(name.to_owned(), "not paused"));
        }
        self.find(name).await
    }

    /// Replaces a subscriber's secret by a new one, and returns the new secret, which is shown only once. The previous secret
    /// keeps signing for `overlap`, at most [`MAX_OVERLAP`].
    pub async fn rotate_secret(
        &self,
        name: &str,
        overlap: SignedDuration,
    ) -> Result<Secret, SubscriberServiceError> {
        let (secret, now) = (generate_secret()?, self.now());
        let until = now.checked_add(overlap.clamp(SignedDuration::ZERO, MAX_OVERLAP)).ok();
        let encrypted = self.keys.fresh_key_ring().await?.encrypt(&secret, name)?;
        self.update_stored(name, |subscriber| {
            let previous = subscriber.active_secrets(now).map(|stored| StoredSecret {
                encrypted: stored.encrypted.clone(),
                until: stored.until.or(until).min(until),
            });
            subscriber.secrets = [StoredSecret { encrypted: encrypted.clone(), until: None }]
                .into_iter()
                .chain(previous)
                .collect();
            Ok(())
        })
        .await?;
        Ok(secret)
    }

    /// Re-encrypts the secrets of every subscriber that has a secret encrypted with an old key. Returns the number of secrets
    /// that were encrypted with an old key.
    ///
    /// # Errors
    /// [`SubscriberServiceError::Reencrypt`]: the secrets of at least one subscriber cannot be re-encrypted; the secrets of all
    /// other subscribers are re-encrypted. Any other error stops the re-encryption immediately.
    pub async fn reencrypt_secrets(&self) -> Result<usize, SubscriberServiceError> {
        let (mut reencrypted_count, mut last_error, keys) = (0, None, self.keys.fresh_key_ring().await?);
        for subscriber in self.store.subscribers.list(None).await? {
            let count_outdated = |subscriber: &Subscriber| {
                subscriber.secrets.iter().filter(|stored| !keys.is_current(&stored.encrypted)).count()
            };
            if count_outdated(&subscriber) == 0 {
                continue;
            }
            let update = self.update_stored(&subscriber.name, |subscriber| {
                for stored in &mut subscriber.secrets {
                    let secret = keys.decrypt(&stored.encrypted, &subscriber.name)?;
                    stored.encrypted = keys.encrypt(&secret, &subscriber.name)?;
                }
                Ok(())
            });
            match update.await {
                Ok(_) => reencrypted_count += count_outdated(&subscriber),
                Err(SubscriberServiceError::Key(error)) => {
                    last_error = Some(SubscriberServiceError::Reencrypt(subscriber.name, error));
                }
                Err(error) => return Err(error),
            }
        }
        last_error.map_or(Ok(reencrypted_count), Err)
    }

    /// Deletes a subscriber and cancels its pending deliveries.
    pub async fn delete(&self, name: &str) -> Result<(), SubscriberServiceError> {
        let subscriber = self.find(name).await?;
        Ok(self.store.subscribers.delete(subscriber.id).await?)
    }

    /// Sends an event of type `hookbridge.ping` once, and returns the result. The attempt is not recorded. A success resets the
    /// subscriber's failures and closes its circuit.
    pub async fn send_ping(&self, name: &str) -> Result<AttemptResult, SubscriberServiceError> {
        let subscriber = self.find(name).await?;
        let (prepared, now) = (self.prepare(&subscriber, &self.keys.fresh_key_ring().await?)?, self.now());
        let id = format!("ping-{:032x}", fastrand::u128(..));
        let event = json!({
            "version": "0", "id": id, "detail-type": PING_EVENT_TYPE, "source": "hookbridge", "account": "",
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "region": "", "resources": [],
            "detail": {"subscriber": name},
        });
        let request = DeliveryRequest {
            event_id: &id,
            detail_type: PING_EVENT_TYPE,
            event_json: &event.to_string(),
            attempt_number: 1,
        };
        let result = self.client.send(&prepared, request, now).await;
        if result.is_success() {
            self.store.subscribers.record_recovery(subscriber.id, now).await?;
        }
        Ok(result)
    }
}
