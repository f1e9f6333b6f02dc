//! Subscriber management (create, update, pause, rotate), shared by the CLI and the HTTP API.

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};

use super::attempt::{Letter, Poster, Tried};
use super::dispatcher::Clock;
use super::guard::Refused;
use super::key_source::{KeySource, NoKeys};
use super::keys::{KeyError, KeyRing};
use super::signature::NotASecret;
use super::signer::{Scheme, Signer};
use super::store::Store;
use super::subscriber::{
    Envelope, Kept, NoSigner, Receiver, Settings, SettingsError, Subscriber, check_name, new_secret,
};
use crate::event::PatternError;
use crate::log::{LogError, SqlExecutor};
use crate::secrets::Secret;

/// The type of a test.
const PING: &str = "hookbridge.ping";
/// The shortest secret that is taken, in bytes: a shorter one can be guessed.
const SHORTEST_SECRET: usize = 16;
/// Why a subscriber is paused that somebody has paused.
const BY_HAND: &str = "it was paused by hand";
/// Attempts at an update while other updates of the same subscriber come first.
const MAX_UPDATE_ATTEMPTS: u32 = 10;
/// The longest that an old secret goes on signing.
pub const LONGEST_OVERLAP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// Looks after subscribers.
pub struct Manager<S> {
    /// Where they are kept.
    pub store: Store<S>,
    /// Where what their secrets are encrypted with is had from.
    pub keys: KeySource,
    /// What a test is sent by; it knows what may be dialled.
    pub poster: Poster,
    /// The time.
    pub clock: Clock,
}

/// A partial update; missing fields keep their value or the default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Changes {
    /// Where it receives.
    pub url: Option<String>,
    /// Types of events, with `*` for any characters; of none, every type.
    pub types: Option<Vec<String>>,
    /// An EventBridge pattern of the event; `{}` takes it away.
    pub filter: Option<Value>,
    /// How it is signed.
    pub signature: Option<Scheme>,
    /// What is sent.
    pub envelope: Option<Envelope>,
    /// Deliveries that are tried at once, at most.
    pub limit: Option<u32>,
    /// How long an answer may take, in seconds.
    pub timeout: Option<u32>,
    /// After how many hours in which every attempt failed it is paused.
    pub failure_budget: Option<u32>,
}

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum ManageError {
    /// There is no such subscriber.
    #[error("there is no subscriber {0}")]
    Unknown(String),
    /// There is one already.
    #[error("there is a subscriber {0} already; change it with update, or choose another name")]
    Exists(String),
    /// It has no URL.
    #[error("a subscriber needs a URL")]
    NoUrl,
    /// Other updates came first, again and again.
    #[error("the subscriber {0} is being changed by others at the same time; try again")]
    Conflict(String),
    /// It is not paused, or is.
    #[error("the subscriber {0} is {1}")]
    Already(String, &'static str),
    /// What it is to be cannot be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// Its URL must not be dialled.
    #[error("url: {0}")]
    Refused(Refused),
    /// Its secret.
    #[error("secret: {0}")]
    Secret(NotASecret),
    /// It can be guessed.
    #[error("secret: it is shorter than {SHORTEST_SECRET} bytes, and could be guessed: openssl rand -hex 32")]
    ShortSecret,
    /// There are no keys.
    #[error(transparent)]
    Keys(#[from] NoKeys),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The secrets of one subscriber could not be encrypted again.
    #[error("{0} (the others are done): {1}")]
    NotAgain(String, KeyError),
    /// Nothing can be signed for it.
    #[error(transparent)]
    NoSigner(#[from] NoSigner),
    /// Its pattern is none.
    #[error("filter: {0}")]
    Filter(PatternError),
    /// The store.
    #[error(transparent)]
    Store(#[from] LogError),
}

impl From<Refused> for ManageError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

impl From<NotASecret> for ManageError {
    fn from(not_a_secret: NotASecret) -> Self {
        Self::Secret(not_a_secret)
    }
}

impl Changes {
    fn apply(self, settings: &mut Settings) {
        let Self { url: _, types, filter, signature, envelope, limit, timeout, failure_budget } = self;
        let is_none = |filter: &Value| filter.as_object().is_some_and(serde_json::Map::is_empty);
        settings.types = types.unwrap_or_else(|| std::mem::take(&mut settings.types));
        settings.filter = filter.or(settings.filter.take()).filter(|filter| !is_none(filter));
        settings.signature = signature.unwrap_or(settings.signature);
        settings.envelope = envelope.unwrap_or(settings.envelope);
        settings.limit = limit.unwrap_or(settings.limit);
        settings.timeout = timeout.unwrap_or(settings.timeout);
        settings.failure_budget = failure_budget.unwrap_or(settings.failure_budget);
    }
}

impl<S: SqlExecutor> Manager<S> {
    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// The subscriber of a name.
    ///
    /// # Errors
    /// [`ManageError`].
    pub async fn find(&self, name: &str) -> Result<Subscriber, ManageError> {
        let found = self.store.subscribers(Some(name)).await?.pop();
        found.ok_or_else(|| ManageError::Unknown(name.to_owned()))
    }

    /// Makes a subscriber, and the secret that is shown once; `given` is one that the receiver has already.
    ///
    /// # Errors
    /// [`ManageError`]: nothing was made.
    pub async fn create(
        &self,
        name: &str,
        changes: Changes,
        given: Option<Secret>,
    ) -> Result<(Subscriber, Secret), ManageError> {
        check_name(name)?;
        let url = changes.url.clone().ok_or(ManageError::NoUrl)?;
        let mut settings = Settings::default();
        changes.apply(&mut settings);
        settings.check()?;
        let url = self.poster.guard().check(&url).await?;
        let secret = match given {
            Some(secret) if secret.expose().len() < SHORTEST_SECRET => return Err(ManageError::ShortSecret),
            Some(secret) => secret,
            None => new_secret()?,
        };
        Signer::new(settings.signature, vec![secret.clone()])?;
        let kept = vec![Kept { sealed: self.keys.newest().await?.seal(&secret, name)?, until: None }];
        let made = self.store.add(name, url.as_str(), &settings, &kept, self.now()).await?;
        made.ok_or_else(|| ManageError::Exists(name.to_owned()))?;
        Ok((self.find(name).await?, secret))
    }

    /// Changes a subscriber.
    ///
    /// # Errors
    /// [`ManageError`]: nothing was changed.
    pub async fn update(&self, name: &str, changes: Changes) -> Result<Subscriber, ManageError> {
        let url = match &changes.url {
            Some(url) => Some(self.poster.guard().check(url).await?),
            None => None,
        };
        let keys = self.keys.newest().await?;
        self.change(name, |subscriber| {
            if let Some(url) = &url {
                subscriber.url = url.to_string();
            }
            changes.clone().apply(&mut subscriber.settings);
            subscriber.settings.check()?;
            self.receiver(subscriber, &keys).map(drop)
        })
        .await
    }

    /// Builds the delivery target, validating filter and secret.
    fn receiver(&self, subscriber: &Subscriber, keys: &KeyRing) -> Result<Receiver, ManageError> {
        let receiver = Receiver::of(subscriber, keys, self.now()).map_err(ManageError::Filter)?;
        receiver.signer(self.now())?;
        Ok(receiver)
    }

    /// Changes a subscriber; starts again from the stored one when another update came first.
    async fn change(
        &self,
        name: &str,
        change: impl Fn(&mut Subscriber) -> Result<(), ManageError>,
    ) -> Result<Subscriber, ManageError> {
        for _ in 0..MAX_UPDATE_ATTEMPTS {
            let mut subscriber = self.find(name).await?;
            change(&mut subscriber)?;
            if self.store.update(&subscriber).await? {
                return Ok(subscriber);
            }
        }
        Err(ManageError::Conflict(name.to_owned()))
    }

    /// Stops sending; what is owed waits, for seven days at most.
    ///
    /// # Errors
    /// [`ManageError`].
    pub async fn pause(&self, name: &str) -> Result<Subscriber, ManageError> {
        let subscriber = self.find(name).await?;
        if !self.store.pause(subscriber.id, BY_HAND, self.now()).await? {
            return Err(ManageError::Already(name.to_owned(), "paused already"));
        }
        self.find(name).await
    }

    /// Begins again, with what waits.
    ///
    /// # Errors
    /// [`ManageError`].
    pub async fn resume(&self, name: &str) -> Result<Subscriber, ManageError> {
        let subscriber = self.find(name).await?;
        if !self.store.resume(subscriber.id, self.now()).await? {
            return Err(ManageError::Already(name.to_owned(), "not paused"));
        }
        self.find(name).await
    }

    /// Makes a new secret, which is shown once; the old one signs too for as long as `overlap`.
    ///
    /// # Errors
    /// [`ManageError`].
    pub async fn rotate(&self, name: &str, overlap: SignedDuration) -> Result<Secret, ManageError> {
        let (secret, now) = (new_secret()?, self.now());
        let until = now.checked_add(overlap.clamp(SignedDuration::ZERO, LONGEST_OVERLAP)).ok();
        let sealed = self.keys.newest().await?.seal(&secret, name)?;
        self.change(name, |subscriber| {
            let old = subscriber
                .signing(now)
                .map(|kept| Kept { sealed: kept.sealed.clone(), until: kept.until.or(until).min(until) });
            subscriber.secrets =
                [Kept { sealed: sealed.clone(), until: None }].into_iter().chain(old).collect();
            Ok(())
        })
        .await?;
        Ok(secret)
    }

    /// Encrypts every secret with the key that encrypts now; says how many were encrypted with another.
    ///
    /// # Errors
    /// [`ManageError`]: with [`ManageError::NotAgain`] the others are done, and otherwise those before.
    pub async fn encrypt_again(&self) -> Result<usize, ManageError> {
        let (mut done, mut failed, keys) = (0, None, self.keys.newest().await?);
        for subscriber in self.store.subscribers(None).await? {
            let old = |subscriber: &Subscriber| {
                subscriber.secrets.iter().filter(|kept| !keys.is_current(&kept.sealed)).count()
            };
            if old(&subscriber) == 0 {
                continue;
            }
            let changed = self.change(&subscriber.name, |subscriber| {
                for kept in &mut subscriber.secrets {
                    let secret = keys.open(&kept.sealed, &subscriber.name)?;
                    kept.sealed = keys.seal(&secret, &subscriber.name)?;
                }
                Ok(())
            });
            match changed.await {
                Ok(_) => done += old(&subscriber),
                Err(ManageError::Key(error)) => failed = Some(ManageError::NotAgain(subscriber.name, error)),
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(done), Err)
    }

    /// Removes a subscriber; what it is owed is cancelled.
    ///
    /// # Errors
    /// [`ManageError`].
    pub async fn remove(&self, name: &str) -> Result<(), ManageError> {
        let subscriber = self.find(name).await?;
        Ok(self.store.remove(subscriber.id).await?)
    }

    /// Sends a subscriber an event of the type `hookbridge.ping`, which is on no record. When it is taken, the subscriber is well
    /// again.
    ///
    /// # Errors
    /// [`ManageError`]: nothing was sent.
    pub async fn test(&self, name: &str) -> Result<Tried, ManageError> {
        let subscriber = self.find(name).await?;
        let (receiver, now) = (self.receiver(&subscriber, &self.keys.newest().await?)?, self.now());
        let id = format!("ping-{:032x}", fastrand::u128(..));
        let event = json!({
            "version": "0", "id": id, "detail-type": PING, "source": "hookbridge", "account": "",
            "time": now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(), "region": "", "resources": [],
            "detail": {"subscriber": name},
        });
        let letter = Letter { id: &id, detail_type: PING, event: &event.to_string(), number: 1 };
        let tried = self.poster.post(&receiver, letter, now).await;
        if tried.is_good() {
            self.store.recovered(subscriber.id, now).await?;
        }
        Ok(tried)
    }
}
