//! A webhook that says it is a provider's, on its way to being verified.

use jiff::Timestamp;

use super::signature::Carried;
use super::{Provider, Refusal, Verified, Webhook};
use crate::secrets::Secret;

/// A webhook with a signature of the right shape: plausible, unproven. Whoever holds one may fetch a secret for it,
/// and nobody else needs to.
pub struct Claim {
    provider: &'static Provider,
    webhook: Webhook,
    carried: Carried,
}

impl Provider {
    /// Takes a webhook that came at the time `now`, if it carries a signature that a secret could prove. The body is
    /// looked at only where the scheme ties it to the URL, by a hash or by its parameters (Twilio).
    ///
    /// # Errors
    /// A [`Refusal`] when there is nothing that could be checked with a secret.
    pub fn claim(&'static self, webhook: Webhook, now: Timestamp) -> Result<Claim, Refusal> {
        let carried = self.signature.carried_by(&webhook, now)?;
        Ok(Claim { provider: self, webhook, carried })
    }
}

impl Claim {
    /// Makes a verified webhook of it if its signature was made with `secret` over its raw bytes. Compared in
    /// constant time.
    ///
    /// # Errors
    /// The claim itself, as unproven as before.
    #[expect(clippy::result_large_err, reason = "the claim goes on to the next secret, where it stands")]
    pub fn verify(self, secret: &Secret) -> Result<Verified, Self> {
        let Self { provider, webhook, carried } = self;
        if provider.signature.is_made_with(secret, &carried, &webhook) {
            Ok(Verified { provider, webhook })
        } else {
            Err(Self { provider, webhook, carried })
        }
    }
}

/// Shows sizes only: an unverified webhook is nobody's word.
impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Claim({} signatures, {:?})", self.carried.len(), self.webhook)
    }
}
