//! `hookbridge send`: signs a webhook as its provider does, and posts it.
//!
//! It signs from the same constant that the bridge verifies with, so it proves the way of a webhook, not the
//! reading of a provider's documentation: for that there are published vectors and the providers' own SDKs.

use bytes::Bytes;
use jiff::Timestamp;

use crate::http_client;
use crate::output::chain;
use crate::providers::{
    FieldLocation, JSON_MEDIA_TYPE, Provider, RawWebhook, RequestUrl, SampleWebhook, UrlError,
    VerificationError,
};
use crate::secrets::Secret;

/// What is to be sent.
pub struct Letter<'a> {
    /// As whom.
    pub provider: &'static Provider,
    /// Its event type; the sample's own when `None`.
    pub event: Option<&'a str>,
    /// Its body; the provider's sample when `None`.
    pub body: Option<Bytes>,
    /// Where to.
    pub to: RequestUrl,
}

/// A signed webhook, ready to be posted.
pub struct Signed {
    /// With the hash of the body in it where the provider puts it there.
    pub url: RequestUrl,
    /// Names in lower case.
    pub headers: Vec<(&'static str, String)>,
    /// Raw.
    pub body: Bytes,
}

/// Why nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// An event type where there is no place for one.
    #[error("--event: {title} writes the event type into the body; leave --event out, or --data")]
    TypeIsInBody {
        /// The provider.
        title: &'static str,
    },
    /// An event type for a provider that has none.
    #[error("--event: {title} webhooks have no event type")]
    NoType {
        /// The provider.
        title: &'static str,
    },
    /// An event type that no header can hold.
    #[error("--event: '{0}' cannot stand in a header")]
    BadType(String),
    /// A URL that is none.
    #[error("--to: '{url}': {error}")]
    Url {
        /// As it was given.
        url: String,
        /// What is wrong with it.
        error: UrlError,
    },
    /// A body that the provider could not have signed.
    #[error("this body cannot be signed as {title} signs: {error}")]
    Unsignable {
        /// The provider.
        title: &'static str,
        /// Why.
        error: VerificationError,
    },
    /// Nobody answered.
    #[error("{url} did not answer: {error}")]
    NoAnswer {
        /// Where to.
        url: String,
        /// What happened.
        error: String,
    },
}

impl Letter<'_> {
    /// Signs with `secret` at the time `now`.
    ///
    /// # Errors
    /// [`SendError`] when the provider could not have sent such a webhook.
    pub fn sign(self, secret: &Secret, now: Timestamp) -> Result<Signed, SendError> {
        let provider = self.provider;
        let title = provider.title;
        let mut headers = Vec::new();
        let sample = || fresh(&provider.sample, now);
        let body = match (provider.event_type, self.event, self.body) {
            (Some(FieldLocation::Header(name)), event, body) => {
                let event = event.unwrap_or(provider.sample.event_type);
                if event.is_empty() || !event.bytes().all(|b| b.is_ascii_graphic()) {
                    return Err(SendError::BadType(event.to_owned()));
                }
                headers.push((name, event.to_owned()));
                body.unwrap_or_else(|| sample().into())
            }
            (_, None, body) => body.unwrap_or_else(|| sample().into()),
            (Some(FieldLocation::Body(_)), Some(_), Some(_)) => {
                return Err(SendError::TypeIsInBody { title });
            }
            (Some(FieldLocation::Body(_)), Some(event), None) => {
                let quoted = |text: &str| serde_json::Value::from(text).to_string();
                sample().replace(&quoted(provider.sample.event_type), &quoted(event)).into()
            }
            (None, Some(_), _) => return Err(SendError::NoType { title }),
        };
        if let Some(FieldLocation::Header(name)) = provider.delivery_id {
            headers.push((name, uuid::Uuid::new_v4().to_string()));
        }
        let media_type = provider.body_format.media_type_of(&body);
        headers.push(("content-type", media_type.to_owned()));
        let mut url = self.to;
        if let Some(parameter) =
            provider.signature.body_hash_parameter.filter(|_| media_type == JSON_MEDIA_TYPE)
        {
            let hash = hex::encode(<sha2::Sha256 as sha2::Digest>::digest(&body));
            let query = url.query.take().map_or(String::new(), |query| query + "&");
            url.query = Some(format!("{query}{parameter}={hash}"));
        }
        let webhook =
            RawWebhook::new(url.clone(), RawWebhook::header_map(headers.iter().cloned()), body.clone());
        let signature = provider.signature.sign(&webhook, secret, now);
        let signature = signature.map_err(|error| SendError::Unsignable { title, error })?;
        headers.push((provider.signature.header, signature));
        Ok(Signed { url, headers, body })
    }
}

/// A sample's body with an id and a time of its own: what has the same is the same event, and recorded once.
fn fresh(sample: &SampleWebhook, now: Timestamp) -> String {
    let mut body = sample.body.to_owned();
    if !sample.id_placeholder.is_empty() {
        let another = |char: char| match char {
            '0'..='9' => fastrand::digit(10),
            'a'..='z' => fastrand::lowercase(),
            'A'..='Z' => fastrand::uppercase(),
            other => other,
        };
        body = body
            .replace(sample.id_placeholder, &sample.id_placeholder.chars().map(another).collect::<String>());
    }
    if !sample.time_placeholder.is_empty() {
        body = body.replace(sample.time_placeholder, &now.as_second().to_string());
    }
    body
}

/// Posts webhooks.
pub struct Sender(reqwest::Client);

impl Sender {
    /// A client for `url`.
    ///
    /// # Errors
    /// When the system's root certificates cannot be read.
    pub fn new(url: &RequestUrl) -> Result<Self, reqwest::Error> {
        Ok(Self(http_client::to(url.host())?))
    }

    /// Posts `signed` and returns the status and the text of the answer.
    ///
    /// # Errors
    /// [`SendError::NoAnswer`].
    pub async fn post(&self, signed: Signed) -> Result<(u16, String), SendError> {
        let url = signed.url.to_string();
        let failed = |error: reqwest::Error| SendError::NoAnswer {
            url: url.clone(),
            error: chain(&error.without_url()),
        };
        let mut request = self.0.post(&url).body(signed.body);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        Ok((status, answer.text().await.map_err(failed)?))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::providers;

    #[test]
    fn a_sample_is_another_event_each_time_and_has_the_same_form() {
        let now = Timestamp::from_second(1_795_341_600).unwrap();
        for provider in providers::ALL {
            let (one, other) = (fresh(&provider.sample, now), fresh(&provider.sample, now));
            assert_eq!(one != other, !provider.sample.id_placeholder.is_empty(), "{}", provider.name);
            assert_eq!(one.len(), provider.sample.body.len(), "{}", provider.name);
            assert!(serde_json::from_str::<serde::de::IgnoredAny>(&one).is_ok() || provider.name == "twilio");
            assert!(provider.sample.body.contains(provider.sample.id_placeholder), "{}", provider.name);
        }
        let stripe = fresh(&providers::stripe::STRIPE.sample, now);
        assert!(stripe.contains("\"created\": 1795341600,") && stripe.contains("\"id\": \"evt_"), "{stripe}");
    }
}
