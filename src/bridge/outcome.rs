//! What became of a webhook, and the record of it.

use std::time::Duration;

use crate::call::CallError;
use crate::event::Event;
use crate::providers::{Provider, Refusal, Untranslatable};
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
    Repeated,
    /// A batch without events, sent to see whether anybody answers.
    Nothing,
    /// Not a POST.
    MethodNotAllowed,
    /// Not the provider's, as far as can be proven.
    Refused(Refusal),
    /// The provider's, but nothing that has an event.
    Untranslatable(Untranslatable),
    /// Too large for an entry.
    TooLarge {
        /// Of the entry, in bytes.
        size: usize,
        /// The most that we take; `None` when the bus refused it, which in some regions takes less.
        limit: Option<usize>,
    },
    /// There is no secret to verify it with.
    NoSecret(SecretError),
    /// Verified, and the bus did not take it.
    NotPublished(CallError),
    /// Verified and too large for an entry, and the overflow bucket did not take it.
    NotKept(CallError),
    /// Verified, and the archive did not take it.
    NotArchived(CallError),
    /// The function was invoked with something that is no HTTP request.
    NotARequest,
}

impl Outcome {
    /// One word for logs and metrics: what became of it. `refused` is what nobody has proven to be the provider's;
    /// what is the provider's, or may be, and is neither on the bus nor waiting for it nor kept, has `failed`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Spilled(_) => "spilled",
            Self::Archived => "archived",
            Self::Repeated => "repeated",
            Self::Nothing => "empty",
            Self::MethodNotAllowed | Self::Refused(_) | Self::NotARequest => "refused",
            Self::Untranslatable(_)
            | Self::TooLarge { .. }
            | Self::NoSecret(_)
            | Self::NotPublished(_)
            | Self::NotKept(_)
            | Self::NotArchived(_) => "failed",
        }
    }

    /// One word for logs and metrics: why it was not published.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Published | Self::Archived | Self::Repeated | Self::Nothing => None,
            Self::MethodNotAllowed => Some("method-not-allowed"),
            Self::Refused(refusal) => Some(refusal.word()),
            Self::Untranslatable(_) | Self::NotPublished(CallError::Malformed(_)) => Some("untranslatable"),
            Self::TooLarge { .. } => Some("too-large"),
            Self::NoSecret(_) => Some("no-secret"),
            Self::Spilled(_) | Self::NotPublished(_) => Some("bus"),
            Self::NotKept(_) => Some("overflow"),
            Self::NotArchived(_) => Some("archive"),
            Self::NotARequest => Some("not-a-request"),
        }
    }

    /// What the operator reads beside the reason.
    pub fn error(&self) -> Option<String> {
        match self {
            Self::Untranslatable(why) => Some(why.to_string()),
            Self::TooLarge { size, limit: Some(limit) } => {
                Some(format!("an entry of {size} bytes, MAX_ENTRY_BYTES is {limit}"))
            }
            Self::TooLarge { size, limit: None } => {
                Some(format!("the bus takes no entry of {size} bytes; set MAX_ENTRY_BYTES to what it takes"))
            }
            Self::NoSecret(error) => Some(error.to_string()),
            Self::Spilled(error) | Self::NotPublished(error) => Some(error.to_string()),
            Self::NotKept(error) => Some(format!("the overflow bucket: {error}")),
            Self::NotArchived(error) => Some(format!("the archive: {error}")),
            Self::Published
            | Self::Archived
            | Self::Repeated
            | Self::Nothing
            | Self::MethodNotAllowed
            | Self::Refused(_)
            | Self::NotARequest => None,
        }
    }
}

/// What is known of one webhook when it is over. It holds nothing of the body and no secret; type and id are
/// there only when the webhook was verified.
#[derive(Clone, Debug)]
pub struct Record {
    /// The provider whose endpoint it came to.
    pub provider: &'static Provider,
    /// What became of it.
    pub outcome: Outcome,
    /// The event's type.
    pub event_type: Option<String>,
    /// The provider's id of the webhook.
    pub delivery_id: Option<String>,
    /// Size of the body.
    pub bytes: usize,
    /// From the request to its end.
    pub elapsed: Duration,
}

impl Record {
    pub(super) fn of(provider: &'static Provider, bytes: usize) -> Self {
        let outcome = Outcome::NotARequest;
        Self { provider, outcome, event_type: None, delivery_id: None, bytes, elapsed: Duration::ZERO }
    }

    pub(super) fn describe(&mut self, event: &Event) {
        self.event_type = Some(event.detail_type.clone());
        let urn = event.resources.first().map(String::as_str);
        self.delivery_id = urn.and_then(|urn| urn.splitn(4, ':').nth(3)).map(str::to_owned);
    }

    /// Milliseconds from the request to its end.
    pub fn milliseconds(&self) -> f64 {
        (self.elapsed.as_secs_f64() * 1e6).round() / 1e3
    }
}
