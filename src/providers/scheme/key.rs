//! The keys in a secret.
//!
//! A secret contains one key, or several with one on each line: two endpoints of an account may share one URL. A signature with
//! any of these keys is valid.

use base64::Engine as _;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use sha1::{Digest as _, Sha1};

use crate::providers::handshake::VERIFY_TOKEN_LINE;
use crate::secrets::Secret;

/// How a provider writes a key as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyFormat {
    /// The key is the text itself.
    Text,
    /// The key is written in hex.
    Hex,
    /// The key is written in base64, after this prefix, which may be missing.
    Base64(&'static str),
    /// The key is the SHA-1 hash of the private key in `PUBLIC_KEY|PRIVATE_KEY`.
    Sha1OfPrivateKey,
    /// A public key on the curve P-256: the base64 of a `SubjectPublicKeyInfo` (RFC 5480), with or without the lines of PEM.
    P256PublicKey,
}

/// The `SubjectPublicKeyInfo` of an uncompressed P-256 key, up to the key itself. Source: RFC 5480, section 2.
pub(super) const P256_KEY_INFO: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// The first line of a public key in PEM.
const PEM_BEGIN: &str = "-----BEGIN PUBLIC KEY-----";
/// The last line of a public key in PEM.
const PEM_END: &str = "-----END PUBLIC KEY-----";

impl KeyFormat {
    /// The keys in `secret`, in their order. Ignores empty lines, and lines that do not have this format.
    pub(in crate::providers) fn keys(self, secret: &Secret) -> impl Iterator<Item = Vec<u8>> {
        let text = match self {
            Self::P256PublicKey => join_pem_lines(secret.expose()),
            _ => secret.expose().to_vec(),
        };
        let lines: Vec<Vec<u8>> = text
            .split(|byte| *byte == b'\n')
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
            .filter(|line| !line.is_empty() && !line.starts_with(VERIFY_TOKEN_LINE))
            .collect();
        lines.into_iter().filter_map(move |line| self.decode(line))
    }

    /// Whether `secret` contains a key of this format.
    pub fn has_key(self, secret: &Secret) -> bool {
        self.keys(secret).next().is_some()
    }

    /// The key in one line of a secret.
    #[cfg(feature = "command")]
    pub(in crate::providers) fn decode_line(self, line: &str) -> Option<Vec<u8>> {
        self.keys(&Secret::new(line)).next()
    }

    fn decode(self, line: Vec<u8>) -> Option<Vec<u8>> {
        if self == Self::Text {
            return Some(line);
        }
        let text = std::str::from_utf8(&line).ok()?.trim();
        let key = match self {
            Self::Text => return None,
            Self::Hex => hex::decode(text).ok()?,
            Self::Base64(prefix) => decode_base64(text.strip_prefix(prefix).unwrap_or(text))?,
            Self::Sha1OfPrivateKey => {
                let (_, private_key) =
                    text.split_once('|').filter(|(_, private_key)| !private_key.is_empty())?;
                Sha1::digest(private_key).to_vec()
            }
            Self::P256PublicKey => decode_base64(text)?.strip_prefix(P256_KEY_INFO)?.to_vec(),
        };
        (!key.is_empty()).then_some(key)
    }
}

/// Decodes base64 or base64url, with or without padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let engines: [&GeneralPurpose; 4] = [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD];
    engines.into_iter().find_map(|engine| engine.decode(text).ok())
}

/// Joins the lines of each public key in PEM to one line of base64.
fn join_pem_lines(secret: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(secret);
    let mut joined = String::new();
    let mut rest = text.as_ref();
    while let Some((before, key)) = rest.split_once(PEM_BEGIN) {
        let (key, after) = key.split_once(PEM_END).unwrap_or((key, ""));
        joined.push_str(before);
        joined.extend(key.split_whitespace());
        rest = after;
    }
    joined.push_str(rest);
    joined.into_bytes()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn keys(format: KeyFormat, secret: &str) -> Vec<Vec<u8>> {
        format.keys(&Secret::new(secret)).collect()
    }

    #[test]
    fn each_line_of_a_secret_is_a_key() {
        assert_eq!(keys(KeyFormat::Text, "one\ntwo three \r\n\n"), [b"one".to_vec(), b"two three ".to_vec()]);
        assert_eq!(keys(KeyFormat::Hex, "00ff\nnot hex\n0A"), [vec![0, 255], vec![10]]);
        let format = KeyFormat::Base64("whsec_");
        assert_eq!(
            keys(format, "whsec_AP8=\nAP8=\nAP8\n__8"),
            [vec![0, 255], vec![0, 255], vec![0, 255], vec![255, 255]]
        );
        assert!(!format.has_key(&Secret::new("")) && !format.has_key(&Secret::new("whsec_")));
    }

    #[test]
    fn a_private_key_is_hashed() {
        let hash = Sha1::digest("private").to_vec();
        assert_eq!(keys(KeyFormat::Sha1OfPrivateKey, "public|private\nprivate\npublic|"), [hash]);
    }

    #[test]
    fn a_public_key_is_read_with_and_without_pem() {
        let point = [4; 65];
        let base64 = STANDARD.encode([P256_KEY_INFO, &point].concat());
        let pem = format!("{PEM_BEGIN}\n{}\n{}\n{PEM_END}\n", &base64[..64], &base64[64..]);
        for secret in [base64.clone(), pem.clone(), format!("{pem}{pem}"), format!("{base64}\n{pem}")] {
            let keys = keys(KeyFormat::P256PublicKey, &secret);
            assert!(!keys.is_empty() && keys.iter().all(|key| key == &point), "{secret}");
        }
        assert!(keys(KeyFormat::P256PublicKey, &STANDARD.encode(point)).is_empty(), "not a key's structure");
    }
}
