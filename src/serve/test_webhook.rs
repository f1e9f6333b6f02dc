//! `hookbridge send`: signs a webhook as its provider does, and sends it.
//!
//! `send` signs with the same `SignatureScheme` with which the bridge verifies. So `send` tests how the bridge handles a
//! webhook, but not whether the scheme agrees with the provider's documentation. Tests with published test
//! vectors and with the providers' SDKs check the scheme.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::Bytes;
use jiff::Timestamp;

use crate::providers::{
    FieldLocation, Provider, PublicUrl, RequestUrl, SampleWebhook, UrlError, VerificationError,
    WebhookRequest,
};
use crate::secrets::Secret;
use crate::util::error::error_chain;
use crate::util::http_client;

/// A running server that gets samples as if their providers had sent them.
pub struct SampleTarget<'a> {
    pub address: SocketAddr,
    /// The URL for which providers sign, if it is not the server's own.
    pub public_url: Option<&'a PublicUrl>,
}

impl SampleTarget<'_> {
    /// An address at which the server answers requests of this machine; it may listen on all addresses.
    fn local_address(&self) -> SocketAddr {
        let loopback = match self.address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(loopback, self.address.port())
    }

    /// Signs the provider's sample of this event type, or its first one, and sends it to the server. Returns the status and the body
    /// of the response.
    ///
    /// # Errors
    /// There is no such sample, or no response.
    pub async fn send(
        &self,
        provider: &'static Provider,
        event: Option<&str>,
        secret: &Secret,
    ) -> Result<(u16, String), SendError> {
        let local_url = RequestUrl {
            scheme: "http",
            authority: self.local_address().to_string(),
            path: format!("/hooks/{}", provider.name),
            query: None,
        };
        // The webhook is signed for the public URL, but sent to this machine.
        let url = self.public_url.map_or(local_url.clone(), |public| public.rewrite(local_url.clone()));
        let webhook = TestWebhook { provider, event, body: None, url, recorded: None };
        let signed = webhook.sign(secret, Timestamp::now())?;
        let url = RequestUrl { query: signed.url.query.clone(), ..local_url.clone() };
        let sender =
            WebhookSender::new(&local_url).map_err(|error| send_error(&local_url.to_string(), error))?;
        sender.send(WebhookRequest { url, ..signed }).await
    }
}

/// A webhook to sign and send.
pub struct TestWebhook<'a> {
    pub provider: &'static Provider,
    /// The event type; `None` for the event type of the provider's sample.
    pub event: Option<&'a str>,
    /// The request body; `None` for the provider's sample.
    pub body: Option<Bytes>,
    /// The origin of the body; `None` for a new webhook.
    pub recorded: Option<RecordedWebhook<'a>>,
    pub url: RequestUrl,
}

/// The parts of a recorded webhook besides its body and its type.
#[derive(Clone, Copy)]
pub struct RecordedWebhook<'a> {
    /// The id that the provider assigned, or, if there is none, the event's.
    pub delivery_id: &'a str,
    pub time: Timestamp,
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
    #[error("cannot send this webhook: {0}")]
    InvalidRequest(String),
}

impl<'a> TestWebhook<'a> {
    /// The webhook that `provider` would have sent for a recorded event.
    pub fn with_event(
        provider: &'static Provider,
        event_type: &'a str,
        detail: &str,
        recorded: RecordedWebhook<'a>,
        url: RequestUrl,
    ) -> Self {
        let has_type_header = provider.event_type.and_then(FieldLocation::first_header).is_some();
        Self {
            provider,
            event: has_type_header.then_some(event_type),
            body: Some(provider.body_with_event(event_type, detail).into()),
            recorded: Some(recorded),
            url,
        }
    }

    /// Signs the webhook with `secret`, with `now` as the time of signing.
    ///
    /// # Errors
    /// The provider never sends such a webhook.
    pub fn sign(self, secret: &Secret, now: Timestamp) -> Result<WebhookRequest, SendError> {
        let provider = self.provider;
        let title = provider.title;
        let sample = self.sample()?;
        let mut request = WebhookRequest::post(self.url, Bytes::new());
        request.body = match self.body {
            Some(body) => body,
            None => {
                let mut body = sample_body(sample, now);
                if let Some(event) = self.event.filter(|event| *event != sample.event_type) {
                    let quoted = |text: &str| serde_json::Value::from(text).to_string();
                    body = body.replace(&quoted(sample.event_type), &quoted(event));
                }
                body.into()
            }
        };
        let time_headers = provider.event_time.map_or_else(Vec::new, FieldLocation::headers);
        for (name, value) in sample.headers {
            match self.recorded.filter(|_| time_headers.contains(name)) {
                Some(recorded) => request.add_header(name, same_format(value, recorded.time)),
                None => request.add_header(name, *value),
            }
        }
        if let Some(name) = provider.event_type.and_then(FieldLocation::first_header) {
            let event = self.event.unwrap_or(sample.event_type);
            // Only a part of the type may be in the header, for example `issue` of `issue.created`.
            let is_whole = !matches!(provider.event_type, Some(FieldLocation::Joined(_)));
            let value = if is_whole { event } else { event.split('.').next().unwrap_or(event) };
            if value.is_empty() || !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
                return Err(SendError::InvalidType(event.to_owned()));
            }
            request.add_header(name, value);
        }
        if let Some(name) = provider.delivery_id.and_then(FieldLocation::first_header) {
            let new_id = || uuid::Uuid::new_v4().to_string();
            request.add_header(
                name,
                self.recorded.map_or_else(new_id, |recorded| recorded.delivery_id.to_owned()),
            );
        }
        if request.header("content-type").is_none() {
            request.add_header("content-type", provider.body_format.media_type_of(&request.body));
        }
        let result = provider.signature_scheme.sign(&mut request, secret, now);
        result.map_err(|error| SendError::Unsignable { title, error })?;
        Ok(request)
    }

    /// The sample of this event type; the default sample if the provider has none of this type.
    fn sample(&self) -> Result<&'static SampleWebhook, SendError> {
        let provider = self.provider;
        let title = provider.title;
        let default = provider.samples.first().unwrap_or(&SampleWebhook::EMPTY);
        let Some(event) = self.event else { return Ok(default) };
        let location = provider.event_type.filter(|location| !matches!(location, FieldLocation::Element(_)));
        let location = location.ok_or(SendError::NoEventType { title })?;
        if self.body.is_some() && location.first_header().is_none() {
            return Err(SendError::TypeInBody { title });
        }
        Ok(provider.samples.iter().find(|sample| sample.event_type == event).unwrap_or(default))
    }
}

/// The body of a sample, with a new id and the time `now`, so that each sent sample is a new event.
fn sample_body(sample: &SampleWebhook, now: Timestamp) -> String {
    let mut body = sample.body.to_owned();
    if !sample.id_placeholder.is_empty() {
        let random_replacement = |char: char| match char {
            // No zero, which cannot be the first digit of a number in JSON.
            '0'..='9' => fastrand::char('1'..='9'),
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
        body = body.replace(sample.time_placeholder, &same_format(sample.time_placeholder, now));
    }
    body
}

/// Writes `now` in the format of `example`: epoch seconds or milliseconds, or RFC 3339 with or without fraction and offset.
fn same_format(example: &str, now: Timestamp) -> String {
    let is_number = example.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    match example.split('.').next().unwrap_or_default().len() {
        13.. if is_number => now.as_millisecond().to_string(),
        _ if is_number => now.as_second().to_string(),
        _ => {
            let text = now.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            if example.ends_with('Z') || example.contains('+') { format!("{text}Z") } else { text }
        }
    }
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
    pub async fn send(&self, signed: WebhookRequest) -> Result<(u16, String), SendError> {
        let url = signed.url.to_string();
        let response = self.response(signed).await?;
        let status = response.status().as_u16();
        Ok((status, response.text().await.map_err(|error| send_error(&url, error))?))
    }

    /// Sends `signed` and returns the status of the response, whose body is not read.
    pub async fn send_for_status(&self, signed: WebhookRequest) -> Result<u16, SendError> {
        Ok(self.response(signed).await?.status().as_u16())
    }

    async fn response(&self, signed: WebhookRequest) -> Result<reqwest::Response, SendError> {
        let url = signed.url.to_string();
        let mut request = self.0.post(&url).body(signed.body);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        request.send().await.map_err(|error| send_error(&url, error))
    }
}

fn send_error(url: &str, error: reqwest::Error) -> SendError {
    let is_invalid = error.is_builder();
    let error = error_chain(&error.without_url());
    if is_invalid {
        SendError::InvalidRequest(error)
    } else {
        SendError::NoResponse { url: url.to_owned(), error }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::providers::{self, JSON_MEDIA_TYPE};

    #[test]
    fn samples_differ_in_id() {
        let now = Timestamp::from_second(1_795_341_600).unwrap();
        for provider in providers::PROVIDERS {
            for sample in provider.samples {
                let (first, second) = (sample_body(sample, now), sample_body(sample, now));
                assert_eq!(first != second, !sample.id_placeholder.is_empty(), "{}", provider.name);
                let is_json = serde_json::from_str::<serde::de::IgnoredAny>(&first).is_ok();
                let is_form = provider.body_format.media_type_of(first.as_bytes()) != JSON_MEDIA_TYPE;
                assert!(is_json != is_form, "{}", provider.name);
            }
        }
        let stripe = sample_body(&providers::payments::stripe::STRIPE.samples[0], now);
        assert!(stripe.contains("\"created\": 1795341600,") && stripe.contains("\"id\": \"evt_"), "{stripe}");
    }
}
