//! Signature schemes and their verification.
//!
//! A [`SignatureScheme`] describes how a provider signs, in the terms of its documentation. The same description
//! parses, verifies and creates signatures. A [`VerificationError`] says why a webhook cannot be verified.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::Hmac;
use jiff::Timestamp;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::RawWebhook;
use crate::secrets::{Secret, compute_mac};

/// Maximum length of a signature header, in bytes. The longest signature headers of the providers have a few hundred bytes.
const MAX_HEADER_BYTES: usize = 4096;

/// How a provider signs its webhooks.
#[derive(Debug)]
pub struct SignatureScheme {
    /// Name of the header with the signature, in lower case.
    pub header: &'static str,
    /// Format of that header.
    pub header_format: HeaderFormat,
    /// Accepted algorithms, the provider's default first. The length of a signature determines its algorithm.
    pub algorithms: &'static [Algorithm],
    /// Text encoding of a signature; unused with [`HeaderFormat::Credentials`].
    pub encoding: Encoding,
    /// The content that the signature covers.
    pub signed_content: SignedContent,
    /// Maximum difference between the signed timestamp and the time of arrival; `None` if the scheme signs no timestamp.
    pub timestamp_tolerance: Option<TimestampTolerance>,
    /// Name of the query parameter that contains the hex SHA-256 of a body that is not a form; `None` if the provider
    /// has no such parameter.
    pub body_hash_parameter: Option<&'static str>,
}

/// The format of a signature header.
#[derive(Debug, Clone, Copy)]
pub enum HeaderFormat {
    /// The encoded signature after a fixed prefix, for example `sha256=`. The prefix may be empty.
    Prefixed(&'static str),
    /// Comma-separated `name=value` pairs: one timestamp, at least one signature, and other pairs, which are ignored.
    Pairs {
        /// Name of the timestamp in epoch seconds.
        timestamp_key: &'static str,
        /// Name of each signature.
        signature_key: &'static str,
    },
    /// HTTP credentials (RFC 7617 and RFC 6750): `Basic` with the base64 of the secret `user:password`, or `Bearer`
    /// with the secret as a token.
    Credentials,
}

/// The algorithm of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA1, 20 bytes.
    HmacSha1,
    /// HMAC-SHA256, 32 bytes.
    HmacSha256,
    /// No signature: the sender transmits the secret itself.
    PlainSecret,
}

/// The text encoding of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// The content that a signature covers.
#[derive(Debug)]
pub enum SignedContent {
    /// The concatenation of these parts.
    Parts(&'static [SigningPart]),
    /// The bytes that this function computes from a webhook.
    Custom(fn(&RawWebhook) -> Result<SigningInput, VerificationError>),
}

/// Byte strings that a provider may have signed: each prefix, followed by the suffix. A signature over any of these is valid.
pub struct SigningInput {
    /// At least one prefix, the most likely first.
    pub prefixes: Vec<Vec<u8>>,
    /// The common suffix.
    pub suffix: Vec<u8>,
}

/// A part of the signed content.
#[derive(Debug, Clone, Copy)]
pub enum SigningPart {
    /// The raw body.
    Body,
    /// The timestamp, as written in the header.
    Timestamp,
    /// A fixed text.
    Literal(&'static str),
}

/// Maximum difference between a signed timestamp and the time of arrival, in seconds, inclusive.
#[derive(Debug, Clone, Copy)]
pub struct TimestampTolerance {
    /// Maximum age of the timestamp.
    pub past_seconds: i64,
    /// Maximum time by which the timestamp may be later than the time of arrival.
    pub future_seconds: i64,
}

/// Why a webhook cannot be verified. The response to the sender never states the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    /// The signature header is missing.
    #[error("missing signature")]
    MissingSignature,
    /// The signature header does not have the provider's format, or occurs twice.
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

/// The parsed signature header of a webhook.
pub(super) struct ParsedSignature {
    signatures: Vec<SignatureValue>,
    /// The timestamp, as written in the header; `None` if the header format has no timestamp.
    timestamp: Option<String>,
    /// The signed content of a scheme with [`SignedContent::Custom`]; `None` for other schemes.
    custom_signing_input: Option<SigningInput>,
}

/// One decoded signature.
struct SignatureValue {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl ParsedSignature {
    /// The number of signatures in the header.
    pub(super) fn signature_count(&self) -> usize {
        self.signatures.len()
    }
}

impl SignatureScheme {
    /// Parses the signature header of `webhook` and checks its timestamp against `now`. Needs no secret.
    pub(super) fn parse(
        &self,
        webhook: &RawWebhook,
        now: Timestamp,
    ) -> Result<ParsedSignature, VerificationError> {
        let mut values = webhook.header_values(self.header);
        let value = values.next().ok_or(VerificationError::MissingSignature)?;
        if values.next().is_some() || value.len() > MAX_HEADER_BYTES {
            return Err(VerificationError::MalformedSignature);
        }
        let value = value.to_str().map_err(|_| VerificationError::MalformedSignature)?;
        let (signatures, timestamp) =
            self.parse_header(value).ok_or(VerificationError::MalformedSignature)?;
        if let Some(tolerance) = self.timestamp_tolerance {
            let signed_at = timestamp
                .as_deref()
                .and_then(parse_epoch_seconds)
                .ok_or(VerificationError::MalformedSignature)?;
            let age = i128::from(now.as_second()) - i128::from(signed_at);
            if age > i128::from(tolerance.past_seconds) || -age > i128::from(tolerance.future_seconds) {
                return Err(VerificationError::TimestampOutOfTolerance);
            }
        }
        Ok(ParsedSignature {
            signatures,
            timestamp,
            custom_signing_input: self.custom_signing_input(webhook)?,
        })
    }

    fn custom_signing_input(&self, webhook: &RawWebhook) -> Result<Option<SigningInput>, VerificationError> {
        match self.signed_content {
            SignedContent::Parts(_) => Ok(None),
            SignedContent::Custom(signing_input) => signing_input(webhook).map(Some),
        }
    }

    fn parse_header(&self, value: &str) -> Option<(Vec<SignatureValue>, Option<String>)> {
        match self.header_format {
            HeaderFormat::Prefixed(prefix) => {
                let signature = self.decode(value.strip_prefix(prefix)?)?;
                Some((vec![signature], None))
            }
            HeaderFormat::Pairs { timestamp_key, signature_key } => {
                let mut timestamp = None;
                let mut signatures = Vec::new();
                for pair in value.split(',') {
                    let (name, text) = pair.trim().split_once('=')?;
                    if name == timestamp_key && timestamp.replace(text.to_owned()).is_some() {
                        return None;
                    }
                    // Ignore a malformed signature, because another signature in the header may be valid.
                    if name == signature_key {
                        signatures.extend(self.decode(text));
                    }
                }
                (!signatures.is_empty()).then_some(())?;
                Some((signatures, Some(timestamp?)))
            }
            HeaderFormat::Credentials => {
                let (auth_scheme, text) = value.split_once(' ')?;
                let credentials = match auth_scheme.to_ascii_lowercase().as_str() {
                    "basic" => BASE64.decode(text).ok()?,
                    "bearer" => is_token(text).then(|| text.as_bytes().to_vec())?,
                    _ => return None,
                };
                // Compare hashes, so that the duration of the comparison does not reveal the secret's length.
                let bytes = Sha256::digest(credentials).to_vec();
                Some((vec![SignatureValue { algorithm: Algorithm::PlainSecret, bytes }], None))
            }
        }
    }

    fn decode(&self, text: &str) -> Option<SignatureValue> {
        let bytes = match self.encoding {
            // Reject upper case: no provider sends upper-case hex, and the same signature must not have two encodings.
            Encoding::Hex if text.bytes().any(|b| b.is_ascii_uppercase()) => return None,
            Encoding::Hex => {
                let mut bytes = vec![0; text.len() / 2];
                hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)?
            }
            Encoding::Base64 => BASE64.decode(text).ok()?,
        };
        let algorithm =
            self.algorithms.iter().find(|algorithm| algorithm.signature_bytes() == bytes.len())?;
        Some(SignatureValue { algorithm: *algorithm, bytes })
    }

    /// Whether one of the signatures was made with `secret` over `webhook`. Always `false` for an empty secret.
    pub(super) fn is_valid(&self, secret: &Secret, parsed: &ParsedSignature, webhook: &RawWebhook) -> bool {
        if secret.is_empty() {
            return false;
        }
        match &parsed.custom_signing_input {
            // Try all prefixes, so that the response time does not reveal which prefix matched.
            Some(SigningInput { prefixes, suffix }) => prefixes.iter().fold(false, |is_match, prefix| {
                is_match | self.has_matching_signature(secret, &parsed.signatures, &[prefix, suffix])
            }),
            None => {
                let pieces = self.signed_pieces(webhook.body(), parsed.timestamp.as_deref());
                self.has_matching_signature(secret, &parsed.signatures, &pieces)
            }
        }
    }

    fn has_matching_signature(
        &self,
        secret: &Secret,
        signatures: &[SignatureValue],
        pieces: &[&[u8]],
    ) -> bool {
        let mut is_match = false;
        for algorithm in self.algorithms {
            let mut candidates =
                signatures.iter().filter(|signature| signature.algorithm == *algorithm).peekable();
            if candidates.peek().is_some() {
                let expected = algorithm.compute(secret, pieces);
                // Compare all signatures, so that the response time does not reveal which signature matched.
                is_match |= candidates.fold(false, |is_match, signature| {
                    is_match | bool::from(expected.ct_eq(&signature.bytes))
                });
            }
        }
        is_match
    }

    fn signed_pieces<'a>(&self, body: &'a [u8], timestamp: Option<&'a str>) -> Vec<&'a [u8]> {
        let SignedContent::Parts(parts) = self.signed_content else { return Vec::new() };
        let piece = |part: &SigningPart| match *part {
            SigningPart::Body => body,
            SigningPart::Timestamp => timestamp.unwrap_or_default().as_bytes(),
            SigningPart::Literal(text) => text.as_bytes(),
        };
        parts.iter().map(piece).collect()
    }

    /// Creates the value of the signature header for `webhook`, as the provider would send it at the time `now`.
    ///
    /// # Errors
    /// When the signature would not cover the body of `webhook`, for example a Twilio webhook with a JSON body
    /// whose URL has no parameter `bodySHA256`.
    pub fn sign(
        &self,
        webhook: &RawWebhook,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<String, VerificationError> {
        let timestamp = now.as_second().to_string();
        let custom_signing_input = self.custom_signing_input(webhook)?;
        let pieces = match &custom_signing_input {
            Some(SigningInput { prefixes, suffix }) => {
                prefixes.iter().take(1).chain([suffix]).map(Vec::as_slice).collect()
            }
            None => self.signed_pieces(webhook.body(), Some(timestamp.as_str())),
        };
        let signature =
            self.algorithms.first().map(|algorithm| algorithm.compute(secret, &pieces)).unwrap_or_default();
        let encoded = match self.encoding {
            Encoding::Hex => hex::encode(signature),
            Encoding::Base64 => BASE64.encode(signature),
        };
        Ok(match self.header_format {
            HeaderFormat::Prefixed(prefix) => format!("{prefix}{encoded}"),
            HeaderFormat::Pairs { timestamp_key, signature_key } => {
                format!("{timestamp_key}={timestamp},{signature_key}={encoded}")
            }
            HeaderFormat::Credentials => match std::str::from_utf8(secret.expose()) {
                Ok(token) if is_token(token) => format!("Bearer {token}"),
                _ => format!("Basic {}", BASE64.encode(secret.expose())),
            },
        })
    }
}

impl Algorithm {
    fn signature_bytes(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 | Self::PlainSecret => 32,
        }
    }

    fn compute(self, secret: &Secret, pieces: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::HmacSha1 => compute_mac::<Hmac<Sha1>>(secret.expose(), pieces),
            Self::HmacSha256 => compute_mac::<Hmac<Sha256>>(secret.expose(), pieces),
            Self::PlainSecret => Sha256::digest(secret.expose()).to_vec(),
        }
    }
}

/// Whether `text` is a valid bearer token (RFC 6750). A token contains no colon, so `user:password` is not a token.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
}

/// Parses epoch seconds: at most 12 digits, without a sign or spaces.
fn parse_epoch_seconds(text: &str) -> Option<i64> {
    (text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}
