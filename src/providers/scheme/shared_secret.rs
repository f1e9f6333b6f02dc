//! Webhooks that contain the secret itself.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use sha2::{Digest as _, Sha256};

use super::{
    Algorithm, KeyFormat, ParsedSignature, SignatureFormat, SignatureValue, SigningInput, VerificationError,
};
use crate::providers::RawWebhook;

/// Maximum length of a transmitted secret, in bytes.
const MAX_SECRET_BYTES: usize = 4096;

/// The format of a transmitted secret.
pub(super) static FORMAT: SignatureFormat =
    SignatureFormat { prefix: "", algorithm: Algorithm::PlainSecret, key_format: KeyFormat::Text };

/// The part of a request that contains the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretLocation {
    /// The header `Authorization` with the scheme `Basic` (RFC 7617); the secret is `user:password`.
    Basic,
    /// The header `Authorization` with the scheme `Bearer` (RFC 6750).
    Bearer,
    /// The value of this header, in lower case.
    Header(&'static str),
    /// This parameter of the URL's query.
    QueryParameter(&'static str),
}

/// Writes the location as it follows "the secret".
impl std::fmt::Display for SecretLocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Basic => f.write_str("as Basic credentials `user:password`"),
            Self::Bearer => f.write_str("as a bearer token"),
            Self::Header(name) => write!(f, "in the header `{name}`"),
            Self::QueryParameter(name) => write!(f, "in the query parameter `{name}`"),
        }
    }
}

impl SecretLocation {
    pub(super) fn is_present(self, webhook: &RawWebhook) -> bool {
        match self {
            Self::Basic | Self::Bearer => webhook.has_header("authorization"),
            Self::Header(name) => webhook.has_header(name),
            Self::QueryParameter(name) => {
                webhook.urls().next().is_some_and(|url| url.query_values(name).next().is_some())
            }
        }
    }

    /// The transmitted secret; `None` if this part of the request does not contain one.
    pub(in crate::providers) fn read(self, webhook: &RawWebhook) -> Option<Vec<u8>> {
        match self {
            Self::Basic => BASE64.decode(credentials(webhook, "basic")?).ok(),
            Self::Bearer => {
                let token = credentials(webhook, "bearer")?;
                is_token(token).then(|| token.as_bytes().to_vec())
            }
            Self::Header(name) => webhook.header(name).map(|value| value.as_bytes().to_vec()),
            Self::QueryParameter(name) => {
                let url = webhook.urls().next()?;
                let mut values = url.query_values(name);
                let value = values.next().filter(|_| values.next().is_none())?;
                Some(percent_decode_str(value).collect())
            }
        }
    }
}

/// The credentials in the header `Authorization`, if it has this scheme.
fn credentials<'a>(webhook: &'a RawWebhook, scheme: &str) -> Option<&'a str> {
    let (auth_scheme, credentials) = webhook.header("authorization")?.split_once(' ')?;
    auth_scheme.eq_ignore_ascii_case(scheme).then_some(credentials)
}

/// Reads the secret from the first of `locations` that contains one.
pub(super) fn parse(
    locations: &[SecretLocation],
    webhook: &RawWebhook,
) -> Result<ParsedSignature, VerificationError> {
    if !locations.iter().any(|location| location.is_present(webhook)) {
        return Err(VerificationError::MissingSignature);
    }
    let secret = locations.iter().find_map(|location| location.read(webhook));
    let secret = secret.filter(|secret| !secret.is_empty() && secret.len() <= MAX_SECRET_BYTES);
    let secret = secret.ok_or(VerificationError::MalformedSignature)?;
    Ok(ParsedSignature::one(vec![transmitted(&secret)], SigningInput(vec![Vec::<Bytes>::new()])))
}

/// A transmitted secret as a signature.
pub(super) fn transmitted(secret: &[u8]) -> SignatureValue {
    SignatureValue { format: &FORMAT, bytes: Sha256::digest(secret).to_vec() }
}

/// Whether `text` is a valid bearer token (RFC 6750). A token contains no colon, so `user:password` is not a token.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
}
