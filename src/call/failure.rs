//! What a failed call to AWS means: whether trying again may help, and what an operator reads of it.

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
        let status = service.raw().status().as_u16();
        let passes = ["Internal", "RequestTimeout"].iter().any(|word| code.starts_with(word));
        if status >= 500 || status == 429 || code.contains("Throttl") || passes {
            Self::Passing(said(code, message))
        } else if status == 413 || (code == "ValidationException" && message.contains("size")) {
            Self::Final(CallError::TooLarge)
        } else {
            Self::Final(CallError::Refused(said(code, message)))
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
