//! The providers: who sends webhooks, and how each of them signs.
//!
//! A provider is a value, not a program: a constant in a file of its own that reads like the provider's
//! documentation. The verification, the CloudFormation template, the README's table, the routes of
//! `hookbridge serve` and `hookbridge send` all come from that constant. Code of its own exists only for what no
//! table can say (Twilio's parameters).
//!
//! A [`RawWebhook`] is opaque. [`Provider::parse_signature`] takes it and looks for a signature,
//! [`UnverifiedWebhook::verify`] checks that with a secret, and only the [`VerifiedWebhook`] that comes of it can be read, logged or
//! translated. It calls nobody and keeps no state.

mod form;
pub mod github;
mod polling;
mod signature;
pub mod sparkpost;
pub mod stripe;
mod translate;
pub mod twilio;
mod unverified;
mod url;
mod webhook;

pub use form::Form;
pub use polling::{PageError, Pagination, PollingApi, TimeFormat, TypeFilter};
pub use signature::{
    Algorithm, Encoding, HeaderFormat, SignatureScheme, SignedContent, SigningInput, SigningPart,
    TimestampTolerance, VerificationError,
};
pub use translate::{BodyFormat, FieldLocation, JSON_MEDIA_TYPE, TranslationError};
pub use unverified::UnverifiedWebhook;
pub use url::{PublicUrl, RequestUrl, UrlError};
pub use webhook::{RawWebhook, VerifiedWebhook};

/// One provider: all that hookbridge knows about who sends a webhook.
#[derive(Debug)]
pub struct Provider {
    /// The word for it in routes, environment and file names: lowercase, no spaces.
    pub name: &'static str,
    /// Its name as it writes it.
    pub title: &'static str,
    /// Its page about signatures, the source of everything below.
    pub documentation: &'static str,
    /// The template's parameter that takes the secret.
    pub secret_parameter: &'static str,
    /// Where a person finds that secret.
    pub secret_hint: &'static str,
    /// The `Source` of its events.
    pub source: &'static str,
    /// How it signs.
    pub signature: SignatureScheme,
    /// What its bodies are, and what part of them is the `Detail`.
    pub body_format: BodyFormat,
    /// Where the `DetailType` stands; `default_type` where there is none.
    pub event_type: Option<FieldLocation>,
    /// The `DetailType` of a webhook that does not say its type.
    pub default_event_type: &'static str,
    /// Where the provider's own id of the webhook stands.
    pub delivery_id: Option<FieldLocation>,
    /// Where the time of the event stands.
    pub event_time: Option<FieldLocation>,
    /// How it is asked for events whose webhooks were missed, where it can be.
    pub polling: Option<PollingApi>,
    /// What `hookbridge send` sends when it is given nothing else.
    pub sample: SampleWebhook,
}

impl Provider {
    /// Whether what it sends is kept in an archive and not put on a bus.
    pub fn sends_batches(&self) -> bool {
        matches!(self.body_format, BodyFormat::Batch)
    }

    /// The delivery id in a resource of an event, `urn:webhook:<provider>:<delivery id>`; `None` when it is something else.
    pub fn delivery_id_from_urn<'u>(&self, urn: &'u str) -> Option<&'u str> {
        urn.strip_prefix("urn:webhook:")?.strip_prefix(self.name)?.strip_prefix(':')
    }

    /// Whether the body says both the event's own id and its time: then an event that comes again, or another way, is known
    /// to be the same. A delivery's id in a header, and the time at which it came, say nothing of that.
    pub fn identifies_events(&self) -> bool {
        matches!(
            (self.delivery_id, self.event_time),
            (Some(FieldLocation::Body(_)), Some(FieldLocation::Body(_)))
        )
    }
}

/// A webhook to try things with.
#[derive(Debug)]
pub struct SampleWebhook {
    /// Its event type.
    pub event_type: &'static str,
    /// Its body, as the provider writes one.
    pub body: &'static str,
    /// The part of the body that is the event's own id, and so is another each time; empty where it has none.
    pub id_placeholder: &'static str,
    /// The part of the body that is the event's time in seconds; empty where it has none.
    pub time_placeholder: &'static str,
}

/// Every provider, in the order in which they are listed.
pub const ALL: [&Provider; 4] = [&github::GITHUB, &sparkpost::SPARKPOST, &stripe::STRIPE, &twilio::TWILIO];

/// The provider of that name.
///
/// # Errors
/// [`UnknownProvider`] lists the names there are.
pub fn find(name: &str) -> Result<&'static Provider, UnknownProvider> {
    ALL.into_iter().find(|p| p.name == name).ok_or_else(|| UnknownProvider(name.to_owned()))
}

/// A name that is no provider's.
#[derive(Debug, thiserror::Error)]
#[error("there is no provider '{0}'; there are: {names}", names = ALL.map(|p| p.name).join(", "))]
pub struct UnknownProvider(pub String);
