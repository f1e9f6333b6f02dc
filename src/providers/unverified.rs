//! A webhook with a well-formed but unverified signature.

use jiff::Timestamp;

use super::scheme::{ParsedSignature, SignatureScheme, TimestampLocation};
use super::{Provider, RawWebhook, VerificationError, VerifiedWebhook};
use crate::event::Fields;
use crate::secrets::Secret;

/// Maximum number of bytes from the name of a field to the end of the body that [`find_near_end`] parses.
const MAX_TAIL_BYTES: usize = 1024;

/// A webhook with a well-formed signature. The bridge fetches the secret for such webhooks only.
pub struct UnverifiedWebhook {
    provider: &'static Provider,
    webhook: RawWebhook,
    signature: ParsedSignature,
    received_at: Timestamp,
    error: VerificationError,
}

impl Provider {
    /// Parses the signature of a webhook that arrived at `now`. Reads the body only for a scheme whose signed content depends on it:
    /// the parameters of a form, a hash of the body, or a signature inside the body.
    ///
    /// # Errors
    /// When the signature is missing, malformed, outside the timestamp tolerance, or does not cover the body.
    pub fn parse_signature(
        &'static self,
        webhook: RawWebhook,
        now: Timestamp,
    ) -> Result<UnverifiedWebhook, VerificationError> {
        let signature = self.signature_scheme.parse(&webhook, now)?;
        let error = VerificationError::SignatureMismatch;
        Ok(UnverifiedWebhook { provider: self, webhook, signature, received_at: now, error })
    }
}

impl UnverifiedWebhook {
    /// Verifies the signature with the keys of `secret`, in constant time.
    ///
    /// # Errors
    /// Returns the webhook, still unverified, if the signature was not made with `secret`, or the timestamp in a signed body differs
    /// too much from the time of arrival.
    #[expect(clippy::result_large_err, reason = "the caller tries the next secret on the returned webhook")]
    pub fn verify(self, secret: &Secret) -> Result<VerifiedWebhook, Self> {
        let Some(key) = self.signature.find_key(secret) else { return Err(self) };
        if let Err(error) = self.check_body_timestamp() {
            return Err(Self { error, ..self });
        }
        let Self { provider, webhook, .. } = self;
        let webhook = if webhook.is_get() { webhook.into_form() } else { webhook };
        let key = (!provider.handshakes.is_empty()).then(|| Secret::from_bytes(key));
        Ok(VerifiedWebhook { provider, webhook, key })
    }

    /// Why [`Self::verify`] failed.
    pub fn error(&self) -> VerificationError {
        self.error
    }

    /// Checks a timestamp that is inside the signed body.
    fn check_body_timestamp(&self) -> Result<(), VerificationError> {
        let SignatureScheme::Header(scheme) = &self.provider.signature_scheme else { return Ok(()) };
        let Some(rule) = scheme.timestamp else { return Ok(()) };
        let TimestampLocation::Body(pointer) = rule.location else { return Ok(()) };
        let text = find_near_end(self.webhook.body(), pointer)
            .or_else(|| Fields::parse_json(std::str::from_utf8(self.webhook.body()).ok()?).text(pointer));
        rule.check(&text.ok_or(VerificationError::MalformedSignature)?, self.received_at)
    }
}

/// The top-level field at `pointer`, if only short fields follow it; otherwise `None`. Linear sends a timestamp near the end of the
/// body, so this avoids parsing a long body twice.
///
/// If `body` is an object, `{` and the text from a field's name to the end of `body` are an object too, and if that field were in
/// a nested value, one `}` would be left over. `,"name":` never occurs inside a JSON string, because a quote is escaped there.
fn find_near_end(body: &[u8], pointer: &str) -> Option<String> {
    let name = format!(",\"{}\":", pointer.strip_prefix('/')?);
    let start = memchr::memmem::rfind(body, name.as_bytes())? + 1;
    let rest = std::str::from_utf8(body.get(start..).filter(|rest| rest.len() <= MAX_TAIL_BYTES)?).ok()?;
    Fields::parse_json(&format!("{{{rest}")).text(pointer)
}

/// Shows sizes only, because unverified content must not be logged.
impl std::fmt::Debug for UnverifiedWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UnverifiedWebhook({} signatures, {:?})", self.signature.signature_count(), self.webhook)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_near_the_end_is_a_top_level_field() {
        let find = |body: &str| find_near_end(body.as_bytes(), "/at");
        for (body, expected) in [
            (r#"{"a":1,"at":5,"b":"x"}"#, Some("5")),
            (r#"{"a":1,"at":5,"at":6}"#, Some("6")),
            (r#"{"a":1,"at":5,"\u0061t":6}"#, Some("6")),
            // The other values are left to the parser of the whole body.
            (r#"{"at":5}"#, None),
            (r#"{"at":5,"b":{"c":1,"at":6}}"#, None),
            (r#"{"at":5,"b":[{"c":1,"at":6}]}"#, None),
            (r#"{"at":5,"b":",\"at\":6}"}"#, None),
            (r#"{"at":5,",\"at":6}"#, None),
        ] {
            assert_eq!(find(body).as_deref(), expected, "{body}");
        }
        let long = format!(r#"{{"a":1,"at":5,"b":"{}"}}"#, "x".repeat(MAX_TAIL_BYTES));
        assert_eq!(find(&long), None);
    }
}
