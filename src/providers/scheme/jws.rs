//! JSON Web Signatures over a hash of the body (RFC 7515, compact serialization).

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use super::{
    Algorithm, Encoding, KeyFormat, ParsedSignature, SignatureFormat, SignatureValue, SigningInput,
    VerificationError,
};
use crate::event::RawObject;
use crate::providers::RawWebhook;

/// Maximum length of a signature, in bytes.
const MAX_JWS_BYTES: usize = 4096;

/// The format of a signature. hookbridge accepts no algorithm but HS256, whatever the header of the signature says.
pub(super) static FORMAT: SignatureFormat =
    SignatureFormat { prefix: "", algorithm: Algorithm::HmacSha256, key_format: KeyFormat::Text };

/// A scheme with a JSON Web Signature (HS256) in a header, whose payload contains the SHA-256 of the body.
#[derive(Debug)]
pub struct JwsSignature {
    /// Name of the header, in lower case.
    pub header: &'static str,
    /// The claim `iss`; `None` if it is not checked.
    pub issuer: Option<&'static str>,
    /// Name of the claim with the SHA-256 of the body.
    pub body_hash_claim: &'static str,
    /// Encoding of this hash.
    pub body_hash_encoding: Encoding,
}

/// The protected header of a JSON Web Signature.
#[derive(Deserialize)]
struct JwsHeader<'a> {
    alg: &'a str,
    /// Extensions that a receiver must understand. hookbridge knows none.
    crit: Option<serde::de::IgnoredAny>,
}

impl JwsSignature {
    pub(super) fn parse(&self, webhook: &RawWebhook) -> Result<ParsedSignature, VerificationError> {
        if !webhook.has_header(self.header) {
            return Err(VerificationError::MissingSignature);
        }
        let malformed = VerificationError::MalformedSignature;
        let jws = webhook.header(self.header).filter(|jws| jws.len() <= MAX_JWS_BYTES).ok_or(malformed)?;
        let (signed, signature) = jws.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(malformed)?;
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed);
        let (header, payload, signature) = (decode(header)?, decode(payload)?, decode(signature)?);
        let header: JwsHeader<'_> = serde_json::from_slice(&header).map_err(|_| malformed)?;
        if header.alg != "HS256" || header.crit.is_some() || !FORMAT.algorithm.accepts_length(signature.len())
        {
            return Err(malformed);
        }
        let payload = std::str::from_utf8(&payload).ok().and_then(RawObject::parse).ok_or(malformed)?;
        let issuer = payload.get("iss").and_then(|issuer| serde_json::from_str::<String>(issuer.get()).ok());
        if self.issuer.is_some() && self.issuer != issuer.as_deref() {
            return Err(malformed);
        }
        let claim = payload.get(self.body_hash_claim).ok_or(VerificationError::BodyNotSigned)?;
        let claim: String = serde_json::from_str(claim.get()).map_err(|_| malformed)?;
        // The sender knows both hashes, so the comparison need not take constant time.
        if claim != self.body_hash(webhook.body()) {
            return Err(VerificationError::BodyNotSigned);
        }
        let input = SigningInput(vec![vec![Bytes::copy_from_slice(signed.as_bytes())]]);
        Ok(ParsedSignature::one(vec![SignatureValue { format: &FORMAT, bytes: signature }], input))
    }

    fn body_hash(&self, body: &[u8]) -> String {
        let hash = Sha256::digest(body);
        match self.body_hash_encoding {
            Encoding::Hex => hex::encode(hash),
            Encoding::Base64 => STANDARD.encode(hash),
            Encoding::Base64Url => URL_SAFE_NO_PAD.encode(hash),
        }
    }

    /// Creates the signature of `body`.
    #[cfg(feature = "command")]
    pub(super) fn sign(&self, body: &[u8], key: &[u8]) -> String {
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"HS256","typ":"JWT"}"#);
        let mut payload = serde_json::json!({ self.body_hash_claim: self.body_hash(body) });
        if let Some(issuer) = self.issuer {
            payload["iss"] = issuer.into();
        }
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload.to_string()));
        let signature = FORMAT.algorithm.compute(key, &[Bytes::from(signed.clone())]);
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}
