//! `hookbridge send`: signs a webhook as its provider does, and sends it.
//!
//! `send` signs with the same `SignatureScheme` with which the bridge verifies. So `send` tests how the bridge handles a
//! webhook, but not whether the scheme agrees with the provider's documentation. Tests with published test
//! vectors and with the providers' SDKs check the scheme.

use bytes::Bytes;
use jiff::Timestamp;

use crate::providers::{
    FieldLocation, JSON_MEDIA_TYPE, Provider, RawWebhook, RequestUrl, SampleWebhook, UrlError,
    VerificationError,
};
use crate::secrets::Secret;
use crate::util::error::error_chain;
use crate::util::http_client;

/// A webhook to sign and send.
pub struct TestWebhook<'a> {
    pub provider: &'static Provider,
    /// The event type; `None` for the event type of the provider's sample.
    pub event: Option<&'a str>,
    /// The request body; `None` for the provider's sample.
    pub body: Option<Bytes>,
    pub url: RequestUrl,
}

/// A signed webhook, ready to be sent.
pub struct SignedWebhook {
    /// The URL to send to. Its query contains the hash of the body if the provider signs that hash instead of the body.
    pub url: RequestUrl,
    /// The headers; their names are in lower case.
    pub headers: Vec<(&'static str, String)>,
    pub body: Bytes,
}

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("--event: {title} sends the event type in the body; omit --event or --data")]
    TypeInBody { title: &'static str },
    #[error("--event: {title} webhooks have no event type")]
    NoEventType { title: &'static str },
    #[error("--event: '{0}' contains characters that a header cannot")]
    InvalidType(String),
    #[error("--to: '{url}': {error}")]
    Url { url: String, error: UrlError },
    /// The provider cannot have signed this body.
    #[error("{title} cannot sign this body: {error}")]
    Unsignable { title: &'static str, error: VerificationError },
    #[error("no response from {url}: {error}")]
    NoResponse { url: String, error: String },
}

impl TestWebhook<'_> {
    /// Signs the webhook with `secret`, with `now` as the time of signing.
    ///
    /// # Errors
    /// The provider never sends such a webhook.
    pub fn sign(self, secret: &Secret, now: Timestamp) -> Result<SignedWebhook, SendError> {
        let provider = self.provider;
        let title = provider.title;
        let mut headers = Vec::new();
        let sample = || sample_body(&provider.sample, now);
        let body = match (provider.event_type, self.event, self.body) {
            (Some(FieldLocation::Header(name)), event, body) => {
                let event = event.unwrap_or(provider.sample.event_type);
                if event.is_empty() || !event.bytes().all(|b| b.is_ascii_graphic()) {
                    return Err(SendError::InvalidType(event.to_owned()));
                }
                headers.push((name, event.to_owned()));
                body.unwrap_or_else(|| sample().into())
            }
            (_, None, body) => body.unwrap_or_else(|| sample().into()),
            (Some(FieldLocation::Body(_)), Some(_), Some(_)) => {
                return Err(SendError::TypeInBody { title });
            }
            (Some(FieldLocation::Body(_)), Some(event), None) => {
                let quoted = |text: &str| serde_json::Value::from(text).to_string();
                sample().replace(&quoted(provider.sample.event_type), &quoted(event)).into()
            }
            (None, Some(_), _) => return Err(SendError::NoEventType { title }),
        };
        if let Some(FieldLocation::Header(name)) = provider.delivery_id {
            headers.push((name, uuid::Uuid::new_v4().to_string()));
        }
        let media_type = provider.body_format.media_type_of(&body);
        headers.push(("content-type", media_type.to_owned()));
        let mut url = self.url;
        if let Some(parameter) =
            provider.signature_scheme.body_hash_parameter.filter(|_| media_type == JSON_MEDIA_TYPE)
        {
            let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&body));
            let query = url.query.take().map_or(String::new(), |query| query + "&");
            url.query = Some(format!("{query}{parameter}={hash}"));
        }
        let webhook =
            RawWebhook::post(url.clone(), RawWebhook::header_map(headers.iter().cloned()), body.clone());
        let signature = provider.signature_scheme.sign(&webhook, secret, now);
        let signature = signature.map_err(|error| SendError::Unsignable { title, error })?;
        headers.push((provider.signature_scheme.header, signature));
        Ok(SignedWebhook { url, headers, body })
    }
}

/// The body of a sample, with a new id and the time `now`, so that each sent sample is a new event.
fn sample_body(sample: &SampleWebhook, now: Timestamp) -> String {
    let mut body = sample.body.to_owned();
    if !sample.id_placeholder.is_empty() {
        let random_replacement = |char: char| match char {
            '0'..='9' => fastrand::digit(10),
            'a'..='z' => fastrand::lowercase(),
            'A'..='Z' => fastrand::uppercase(),
            other => other,
        };
        body = body.replace(
            sample.id_placeholder,
            &sample.id_placeholder.chars().map(random_replacement).collect::<String>(),
        );
    }
    if !sample.time_placeholder.is_empty() {
        body = body.replace(sample.time_placeholder, &now.as_second().to_string());
    }
    body
}

pub struct WebhookSender(reqwest::Client);

impl WebhookSender {
    /// Creates a client for `url`.
    ///
    /// # Errors
    /// The system's root certificates cannot be read.
    pub fn new(url: &RequestUrl) -> Result<Self, reqwest::Error> {
        Ok(Self(http_client::client_for(url.host())?))
    }

    /// Sends `signed` and returns the status and the text of the response.
    pub async fn send(&self, signed: SignedWebhook) -> Result<(u16, String), SendError> {
        let url = signed.url.to_string();
        let no_response = |error: reqwest::Error| SendError::NoResponse {
            url: url.clone(),
            error: error_chain(&error.without_url()),
        };
        let mut request = self.0.post(&url).body(signed.body);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(no_response)?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(no_response)?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::providers;

    #[test]
    fn samples_differ_in_id_and_keep_their_length() {
        let now = Timestamp::from_second(1_795_341_600).unwrap();
        for provider in providers::PROVIDERS {
            let (first, second) = (sample_body(&provider.sample, now), sample_body(&provider.sample, now));
            assert_eq!(first != second, !provider.sample.id_placeholder.is_empty(), "{}", provider.name);
            assert_eq!(first.len(), provider.sample.body.len(), "{}", provider.name);
            assert!(
                serde_json::from_str::<serde::de::IgnoredAny>(&first).is_ok() || provider.name == "twilio"
            );
            assert!(provider.sample.body.contains(provider.sample.id_placeholder), "{}", provider.name);
        }
        let stripe = sample_body(&providers::stripe::STRIPE.sample, now);
        assert!(stripe.contains("\"created\": 1795341600,") && stripe.contains("\"id\": \"evt_"), "{stripe}");
    }
}
