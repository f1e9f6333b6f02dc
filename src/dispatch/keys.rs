//! The keys that subscribers' secrets are encrypted with where they are stored.
//!
//! XChaCha20-Poly1305, with a random nonce for each and the subscriber's name bound in. A ring is a text of one key a line, each
//! at least 32 random characters: the first encrypts, the others still decrypt. What is stored says which key it needs.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::secrets::Secret;

/// The shortest line that is a key, in bytes.
const SHORTEST: usize = 32;
const NONCE: usize = 24;

/// Keys, the one that encrypts first.
#[derive(Clone)]
pub struct KeyRing(Vec<Key>);

#[derive(Clone)]
struct Key {
    id: String,
    cipher: XChaCha20Poly1305,
}

/// Something encrypted, and the id of the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    key: String,
    /// The nonce and what was encrypted with it, in base64.
    data: String,
}

/// What is wrong with a key. It shows none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is no ring.
    #[error(
        "the key of subscribers' secrets must be a line of at least {SHORTEST} random characters, older keys in lines behind it: openssl rand -hex 32"
    )]
    NotAKey,
    /// The key of something is not in the ring.
    #[error(
        "a subscriber's secret was encrypted with the key {0}, which is not there: add it as a further line"
    )]
    Missing(String),
    /// It is not what was encrypted.
    #[error("a subscriber's secret cannot be decrypted: it, or whose it is, was changed")]
    Changed,
    /// The system has no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(String),
}

/// Random bytes from the system.
///
/// # Errors
/// [`KeyError::Random`].
pub(super) fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

impl KeyRing {
    /// Reads a ring.
    ///
    /// # Errors
    /// [`KeyError::NotAKey`].
    pub fn read(text: &str) -> Result<Self, KeyError> {
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        if lines.is_empty() || lines.iter().any(|line| line.len() < SHORTEST) {
            return Err(KeyError::NotAKey);
        }
        let key = |line: &str| {
            let key = Sha256::digest(line);
            let id = hex::encode(&Sha256::digest(key)[..4]);
            Key { id, cipher: XChaCha20Poly1305::new(&key) }
        };
        Ok(Self(lines.into_iter().map(key).collect()))
    }

    /// Encrypts `secret`, bound to the subscriber name `of`.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn seal(&self, secret: &Secret, of: &str) -> Result<Sealed, KeyError> {
        let nonce: [u8; NONCE] = random()?;
        let key = self.0.first().ok_or(KeyError::NotAKey)?;
        let payload = Payload { msg: secret.expose(), aad: of.as_bytes() };
        let sealed = key.cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| KeyError::Changed)?;
        Ok(Sealed { key: key.id.clone(), data: BASE64.encode([nonce.as_slice(), &sealed].concat()) })
    }

    /// Decrypts it.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn open(&self, sealed: &Sealed, of: &str) -> Result<Secret, KeyError> {
        let key = self.0.iter().find(|key| key.id == sealed.key);
        let key = key.ok_or_else(|| KeyError::Missing(sealed.key.clone()))?;
        let data = BASE64.decode(&sealed.data).map_err(|_| KeyError::Changed)?;
        let (nonce, data) = data.split_first_chunk::<NONCE>().ok_or(KeyError::Changed)?;
        let payload = Payload { msg: data, aad: of.as_bytes() };
        let secret = key.cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| KeyError::Changed)?;
        Ok(Secret::from_bytes(secret))
    }

    /// Whether it is encrypted with the key that encrypts now.
    pub fn is_current(&self, sealed: &Sealed) -> bool {
        self.0.first().is_some_and(|key| key.id == sealed.key)
    }
}

/// Shows no key.
impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|key| &key.id)).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    const OLD: &str = "0123456789abcdef0123456789abcdef";
    const NEW: &str = "another-key-of-at-least-32-characters";

    #[test]
    fn what_was_encrypted_is_read_with_its_key_and_by_whose_it_is() {
        let (old, secret) = (KeyRing::read(OLD).unwrap(), Secret::new("whsec_x"));
        let sealed = old.seal(&secret, "orders").unwrap();
        assert!(!format!("{sealed:?}").contains("whsec_x"));
        assert_eq!(old.open(&sealed, "orders").unwrap().expose(), b"whsec_x");
        assert_eq!(old.open(&sealed, "others").unwrap_err(), KeyError::Changed);
        assert_ne!(old.seal(&secret, "orders").unwrap(), sealed, "a nonce is used once");
        let both = KeyRing::read(&format!("{NEW}\n{OLD}\n")).unwrap();
        assert!(!both.is_current(&sealed) && old.is_current(&sealed));
        assert_eq!(both.open(&sealed, "orders").unwrap().expose(), b"whsec_x");
        let again = both.seal(&secret, "orders").unwrap();
        assert!(matches!(old.open(&again, "orders").unwrap_err(), KeyError::Missing(_)));
        let cut = Sealed { data: "AAAA".into(), ..sealed };
        assert_eq!(old.open(&cut, "orders").unwrap_err(), KeyError::Changed);
    }

    #[test]
    fn a_short_key_is_none() {
        for text in ["", "\n", "short", &format!("{OLD}\nshort")] {
            assert_eq!(KeyRing::read(text).unwrap_err(), KeyError::NotAKey, "{text}");
        }
        assert!(!format!("{:?}", KeyRing::read(OLD).unwrap()).contains("0123"));
    }
}
