//! Why a webhook cannot be verified.

/// Why a webhook cannot be verified. The response to the sender never states the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    /// The signature is missing.
    #[error("missing signature")]
    MissingSignature,
    /// The signature does not have the provider's format, or occurs twice.
    #[error("malformed signature")]
    MalformedSignature,
    /// The signed timestamp differs too much from the time of arrival.
    #[error("timestamp outside the tolerance")]
    TimestampOutOfTolerance,
    /// The signature does not cover the body.
    #[error("body not covered by the signature")]
    BodyNotSigned,
    /// The signature was made with another secret or over other bytes, or the credentials are wrong.
    #[error("signature mismatch")]
    SignatureMismatch,
}

impl VerificationError {
    /// The reason as one word for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MissingSignature => "no-signature",
            Self::MalformedSignature => "malformed-signature",
            Self::TimestampOutOfTolerance => "outside-window",
            Self::BodyNotSigned => "body-not-covered",
            Self::SignatureMismatch => "wrong-signature",
        }
    }
}
