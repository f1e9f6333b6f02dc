//! Signatures inside the body, which cover only some of its fields.
//!
//! These schemes are weak: an attacker who recorded a webhook can change everything that the signature does not cover. To find
//! the signature, hookbridge reads the fields that it consists of from the unverified body and skips the rest.

use super::{
    Algorithm, Encoding, ParsedSignature, SignatureCheck, SignatureFormat, SignatureValue, SigningInput,
    VerificationError, shared_secret,
};
use crate::event::{array_elements, find_value, scalar_text};
use crate::providers::RawWebhook;

/// Maximum number of elements with a signature.
const MAX_ELEMENTS: usize = 1000;

/// A scheme with signatures inside a JSON body. All pointers are JSON pointers (RFC 6901).
#[derive(Debug)]
pub struct BodySignature {
    /// Pointer to the array whose elements are signed, each on its own; `None` if the body itself has one signature.
    pub elements: Option<&'static str>,
    /// Pointers to the signatures of an element. One of them must be valid.
    pub signatures: &'static [&'static str],
    /// The format of a signature.
    pub format: &'static SignatureFormat,
    /// Text encoding of a signature; unused with [`Algorithm::PlainSecret`].
    pub encoding: Encoding,
    /// Pointers to the signed fields of an element. A missing field counts as empty.
    pub signed_fields: &'static [&'static str],
    /// The text between the values of the signed fields.
    pub separator: &'static str,
}

impl BodySignature {
    pub(super) fn parse(&self, webhook: &RawWebhook) -> Result<ParsedSignature, VerificationError> {
        let body = std::str::from_utf8(webhook.body()).map_err(|_| VerificationError::MalformedSignature)?;
        let elements = self.elements(body).ok_or(VerificationError::MissingSignature)?;
        if elements.is_empty() {
            return Err(VerificationError::MissingSignature);
        }
        if elements.len() > MAX_ELEMENTS {
            return Err(VerificationError::MalformedSignature);
        }
        let checks = elements.into_iter().map(|element| self.parse_element(element));
        Ok(ParsedSignature(checks.collect::<Result<_, _>>()?))
    }

    fn elements<'a>(&self, body: &'a str) -> Option<Vec<&'a str>> {
        match self.elements {
            None => Some(vec![body]),
            Some(pointer) => array_elements(find_value(body, pointer)?),
        }
    }

    fn parse_element(&self, element: &str) -> Result<SignatureCheck, VerificationError> {
        let texts = self.signatures.iter().filter_map(|pointer| field_text(element, pointer));
        let texts: Vec<String> = texts.filter(|text| !text.is_empty()).collect();
        if texts.is_empty() {
            return Err(VerificationError::MissingSignature);
        }
        let signatures: Vec<_> = texts.iter().filter_map(|text| self.decode(text)).collect();
        if signatures.is_empty() {
            return Err(VerificationError::MalformedSignature);
        }
        let input = SigningInput(vec![vec![self.signed_text(element).into()]]);
        Ok(SignatureCheck { signatures, input })
    }

    fn decode(&self, text: &str) -> Option<SignatureValue> {
        if self.format.algorithm == Algorithm::PlainSecret {
            return Some(shared_secret::transmitted(text.as_bytes()));
        }
        let bytes = self.encoding.decode(text)?;
        let has_valid_length = self.format.algorithm.accepts_length(bytes.len());
        has_valid_length.then_some(SignatureValue { format: self.format, bytes })
    }

    fn signed_text(&self, element: &str) -> String {
        let values =
            self.signed_fields.iter().map(|pointer| field_text(element, pointer).unwrap_or_default());
        values.collect::<Vec<_>>().join(self.separator)
    }

    /// Replaces the first signature of each element of `body`, which must be there already.
    #[cfg(feature = "command")]
    pub(super) fn sign(&self, body: &str, key: &[u8]) -> Option<String> {
        let mut signed = String::new();
        let mut copied = 0;
        for element in self.elements(body)? {
            let placeholder = find_value(element, self.signatures.first()?)?;
            let signature = match self.format.algorithm {
                Algorithm::PlainSecret => String::from_utf8_lossy(key).into_owned(),
                algorithm => {
                    self.encoding.encode(&algorithm.compute(key, &[self.signed_text(element).into()]))
                }
            };
            // `placeholder` is a part of `body`, so the distance of their addresses is its offset.
            let start = placeholder.as_ptr() as usize - body.as_ptr() as usize;
            signed.push_str(&body[copied..start]);
            signed.push_str(&serde_json::Value::from(signature).to_string());
            copied = start + placeholder.len();
        }
        signed.push_str(&body[copied..]);
        Some(signed)
    }
}

/// The text of the string, number or boolean at `pointer`.
fn field_text(element: &str, pointer: &str) -> Option<String> {
    let value = find_value(element, pointer)?;
    scalar_text(serde_json::from_str(value).ok()?).map(std::borrow::Cow::into_owned)
}
