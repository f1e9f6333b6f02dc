//! What a sender is told: the status table.

use std::borrow::Cow;

use super::{Outcome, Record};
use crate::call::CallError;

/// When a sender may try again after we could not do our part, in seconds.
const RETRY_AFTER: &str = "30";

/// An HTTP answer with a text body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// A header beside the content type.
    pub header: Option<(&'static str, &'static str)>,
    /// Plain text.
    pub body: Cow<'static, str>,
}

impl Record {
    /// The answer to the sender. It never says why a signature was refused, and nothing about our own parts.
    pub fn answer(&self) -> Answer {
        match &self.outcome {
            Outcome::Published | Outcome::Spilled(_) => plain(202, "Message forwarded to Amazon EventBridge"),
            // To who sends one event it is the same where that waits.
            Outcome::Archived | Outcome::Repeated if !self.provider.sends_batches() => {
                plain(202, "Message forwarded to Amazon EventBridge")
            }
            // 200 and not 202: SparkPost's documents disagree on whether another 2xx will do.
            Outcome::Archived => plain(200, "Batch stored"),
            Outcome::Repeated => plain(200, "Batch stored before"),
            Outcome::Nothing => plain(200, "Nothing to store"),
            Outcome::MethodNotAllowed => {
                Answer { header: Some(("allow", "POST")), ..plain(405, "Method Not Allowed") }
            }
            Outcome::Refused(_) => plain(401, "Invalid Signature"),
            Outcome::Untranslatable(why) => plain(400, why.to_string()),
            Outcome::NotPublished(CallError::Malformed(_)) => {
                plain(400, "EventBridge cannot read this event")
            }
            Outcome::TooLarge { size, limit: Some(limit) } => {
                plain(413, format!("Too large for an EventBridge entry: {size} bytes, the limit is {limit}"))
            }
            Outcome::TooLarge { size, limit: None } => {
                plain(413, format!("Too large for this EventBridge bus: {size} bytes"))
            }
            Outcome::NoSecret(_)
            | Outcome::NotPublished(_)
            | Outcome::NotKept(_)
            | Outcome::NotArchived(_) => {
                Answer { header: Some(("retry-after", RETRY_AFTER)), ..plain(500, "Internal Server Error") }
            }
            Outcome::NotARequest => plain(400, "Not an HTTP request to the function's URL"),
        }
    }
}

fn plain(status: u16, body: impl Into<Cow<'static, str>>) -> Answer {
    Answer { status, header: None, body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{github::GITHUB, sparkpost::SPARKPOST};

    #[test]
    fn what_is_archived_is_answered_as_its_provider_expects() {
        for (provider, status) in [(&GITHUB, 202), (&SPARKPOST, 200)] {
            for outcome in [Outcome::Archived, Outcome::Repeated] {
                let record = Record { outcome, ..Record::of(provider, 0) };
                assert_eq!(record.answer().status, status, "{}", provider.name);
            }
        }
    }
}
