//! Webhook providers and signature verification.
//!
//! A provider is a constant that reads like the provider's documentation. The verification, the CloudFormation
//! template, the README's table, the routes of `hookbridge serve` and `hookbridge send` all derive from this
//! constant. A provider has code only where a constant cannot express its rules (for example Twilio's signed parameters).
//!
//! A [`RawWebhook`] is opaque. [`Provider::parse_signature`] parses the signature of a webhook, and
//! [`UnverifiedWebhook::verify`] verifies the signature with a secret. Only the resulting [`VerifiedWebhook`] can be read,
//! logged or translated. This module does no I/O and holds no state.

mod batch_format;
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
mod url_spellings;
mod webhook;

use http::Method;

pub use batch_format::BatchFormat;
pub use form::Form;
pub use polling::{PageError, Pagination, PollingApi, TimeFormat, TypeFilter};
pub use signature::{
    Algorithm, Encoding, HeaderFormat, SignatureScheme, SignedContent, SigningInput, SigningPart,
    TimestampTolerance, VerificationError,
};
pub use translate::{BodyFormat, FieldLocation, JSON_MEDIA_TYPE, TranslationError};
pub use unverified::UnverifiedWebhook;
pub use url::{PublicUrl, RequestUrl, UrlError};
pub use url_spellings::UrlSpellings;
pub use webhook::{RawWebhook, VerifiedWebhook};

/// The description of a provider.
#[derive(Debug)]
pub struct Provider {
    /// The identifier in routes, environment variables and file names: lower case, no spaces.
    pub name: &'static str,
    /// The provider's name in its own spelling.
    pub title: &'static str,
    /// URL of the provider's documentation of signatures, the source of the fields below.
    pub documentation: &'static str,
    /// The CloudFormation parameter for the secret.
    pub secret_parameter: &'static str,
    /// A sentence for operators: where to find the secret.
    pub secret_hint: &'static str,
    /// The `Source` of the events.
    pub source: &'static str,
    /// The signature scheme.
    pub signature_scheme: SignatureScheme,
    /// Whether the provider may send a webhook with GET, with the parameters of its form in the query.
    pub sends_get: bool,
    /// The format of the webhook bodies, which determines how the bridge makes the `Detail` of an event from a body.
    pub body_format: BodyFormat,
    /// The location of the `DetailType`; `None` if webhooks do not state one.
    pub event_type: Option<FieldLocation>,
    /// The `DetailType` of a webhook that does not state a valid one.
    pub default_event_type: &'static str,
    /// The location of the provider's own id of the webhook; `None` if webhooks have no id.
    pub delivery_id: Option<FieldLocation>,
    /// The location of the event's time; `None` if webhooks do not state one.
    pub event_time: Option<FieldLocation>,
    /// The event-list API, if the provider has one; the poller reads it to find events whose webhooks were missed.
    pub polling: Option<PollingApi>,
    /// The webhook that `hookbridge send` sends by default.
    pub sample: SampleWebhook,
}

impl Provider {
    /// Whether the provider sends batches, which the bridge archives instead of publishing them.
    pub fn sends_batches(&self) -> bool {
        self.batch_format().is_some()
    }

    /// The format of the provider's batches; `None` unless it sends batches.
    pub fn batch_format(&self) -> Option<&'static BatchFormat> {
        match &self.body_format {
            BodyFormat::Batch(format) => Some(format),
            _ => None,
        }
    }

    /// Whether the provider may send a webhook with this method.
    pub fn sends_with(&self, method: &Method) -> bool {
        *method == Method::POST || (self.sends_get && *method == Method::GET)
    }

    /// The methods of the provider's webhooks, as in the header `Allow`.
    pub fn methods(&self) -> &'static str {
        if self.sends_get { "GET, POST" } else { "POST" }
    }

    /// The delivery id in the resource `urn:webhook:<provider>:<delivery id>` of an event; `None` for any other text.
    pub fn delivery_id_from_urn<'u>(&self, urn: &'u str) -> Option<&'u str> {
        urn.strip_prefix("urn:webhook:")?.strip_prefix(self.name)?.strip_prefix(':')
    }

    /// Whether the body contains both the event's id and its time. An id and a time in the body identify the event in every
    /// delivery and in polled pages; a delivery id in a header and the time of arrival do not.
    pub fn identifies_events(&self) -> bool {
        matches!(
            (self.delivery_id, self.event_time),
            (Some(FieldLocation::Body(_)), Some(FieldLocation::Body(_)))
        )
    }
}

/// A sample webhook for tests and `hookbridge send`.
#[derive(Debug)]
pub struct SampleWebhook {
    /// The event type.
    pub event_type: &'static str,
    /// The body, in the provider's format.
    pub body: &'static str,
    /// The part of the event's id in `body` that `hookbridge send` replaces by random characters; empty if it replaces none.
    pub id_placeholder: &'static str,
    /// The time in `body`, in epoch seconds, that `hookbridge send` replaces by the current time; empty if it replaces none.
    pub time_placeholder: &'static str,
}

/// All providers, sorted by name.
pub const PROVIDERS: [&Provider; 4] =
    [&github::GITHUB, &sparkpost::SPARKPOST, &stripe::STRIPE, &twilio::TWILIO];

/// Finds the provider that sends batches and whose events have this `source`.
pub fn find_batch_provider(source: &str) -> Option<&'static Provider> {
    PROVIDERS.into_iter().find(|provider| provider.sends_batches() && provider.source == source)
}

/// Finds a provider by name.
///
/// # Errors
/// When no provider has this name. The message lists all names.
pub fn find_provider(name: &str) -> Result<&'static Provider, UnknownProvider> {
    PROVIDERS.into_iter().find(|p| p.name == name).ok_or_else(|| UnknownProvider(name.to_owned()))
}

/// No provider has this name.
#[derive(Debug, thiserror::Error)]
#[error("unknown provider '{0}'; the providers are: {names}", names = PROVIDERS.map(|p| p.name).join(", "))]
pub struct UnknownProvider(pub String);
