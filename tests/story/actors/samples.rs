//! The samples of the catalogue, signed as their providers sign them.

use hookbridge::providers::{
    GeneratedSecret, Provider, RequestUrl, SampleWebhook, VerificationError, VerifiedWebhook, WebhookRequest,
};
use hookbridge::secrets::Secret;
use hookbridge::serve::test_webhook::TestWebhook;
use jiff::Timestamp;

pub fn now() -> Timestamp {
    "2026-11-22T10:00:00Z".parse().unwrap()
}

pub fn url(provider: &Provider) -> RequestUrl {
    format!("https://hooks.example/in/{}?x=1", provider.name).parse().unwrap()
}

pub fn secret_of(provider: &Provider) -> GeneratedSecret {
    provider.signature_scheme.generate_secret().unwrap()
}

/// The sample as `provider` sends it at `time`.
pub fn signed_sample(
    provider: &'static Provider,
    sample: &SampleWebhook,
    secret: &GeneratedSecret,
    time: Timestamp,
) -> WebhookRequest {
    let event = (provider.event_type.is_some() && provider.name != "twilio").then_some(sample.event_type);
    let webhook = TestWebhook { provider, event, body: None, url: url(provider), recorded: None };
    webhook.sign(&Secret::new(secret.signing.as_str()), time).unwrap()
}

pub fn verify(
    provider: &'static Provider,
    request: &WebhookRequest,
    secret: &str,
    time: Timestamp,
) -> Result<VerifiedWebhook, VerificationError> {
    let unverified = provider.parse_signature(request.to_raw(), time)?;
    unverified.verify(&Secret::new(secret)).map_err(|unverified| unverified.error())
}
