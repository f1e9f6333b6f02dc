//! A signature in a field of a form, which covers another field.

use bytes::Bytes;

use super::{Encoding, ParsedSignature, SignatureFormat, SignatureValue, SigningInput, VerificationError};
use crate::providers::{Form, RawWebhook};

/// Maximum number of signatures: one for each of the account's keys.
const MAX_SIGNATURES: usize = 1000;
/// Maximum number of fields of an unverified form.
const MAX_FIELDS: usize = 100;

/// A scheme with signatures in a form. Each signature follows the name of its key and `|`; `&` separates several.
#[derive(Debug)]
pub struct FormSignature {
    /// The field with the signatures.
    pub signature_field: &'static str,
    /// The signed field. A signature of its value with a line break after it is also valid, because a sender may strip the last one.
    pub signed_field: &'static str,
    /// The format of a signature, which is written in hex.
    pub format: &'static SignatureFormat,
}

impl FormSignature {
    pub(super) fn parse(&self, webhook: &RawWebhook) -> Result<ParsedSignature, VerificationError> {
        if !webhook.is_form() {
            return Err(VerificationError::BodyNotSigned);
        }
        let form = Form::parse_bounded(webhook.body(), MAX_FIELDS).ok_or(VerificationError::BodyNotSigned)?;
        let field = form.get(self.signature_field).ok_or(VerificationError::MissingSignature)?;
        let field = std::str::from_utf8(field).map_err(|_| VerificationError::MalformedSignature)?;
        let content = form.get(self.signed_field).ok_or(VerificationError::BodyNotSigned)?;
        let decode = |pair: &str| {
            let bytes = Encoding::Hex.decode(pair.split_once('|')?.1)?;
            let has_valid_length = self.format.algorithm.accepts_length(bytes.len());
            has_valid_length.then_some(SignatureValue { format: self.format, bytes })
        };
        let signatures: Vec<_> = field.split('&').take(MAX_SIGNATURES).filter_map(decode).collect();
        if signatures.is_empty() {
            return Err(VerificationError::MalformedSignature);
        }
        let content = Bytes::copy_from_slice(content);
        let with_line_break = vec![content.clone(), Bytes::from_static(b"\n")];
        Ok(ParsedSignature::one(signatures, SigningInput(vec![vec![content], with_line_break])))
    }

    /// Adds the signature to a form, as its first field, and removes the field that it replaces.
    #[cfg(feature = "command")]
    pub(super) fn sign(&self, body: &[u8], key_name: &str, key: &[u8]) -> Option<Vec<u8>> {
        let form = Form::parse(body);
        let content = Bytes::copy_from_slice(form.get(self.signed_field)?);
        let signature = Encoding::Hex.encode(&self.format.algorithm.compute(key, &[content]));
        let mut signed = format!("{}={key_name}%7C{signature}", self.signature_field).into_bytes();
        let replaced = format!("{}=", self.signature_field);
        for field in body.split(|byte| *byte == b'&').filter(|field| !field.starts_with(replaced.as_bytes()))
        {
            signed.push(b'&');
            signed.extend_from_slice(field);
        }
        Some(signed)
    }
}
