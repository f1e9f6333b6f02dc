//! The outcome of handling a webhook, and the log record of the webhook.

use std::time::Duration;

use crate::aws::AwsError;
use crate::event::Event;
use crate::providers::{HandshakeResponse, Provider, TranslationError, VerificationError};
use crate::secrets::SecretError;

/// The result of handling a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The bus accepted the event.
    Published,
    /// The bus failed with this error, and the spill queue holds the event.
    Spilled(AwsError),
    /// The same webhook was published a few minutes ago, and is not published again.
    AlreadyPublished,
    /// The archive stored the webhook or the batch.
    Archived,
    /// The archive already held the webhook or the batch.
    AlreadyArchived,
    /// A webhook without events, which the provider sends to test an endpoint.
    EmptyBatch,
    /// A request with which the provider tests an endpoint; this is the response.
    Handshake(HandshakeResponse),
    /// The provider sends no webhooks with this method.
    MethodNotAllowed,
    /// The request does not prove that it comes from the provider.
    VerificationFailed(VerificationError),
    /// The webhook is verified, but its body is not a valid event.
    TranslationFailed(TranslationError),
    /// The event is too large for a `PutEvents` entry, and no overflow bucket is configured.
    TooLarge {
        /// Size of the entry, in bytes.
        size: usize,
        /// The configured limit in bytes; `None` when the bus rejected the entry, because the limit of the bus depends
        /// on the region.
        limit: Option<usize>,
    },
    /// A secret that may verify the signature cannot be read.
    SecretUnavailable(SecretError),
    /// The webhook is verified, but the bus did not accept its event.
    PublishFailed(AwsError),
    /// The webhook is verified and its event too large for an entry, but the overflow bucket did not store the
    /// `detail`.
    OverflowFailed(AwsError),
    /// The webhook is verified, but the archive did not store it.
    ArchiveFailed(AwsError),
    /// The invocation event is not an HTTP request.
    InvalidInvocation,
    /// The path names none of the function's providers.
    UnknownPath,
}

impl Outcome {
    /// The outcome as one word for logs and metrics. A `refused` request is not proven to come from the provider. A
    /// `failed` request comes or may come from the provider, but was neither published, nor spilled, nor archived.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Spilled(_) => "spilled",
            Self::Archived => "archived",
            Self::AlreadyPublished | Self::AlreadyArchived => "repeated",
            Self::EmptyBatch => "empty",
            Self::Handshake(_) => "handshake",
            Self::MethodNotAllowed
            | Self::VerificationFailed(_)
            | Self::InvalidInvocation
            | Self::UnknownPath => "refused",
            Self::TranslationFailed(_)
            | Self::TooLarge { .. }
            | Self::SecretUnavailable(_)
            | Self::PublishFailed(_)
            | Self::OverflowFailed(_)
            | Self::ArchiveFailed(_) => "failed",
        }
    }

    /// The reason as one word for logs and metrics; `None` unless the request was refused, spilled or failed.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Published
            | Self::AlreadyPublished
            | Self::Archived
            | Self::AlreadyArchived
            | Self::EmptyBatch
            | Self::Handshake(_) => None,
            Self::MethodNotAllowed => Some("method-not-allowed"),
            Self::VerificationFailed(error) => Some(error.as_str()),
            Self::TranslationFailed(_) | Self::PublishFailed(AwsError::Malformed(_)) => {
                Some("untranslatable")
            }
            Self::TooLarge { .. } => Some("too-large"),
            Self::SecretUnavailable(_) => Some("no-secret"),
            Self::Spilled(_) | Self::PublishFailed(_) => Some("bus"),
            Self::OverflowFailed(_) => Some("overflow"),
            Self::ArchiveFailed(_) => Some("archive"),
            Self::InvalidInvocation => Some("not-a-request"),
            Self::UnknownPath => Some("unknown-path"),
        }
    }

    /// The error message for the operator, if the reason alone does not say enough.
    pub fn error_message(&self) -> Option<String> {
        match self {
            Self::TranslationFailed(error) => Some(error.to_string()),
            Self::TooLarge { size, limit: Some(limit) } => {
                Some(format!("the entry has {size} bytes, and MAX_ENTRY_BYTES allows {limit}"))
            }
            Self::TooLarge { size, limit: None } => {
                Some(format!("the bus rejected an entry of {size} bytes as too large; lower MAX_ENTRY_BYTES"))
            }
            Self::SecretUnavailable(error) => Some(error.to_string()),
            Self::Spilled(error) | Self::PublishFailed(error) => Some(error.to_string()),
            Self::OverflowFailed(error) => Some(format!("cannot write to the overflow bucket: {error}")),
            Self::ArchiveFailed(error) => Some(format!("cannot write to the archive: {error}")),
            Self::Handshake(response) => response.instruction.map(str::to_owned),
            Self::Published
            | Self::AlreadyPublished
            | Self::Archived
            | Self::AlreadyArchived
            | Self::EmptyBatch
            | Self::MethodNotAllowed
            | Self::VerificationFailed(_)
            | Self::InvalidInvocation
            | Self::UnknownPath => None,
        }
    }
}

/// The log record of one webhook. It holds neither the body nor a secret. `event_type` and `delivery_id` are set only
/// if the webhook was verified.
#[derive(Clone, Debug)]
pub struct RequestLog {
    /// The provider of the endpoint.
    pub provider: &'static Provider,
    /// The result of handling the webhook.
    pub outcome: Outcome,
    /// The event's type; the type of the first event if the webhook contains several.
    pub event_type: Option<String>,
    /// The provider's id of the webhook, or of its first event.
    pub delivery_id: Option<String>,
    /// The number of events in the webhook.
    pub event_count: usize,
    /// Size of the body, in bytes.
    pub body_bytes: usize,
    /// Time spent on the request.
    pub elapsed: Duration,
}

impl RequestLog {
    pub(super) fn new(provider: &'static Provider, body_bytes: usize) -> Self {
        Self {
            provider,
            outcome: Outcome::InvalidInvocation,
            event_type: None,
            delivery_id: None,
            event_count: 1,
            body_bytes,
            elapsed: Duration::ZERO,
        }
    }

    /// Sets the fields of a webhook with `event_count` events, of which `event` is the first.
    pub(super) fn set_event(&mut self, event: &Event, event_count: usize) {
        self.event_count = event_count;
        self.event_type = Some(event.detail_type.clone());
        let urn = event.resources.first().map(String::as_str);
        self.delivery_id = urn.and_then(|urn| urn.splitn(4, ':').nth(3)).map(str::to_owned);
    }

    /// Time spent on the request, in milliseconds.
    pub fn elapsed_ms(&self) -> f64 {
        (self.elapsed.as_secs_f64() * 1e6).round() / 1e3
    }
}
