//! The HTTP client for the event-list APIs of providers.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use tokio::time::{Instant, timeout_at};

use super::{PollError, Poller};
use crate::secrets::Secret;
use crate::util::error::error_chain;
use crate::util::http_client;

/// The maximum size of the body of a response, in bytes.
pub(super) const MAX_RESPONSE_BYTES: usize = 32 << 20;

/// The scheme and host of a provider's API, without a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

/// The text is not a valid [`BaseUrl`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format is https://HOST, without a path (http:// only for this machine)")]
pub struct BaseUrlError;

/// An HTTP client with the URL of one provider's event-list API and the value of the header `Authorization` for its requests.
pub(super) struct ProviderClient {
    client: reqwest::Client,
    /// The URL of the event-list API, without a query.
    pub(super) url: String,
    authorization: HeaderValue,
}

impl ProviderClient {
    pub(super) fn new(poller: &Poller, key: &Secret) -> Result<Self, PollError> {
        let base_url = poller.base_url.as_ref().map_or(poller.polling.base_url, |url| &url.0);
        if !is_valid_api_key(key) {
            return Err(PollError::InvalidApiKey);
        }
        let mut value = poller.polling.authorization_prefix.as_bytes().to_vec();
        value.extend_from_slice(key.expose());
        let mut authorization = HeaderValue::from_bytes(&value).map_err(|_| PollError::InvalidApiKey)?;
        authorization.set_sensitive(true);
        let client = http_client::client_for(host_of(base_url)).map_err(PollError::Client)?;
        Ok(Self { client, url: format!("{base_url}{}", poller.polling.path), authorization })
    }

    /// Requests the URL with `query` and returns the body of the response.
    pub(super) async fn fetch_body(&self, query: &str, deadline: Instant) -> Result<Bytes, PollError> {
        let url = || self.url.clone();
        let no_response = |cause: String| PollError::NoResponse { url: url(), cause };
        let fetch = async {
            let request_error = |error: reqwest::Error| no_response(error_chain(&error.without_url()));
            let request = self.client.get(format!("{}?{query}", self.url));
            let mut response = request
                .header(AUTHORIZATION, self.authorization.clone())
                .send()
                .await
                .map_err(request_error)?;
            match response.status() {
                StatusCode::OK => {}
                status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                    return Err(PollError::Unauthorized { url: url(), status });
                }
                status => return Err(PollError::UnexpectedStatus { url: url(), status }),
            }
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(request_error)? {
                if body.len() + chunk.len() > MAX_RESPONSE_BYTES {
                    return Err(PollError::ResponseTooLarge { url: url() });
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Bytes::from(body))
        };
        timeout_at(deadline, fetch).await.unwrap_or_else(|_| Err(no_response("the deadline passed".into())))
    }
}

impl std::str::FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = reqwest::Url::parse(text).map_err(|_| BaseUrlError)?;
        let is_host_only = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let has_no_credentials = url.username().is_empty() && url.password().is_none();
        // Requests carry the API key, so `http://` is allowed only for this machine.
        let is_secure =
            url.scheme() == "https" || (url.scheme() == "http" && http_client::is_loopback(host_of(text)));
        if !is_host_only || !has_no_credentials || !is_secure || url.host_str().is_none() {
            return Err(BaseUrlError);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

impl BaseUrl {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Whether `key` can be an API key: it is not empty and contains only visible ASCII characters.
pub fn is_valid_api_key(key: &Secret) -> bool {
    !key.is_empty() && key.expose().iter().all(u8::is_ascii_graphic)
}

/// Returns the host of a base URL, without scheme and port.
pub(super) fn host_of(base_url: &str) -> &str {
    let authority = base_url.split_once("://").map_or(base_url, |(_, rest)| rest).trim_end_matches('/');
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_an_https_or_loopback_origin() {
        for valid in [
            "https://api.eu.sparkpost.com",
            "https://api.stripe.com/",
            "http://127.0.0.1:4010",
            "http://[::1]:1",
        ] {
            assert!(valid.parse::<BaseUrl>().is_ok(), "{valid}");
        }
        for invalid in [
            "",
            "api.stripe.com",
            "http://api.stripe.com",
            "https://a.example/v1",
            "https://u:p@a.example",
            "https://a.example?x=1",
            "ftp://a.example",
            "http://127.0.0.1.evil.example",
            "http://localhost@evil.example",
        ] {
            assert_eq!(invalid.parse::<BaseUrl>(), Err(BaseUrlError), "{invalid}");
        }
    }
}
