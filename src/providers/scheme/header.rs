//! Signatures in headers.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::HeaderValue;
use jiff::Timestamp;

use super::{
    Algorithm, KeyFormat, ParsedSignature, SignatureValue, SignedTimestamp, SigningInput, TimestampLocation,
    VerificationError,
};
use crate::providers::RawWebhook;

/// Maximum length of a signature header, in bytes. The longest signature headers of the providers have a few hundred bytes.
const MAX_HEADER_BYTES: usize = 4096;
/// Maximum number of signatures in one webhook: DocuSign sends one for each of up to 100 keys.
const MAX_SIGNATURES: usize = 100;
/// Maximum number of signatures with a public key, each of which costs about 0.1 ms even if it is forged.
const MAX_PUBLIC_KEY_SIGNATURES: usize = 4;

/// A scheme with signatures in headers.
#[derive(Debug)]
pub struct HeaderSignature {
    /// Names of the headers with signatures, in lower case. A webhook has at least one of them, and a signature in any of them
    /// counts. `*` at the end of a name stands for a number.
    pub headers: &'static [&'static str],
    /// How a header separates several values.
    pub header_format: HeaderFormat,
    /// The formats of a signature, the provider's default first.
    pub signatures: &'static [SignatureFormat],
    /// Text encoding of a signature.
    pub encoding: Encoding,
    /// The content that the signature covers.
    pub signed_content: SignedContent,
    /// The timestamp; `None` if webhooks have no timestamp.
    pub timestamp: Option<SignedTimestamp>,
    /// Names of the headers with the id that [`SigningPart::Id`] signs; the first that is present counts.
    pub id_headers: &'static [&'static str],
    /// Name of the query parameter that contains the hex SHA-256 of a body that is not a form; `None` if the provider
    /// has no such parameter.
    pub body_hash_parameter: Option<&'static str>,
}

impl HeaderSignature {
    /// The most common scheme, with the header still to be named: HMAC-SHA256 of the raw body, in hex.
    pub const HMAC_SHA256: Self = Self {
        headers: &[],
        header_format: HeaderFormat::Single,
        signatures: &[SignatureFormat::hmac_sha256("")],
        encoding: Encoding::Hex,
        signed_content: SignedContent::Parts(&[SigningPart::Body]),
        timestamp: None,
        id_headers: &[],
        body_hash_parameter: None,
    };
}

/// How a signature header separates several values.
#[derive(Debug, Clone, Copy)]
pub enum HeaderFormat {
    /// The header contains one signature and nothing else.
    Single,
    /// The header contains values separated by this text: signatures, perhaps a timestamp, and values that are ignored.
    List(&'static str),
}

/// The format of one signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignatureFormat {
    /// The text before the signature, for example `sha256=`. May be empty.
    pub prefix: &'static str,
    /// The algorithm. If several formats have one prefix, the length of a signature determines its algorithm.
    pub algorithm: Algorithm,
    /// The format of the key in the secret.
    pub key_format: KeyFormat,
}

impl SignatureFormat {
    /// HMAC-SHA256 with a key that is used as text.
    pub const fn hmac_sha256(prefix: &'static str) -> Self {
        Self { prefix, algorithm: Algorithm::HmacSha256, key_format: KeyFormat::Text }
    }

    /// HMAC-SHA1 with a key that is used as text.
    pub const fn hmac_sha1(prefix: &'static str) -> Self {
        Self { prefix, algorithm: Algorithm::HmacSha1, key_format: KeyFormat::Text }
    }
}

/// The text encoding of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    /// Lower-case hexadecimal.
    Hex,
    /// Standard base64 with padding.
    Base64,
    /// URL-safe base64 (RFC 4648, section 5), with or without padding.
    Base64Url,
}

/// The content that a signature covers.
#[derive(Debug)]
pub enum SignedContent {
    /// The concatenation of these parts.
    Parts(&'static [SigningPart]),
    /// The bytes that this function computes from a webhook and its timestamp, as written.
    Custom(fn(&RawWebhook, &str) -> Result<SigningInput, VerificationError>),
}

/// A part of the signed content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningPart {
    /// The raw body.
    Body,
    /// The timestamp, as written.
    Timestamp,
    /// The webhook's id, from a header.
    Id,
    /// The URL of the endpoint, as it is configured at the provider.
    Url,
    /// The method of the request, in upper case.
    Method,
    /// A fixed text.
    Literal(&'static str),
}

impl HeaderSignature {
    /// Whether the signature covers the URL.
    pub fn signs_url(&self) -> bool {
        match self.signed_content {
            SignedContent::Parts(parts) => parts.contains(&SigningPart::Url),
            // Every provider with code for the signed content signs the URL.
            SignedContent::Custom(_) => true,
        }
    }

    pub(super) fn is_present(&self, webhook: &RawWebhook) -> bool {
        let has_timestamp = match self.timestamp.map(|timestamp| timestamp.location) {
            Some(TimestampLocation::Header(names)) => names.iter().any(|name| webhook.has_header(name)),
            _ => true,
        };
        has_timestamp && self.headers.iter().any(|name| webhook.numbered_header_values(name).next().is_some())
    }

    pub(super) fn parse(
        &self,
        webhook: &RawWebhook,
        now: Timestamp,
    ) -> Result<ParsedSignature, VerificationError> {
        let mut signatures = Vec::new();
        let mut timestamp = None;
        let mut is_missing = true;
        for name in self.headers {
            for (header, value) in webhook.numbered_header_values(name) {
                is_missing = false;
                if webhook.header_values(header).count() > 1 {
                    return Err(VerificationError::MalformedSignature);
                }
                self.parse_header(value, &mut signatures, &mut timestamp)
                    .ok_or(VerificationError::MalformedSignature)?;
            }
        }
        if is_missing {
            return Err(VerificationError::MissingSignature);
        }
        let is_public = |signature: &&SignatureValue| signature.format.algorithm.has_public_key();
        if signatures.is_empty()
            || signatures.len() > MAX_SIGNATURES
            || signatures.iter().filter(is_public).count() > MAX_PUBLIC_KEY_SIGNATURES
        {
            return Err(VerificationError::MalformedSignature);
        }
        let timestamp = self.timestamp(webhook, timestamp)?;
        if let (Some(rule), Some(text)) = (&self.timestamp, &timestamp) {
            rule.check(text, now)?;
        }
        let input = self.signing_input(webhook, timestamp.as_deref().unwrap_or_default())?;
        Ok(ParsedSignature::one(signatures, input))
    }

    /// The timestamp as written: from the signature header, where it was `parsed`, or from its own header.
    fn timestamp(
        &self,
        webhook: &RawWebhook,
        parsed: Option<String>,
    ) -> Result<Option<String>, VerificationError> {
        match self.timestamp.map(|timestamp| timestamp.location) {
            None | Some(TimestampLocation::Body(_)) => Ok(None),
            Some(TimestampLocation::SignatureHeader(_)) => {
                parsed.map(Some).ok_or(VerificationError::MalformedSignature)
            }
            Some(TimestampLocation::Header(names)) => {
                let text = webhook.first_header(names).ok_or(VerificationError::MalformedSignature)?;
                Ok(Some(text.to_owned()))
            }
        }
    }

    /// Parses one header; `None` if it is malformed.
    fn parse_header(
        &self,
        value: &HeaderValue,
        signatures: &mut Vec<SignatureValue>,
        timestamp: &mut Option<String>,
    ) -> Option<()> {
        let value = value.to_str().ok().filter(|value| value.len() <= MAX_HEADER_BYTES)?;
        let HeaderFormat::List(separator) = self.header_format else {
            let known = signatures.len();
            signatures.extend(self.decode(value));
            return (signatures.len() > known).then_some(());
        };
        let timestamp_prefix = match self.timestamp.map(|timestamp| timestamp.location) {
            Some(TimestampLocation::SignatureHeader(prefix)) => Some(prefix),
            _ => None,
        };
        // Supabase separates signatures by a comma and a space.
        for item in value.split(separator).map(|item| item.trim().trim_end_matches(',')) {
            match timestamp_prefix.and_then(|prefix| item.strip_prefix(prefix)) {
                Some(text) if timestamp.is_none() => *timestamp = Some(text.to_owned()),
                // A second timestamp. Without a prefix, only the first item is a timestamp.
                Some(_) if timestamp_prefix != Some("") => return None,
                // Ignore a malformed signature, because another signature in the header may be valid.
                _ => signatures.extend(self.decode(item)),
            }
        }
        Some(())
    }

    /// The decoded signature, in every format that it has.
    fn decode(&self, text: &str) -> impl Iterator<Item = SignatureValue> {
        self.signatures.iter().filter_map(move |format| {
            let bytes = self.encoding.decode(text.strip_prefix(format.prefix)?)?;
            format.algorithm.accepts_length(bytes.len()).then_some(SignatureValue { format, bytes })
        })
    }

    /// The byte strings that the provider may have signed.
    pub(in crate::providers) fn signing_input(
        &self,
        webhook: &RawWebhook,
        timestamp: &str,
    ) -> Result<SigningInput, VerificationError> {
        let parts = match self.signed_content {
            SignedContent::Parts(parts) => parts,
            SignedContent::Custom(signing_input) => return signing_input(webhook, timestamp),
        };
        let id = webhook.first_header(self.id_headers).unwrap_or_default();
        if id.is_empty() && parts.contains(&SigningPart::Id) {
            return Err(VerificationError::MalformedSignature);
        }
        let pieces = |url: &str| {
            let piece = |part: &SigningPart| match *part {
                SigningPart::Body => webhook.body().clone(),
                SigningPart::Timestamp => Bytes::copy_from_slice(timestamp.as_bytes()),
                SigningPart::Id => Bytes::copy_from_slice(id.as_bytes()),
                SigningPart::Url => Bytes::copy_from_slice(url.as_bytes()),
                SigningPart::Method => Bytes::copy_from_slice(webhook.method().as_str().as_bytes()),
                SigningPart::Literal(text) => Bytes::from_static(text.as_bytes()),
            };
            parts.iter().map(piece).collect()
        };
        Ok(SigningInput(match parts.contains(&SigningPart::Url) {
            true => webhook.urls().map(|url| pieces(&url.to_string())).collect(),
            false => vec![pieces("")],
        }))
    }
}

impl std::fmt::Display for Encoding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Hex => "hex",
            Self::Base64 => "base64",
            Self::Base64Url => "base64url",
        })
    }
}

impl Encoding {
    pub(in crate::providers) fn decode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            // Reject upper case: no provider sends upper-case hex, and the same signature must not have two encodings.
            Self::Hex if text.bytes().any(|b| b.is_ascii_uppercase()) => None,
            Self::Hex => hex::decode(text).ok(),
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Base64Url => URL_SAFE_NO_PAD.decode(text).or_else(|_| URL_SAFE.decode(text)).ok(),
        }
    }

    /// Encodes a signature.
    #[cfg(feature = "command")]
    pub(super) fn encode(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex::encode(bytes),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }
}
