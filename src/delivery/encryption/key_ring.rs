//! The keys that encrypt subscribers' secrets at rest.
//!
//! Each secret is encrypted with XChaCha20-Poly1305 and a random nonce. The subscriber's name is authenticated with the secret,
//! so a stored secret cannot be decrypted for another subscriber. A key ring is a text with one key per line, each of at least 32
//! random characters. The first key encrypts new secrets; every key decrypts. A stored secret contains the id of the key that
//! encrypted it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::secrets::Secret;

const MIN_KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;

/// The encryption keys. The first key encrypts new secrets; every key decrypts.
#[derive(Clone)]
pub struct KeyRing(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

/// An encrypted secret and the id of the key that encrypted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncryptedSecret {
    key: String,
    /// Nonce and ciphertext in base64.
    data: String,
}

/// Why a key cannot be used, or a secret cannot be encrypted or decrypted. The messages contain no key and no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error(
        "invalid encryption key: expected a line of at least {MIN_KEY_BYTES} random characters (openssl rand -hex 32), and older keys on the lines after it"
    )]
    InvalidKey,
    /// The secret was encrypted with a key that is not in the ring.
    #[error(
        "a subscriber's secret was encrypted with the key {0}, which is missing; add that key as a further line"
    )]
    UnknownKey(String),
    /// The ciphertext, or the name of its subscriber, was changed.
    #[error(
        "a subscriber's secret cannot be decrypted: the stored secret or the subscriber's name was changed"
    )]
    Tampered,
    #[error("the operating system provides no random bytes: {0}")]
    RandomSource(String),
}

/// Returns random bytes from the operating system.
pub(in crate::delivery) fn random_bytes<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::RandomSource(error.to_string()))?;
    Ok(bytes)
}

impl KeyRing {
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() || lines.iter().any(|line| line.len() < MIN_KEY_BYTES) {
            return Err(KeyError::InvalidKey);
        }
        let derive_key = |line: &str| {
            let key = Sha256::digest(line);
            let id = hex::encode(&Sha256::digest(key)[..4]);
            Key { id, cipher: XChaCha20Poly1305::new(&key) }
        };
        Ok(Self(lines.into_iter().map(derive_key).collect()))
    }

    /// Encrypts `secret` so that it can be decrypted only for the subscriber with this name.
    pub fn encrypt(&self, secret: &Secret, subscriber: &str) -> Result<EncryptedSecret, KeyError> {
        let nonce: [u8; NONCE_BYTES] = random_bytes()?;
        let key = self.0.first().ok_or(KeyError::InvalidKey)?;
        let payload = Payload { msg: secret.expose(), aad: subscriber.as_bytes() };
        let ciphertext = key.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyError::Tampered)?;
        Ok(EncryptedSecret {
            key: key.id.clone(),
            data: BASE64.encode([nonce.as_slice(), &ciphertext].concat()),
        })
    }

    pub fn decrypt(&self, encrypted: &EncryptedSecret, subscriber: &str) -> Result<Secret, KeyError> {
        let key = self.0.iter().find(|key| key.id == encrypted.key);
        let key = key.ok_or_else(|| KeyError::UnknownKey(encrypted.key.clone()))?;
        let data = BASE64.decode(&encrypted.data).map_err(|_| KeyError::Tampered)?;
        let (nonce, ciphertext) = data.split_first_chunk::<NONCE_BYTES>().ok_or(KeyError::Tampered)?;
        let payload = Payload { msg: ciphertext, aad: subscriber.as_bytes() };
        let secret = key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| KeyError::Tampered)?;
        Ok(Secret::from_bytes(secret))
    }

    /// Whether the secret was encrypted with the first key, which encrypts new secrets.
    pub fn is_current(&self, encrypted: &EncryptedSecret) -> bool {
        self.0.first().is_some_and(|key| key.id == encrypted.key)
    }
}

/// Shows only the ids of the keys.
impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const OLD_KEY: &str = "0123456789abcdef0123456789abcdef";
    const NEW_KEY: &str = "another-key-of-at-least-32-characters";

    #[test]
    fn a_secret_decrypts_only_with_its_key_and_its_subscriber() {
        let (old_ring, secret) = (KeyRing::parse(OLD_KEY).unwrap(), Secret::new("whsec_x"));
        let encrypted = old_ring.encrypt(&secret, "orders").unwrap();
        assert!(!format!("{encrypted:?}").contains("whsec_x"));
        assert_eq!(old_ring.decrypt(&encrypted, "orders").unwrap().expose(), b"whsec_x");
        assert_eq!(old_ring.decrypt(&encrypted, "others").unwrap_err(), KeyError::Tampered);
        assert_ne!(old_ring.encrypt(&secret, "orders").unwrap(), encrypted, "each nonce is new");
        let rotated_ring = KeyRing::parse(&format!("{NEW_KEY}\n{OLD_KEY}\n")).unwrap();
        assert!(!rotated_ring.is_current(&encrypted) && old_ring.is_current(&encrypted));
        assert_eq!(rotated_ring.decrypt(&encrypted, "orders").unwrap().expose(), b"whsec_x");
        let reencrypted = rotated_ring.encrypt(&secret, "orders").unwrap();
        assert!(matches!(old_ring.decrypt(&reencrypted, "orders").unwrap_err(), KeyError::UnknownKey(_)));
        let truncated = EncryptedSecret { data: "AAAA".into(), ..encrypted };
        assert_eq!(old_ring.decrypt(&truncated, "orders").unwrap_err(), KeyError::Tampered);
    }

    #[test]
    fn a_short_key_is_rejected() {
        for text in ["", "\n", "short", &format!("{OLD_KEY}\nshort")] {
            assert_eq!(KeyRing::parse(text).unwrap_err(), KeyError::InvalidKey, "{text}");
        }
        assert!(!format!("{:?}", KeyRing::parse(OLD_KEY).unwrap()).contains("0123"));
    }
}
