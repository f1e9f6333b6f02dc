//! Classifies AWS errors as transient or permanent, and redacts their messages.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::CallError;
use crate::output::chain;

/// What became of an attempt that failed.
pub enum Failure {
    /// Trying again may help.
    Passing(String),
    /// It will not.
    Final(CallError),
}

impl Failure {
    /// A request that failed as a whole.
    pub fn of_request<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let service = match error {
            SdkError::ServiceError(service) => service,
            SdkError::ConstructionFailure(_) => return Self::Final(CallError::Refused(chain(error))),
            // Not sent, cut off, timed out, or an answer that cannot be read.
            _ => return Self::Passing(chain(error)),
        };
        let code = service.err().code().unwrap_or("no code");
        let message = service.err().message().unwrap_or("no message");
        match Class::of_response(service.raw().status().as_u16(), code, message) {
            Class::Transient => Self::Passing(said(code, message)),
            Class::TooLarge => Self::Final(CallError::TooLarge),
            Class::Permanent => Self::Final(CallError::Refused(said(code, message))),
        }
    }
}

/// The class of an error that an AWS service returned: whether a retry may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// A retry may succeed: the service throttles, is overloaded or failed inside.
    Transient,
    /// The request is over a size limit.
    TooLarge,
    /// A retry fails in the same way.
    Permanent,
}

/// Error codes of throttling and of transient failures. Sources: "Retry behavior" in the AWS SDKs and Tools Reference Guide, and
/// the "Common Errors" and the errors of PutEvents, SendMessage and GetSecretValue in their API References.
const TRANSIENT_CODES: [&str; 26] = [
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "InternalError",
    "InternalException",
    "InternalFailure",
    "InternalServerError",
    "InternalServiceError",
    "InternalServiceErrorException",
    "KmsThrottled",
    "LimitExceededException",
    "OperationAborted",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "SlowDown",
    "ThrottledException",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
    "TransactionInProgressException",
];

/// Error codes of requests over a size limit.
const TOO_LARGE_CODES: [&str; 4] = [
    "AWS.SimpleQueueService.BatchRequestTooLong",
    "BatchRequestTooLong",
    "EntityTooLarge",
    "RequestEntityTooLargeException",
];

/// PutEvents has no code of its own for a request over the size limit: it is a `ValidationException` with this message.
const ENTRIES_TOO_LARGE: (&str, &str) =
    ("ValidationException", "Total size of the entries in the request is over the limit.");

impl Class {
    /// The class of a response, by its HTTP status and error code.
    pub(crate) fn of_response(status: u16, code: &str, message: &str) -> Self {
        if status >= 500 || status == 429 || TRANSIENT_CODES.contains(&code) {
            Self::Transient
        } else if status == 413 || TOO_LARGE_CODES.contains(&code) || (code, message) == ENTRIES_TOO_LARGE {
            Self::TooLarge
        } else {
            Self::Permanent
        }
    }
}

/// What an operator reads of a refusal. A message about what is invalid can quote it, and that is a body: of such
/// a one only the code is kept.
pub(crate) fn said(code: &str, message: &str) -> String {
    if ["Validation", "Malformed", "Serialization", "InvalidMessage"].iter().any(|word| code.contains(word)) {
        code.to_owned()
    } else {
        format!("{code}: {message}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_classified_by_their_code_not_by_words_in_it() {
        for (status, code, message, class) in [
            (400, "ThrottlingException", "Rate exceeded", Class::Transient),
            (400, "KmsThrottled", "", Class::Transient),
            (400, "TooManyRequestsException", "", Class::Transient),
            (500, "InternalException", "", Class::Transient),
            (429, "no code", "", Class::Transient),
            (400, "NotThrottledException", "", Class::Permanent),
            (400, "AccessDeniedException", "", Class::Permanent),
            (400, "ValidationException", "1 validation error: the size of 'source' is 0", Class::Permanent),
            (400, ENTRIES_TOO_LARGE.0, ENTRIES_TOO_LARGE.1, Class::TooLarge),
            (413, "no code", "", Class::TooLarge),
        ] {
            assert_eq!(Class::of_response(status, code, message), class, "{status} {code} {message}");
        }
    }
}
