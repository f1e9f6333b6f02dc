//! Signature schemes and their verification.
//!
//! A [`SignatureScheme`] says what a provider's documentation says; a [`VerificationError`] is why a webhook carries none that could
//! be checked.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::Hmac;
use jiff::Timestamp;
use sha1::Sha1;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

use super::RawWebhook;
use crate::secrets::{Secret, compute_mac};

/// A header longer than this is no signature; the longest real ones hold a few hundred characters.
const MAX_HEADER: usize = 4096;

/// How a provider signs its webhooks.
#[derive(Debug)]
pub struct SignatureScheme {
    /// The header that carries the signature, in lower case.
    pub header: &'static str,
    /// How that header is written.
    pub header_format: HeaderFormat,
    /// What it may be made with; a signature's length says which. The first is what the provider uses by default.
    pub algorithms: &'static [Algorithm],
    /// How it is written as text, where that is not said by `written`.
    pub encoding: Encoding,
    /// What is signed.
    pub signed_content: SignedContent,
    /// How far the signed timestamp may be from now.
    pub timestamp_tolerance: Option<TimestampTolerance>,
    /// The query parameter of the URL that holds the hex SHA-256 of a body that is no form.
    pub body_hash_parameter: Option<&'static str>,
}

/// The form of a signature header.
#[derive(Debug, Clone, Copy)]
pub enum HeaderFormat {
    /// The encoded signature after a fixed text, for example `sha256=`; the text may be empty.
    Prefixed(&'static str),
    /// `name=value` pairs between commas: one timestamp, any number of signatures, others ignored.
    Pairs {
        /// The name of the timestamp in epoch seconds.
        timestamp_key: &'static str,
        /// The name of each signature.
        signature_key: &'static str,
    },
    /// HTTP credentials (RFC 7617 and RFC 6750): `Basic` and the base64 of a secret `user:password`, or `Bearer` and the
    /// secret, which then is a token.
    Credentials,
}

/// What a signature is made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// An HMAC of 20 bytes.
    HmacSha1,
    /// An HMAC of 32 bytes.
    HmacSha256,
    /// No hash of the body at all: the secret itself is sent.
    PlainSecret,
}

/// The text form of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Two lower-case digits a byte.
    Hex,
    /// The standard alphabet, padded.
    Base64,
}

/// What a signature is made over.
#[derive(Debug)]
pub enum SignedContent {
    /// These, one after the other.
    Parts(&'static [SigningPart]),
    /// What the provider's own code makes of a webhook.
    Custom(fn(&RawWebhook) -> Result<SigningInput, VerificationError>),
}

/// What a provider may have signed: one of the heads, and then the tail.
pub struct SigningInput {
    /// At least one; the likeliest first.
    pub prefixes: Vec<Vec<u8>>,
    /// The same behind each.
    pub suffix: Vec<u8>,
}

/// A piece of what is signed.
#[derive(Debug, Clone, Copy)]
pub enum SigningPart {
    /// The raw body.
    Body,
    /// The timestamp as the header writes it.
    Timestamp,
    /// A fixed text.
    Literal(&'static str),
}

/// How far a signed timestamp may lie from now, in seconds, the ends included.
#[derive(Debug, Clone, Copy)]
pub struct TimestampTolerance {
    /// Into the past.
    pub past_seconds: i64,
    /// Into the future.
    pub future_seconds: i64,
}

/// Why a webhook was not accepted as the provider's. The sender never learns which of them it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum VerificationError {
    /// The signature header is not there.
    #[error("no signature")]
    MissingSignature,
    /// The signature header does not have the provider's form, or came twice.
    #[error("malformed signature")]
    MalformedSignature,
    /// The signed time is too far from now.
    #[error("timestamp outside the window")]
    TimestampOutOfTolerance,
    /// Nothing in the request ties the signature to the body.
    #[error("body not covered by the signature")]
    BodyNotSigned,
    /// Made with another secret, or over other bytes; or not the secret.
    #[error("wrong signature")]
    SignatureMismatch,
}

impl VerificationError {
    /// One word for logs and metrics.
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

/// What a webhook's headers say of its signature.
pub(super) struct ParsedSignature {
    given: Vec<Given>,
    timestamp: Option<String>,
    covered: Option<SigningInput>,
}

/// One signature, decoded.
struct Given {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl ParsedSignature {
    /// How many signatures there are.
    pub(super) fn signature_count(&self) -> usize {
        self.given.len()
    }
}

impl SignatureScheme {
    /// Reads the signature that `webhook` carries, at the time `now`. Needs no secret.
    pub(super) fn parse(
        &self,
        webhook: &RawWebhook,
        now: Timestamp,
    ) -> Result<ParsedSignature, VerificationError> {
        let mut values = webhook.header_values(self.header);
        let value = values.next().ok_or(VerificationError::MissingSignature)?;
        if values.next().is_some() || value.len() > MAX_HEADER {
            return Err(VerificationError::MalformedSignature);
        }
        let value = value.to_str().map_err(|_| VerificationError::MalformedSignature)?;
        let (given, timestamp) = self.read(value).ok_or(VerificationError::MalformedSignature)?;
        if let Some(window) = self.timestamp_tolerance {
            let signed_at =
                timestamp.as_deref().and_then(epoch_seconds).ok_or(VerificationError::MalformedSignature)?;
            let age = i128::from(now.as_second()) - i128::from(signed_at);
            if age > i128::from(window.past_seconds) || -age > i128::from(window.future_seconds) {
                return Err(VerificationError::TimestampOutOfTolerance);
            }
        }
        Ok(ParsedSignature { given, timestamp, covered: self.covered_by(webhook)? })
    }

    fn covered_by(&self, webhook: &RawWebhook) -> Result<Option<SigningInput>, VerificationError> {
        match self.signed_content {
            SignedContent::Parts(_) => Ok(None),
            SignedContent::Custom(covered_by) => covered_by(webhook).map(Some),
        }
    }

    fn read(&self, value: &str) -> Option<(Vec<Given>, Option<String>)> {
        match self.header_format {
            HeaderFormat::Prefixed(prefix) => {
                let signature = self.decode(value.strip_prefix(prefix)?)?;
                Some((vec![signature], None))
            }
            HeaderFormat::Pairs { timestamp_key: timestamp, signature_key: signature } => {
                let mut signed_at = None;
                let mut signatures = Vec::new();
                for pair in value.split(',') {
                    let (name, text) = pair.trim().split_once('=')?;
                    if name == timestamp && signed_at.replace(text.to_owned()).is_some() {
                        return None;
                    }
                    // Ignore malformed signatures; others may be valid.
                    if name == signature {
                        signatures.extend(self.decode(text));
                    }
                }
                (!signatures.is_empty()).then_some(())?;
                Some((signatures, Some(signed_at?)))
            }
            HeaderFormat::Credentials => {
                let (scheme, text) = value.split_once(' ')?;
                let sent = match scheme.to_ascii_lowercase().as_str() {
                    "basic" => BASE64.decode(text).ok()?,
                    "bearer" => is_token(text).then(|| text.as_bytes().to_vec())?,
                    _ => return None,
                };
                // Only their hashes are compared, so that the time it takes does not tell the secret's length.
                let bytes = Sha256::digest(sent).to_vec();
                Some((vec![Given { algorithm: Algorithm::PlainSecret, bytes }], None))
            }
        }
    }

    fn decode(&self, text: &str) -> Option<Given> {
        let bytes = match self.encoding {
            // Upper case would be a second way to write the same signature, and nobody sends it.
            Encoding::Hex if text.bytes().any(|b| b.is_ascii_uppercase()) => return None,
            Encoding::Hex => {
                let mut bytes = vec![0; text.len() / 2];
                hex::decode_to_slice(text, &mut bytes).ok().map(|()| bytes)?
            }
            Encoding::Base64 => BASE64.decode(text).ok()?,
        };
        let algorithm = self.algorithms.iter().find(|algorithm| algorithm.length() == bytes.len())?;
        Some(Given { algorithm: *algorithm, bytes })
    }

    /// Whether one of the signatures was made with `secret` over `webhook`. Nothing was made with an empty secret.
    pub(super) fn is_valid(&self, secret: &Secret, carried: &ParsedSignature, webhook: &RawWebhook) -> bool {
        if secret.is_empty() {
            return false;
        }
        match &carried.covered {
            Some(SigningInput { prefixes: heads, suffix: tail }) => heads
                .iter()
                .fold(false, |any, head| any | self.matches(secret, &carried.given, &[head, tail])),
            None => {
                let pieces = self.pieces(webhook.body(), carried.timestamp.as_deref());
                self.matches(secret, &carried.given, &pieces)
            }
        }
    }

    fn matches(&self, secret: &Secret, given: &[Given], pieces: &[&[u8]]) -> bool {
        let mut any = false;
        for algorithm in self.algorithms {
            let mut given = given.iter().filter(|given| given.algorithm == *algorithm).peekable();
            if given.peek().is_some() {
                let expected = algorithm.hmac(secret, pieces);
                // No early end: how long it takes says nothing about which signature matched.
                any |= given.fold(false, |any, given| any | bool::from(expected.ct_eq(&given.bytes)));
            }
        }
        any
    }

    fn pieces<'a>(&self, body: &'a [u8], timestamp: Option<&'a str>) -> Vec<&'a [u8]> {
        let SignedContent::Parts(parts) = self.signed_content else { return Vec::new() };
        let piece = |part: &SigningPart| match *part {
            SigningPart::Body => body,
            SigningPart::Timestamp => timestamp.unwrap_or_default().as_bytes(),
            SigningPart::Literal(text) => text.as_bytes(),
        };
        parts.iter().map(piece).collect()
    }

    /// The value of the signature header that the provider would send with `webhook` at the time `now`.
    ///
    /// # Errors
    /// A [`VerificationError`] when the provider could not have sent such a webhook.
    pub fn sign(
        &self,
        webhook: &RawWebhook,
        secret: &Secret,
        now: Timestamp,
    ) -> Result<String, VerificationError> {
        let timestamp = now.as_second().to_string();
        let covered = self.covered_by(webhook)?;
        let pieces = match &covered {
            Some(SigningInput { prefixes: heads, suffix: tail }) => {
                heads.iter().take(1).chain([tail]).map(Vec::as_slice).collect()
            }
            None => self.pieces(webhook.body(), Some(timestamp.as_str())),
        };
        let mac =
            self.algorithms.first().map(|algorithm| algorithm.hmac(secret, &pieces)).unwrap_or_default();
        let text = match self.encoding {
            Encoding::Hex => hex::encode(mac),
            Encoding::Base64 => BASE64.encode(mac),
        };
        Ok(match self.header_format {
            HeaderFormat::Prefixed(prefix) => format!("{prefix}{text}"),
            HeaderFormat::Pairs { timestamp_key: name, signature_key: signature } => {
                format!("{name}={timestamp},{signature}={text}")
            }
            HeaderFormat::Credentials => match std::str::from_utf8(secret.expose()) {
                Ok(token) if is_token(token) => format!("Bearer {token}"),
                _ => format!("Basic {}", BASE64.encode(secret.expose())),
            },
        })
    }
}

impl Algorithm {
    fn length(self) -> usize {
        match self {
            Self::HmacSha1 => 20,
            Self::HmacSha256 | Self::PlainSecret => 32,
        }
    }

    fn hmac(self, secret: &Secret, pieces: &[&[u8]]) -> Vec<u8> {
        match self {
            Self::HmacSha1 => compute_mac::<Hmac<Sha1>>(secret.expose(), pieces),
            Self::HmacSha256 => compute_mac::<Hmac<Sha256>>(secret.expose(), pieces),
            Self::PlainSecret => Sha256::digest(secret.expose()).to_vec(),
        }
    }
}

/// What can stand behind `Bearer`: RFC 6750. It holds no colon, so that a user with a password is none.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
}

/// Digits only, as many as a time has: no sign, no spaces.
fn epoch_seconds(text: &str) -> Option<i64> {
    (text.len() <= 12 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}
