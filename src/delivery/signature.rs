//! The signature of Standard Webhooks.
//!
//! A signature is `v1,` followed by the base64 of an HMAC-SHA256 over the event's id, the Unix time in seconds and the body,
//! joined by full stops. A secret is `whsec_` followed by the base64 of the key, which has 24 to 64 bytes. Source: "Standard
//! Webhooks", <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::Hmac;
use http::HeaderName;
use jiff::Timestamp;
use sha2::Sha256;

use crate::secrets::{Secret, compute_mac};

/// The headers of a signed request: the event's id, which is the same for all attempts; the time of the attempt; the signature.
pub const SIGNATURE_HEADERS: [HeaderName; 3] = [
    HeaderName::from_static("webhook-id"),
    HeaderName::from_static("webhook-timestamp"),
    HeaderName::from_static("webhook-signature"),
];

const SECRET_PREFIX: &str = "whsec_";
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

#[derive(Clone, Debug)]
pub struct SigningSecret(Secret);

/// The text is not a valid [`SigningSecret`]. The error does not contain the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a signing secret is whsec_ followed by the base64 of 24 to 64 random bytes, for example whsec_$(openssl rand -base64 32)"
)]
pub struct InvalidSecretError;

impl FromStr for SigningSecret {
    type Err = InvalidSecretError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let key = text.strip_prefix(SECRET_PREFIX).and_then(|text| BASE64.decode(text).ok());
        let key = key.filter(|key| KEY_BYTES.contains(&key.len())).ok_or(InvalidSecretError)?;
        Ok(Self(Secret::from_bytes(key)))
    }
}

pub(super) fn encode_secret(key: &[u8]) -> String {
    format!("{SECRET_PREFIX}{}", BASE64.encode(key))
}

impl SigningSecret {
    /// Computes the values of [`SIGNATURE_HEADERS`] for a body that is sent at `now`. Full stops in the id are replaced by `_`,
    /// because full stops separate the parts of the signed text.
    pub fn sign(&self, id: &str, now: Timestamp, body: &[u8]) -> [String; 3] {
        let (id, time) = (id.replace('.', "_"), now.as_second().to_string());
        let parts = [id.as_bytes(), b".", time.as_bytes(), b".", body];
        let signature = format!("v1,{}", BASE64.encode(compute_mac::<Hmac<Sha256>>(self.0.expose(), &parts)));
        [id, time, signature]
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_specification_s_example_signature_is_reproduced() {
        let secret: SigningSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse().unwrap();
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let values = secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#);
        insta::assert_snapshot!(values.join(" "), @"msg_p5jXN8AQM9LWM0D4loKWxJek 1614265330 v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
        assert_eq!(secret.sign("sha256.a.b", now, b"")[0], "sha256_a_b");
    }

    #[test]
    fn an_invalid_secret_is_rejected_and_not_shown() {
        let short = format!("whsec_{}", BASE64.encode([7; 23]));
        for text in ["", "whsec_", "hunter2", "whsec_not base64", &short, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
        {
            assert_eq!(text.parse::<SigningSecret>().unwrap_err(), InvalidSecretError, "{text}");
        }
        assert!(
            format!("{:?}", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".parse::<SigningSecret>())
                .contains("***")
        );
    }
}
