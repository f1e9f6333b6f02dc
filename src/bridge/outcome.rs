//! Outcome of handling a webhook, and its log record.

use std::time::Duration;

use crate::call::CallError;
use crate::event::Event;
use crate::providers::{Provider, TranslationError, VerificationError};
use crate::secrets::SecretError;

/// What became of a request.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// Its event is on the bus.
    Published,
    /// The bus did not take its event, for this reason; it waits in the spill queue.
    Spilled(CallError),
    /// Its batch is in the archive.
    Archived,
    /// Its batch was in the archive before.
    AlreadyArchived,
    /// A batch without events, sent to see whether anybody answers.
    EmptyBatch,
    /// Not a POST.
    MethodNotAllowed,
    /// Not the provider's, as far as can be proven.
    VerificationFailed(VerificationError),
    /// The provider's, but nothing that has an event.
    TranslationFailed(TranslationError),
    /// Too large for an entry.
    TooLarge {
        /// Of the entry, in bytes.
        size: usize,
        /// The most that we take; `None` when the bus refused it, which in some regions takes less.
        limit: Option<usize>,
    },
    /// There is no secret to verify it with.
    SecretUnavailable(SecretError),
    /// Verified, and the bus did not take it.
    PublishFailed(CallError),
    /// Verified and too large for an entry, and the overflow bucket did not take it.
    OverflowFailed(CallError),
    /// Verified, and the archive did not take it.
    ArchiveFailed(CallError),
    /// The function was invoked with something that is no HTTP request.
    InvalidInvocation,
}

impl Outcome {
    /// One word for logs and metrics: what became of it. `refused` is what nobody has proven to be the provider's;
    /// what is the provider's, or may be, and is neither on the bus nor waiting for it nor kept, has `failed`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Spilled(_) => "spilled",
            Self::Archived => "archived",
            Self::AlreadyArchived => "repeated",
            Self::EmptyBatch => "empty",
            Self::MethodNotAllowed | Self::VerificationFailed(_) | Self::InvalidInvocation => "refused",
            Self::TranslationFailed(_)
            | Self::TooLarge { .. }
            | Self::SecretUnavailable(_)
            | Self::PublishFailed(_)
            | Self::OverflowFailed(_)
            | Self::ArchiveFailed(_) => "failed",
        }
    }

    /// One word for logs and metrics: why it was not published.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Published | Self::Archived | Self::AlreadyArchived | Self::EmptyBatch => None,
            Self::MethodNotAllowed => Some("method-not-allowed"),
            Self::VerificationFailed(refusal) => Some(refusal.as_str()),
            Self::TranslationFailed(_) | Self::PublishFailed(CallError::Malformed(_)) => {
                Some("untranslatable")
            }
            Self::TooLarge { .. } => Some("too-large"),
            Self::SecretUnavailable(_) => Some("no-secret"),
            Self::Spilled(_) | Self::PublishFailed(_) => Some("bus"),
            Self::OverflowFailed(_) => Some("overflow"),
            Self::ArchiveFailed(_) => Some("archive"),
            Self::InvalidInvocation => Some("not-a-request"),
        }
    }

    /// What the operator reads beside the reason.
    pub fn error_message(&self) -> Option<String> {
        match self {
            Self::TranslationFailed(why) => Some(why.to_string()),
            Self::TooLarge { size, limit: Some(limit) } => {
                Some(format!("an entry of {size} bytes, MAX_ENTRY_BYTES is {limit}"))
            }
            Self::TooLarge { size, limit: None } => {
                Some(format!("the bus takes no entry of {size} bytes; set MAX_ENTRY_BYTES to what it takes"))
            }
            Self::SecretUnavailable(error) => Some(error.to_string()),
            Self::Spilled(error) | Self::PublishFailed(error) => Some(error.to_string()),
            Self::OverflowFailed(error) => Some(format!("the overflow bucket: {error}")),
            Self::ArchiveFailed(error) => Some(format!("the archive: {error}")),
            Self::Published
            | Self::Archived
            | Self::AlreadyArchived
            | Self::EmptyBatch
            | Self::MethodNotAllowed
            | Self::VerificationFailed(_)
            | Self::InvalidInvocation => None,
        }
    }
}

/// What is known of one webhook when it is over. It holds nothing of the body and no secret; type and id are
/// there only when the webhook was verified.
#[derive(Clone, Debug)]
pub struct RequestLog {
    /// The provider whose endpoint it came to.
    pub provider: &'static Provider,
    /// What became of it.
    pub outcome: Outcome,
    /// The event's type.
    pub event_type: Option<String>,
    /// The provider's id of the webhook.
    pub delivery_id: Option<String>,
    /// Size of the body.
    pub body_bytes: usize,
    /// From the request to its end.
    pub elapsed: Duration,
}

impl RequestLog {
    pub(super) fn new(provider: &'static Provider, bytes: usize) -> Self {
        let outcome = Outcome::InvalidInvocation;
        Self {
            provider,
            outcome,
            event_type: None,
            delivery_id: None,
            body_bytes: bytes,
            elapsed: Duration::ZERO,
        }
    }

    pub(super) fn set_event(&mut self, event: &Event) {
        self.event_type = Some(event.detail_type.clone());
        let urn = event.resources.first().map(String::as_str);
        self.delivery_id = urn.and_then(|urn| urn.splitn(4, ':').nth(3)).map(str::to_owned);
    }

    /// Milliseconds from the request to its end.
    pub fn elapsed_ms(&self) -> f64 {
        (self.elapsed.as_secs_f64() * 1e6).round() / 1e3
    }
}
