//! A subscriber: a URL that receives events, its filter, its settings and its secrets.

use jiff::Timestamp;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::encryption::{EncryptedSecret, KeyError, KeyRing, random_bytes};
use super::signature::InvalidSecretError;
use super::signer::{DeliverySignature, Signer};
use crate::event::{Pattern, PatternError, glob_match};
use crate::secrets::Secret;
use crate::util::names::{MAX_NAME_CHARS, is_valid_name};

/// The name and the allowed range of each numeric setting. The units are concurrent attempts, seconds and hours, in this order.
const SETTING_RANGES: [(&str, std::ops::RangeInclusive<u32>); 3] =
    [("limit", 1..=1000), ("timeout", 1..=30), ("failure_budget", 1..=24 * 365)];

/// The top-level fields that a filter may contain: the fields of an event, and the operator `$or`.
const EVENT_FIELDS: [&str; 10] =
    ["detail", "detail-type", "source", "account", "region", "resources", "time", "id", "version", "$or"];

pub(super) type SubscriberId = i64;

/// A subscriber's filter and delivery settings. They are stored as JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubscriberSettings {
    /// Globs of event types; an empty list matches every type.
    pub types: Vec<String>,
    /// An EventBridge event pattern; `None` matches every event.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<Value>,
    pub signature: DeliverySignature,
    pub envelope: Envelope,
    /// The maximum number of concurrent attempts.
    pub limit: u32,
    /// The time to wait for a response, in seconds.
    pub timeout: u32,
    /// If every attempt fails for this number of hours, the subscriber is paused.
    pub failure_budget: u32,
}

impl Default for SubscriberSettings {
    fn default() -> Self {
        Self {
            types: Vec::new(),
            filter: None,
            signature: DeliverySignature::Standard,
            envelope: Envelope::Event,
            limit: 16,
            timeout: 20,
            failure_budget: 7 * 24,
        }
    }
}

/// The form of the request body.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Envelope {
    /// The whole event, as EventBridge's targets receive it
    #[default]
    Event,
    /// Only its detail, as `{"body": ...}`
    Body,
}

/// A subscriber's secret, in encrypted form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSecret {
    #[serde(flatten)]
    pub encrypted: EncryptedSecret,
    /// The time until which a secret that a rotation has replaced still signs; `None` if no rotation has replaced the secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Subscriber {
    pub id: SubscriberId,
    pub name: String,
    pub url: String,
    pub settings: SubscriberSettings,
    /// The secrets, newest first.
    pub secrets: Vec<StoredSecret>,
    /// Set while the subscriber is paused.
    pub paused: Option<Pause>,
    pub created: Timestamp,
    pub health: SubscriberHealth,
    /// The number of updates of the URL, settings and secrets so far. An update is stored only if this number has not changed
    /// since the subscriber was read.
    pub version: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pause {
    /// `None` if an earlier version of hookbridge paused the subscriber.
    pub since: Option<Timestamp>,
    /// `None` if the stored text is missing or unknown.
    pub reason: Option<PauseReason>,
}

/// Why deliveries to a subscriber are paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PauseReason {
    /// The operator paused the subscriber.
    Operator,
    /// The subscriber answered 410 (Gone).
    Gone,
    /// Every attempt failed for as long as the failure budget allows.
    BudgetUsed,
}

impl PauseReason {
    const ALL: [Self; 3] = [Self::Operator, Self::Gone, Self::BudgetUsed];

    /// Returns the text that is shown and stored. The texts must not change, because stored texts are parsed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "paused by the operator",
            Self::Gone => "it answered 410 Gone",
            Self::BudgetUsed => "every attempt failed for too long",
        }
    }

    /// Parses the stored text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A subscriber's failures since its last success, its circuit, and what health events have reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SubscriberHealth {
    pub failures: i64,
    /// The start of the first attempt that failed since the last success; `None` if no attempt has failed since.
    pub failing_since: Option<Timestamp>,
    /// Set while the circuit is open: the time from which the next probe may be sent.
    pub open_until: Option<Timestamp>,
    /// The percentage of the failure budget that health events have reported; -1 if a recovery has not been reported yet.
    pub reported_percent: i64,
}

/// An invalid name or setting. No message contains a secret.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    #[error(
        "a subscriber's name begins with a letter or digit and continues with letters, digits, '-', '_' and '.', at most {MAX_NAME_CHARS} characters"
    )]
    InvalidName,
    #[error("type: must have 1 to 128 characters")]
    InvalidType,
    #[error("filter: {0}")]
    Filter(PatternError),
    #[error("filter: unknown field '{0}'; events have: {fields}", fields = EVENT_FIELDS.join(", "))]
    UnknownField(String),
    #[error("{name}: {value} is out of range, expected {from} to {to}")]
    OutOfRange { name: &'static str, value: u32, from: u32, to: u32 },
}

pub(super) fn check_name(name: &str) -> Result<(), SettingsError> {
    is_valid_name(name).then_some(()).ok_or(SettingsError::InvalidName)
}

impl SubscriberSettings {
    /// Validates all settings.
    ///
    /// # Errors
    /// The first invalid setting.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if self.types.iter().any(|glob| glob.is_empty() || glob.len() > 128) {
            return Err(SettingsError::InvalidType);
        }
        self.pattern().map_err(SettingsError::Filter)?;
        let fields = self.filter.as_ref().and_then(Value::as_object).into_iter().flatten();
        if let Some((unknown, _)) =
            fields.into_iter().find(|(name, _)| !EVENT_FIELDS.contains(&name.as_str()))
        {
            return Err(SettingsError::UnknownField(unknown.clone()));
        }
        for ((name, bounds), value) in
            SETTING_RANGES.iter().zip([self.limit, self.timeout, self.failure_budget])
        {
            if !bounds.contains(&value) {
                return Err(SettingsError::OutOfRange {
                    name,
                    value,
                    from: *bounds.start(),
                    to: *bounds.end(),
                });
            }
        }
        Ok(())
    }

    fn pattern(&self) -> Result<Option<Pattern>, PatternError> {
        self.filter.as_ref().map(|filter| filter.to_string().parse()).transpose()
    }
}

impl Subscriber {
    /// Returns the secrets that sign requests at `now`.
    pub fn active_secrets(&self, now: Timestamp) -> impl Iterator<Item = &StoredSecret> {
        self.secrets.iter().filter(move |stored| stored.until.is_none_or(|until| now < until))
    }
}

/// Generates a secret in the form of Standard Webhooks.
pub(super) fn generate_secret() -> Result<Secret, KeyError> {
    Ok(Secret::new(super::signature::encode_secret(&random_bytes::<32>()?)))
}

/// A subscriber prepared for delivery: its URL and filter are parsed, and its secrets decrypted.
#[derive(Debug)]
pub struct PreparedSubscriber {
    pub id: SubscriberId,
    pub name: String,
    /// `None` if the stored text is not a URL.
    pub url: Option<Url>,
    pub settings: SubscriberSettings,
    pub is_paused: bool,
    /// The parsed filter; `None` if the subscriber has no filter.
    filter: Option<Pattern>,
    /// The decrypted secrets, each with the time until which the secret signs requests; `None` if the secret does not expire.
    secrets: Result<Vec<(Secret, Option<Timestamp>)>, KeyError>,
}

/// Why requests for a subscriber cannot be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(
        "the subscriber's secret does not have the form of Standard Webhooks; rotate it, or choose another signature"
    )]
    Secret(#[from] InvalidSecretError),
}

impl PreparedSubscriber {
    /// Parses a subscriber's filter and decrypts the secrets that sign at `now`. If a secret cannot be decrypted, the worker
    /// still creates the subscriber's deliveries, but their attempts fail until the missing key is added.
    pub fn new(subscriber: &Subscriber, keys: &KeyRing, now: Timestamp) -> Result<Self, PatternError> {
        let decrypt =
            |stored: &StoredSecret| Ok((keys.decrypt(&stored.encrypted, &subscriber.name)?, stored.until));
        Ok(Self {
            id: subscriber.id,
            name: subscriber.name.clone(),
            url: Url::parse(&subscriber.url).ok(),
            is_paused: subscriber.paused.is_some(),
            filter: subscriber.settings.pattern()?,
            settings: subscriber.settings.clone(),
            secrets: subscriber.active_secrets(now).map(decrypt).collect(),
        })
    }

    /// Whether every secret could be decrypted.
    pub fn has_decrypted_secrets(&self) -> bool {
        self.secrets.is_ok()
    }

    pub fn signer(&self, now: Timestamp) -> Result<Signer, SignerError> {
        let is_active = |(_, until): &&(Secret, Option<Timestamp>)| until.is_none_or(|until| now < until);
        let secrets = self.secrets.as_ref().map_err(Clone::clone)?;
        let secrets = secrets.iter().filter(is_active).map(|(secret, _)| secret.clone()).collect();
        Ok(Signer::new(self.settings.signature, secrets)?)
    }

    /// Whether the subscriber's event types and filter match an event. `event` returns the event; it is called only if there is a
    /// filter.
    pub fn matches<'a>(&self, detail_type: &str, event: impl FnOnce() -> &'a Value) -> bool {
        let types = &self.settings.types;
        (types.is_empty() || types.iter().any(|glob| glob_match(detail_type, glob)))
            && self.filter.as_ref().is_none_or(|filter| filter.matches(event()))
    }

    /// Returns the request body for an event, in the subscriber's envelope; `None` if the envelope needs the event's detail and
    /// the event has none.
    pub fn request_body(&self, event_json: &str) -> Option<String> {
        #[derive(Deserialize)]
        struct WithDetail<'a> {
            #[serde(borrow)]
            detail: &'a RawValue,
        }
        match self.settings.envelope {
            Envelope::Event => Some(event_json.to_owned()),
            Envelope::Body => {
                let WithDetail { detail } = serde_json::from_str(event_json).ok()?;
                Some(format!("{{\"body\":{}}}", detail.get()))
            }
        }
    }
}
