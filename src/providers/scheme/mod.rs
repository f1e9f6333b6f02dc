//! Signature schemes: how a provider proves that it sent a webhook.
//!
//! A [`SignatureScheme`] describes the proof in the terms of the provider's documentation. Parsing a webhook turns every scheme
//! into the same [`SignatureCheck`]s, without a secret; verifying these checks needs a secret. The same description signs
//! webhooks for `hookbridge send` and for tests.

mod algorithm;
mod body;
mod error;
mod form_signature;
mod header;
mod jws;
mod key;
mod shared_secret;
#[cfg(feature = "command")]
mod sign;
mod timestamp;

use bytes::Bytes;
use jiff::Timestamp;

pub use algorithm::Algorithm;
pub use body::BodySignature;
pub use error::VerificationError;
pub use form_signature::FormSignature;
pub use header::{Encoding, HeaderFormat, HeaderSignature, SignatureFormat, SignedContent, SigningPart};
pub use jws::JwsSignature;
pub use key::KeyFormat;
pub use shared_secret::SecretLocation;
#[cfg(feature = "command")]
pub use sign::{GeneratedSecret, WebhookRequest};
pub use timestamp::{SignedTimestamp, TimestampFormat, TimestampLocation, TimestampTolerance};

use super::RawWebhook;
use crate::secrets::Secret;

/// How a provider proves that it sent a webhook.
#[derive(Debug)]
pub enum SignatureScheme {
    /// Headers contain signatures over parts of the request.
    Header(HeaderSignature),
    /// The request contains the secret itself. Nothing is signed.
    SharedSecret(&'static [SecretLocation]),
    /// A header contains a JSON Web Signature, whose payload contains a hash of the body.
    Jws(JwsSignature),
    /// The body contains signatures over some of its own fields.
    Body(BodySignature),
    /// A signature in a field of a form.
    Form(FormSignature),
    /// The first of these schemes that a webhook contains; for a provider that lets the operator choose.
    AnyOf(&'static [SignatureScheme]),
}

/// Byte strings that a provider may have signed, each in pieces to be concatenated; the likeliest first. A signature over any
/// of these is valid.
pub struct SigningInput(pub Vec<Vec<Bytes>>);

/// One signature as received.
pub(super) struct SignatureValue {
    format: &'static SignatureFormat,
    bytes: Vec<u8>,
}

/// A condition for a valid webhook: one of the signatures is valid over one of the byte strings of the input.
pub(super) struct SignatureCheck {
    signatures: Vec<SignatureValue>,
    input: SigningInput,
}

/// The parsed signatures of a webhook: at least one check. A webhook is valid if all checks succeed.
pub(super) struct ParsedSignature(Vec<SignatureCheck>);

impl ParsedSignature {
    fn one(signatures: Vec<SignatureValue>, input: SigningInput) -> Self {
        Self(vec![SignatureCheck { signatures, input }])
    }

    /// The number of signatures.
    pub(super) fn signature_count(&self) -> usize {
        self.0.iter().map(|check| check.signatures.len()).sum()
    }

    /// The key of `secret` with which the first check succeeds; `None` unless every check succeeds with a key of `secret`. Always
    /// `None` for an empty secret.
    pub(super) fn find_key(&self, secret: &Secret) -> Option<Vec<u8>> {
        let mut keys = self.0.iter().map(|check| check.find_key(secret));
        let first = keys.next()??;
        keys.all(|key| key.is_some()).then_some(first)
    }
}

#[cfg(feature = "command")]
impl ParsedSignature {
    /// Whether every check succeeds with this key.
    pub(super) fn is_valid_with_key(&self, key: &[u8]) -> bool {
        let is_valid = |check: &SignatureCheck| {
            check.formats().any(|format| {
                let signatures = || check.signatures.iter().map(|signature| signature.bytes.as_slice());
                check
                    .input
                    .0
                    .iter()
                    .any(|pieces| format.algorithm.has_valid_signature(key, pieces, signatures()))
            })
        };
        !self.0.is_empty() && self.0.iter().all(is_valid)
    }
}

impl SignatureCheck {
    fn find_key(&self, secret: &Secret) -> Option<Vec<u8>> {
        self.formats().find_map(|format| {
            let signatures = || self.signatures.iter().filter(|signature| same(signature.format, format));
            format.key_format.keys(secret).find(|key| {
                self.input.0.iter().any(|pieces| {
                    let signatures = signatures().map(|signature| signature.bytes.as_slice());
                    format.algorithm.has_valid_signature(key, pieces, signatures)
                })
            })
        })
    }

    /// The distinct formats of the signatures.
    fn formats(&self) -> impl Iterator<Item = &'static SignatureFormat> {
        let formats = self.signatures.iter().map(|signature| signature.format);
        formats.enumerate().filter_map(|(index, format)| {
            let is_first = !self.signatures[..index].iter().any(|earlier| same(earlier.format, format));
            is_first.then_some(format)
        })
    }
}

fn same(left: &'static SignatureFormat, right: &'static SignatureFormat) -> bool {
    left == right
}

impl SignatureScheme {
    /// Whether `webhook` contains what the scheme looks for outside the body. A scheme with signatures inside the body says yes to
    /// every webhook.
    pub(super) fn is_present(&self, webhook: &RawWebhook) -> bool {
        match self {
            Self::Header(scheme) => scheme.is_present(webhook),
            Self::SharedSecret(locations) => locations.iter().any(|location| location.is_present(webhook)),
            Self::Jws(scheme) => webhook.has_header(scheme.header),
            Self::Body(_) | Self::Form(_) => true,
            Self::AnyOf(schemes) => schemes.iter().any(|scheme| scheme.is_present(webhook)),
        }
    }

    /// Parses the signatures of `webhook` and checks their timestamp against `now`. Needs no secret.
    pub(super) fn parse(
        &self,
        webhook: &RawWebhook,
        now: Timestamp,
    ) -> Result<ParsedSignature, VerificationError> {
        match self {
            Self::Header(scheme) => scheme.parse(webhook, now),
            Self::SharedSecret(locations) => shared_secret::parse(locations, webhook),
            Self::Jws(scheme) => scheme.parse(webhook),
            Self::Body(scheme) => scheme.parse(webhook),
            Self::Form(scheme) => scheme.parse(webhook),
            Self::AnyOf(schemes) => {
                let scheme = schemes.iter().find(|scheme| scheme.is_present(webhook));
                scheme.ok_or(VerificationError::MissingSignature)?.parse(webhook, now)
            }
        }
    }

    /// The formats of the scheme's signatures.
    pub fn signature_formats(&self) -> &'static [SignatureFormat] {
        match self {
            Self::Header(scheme) => scheme.signatures,
            Self::SharedSecret(_) => std::slice::from_ref(&shared_secret::FORMAT),
            Self::Jws(_) => std::slice::from_ref(&jws::FORMAT),
            Self::Body(scheme) => std::slice::from_ref(scheme.format),
            Self::Form(scheme) => std::slice::from_ref(scheme.format),
            Self::AnyOf(schemes) => schemes.first().map_or(&[], Self::signature_formats),
        }
    }

    /// Whether `secret` contains a key of the scheme.
    pub fn has_key(&self, secret: &Secret) -> bool {
        match self {
            Self::AnyOf(schemes) => schemes.iter().any(|scheme| scheme.has_key(secret)),
            scheme => scheme.signature_formats().iter().any(|format| format.key_format.has_key(secret)),
        }
    }

    /// Whether the signature covers the whole body. An event of a webhook whose body is not covered is marked.
    pub fn covers_body(&self) -> bool {
        !matches!(self, Self::Body(_))
    }
}
