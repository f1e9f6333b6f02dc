//! Webhook providers and signature verification.
//!
//! A provider is a constant that reads like the provider's documentation. The verification, the CloudFormation
//! template, the table of providers, the routes of `hookbridge serve` and `hookbridge send` all derive from this
//! constant. A provider has code only where a constant cannot express its rules (for example Twilio's signed parameters).
//!
//! A [`RawWebhook`] is opaque. [`Provider::parse_signature`] parses the signature of a webhook, and
//! [`UnverifiedWebhook::verify`] verifies the signature with a secret. Only the resulting [`VerifiedWebhook`] can be read,
//! logged or translated. This module does no I/O and holds no state.

mod batch_format;
mod catalogue;
#[cfg(feature = "command")]
mod diagnosis;
mod form;
mod generic;
mod handshake;
mod location;
mod polling;
mod provider;
#[cfg(feature = "command")]
mod rebuild;
mod scheme;
mod translate;
mod unverified;
mod url;
mod url_spellings;
mod webhook;

pub use batch_format::BatchFormat;
pub use catalogue::{
    PROVIDERS, UnknownProvider, code, communication, content, email, find_batch_provider, find_provider,
    identity, operations, payments, standard_webhooks,
};
#[cfg(feature = "command")]
pub use diagnosis::{Diagnosis, diagnose};
pub use form::{Form, FormField};
pub use generic::{GENERIC_SETTINGS, GenericProviderError, GenericSettings};
pub use handshake::{Handshake, HandshakeResponse, SignedAnswer, UnsignedHandshake};
pub use location::FieldLocation;
pub use polling::{PageError, Pagination, PollingApi, TimeFormat, TypeFilter};
pub use provider::{Provider, SampleWebhook, SuccessResponse};
#[cfg(feature = "command")]
use rebuild::form_encode;
pub use scheme::{
    Algorithm, BodySignature, Encoding, FormSignature, HeaderFormat, HeaderSignature, JwsSignature,
    KeyFormat, SecretLocation, SignatureFormat, SignatureScheme, SignedContent, SignedTimestamp,
    SigningInput, SigningPart, TimestampFormat, TimestampLocation, TimestampTolerance, VerificationError,
};
#[cfg(feature = "command")]
pub use scheme::{GeneratedSecret, WebhookRequest};
pub use translate::{BODY_NOT_SIGNED_URN, BodyFormat, Details, JSON_MEDIA_TYPE, TranslationError};
pub use unverified::UnverifiedWebhook;
pub use url::{PublicUrl, RequestUrl, UrlError};
pub use url_spellings::UrlSpellings;
pub use webhook::{RawWebhook, VerifiedWebhook};
