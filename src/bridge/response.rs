//! HTTP responses to webhook senders.

use std::borrow::Cow;

use super::{Outcome, RequestLog};
use crate::aws::AwsError;

/// `Retry-After` of a response with status 500, in seconds.
const RETRY_AFTER_SECONDS: &str = "30";

/// An HTTP response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookResponse {
    /// The status code.
    pub status: u16,
    /// The media type of the body.
    pub media_type: &'static str,
    /// The headers besides the content type.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Cow<'static, str>,
}

impl RequestLog {
    /// The response to the sender. The response never says why verification failed, nor which internal part failed.
    pub fn response(&self) -> WebhookResponse {
        match &self.outcome {
            Outcome::Published | Outcome::AlreadyPublished | Outcome::Spilled(_) => self.success(),
            // A provider of events gets the same response whether its webhooks are published or archived.
            Outcome::Archived | Outcome::AlreadyArchived | Outcome::EmptyBatch
                if !self.provider.sends_batches() =>
            {
                self.success()
            }
            Outcome::Handshake(response) => WebhookResponse {
                status: response.status,
                media_type: response.media_type,
                headers: response.headers.clone(),
                body: response.body.clone().into(),
            },
            // 200 and not 202, because SparkPost's documentation contradicts itself on whether other 2xx codes acknowledge a
            // batch.
            Outcome::Archived => plain(200, "Batch stored"),
            Outcome::AlreadyArchived => plain(200, "Batch stored before"),
            Outcome::EmptyBatch => plain(200, "Nothing to store"),
            Outcome::MethodNotAllowed => {
                let allow = ("allow", self.provider.methods());
                WebhookResponse { headers: vec![allow], ..plain(405, "Method Not Allowed") }
            }
            // Xero wants the response to its wrong signatures to have no body.
            Outcome::VerificationFailed(_) if self.provider.success.body.is_empty() => plain(401, ""),
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
                headers: vec![("retry-after", RETRY_AFTER_SECONDS.to_owned())],
                ..plain(500, "Internal Server Error")
            },
            Outcome::UnknownPath => plain(404, "Not Found"),
            Outcome::InvalidInvocation => plain(400, "Not an HTTP request to the function's URL"),
        }
    }

    /// The response to an accepted webhook, as its provider wants it.
    fn success(&self) -> WebhookResponse {
        plain(self.provider.success.status, self.provider.success.body)
    }
}

fn plain(status: u16, body: impl Into<Cow<'static, str>>) -> WebhookResponse {
    WebhookResponse {
        status,
        media_type: "text/plain; charset=utf-8",
        headers: Vec::new(),
        body: body.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{code::github::GITHUB, email::sparkpost::SPARKPOST};

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
