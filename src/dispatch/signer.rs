//! Signature headers for an outgoing webhook, in the subscriber's signature scheme.
//!
//! Sources: `signature` for Standard Webhooks; for the others "Validating webhook deliveries", GitHub Docs, whose headers many
//! receivers know: the HMAC of the body with the secret as it is written, in hexadecimal digits.

use hmac::Hmac;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::Sha256;

use super::signature::{NotASecret, SIGNATURE_HEADERS, SigningSecret};
use crate::secrets::{Secret, compute_mac};

const HUB_SHA256: HeaderName = HeaderName::from_static("x-hub-signature-256");
const HUB_SHA1: HeaderName = HeaderName::from_static("x-hub-signature");

/// How it is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum Scheme {
    /// As Standard Webhooks has it: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,...`.
    #[default]
    Standard,
    /// `X-Hub-Signature-256: sha256=...`, as GitHub's receivers know it.
    Sha256,
    /// `X-Hub-Signature: sha1=...`, for receivers that know nothing newer.
    Sha1,
}

/// Signs for one subscriber.
#[derive(Clone, Debug)]
pub enum Signer {
    /// As Standard Webhooks has it.
    Standard(Vec<SigningSecret>),
    /// With SHA-256 over the body, by one secret: these headers have room for one signature.
    Sha256(Secret),
    /// With SHA-1 over the body, by one secret.
    Sha1(Secret),
}

impl Signer {
    /// One that signs with each of these secrets, the newest first; or, where there is room for one signature only, with the
    /// oldest: a receiver is given the time to take both before the new one is used.
    ///
    /// # Errors
    /// [`NotASecret`]: Standard Webhooks wants a certain form.
    pub fn new(scheme: Scheme, mut secrets: Vec<Secret>) -> Result<Self, NotASecret> {
        let read = |secret: &Secret| std::str::from_utf8(secret.expose()).map_err(|_| NotASecret)?.parse();
        Ok(match scheme {
            Scheme::Standard => Self::Standard(secrets.iter().map(read).collect::<Result<_, _>>()?),
            Scheme::Sha256 => Self::Sha256(secrets.pop().ok_or(NotASecret)?),
            Scheme::Sha1 => Self::Sha1(secrets.pop().ok_or(NotASecret)?),
        })
    }

    /// The headers of a body that is sent at `now`. The id and the time are among them whatever the scheme, so that a receiver
    /// can tell a repeat.
    pub fn headers(&self, id: &str, now: Timestamp, body: &[u8]) -> Vec<(HeaderName, HeaderValue)> {
        let [id_header, time_header, signature_header] = SIGNATURE_HEADERS;
        let (id, time) = (id.replace('.', "_"), now.as_second().to_string());
        let mut headers = vec![(id_header, id.clone()), (time_header, time)];
        match self {
            Self::Standard(secrets) => {
                let sign = |secret: &SigningSecret| {
                    let [_, _, signature] = secret.sign(&id, now, body);
                    signature
                };
                let signatures: Vec<_> = secrets.iter().map(sign).collect();
                headers.push((signature_header, signatures.join(" ")));
            }
            Self::Sha256(secret) => {
                let signed = compute_mac::<Hmac<Sha256>>(secret.expose(), &[body]);
                headers.push((HUB_SHA256, format!("sha256={}", hex::encode(signed))));
            }
            Self::Sha1(secret) => {
                let signed = compute_mac::<Hmac<Sha1>>(secret.expose(), &[body]);
                headers.push((HUB_SHA1, format!("sha1={}", hex::encode(signed))));
            }
        }
        // An id of another bus may hold what no header can.
        let value = |(name, text): (HeaderName, String)| Some((name, HeaderValue::try_from(text).ok()?));
        headers.into_iter().filter_map(value).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn headers(scheme: Scheme, secrets: &[&str]) -> String {
        let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let signer = Signer::new(scheme, secrets).unwrap();
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#);
        let line = |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        headers.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn while_a_secret_is_rotated_there_are_two_signatures_where_there_is_room() {
        let (one, two) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        insta::assert_snapshot!(headers(Scheme::Standard, &[one, two]), @r"
        webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek
        webhook-timestamp: 1614265330
        webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,woH/1mJtZGSMCmpFTxRYbStS24eLLD/oXIYr4PYyZ7g=
        ");
        insta::assert_snapshot!(headers(Scheme::Sha256, &["a", "b"]), @r"
        webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek
        webhook-timestamp: 1614265330
        x-hub-signature-256: sha256=1e6c2e2ae6f873d62bdfd6db6d11a6cda2e6b87dcd3293e3483b61b28f1c179e
        ");
        insta::assert_snapshot!(headers(Scheme::Sha1, &["a"]), @r"
        webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek
        webhook-timestamp: 1614265330
        x-hub-signature: sha1=34cc5cb376c1fb9ea5b3c1391b7d34125a6791ab
        ");
    }
}
