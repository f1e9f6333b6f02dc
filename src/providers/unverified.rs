//! A webhook with a well-formed but unverified signature.

use jiff::Timestamp;

use super::signature::ParsedSignature;
use super::{Provider, RawWebhook, VerificationError, VerifiedWebhook};
use crate::secrets::Secret;

/// A webhook with a signature of the right shape: plausible, unproven. Whoever holds one may fetch a secret for it,
/// and nobody else needs to.
pub struct UnverifiedWebhook {
    provider: &'static Provider,
    webhook: RawWebhook,
    carried: ParsedSignature,
}

impl Provider {
    /// Takes a webhook that came at the time `now`, if it carries a signature that a secret could prove. The body is
    /// looked at only where the scheme ties it to the URL, by a hash or by its parameters (Twilio).
    ///
    /// # Errors
    /// A [`VerificationError`] when there is nothing that could be checked with a secret.
    pub fn parse_signature(
        &'static self,
        webhook: RawWebhook,
        now: Timestamp,
    ) -> Result<UnverifiedWebhook, VerificationError> {
        let carried = self.signature.parse(&webhook, now)?;
        Ok(UnverifiedWebhook { provider: self, webhook, carried })
    }
}

impl UnverifiedWebhook {
    /// Makes a verified webhook of it if its signature was made with `secret` over its raw bytes. Compared in
    /// constant time.
    ///
    /// # Errors
    /// The claim itself, as unproven as before.
    #[expect(clippy::result_large_err, reason = "the claim goes on to the next secret, where it stands")]
    pub fn verify(self, secret: &Secret) -> Result<VerifiedWebhook, Self> {
        let Self { provider, webhook, carried } = self;
        if provider.signature.is_valid(secret, &carried, &webhook) {
            Ok(VerifiedWebhook { provider, webhook })
        } else {
            Err(Self { provider, webhook, carried })
        }
    }
}

/// Shows sizes only: an unverified webhook is nobody's word.
impl std::fmt::Debug for UnverifiedWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Claim({} signatures, {:?})", self.carried.signature_count(), self.webhook)
    }
}
