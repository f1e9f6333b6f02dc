//! Classifies errors of AWS requests as transient or permanent, and removes messages that can quote a payload.

use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use crate::util::error::error_chain;

/// Why an AWS request failed. The texts are for operators and contain no payload.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AwsError {
    /// The service was unavailable, slow or throttling at every attempt before the deadline.
    #[error("unavailable (attempts made: {attempts}): {last_error}")]
    Unavailable {
        attempts: u32,
        /// The error of the last attempt.
        last_error: String,
    },
    /// A permanent error, for example a missing permission.
    #[error("rejected: {0}")]
    Rejected(String),
    /// The service cannot parse the payload.
    #[error("rejected as malformed: {0}")]
    Malformed(String),
    /// The service accepts payloads from this caller, but never this one.
    #[error("rejected as invalid: {0}")]
    Invalid(String),
    /// The payload exceeds a size limit.
    #[error("rejected as too large")]
    TooLarge,
}

impl AwsError {
    /// Whether the cause is the payload, so that every later attempt fails, too.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Malformed(_) | Self::Invalid(_) | Self::TooLarge => true,
            Self::Unavailable { .. } | Self::Rejected(_) => false,
        }
    }
}

/// Why one attempt of an AWS request failed.
pub enum AttemptFailure {
    /// A retry may succeed.
    Transient(String),
    Permanent(AwsError),
}

impl AttemptFailure {
    /// Classifies an error of the SDK.
    pub fn from_sdk_error<E>(error: &SdkError<E, HttpResponse>) -> Self
    where
        E: std::error::Error + ProvideErrorMetadata + 'static,
    {
        let service_error = match error {
            SdkError::ServiceError(service_error) => service_error,
            SdkError::ConstructionFailure(_) => {
                return Self::Permanent(AwsError::Rejected(error_chain(error)));
            }
            // The request was not sent, the connection broke, the request timed out, or the response is invalid.
            _ => return Self::Transient(error_chain(error)),
        };
        let code = service_error.err().code().unwrap_or("no code");
        let message = service_error.err().message().unwrap_or("no message");
        match ErrorClass::of_response(service_error.raw().status().as_u16(), code, message) {
            ErrorClass::Transient => Self::Transient(error_text(code, message)),
            ErrorClass::TooLarge => Self::Permanent(AwsError::TooLarge),
            ErrorClass::Permanent => Self::Permanent(AwsError::Rejected(error_text(code, message))),
        }
    }
}

/// The class of an error that an AWS service returned. The class determines whether a retry may succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// A retry may succeed: the service throttles, is overloaded or failed internally.
    Transient,
    /// The request is over a size limit.
    TooLarge,
    /// A retry fails in the same way.
    Permanent,
}

/// Error codes of throttling and of transient failures. Sources: "Retry behavior", AWS SDKs and Tools Reference
/// Guide; "Common Errors" and the errors of PutEvents, SendMessage and GetSecretValue in their API References.
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

/// The code and the message with which PutEvents rejects a request over the size limit. PutEvents has no code of its own for
/// this case.
const ENTRIES_TOO_LARGE: (&str, &str) =
    ("ValidationException", "Total size of the entries in the request is over the limit.");

impl ErrorClass {
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

/// The text of an error for operators. The message of a validation error can quote the payload, so the text of such an
/// error is only its code.
pub(crate) fn error_text(code: &str, message: &str) -> String {
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
    fn errors_are_classified_by_status_and_code() {
        for (status, code, message, class) in [
            (400, "ThrottlingException", "Rate exceeded", ErrorClass::Transient),
            (400, "KmsThrottled", "", ErrorClass::Transient),
            (400, "TooManyRequestsException", "", ErrorClass::Transient),
            (500, "InternalException", "", ErrorClass::Transient),
            (429, "no code", "", ErrorClass::Transient),
            (400, "NotThrottledException", "", ErrorClass::Permanent),
            (400, "AccessDeniedException", "", ErrorClass::Permanent),
            (
                400,
                "ValidationException",
                "1 validation error: the size of 'source' is 0",
                ErrorClass::Permanent,
            ),
            (400, ENTRIES_TOO_LARGE.0, ENTRIES_TOO_LARGE.1, ErrorClass::TooLarge),
            (413, "no code", "", ErrorClass::TooLarge),
        ] {
            assert_eq!(ErrorClass::of_response(status, code, message), class, "{status} {code} {message}");
        }
    }
}
