//! A webhook with a well-formed but unverified signature.

use jiff::Timestamp;

use super::signature::ParsedSignature;
use super::{Provider, RawWebhook, VerificationError, VerifiedWebhook};
use crate::secrets::Secret;

/// A webhook with a well-formed signature. The bridge fetches the secret for such webhooks only.
pub struct UnverifiedWebhook {
    provider: &'static Provider,
    webhook: RawWebhook,
    signature: ParsedSignature,
}

impl Provider {
    /// Parses the signature of a webhook that arrived at `now`. Reads the body only for Twilio's scheme, whose signed content
    /// includes the parameters of a form or the hash of any other body.
    ///
    /// # Errors
    /// When the signature is missing, malformed, outside the timestamp tolerance, or does not cover the body.
    pub fn parse_signature(
        &'static self,
        webhook: RawWebhook,
        now: Timestamp,
    ) -> Result<UnverifiedWebhook, VerificationError> {
        let signature = self.signature_scheme.parse(&webhook, now)?;
        Ok(UnverifiedWebhook { provider: self, webhook, signature })
    }
}

impl UnverifiedWebhook {
    /// Verifies the signature with `secret`, in constant time.
    ///
    /// # Errors
    /// Returns the webhook, still unverified, if the signature was not made with `secret`.
    #[expect(clippy::result_large_err, reason = "the caller tries the next secret on the returned webhook")]
    pub fn verify(self, secret: &Secret) -> Result<VerifiedWebhook, Self> {
        let Self { provider, webhook, signature } = self;
        if provider.signature_scheme.is_valid(secret, &signature, &webhook) {
            let webhook = if webhook.is_get() { webhook.into_form() } else { webhook };
            Ok(VerifiedWebhook { provider, webhook })
        } else {
            Err(Self { provider, webhook, signature })
        }
    }
}

/// Shows sizes only, because unverified content must not be logged.
impl std::fmt::Debug for UnverifiedWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnverifiedWebhook({} signatures, {:?})", self.signature.signature_count(), self.webhook)
    }
}
