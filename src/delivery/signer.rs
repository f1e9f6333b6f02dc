//! Signature headers of an outgoing webhook, in the subscriber's signature scheme.
//!
//! The module `signature` describes the scheme `standard`. The schemes `sha256` and `sha1` are those of GitHub: the HMAC of the
//! body, keyed with the secret's text, in hexadecimal digits. Source: "Validating webhook deliveries", GitHub Docs.

use hmac::Hmac;
use http::{HeaderName, HeaderValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::Sha256;

use super::signature::{InvalidSecretError, SIGNATURE_HEADERS, SigningSecret};
use crate::secrets::{Secret, compute_mac};

const HUB_SHA256: HeaderName = HeaderName::from_static("x-hub-signature-256");
const HUB_SHA1: HeaderName = HeaderName::from_static("x-hub-signature");

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "kebab-case")]
pub enum DeliverySignature {
    /// Standard Webhooks: `webhook-id`, `webhook-timestamp`, `webhook-signature: v1,...`
    #[default]
    Standard,
    /// GitHub's header: `X-Hub-Signature-256: sha256=...`
    Sha256,
    /// GitHub's older header: `X-Hub-Signature: sha1=...`
    Sha1,
}

#[derive(Clone, Debug)]
pub enum Signer {
    Standard(Vec<SigningSecret>),
    /// HMAC-SHA256 of the body. The header has room for one signature.
    Sha256(Secret),
    /// HMAC-SHA1 of the body. The header has room for one signature.
    Sha1(Secret),
}

impl Signer {
    /// Creates a signer. `secrets` are the active secrets, newest first. A scheme whose header has room for one signature uses
    /// the oldest active secret, so that the subscriber has time to accept the new secret before requests are signed with it.
    ///
    /// # Errors
    /// The scheme is `Standard` and a secret does not have the form that Standard Webhooks requires, or the scheme is another one
    /// and `secrets` is empty.
    pub fn new(scheme: DeliverySignature, mut secrets: Vec<Secret>) -> Result<Self, InvalidSecretError> {
        let parse =
            |secret: &Secret| std::str::from_utf8(secret.expose()).map_err(|_| InvalidSecretError)?.parse();
        Ok(match scheme {
            DeliverySignature::Standard => {
                Self::Standard(secrets.iter().map(parse).collect::<Result<_, _>>()?)
            }
            DeliverySignature::Sha256 => Self::Sha256(secrets.pop().ok_or(InvalidSecretError)?),
            DeliverySignature::Sha1 => Self::Sha1(secrets.pop().ok_or(InvalidSecretError)?),
        })
    }

    /// Computes the headers of a request that is sent at `now`: the signature, and in every scheme the event's id and the time.
    /// Subscribers can recognise duplicates by the id.
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
                let mac = compute_mac::<Hmac<Sha256>>(secret.expose(), &[body]);
                headers.push((HUB_SHA256, format!("sha256={}", hex::encode(mac))));
            }
            Self::Sha1(secret) => {
                let mac = compute_mac::<Hmac<Sha1>>(secret.expose(), &[body]);
                headers.push((HUB_SHA1, format!("sha1={}", hex::encode(mac))));
            }
        }
        // A header with an invalid value is omitted: the id of an event from another bus may contain characters that are invalid
        // in a header.
        let to_header = |(name, text): (HeaderName, String)| Some((name, HeaderValue::try_from(text).ok()?));
        headers.into_iter().filter_map(to_header).collect()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn headers(scheme: DeliverySignature, secrets: &[&str]) -> String {
        let secrets = secrets.iter().map(|secret| Secret::new(*secret)).collect();
        let signer = Signer::new(scheme, secrets).unwrap();
        let now = Timestamp::from_second(1_614_265_330).unwrap();
        let headers = signer.headers("msg_p5jXN8AQM9LWM0D4loKWxJek", now, br#"{"test": 2432232314}"#);
        let line = |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        headers.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn during_an_overlap_two_signatures_are_sent_if_the_scheme_allows() {
        let (newest, oldest) =
            ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        insta::assert_snapshot!(headers(DeliverySignature::Standard, &[newest, oldest]), @r"
        webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek
        webhook-timestamp: 1614265330
        webhook-signature: v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE= v1,woH/1mJtZGSMCmpFTxRYbStS24eLLD/oXIYr4PYyZ7g=
        ");
        insta::assert_snapshot!(headers(DeliverySignature::Sha256, &["a", "b"]), @r"
        webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek
        webhook-timestamp: 1614265330
        x-hub-signature-256: sha256=1e6c2e2ae6f873d62bdfd6db6d11a6cda2e6b87dcd3293e3483b61b28f1c179e
        ");
        insta::assert_snapshot!(headers(DeliverySignature::Sha1, &["a"]), @r"
        webhook-id: msg_p5jXN8AQM9LWM0D4loKWxJek
        webhook-timestamp: 1614265330
        x-hub-signature: sha1=34cc5cb376c1fb9ea5b3c1391b7d34125a6791ab
        ");
    }
}
