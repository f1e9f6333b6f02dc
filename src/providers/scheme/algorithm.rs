//! Signature algorithms.

use std::borrow::Cow;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use ring::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use subtle::ConstantTimeEq;

/// The algorithm of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// HMAC-SHA1, 20 bytes.
    HmacSha1,
    /// HMAC-SHA256, 32 bytes.
    HmacSha256,
    /// HMAC-SHA512, 64 bytes.
    HmacSha512,
    /// Ed25519 (RFC 8032), 64 bytes. The key is the provider's public key.
    Ed25519,
    /// ECDSA over the curve P-256 with SHA-256, as ASN.1 DER. The key is the provider's public key.
    EcdsaP256,
    /// No signature: the sender transmits the secret itself. The "signature" is the SHA-256 of the transmitted secret, so that the
    /// duration of a comparison does not reveal the secret's length.
    PlainSecret,
}

impl std::fmt::Display for Algorithm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::HmacSha1 => "HMAC-SHA1",
            Self::HmacSha256 => "HMAC-SHA256",
            Self::HmacSha512 => "HMAC-SHA512",
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP256 => "ECDSA (P-256)",
            Self::PlainSecret => "the secret itself",
        })
    }
}

impl Algorithm {
    /// Whether the secret is a public key, which verifies signatures but cannot make them.
    pub fn has_public_key(self) -> bool {
        matches!(self, Self::Ed25519 | Self::EcdsaP256)
    }

    /// Whether a signature of the algorithm can have this many bytes.
    pub(in crate::providers) fn accepts_length(self, bytes: usize) -> bool {
        match self {
            Self::HmacSha1 => bytes == 20,
            Self::HmacSha256 | Self::PlainSecret => bytes == 32,
            Self::HmacSha512 | Self::Ed25519 => bytes == 64,
            Self::EcdsaP256 => (8..=72).contains(&bytes),
        }
    }

    /// Whether one of `signatures` is a valid signature with `key` over the concatenated `pieces`.
    pub(in crate::providers) fn has_valid_signature<'a>(
        self,
        key: &[u8],
        pieces: &[Bytes],
        mut signatures: impl Iterator<Item = &'a [u8]>,
    ) -> bool {
        match self {
            Self::Ed25519 | Self::EcdsaP256 => {
                let message = concatenate(pieces);
                signatures.any(|signature| self.is_valid_public_key_signature(key, &message, signature))
            }
            // Compare all signatures, so that the response time does not reveal which signature matched.
            _ => {
                let expected = self.compute(key, pieces);
                signatures.fold(false, |is_match, signature| is_match | bool::from(expected.ct_eq(signature)))
            }
        }
    }

    fn is_valid_public_key_signature(self, key: &[u8], message: &[u8], signature: &[u8]) -> bool {
        let is_valid = match self {
            Self::Ed25519 => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
            _ => UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key).verify(message, signature),
        };
        is_valid.is_ok()
    }

    /// The signature with `key` over the concatenated `pieces`; empty for an algorithm with a public key.
    pub(in crate::providers) fn compute(self, key: &[u8], pieces: &[Bytes]) -> Vec<u8> {
        match self {
            Self::HmacSha1 => compute_mac::<Hmac<Sha1>>(key, pieces),
            Self::HmacSha256 => compute_mac::<Hmac<Sha256>>(key, pieces),
            Self::HmacSha512 => compute_mac::<Hmac<Sha512>>(key, pieces),
            Self::PlainSecret => Sha256::digest(key).to_vec(),
            Self::Ed25519 | Self::EcdsaP256 => Vec::new(),
        }
    }
}

fn compute_mac<M: Mac + KeyInit>(key: &[u8], pieces: &[Bytes]) -> Vec<u8> {
    let pieces: Vec<&[u8]> = pieces.iter().map(Bytes::as_ref).collect();
    crate::secrets::compute_mac::<M>(key, &pieces)
}

pub(super) fn concatenate(pieces: &[Bytes]) -> Cow<'_, [u8]> {
    match pieces {
        [piece] => Cow::Borrowed(piece),
        _ => Cow::Owned(pieces.concat()),
    }
}
