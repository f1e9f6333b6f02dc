//! A subscriber: a URL that receives events from us, which ones, and how.

use jiff::Timestamp;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::keys::{KeyError, KeyRing, Sealed, random};
use super::signature::NotASecret;
use super::signer::{Scheme, Signer};
use crate::event::{Pattern, PatternError, glob_match};
use crate::secrets::Secret;

/// The longest name, in characters.
const LONGEST_NAME: usize = 64;
/// What a subscriber can be set to, from and to: deliveries at once, seconds for an answer, hours of failure.
const BOUNDS: [(&str, std::ops::RangeInclusive<u32>); 3] =
    [("limit", 1..=1000), ("timeout", 1..=30), ("failure_budget", 1..=24 * 365)];

/// What an event has, and a pattern besides.
const FIELDS: [&str; 10] =
    ["detail", "detail-type", "source", "account", "region", "resources", "time", "id", "version", "$or"];

/// A number that the store gives a subscriber.
pub(super) type SubscriberId = i64;

/// What a subscriber wants, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Types of events, with `*` for any characters; of none, every type.
    pub types: Vec<String>,
    /// An EventBridge pattern of the event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    /// How it is signed.
    pub signature: Scheme,
    /// What is sent.
    pub envelope: Envelope,
    /// Deliveries that are tried at once, at most.
    pub limit: u32,
    /// How long an answer may take, in seconds.
    pub timeout: u32,
    /// After how many hours in which every attempt failed it is paused.
    pub failure_budget: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            types: Vec::new(),
            filter: None,
            signature: Scheme::Standard,
            envelope: Envelope::Event,
            limit: 16,
            timeout: 20,
            failure_budget: 7 * 24,
        }
    }
}

/// What is sent of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Envelope {
    /// All of it, as EventBridge's targets receive it.
    #[default]
    Event,
    /// Its detail, as `{"body": ...}`.
    Body,
}

/// A secret of a subscriber, encrypted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// It.
    #[serde(flatten)]
    pub sealed: Sealed,
    /// Until when it signs too, where a newer one has taken its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A subscriber as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscriber {
    /// Its number.
    pub id: SubscriberId,
    /// Its name.
    pub name: String,
    /// Where it receives.
    pub url: String,
    /// What it wants.
    pub settings: Settings,
    /// Its secrets, the newest first.
    pub secrets: Vec<Kept>,
    /// Why nothing is sent for now.
    pub paused: Option<Pause>,
    /// Since when.
    pub created: Timestamp,
    /// How it has been.
    pub health: Health,
    /// The number of updates of its URL, settings and secrets so far.
    pub version: i64,
}

/// Why nothing is sent to a subscriber.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// Since when, where it is known.
    pub since: Option<Timestamp>,
    /// Why, where it is known.
    pub why: Option<String>,
}

/// How a subscriber has been of late.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Attempts that failed since one was good.
    pub failures: i64,
    /// The time of the first of them.
    pub failing_since: Option<Timestamp>,
    /// Until when nothing is tried, because too many failed.
    pub open_until: Option<Timestamp>,
    /// The part of the failure budget that was told of, in percent; -1 where it is still to be told that it is well again.
    pub told: i64,
}

/// What is wrong with what a subscriber is to be. It shows no secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The name.
    #[error(
        "a subscriber's name begins with a letter or a digit, and is of these, '-', '_' and '.', at most {LONGEST_NAME}"
    )]
    Name,
    /// A type.
    #[error("a type is empty, or longer than 128 characters")]
    Type,
    /// The pattern.
    #[error("filter: {0}")]
    Filter(PatternError),
    /// A field of the pattern that no event has.
    #[error("filter: no event has a field '{0}'; there are: {fields}", fields = FIELDS.join(", "))]
    Field(String),
    /// A number.
    #[error("{name}: {value} is not from {from} to {to}")]
    Bounds {
        /// Which.
        name: &'static str,
        /// What it is.
        value: u32,
        /// The least that it can be.
        from: u32,
        /// The most.
        to: u32,
    },
}

/// Checks a name.
///
/// # Errors
/// [`SettingsError::Name`].
pub(super) fn check_name(name: &str) -> Result<(), SettingsError> {
    let is_known = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
    let begins = name.starts_with(|char: char| char.is_ascii_alphanumeric());
    (begins && name.len() <= LONGEST_NAME && name.chars().all(is_known))
        .then_some(())
        .ok_or(SettingsError::Name)
}

impl Settings {
    /// Checks all of them.
    ///
    /// # Errors
    /// [`SettingsError`]: the first that cannot be.
    pub fn check(&self) -> Result<(), SettingsError> {
        if self.types.iter().any(|glob| glob.is_empty() || glob.len() > 128) {
            return Err(SettingsError::Type);
        }
        self.pattern().map_err(SettingsError::Filter)?;
        let fields = self.filter.as_ref().and_then(Value::as_object).into_iter().flatten();
        if let Some((other, _)) = fields.into_iter().find(|(name, _)| !FIELDS.contains(&name.as_str())) {
            return Err(SettingsError::Field(other.clone()));
        }
        for ((name, bounds), value) in BOUNDS.iter().zip([self.limit, self.timeout, self.failure_budget]) {
            if !bounds.contains(&value) {
                return Err(SettingsError::Bounds { name, value, from: *bounds.start(), to: *bounds.end() });
            }
        }
        Ok(())
    }

    fn pattern(&self) -> Result<Option<Pattern>, PatternError> {
        self.filter.as_ref().map(|filter| filter.to_string().parse()).transpose()
    }
}

impl Subscriber {
    /// The secrets that sign at `now`.
    pub fn signing(&self, now: Timestamp) -> impl Iterator<Item = &Kept> {
        self.secrets.iter().filter(move |kept| kept.until.is_none_or(|until| now < until))
    }
}

/// A new secret, as its subscriber is told it.
///
/// # Errors
/// When the system gives no random bytes.
pub(super) fn new_secret() -> Result<Secret, KeyError> {
    Ok(Secret::new(super::signature::text_of(&random::<32>()?)))
}

/// A subscriber that is ready to be sent to.
#[derive(Debug)]
pub struct Receiver {
    /// Its number.
    pub id: SubscriberId,
    /// Its name.
    pub name: String,
    /// Where it receives; none where what was stored is no URL.
    pub url: Option<Url>,
    /// What it wants.
    pub settings: Settings,
    /// Whether nothing is sent for now.
    pub is_paused: bool,
    pattern: Option<Pattern>,
    secrets: Result<Vec<(Secret, Option<Timestamp>)>, KeyError>,
}

/// Why nothing can be signed for a subscriber.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoSigner {
    /// Its secrets cannot be read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// Its secret cannot sign as it is to.
    #[error("its secret is none of Standard Webhooks: rotate it, or choose another signature")]
    Secret(#[from] NotASecret),
}

impl Receiver {
    /// Reads a subscriber's pattern and those of its secrets that sign at `now`. Where these cannot be read it is owed events all
    /// the same.
    ///
    /// # Errors
    /// [`PatternError`].
    pub fn of(subscriber: &Subscriber, keys: &KeyRing, now: Timestamp) -> Result<Self, PatternError> {
        let open = |kept: &Kept| Ok((keys.open(&kept.sealed, &subscriber.name)?, kept.until));
        Ok(Self {
            id: subscriber.id,
            name: subscriber.name.clone(),
            url: Url::parse(&subscriber.url).ok(),
            is_paused: subscriber.paused.is_some(),
            pattern: subscriber.settings.pattern()?,
            settings: subscriber.settings.clone(),
            secrets: subscriber.signing(now).map(open).collect(),
        })
    }

    /// Whether its secrets could be read.
    pub fn is_readable(&self) -> bool {
        self.secrets.is_ok()
    }

    /// What signs for it at `now`.
    ///
    /// # Errors
    /// [`NoSigner`].
    pub fn signer(&self, now: Timestamp) -> Result<Signer, NoSigner> {
        let signs = |(_, until): &&(Secret, Option<Timestamp>)| until.is_none_or(|until| now < until);
        let secrets = self.secrets.as_ref().map_err(Clone::clone)?;
        let secrets = secrets.iter().filter(signs).map(|(secret, _)| secret.clone()).collect();
        Ok(Signer::new(self.settings.signature, secrets)?)
    }

    /// Whether it wants an event: its type, and the event as EventBridge's targets receive it.
    pub fn wants<'a>(&self, detail_type: &str, event: impl FnOnce() -> &'a Value) -> bool {
        let types = &self.settings.types;
        (types.is_empty() || types.iter().any(|glob| glob_match(detail_type, glob)))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(event()))
    }

    /// What is sent of an event; `None` where the event has no detail.
    pub fn body(&self, event: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct Detailed<'a> {
            #[serde(borrow)]
            detail: &'a RawValue,
        }
        match self.settings.envelope {
            Envelope::Event => Some(event.to_owned()),
            Envelope::Body => {
                let Detailed { detail } = serde_json::from_str(event).ok()?;
                Some(format!("{{\"body\":{}}}", detail.get()))
            }
        }
    }
}
