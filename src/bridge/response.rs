//! HTTP responses to webhook senders.

use std::borrow::Cow;

use super::{Outcome, RequestLog};
use crate::aws::AwsError;

/// `Retry-After` of a response with status 500, in seconds.
const RETRY_AFTER_SECONDS: &str = "30";

/// An HTTP response with a plain-text body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookResponse {
    /// The status code.
    pub status: u16,
    /// One header besides the content type; `None` if the response has no other header.
    pub extra_header: Option<(&'static str, &'static str)>,
    /// The body, plain text.
    pub body: Cow<'static, str>,
}

impl RequestLog {
    /// The response to the sender. The response never says why verification failed, nor which internal part failed.
    pub fn response(&self) -> WebhookResponse {
        match &self.outcome {
            Outcome::Published | Outcome::Spilled(_) => plain(202, "Message forwarded to Amazon EventBridge"),
            // A provider of single events gets the same 202 whether its webhooks are published or archived.
            Outcome::Archived | Outcome::AlreadyArchived if !self.provider.sends_batches() => {
                plain(202, "Message forwarded to Amazon EventBridge")
            }
            // 200 and not 202, because SparkPost's documentation contradicts itself on whether other 2xx codes acknowledge a
            // batch.
            Outcome::Archived => plain(200, "Batch stored"),
            Outcome::AlreadyArchived => plain(200, "Batch stored before"),
            Outcome::EmptyBatch => plain(200, "Nothing to store"),
            Outcome::MethodNotAllowed => {
                let allow = ("allow", self.provider.methods());
                WebhookResponse { extra_header: Some(allow), ..plain(405, "Method Not Allowed") }
            }
            Outcome::VerificationFailed(_) => plain(401, "Invalid Signature"),
            Outcome::TranslationFailed(error) => plain(400, error.to_string()),
            Outcome::PublishFailed(AwsError::Malformed(_)) => {
                plain(400, "EventBridge cannot read this event")
            }
            Outcome::TooLarge { size, limit: Some(limit) } => {
                plain(413, format!("Too large for an EventBridge entry: {size} bytes, the limit is {limit}"))
            }
            Outcome::TooLarge { size, limit: None } => {
                plain(413, format!("Too large for this EventBridge bus: {size} bytes"))
            }
            Outcome::SecretUnavailable(_)
            | Outcome::PublishFailed(_)
            | Outcome::OverflowFailed(_)
            | Outcome::ArchiveFailed(_) => WebhookResponse {
                extra_header: Some(("retry-after", RETRY_AFTER_SECONDS)),
                ..plain(500, "Internal Server Error")
            },
            Outcome::InvalidInvocation => plain(400, "Not an HTTP request to the function's URL"),
        }
    }
}

fn plain(status: u16, body: impl Into<Cow<'static, str>>) -> WebhookResponse {
    WebhookResponse { status, extra_header: None, body: body.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{github::GITHUB, sparkpost::SPARKPOST};

    #[test]
    fn an_archived_webhook_gets_the_status_that_its_provider_expects() {
        for (provider, status) in [(&GITHUB, 202), (&SPARKPOST, 200)] {
            for outcome in [Outcome::Archived, Outcome::AlreadyArchived] {
                let record = RequestLog { outcome, ..RequestLog::new(provider, 0) };
                assert_eq!(record.response().status, status, "{}", provider.name);
            }
        }
    }
}
