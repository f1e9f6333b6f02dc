//! A webhook before and after it is verified. Unverified is a type.

use bytes::Bytes;
use http::header::{AsHeaderName, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Provider, RequestUrl};

/// One HTTP request from somebody who may be a provider. Nothing in it can be read outside `providers`.
pub struct RawWebhook {
    url: RequestUrl,
    headers: HeaderMap,
    body: Bytes,
}

impl RawWebhook {
    /// A POST request as it came: the URL it was sent to, its headers and the raw bytes of its body.
    pub fn new(url: RequestUrl, headers: HeaderMap, body: Bytes) -> Self {
        Self { url, headers, body }
    }

    /// Builds headers from names and values of any kind. What cannot be a header (control characters) is left
    /// out, which is the same as not sent; a repeated header stays repeated.
    pub fn header_map<N: AsRef<[u8]>, V: AsRef<[u8]>>(pairs: impl IntoIterator<Item = (N, V)>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name = HeaderName::from_bytes(name.as_ref());
            let value = HeaderValue::from_bytes(value.as_ref());
            if let (Ok(name), Ok(value)) = (name, value) {
                headers.append(name, value);
            }
        }
        headers
    }

    /// Size of the body, in bytes.
    pub fn body_len(&self) -> usize {
        self.body.len()
    }

    pub(super) fn url(&self) -> &RequestUrl {
        &self.url
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The value of a header that was sent exactly once and is visible ASCII.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.sent_once(name)?.to_str().ok()
    }

    /// The value of a header that was sent exactly once, in whatever bytes.
    pub(super) fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.sent_once(name).map(HeaderValue::as_bytes)
    }

    fn sent_once(&self, name: impl AsHeaderName) -> Option<&HeaderValue> {
        let mut values = self.header_values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// Every value of a header.
    pub(super) fn header_values(&self, name: impl AsHeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.headers.get_all(name).iter()
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// Whether the body's media type is `media_type`, in whatever case and with whatever parameters.
    pub(super) fn has_media_type(&self, media_type: &str) -> bool {
        let value = self.sent_once(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
    }
}

/// Shows the size only: an unverified webhook is nobody's word.
impl std::fmt::Debug for RawWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Webhook({} bytes, unverified)", self.body.len())
    }
}

/// A webhook whose signature was made with the provider's secret. Only [`super::UnverifiedWebhook::verify`] makes one, and, of what was
/// verified before it was kept, `from_archive`.
pub struct VerifiedWebhook {
    pub(super) provider: &'static Provider,
    pub(super) webhook: RawWebhook,
}

impl VerifiedWebhook {
    /// A webhook as the archive has it, where nothing is kept that was not verified before: the headers that were kept
    /// with it, and its body.
    pub(crate) fn from_archive(
        provider: &'static Provider,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Self {
        let url = RequestUrl { scheme: "https", authority: String::new(), path: "/".into(), query: None };
        let headers = RawWebhook::header_map(headers.iter().map(|(name, value)| (name, value)));
        Self { provider, webhook: RawWebhook::new(url, headers, body) }
    }

    /// The raw body.
    pub fn body(&self) -> &Bytes {
        self.webhook.body()
    }
}

/// Shows the size only: a body is the provider's customer's data.
impl std::fmt::Debug for VerifiedWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Verified({}, {} bytes)", self.provider.name, self.body().len())
    }
}
