//! Webhooks before and after verification, as distinct types.

use bytes::Bytes;
use http::header::{AsHeaderName, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

#[cfg(feature = "command")]
use super::WebhookRequest;
use super::translate::{FORM_MEDIA_TYPE, JSON_MEDIA_TYPE};
use super::{Provider, RequestUrl, UrlSpellings};
use crate::secrets::Secret;

/// An unverified HTTP request. Code outside `providers` cannot read its content.
#[derive(Clone)]
pub struct RawWebhook {
    method: Method,
    urls: UrlSpellings,
    headers: HeaderMap,
    body: Bytes,
}

impl RawWebhook {
    /// Creates a webhook from the parts of an HTTP request; `body` is the raw body.
    pub fn new(method: Method, urls: UrlSpellings, headers: HeaderMap, body: Bytes) -> Self {
        Self { method, urls, headers, body }
    }

    /// Creates a webhook from the parts of a POST request to `url`, which is exactly as its sender wrote it.
    pub fn post(url: RequestUrl, headers: HeaderMap, body: Bytes) -> Self {
        Self::new(Method::POST, url.into(), headers, body)
    }

    /// The same request with this body.
    #[must_use]
    pub fn with_body(self, body: Bytes) -> Self {
        Self { body, ..self }
    }

    /// The same request to this URL.
    #[cfg(feature = "command")]
    #[must_use]
    pub(super) fn with_url(self, url: RequestUrl) -> Self {
        Self { urls: url.into(), ..self }
    }

    #[cfg(feature = "command")]
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The request as its sender made it; `None` if a header is not text.
    #[cfg(feature = "command")]
    pub(super) fn to_request(&self) -> Option<WebhookRequest> {
        let header = |(name, value): (&HeaderName, &HeaderValue)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        };
        Some(WebhookRequest {
            method: self.method.clone(),
            url: self.urls.iter().next()?.clone(),
            headers: self.headers.iter().map(header).collect::<Option<_>>()?,
            body: self.body.clone(),
        })
    }

    /// Builds headers from arbitrary names and values. Drops headers that are invalid in HTTP (for example with control
    /// characters), and preserves repeated headers.
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

    /// Whether `provider` sends webhooks with this method: POST, or for some providers a GET with a signature.
    pub fn is_method_allowed(&self, provider: &Provider) -> bool {
        provider.sends_with(&self.method) && (!self.is_get() || provider.signature_scheme.is_present(self))
    }

    /// The method of the request.
    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    pub(super) fn is_get(&self) -> bool {
        self.method == Method::GET
    }

    /// The spellings of the URL that the sender may have signed, the likeliest first.
    pub(super) fn urls(&self) -> impl Iterator<Item = &RequestUrl> {
        self.urls.iter()
    }

    /// Converts a GET webhook into a form whose body is the query.
    pub(super) fn into_form(mut self) -> Self {
        let query = self.urls.iter().next().and_then(|url| url.query.clone());
        self.body = query.unwrap_or_default().into();
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM_MEDIA_TYPE));
        self
    }

    pub(super) fn body(&self) -> &Bytes {
        &self.body
    }

    /// The value of a header; `None` unless it occurs exactly once and is visible ASCII.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.single_header(name)?.to_str().ok()
    }

    /// The raw value of a header; `None` unless it occurs exactly once.
    pub(super) fn header_bytes(&self, name: &str) -> Option<&[u8]> {
        self.single_header(name).map(HeaderValue::as_bytes)
    }

    fn single_header(&self, name: impl AsHeaderName) -> Option<&HeaderValue> {
        let mut values = self.header_values(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// All values of a header.
    pub(super) fn header_values(&self, name: impl AsHeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.headers.get_all(name).iter()
    }

    /// The name and the value of each header whose name is `name`, or `name` with a number instead of a `*` at its end.
    pub(super) fn numbered_header_values<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a HeaderValue)> {
        let prefix = name.strip_suffix('*');
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let numbered = prefix.into_iter().flat_map(move |prefix| {
            let headers = self.headers.iter().map(|(name, value)| (name.as_str(), value));
            headers.filter(move |(name, _)| name.strip_prefix(prefix).is_some_and(is_number))
        });
        let exact = prefix.is_none().then_some(name).into_iter();
        numbered.chain(exact.flat_map(|name| self.header_values(name).map(move |value| (name, value))))
    }

    /// The value of the first of the headers `names` that is present; `None` unless it occurs exactly once.
    pub(super) fn first_header(&self, names: &[&str]) -> Option<&str> {
        self.header(names.iter().find(|name| self.has_header(name))?)
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// Whether the `content-type` is that of a form, ignoring case and parameters.
    pub(super) fn is_form(&self) -> bool {
        self.media_type().eq_ignore_ascii_case(FORM_MEDIA_TYPE)
    }

    /// Whether the `content-type` is `application/json` or another `application/*+json`, ignoring case and parameters.
    /// Source: RFC 6839, section 3.1.
    pub(super) fn is_json(&self) -> bool {
        let media_type = self.media_type().to_ascii_lowercase();
        media_type == JSON_MEDIA_TYPE
            || media_type
                .strip_prefix("application/")
                .and_then(|subtype| subtype.strip_suffix("+json"))
                .is_some_and(|prefix| !prefix.is_empty() && prefix.bytes().all(is_media_type_char))
    }

    fn media_type(&self) -> &str {
        let value =
            self.single_header(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim()
    }
}

/// Whether a byte may occur in the name of a media type. Source: RFC 6838, section 4.2.
fn is_media_type_char(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte)
}

/// Shows the size only, because unverified content must not be logged.
impl std::fmt::Debug for RawWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RawWebhook({} bytes, unverified)", self.body.len())
    }
}

/// A webhook with a valid signature. Only [`super::UnverifiedWebhook::verify`] and `from_archive` create one; the
/// archive holds verified webhooks only.
pub struct VerifiedWebhook {
    pub(super) provider: &'static Provider,
    pub(super) webhook: RawWebhook,
    /// The key that verified the webhook, for a provider whose handshakes are signed with it.
    pub(super) key: Option<Secret>,
}

impl VerifiedWebhook {
    /// Creates a webhook from its archived headers and body. The bridge verified the webhook before it archived it.
    pub(crate) fn from_archive(
        provider: &'static Provider,
        headers: &[(String, String)],
        body: Bytes,
    ) -> Self {
        let url = RequestUrl { scheme: "https", authority: String::new(), path: "/".into(), query: None };
        let headers = RawWebhook::header_map(headers.iter().map(|(name, value)| (name, value)));
        Self { provider, webhook: RawWebhook::post(url, headers, body), key: None }
    }

    /// The raw body.
    pub fn body(&self) -> &Bytes {
        self.webhook.body()
    }
}

/// Shows the size only, because the body is customer data.
impl std::fmt::Debug for VerifiedWebhook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VerifiedWebhook({}, {} bytes)", self.provider.name, self.body().len())
    }
}
