//! HTTP responses of the API, and their conditional and compressed forms (`ETag`, gzip).

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderName};
use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};

use super::ApiRequest;
use super::error::ApiError;

/// The minimum size of a response body that is compressed.
const MIN_GZIP_BYTES: usize = 1024;

/// A response of the API. The body may contain a new signing secret, so the type has no `Debug`, which could log the secret.
pub struct ApiResponse {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, String)>,
    pub body: Vec<u8>,
    /// The first resource of each event of a page, if the request needs them.
    pub event_urns: Vec<String>,
    etag: EtagSource,
}

/// The source of a response's `ETag`.
enum EtagSource {
    /// A tag that was computed from values that identify the body.
    Known(String),
    /// A hash of the body.
    Body,
    /// The response has no `ETag`.
    None,
}

impl ApiResponse {
    pub(super) fn json(status: StatusCode, body: impl Into<Vec<u8>>) -> Self {
        Self::new("application/json", status, body)
    }

    pub(super) fn new(media_type: &str, status: StatusCode, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![
            (header::CONTENT_TYPE, media_type.to_owned()),
            // The response contains personal data: only the client may store it, and must revalidate it before each use.
            (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        ];
        Self { status, headers, body: body.into(), event_urns: Vec::new(), etag: EtagSource::Body }
    }

    /// Builds a response with these headers, which is the same for every client.
    pub(super) fn with_headers(headers: Vec<(HeaderName, String)>, body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: StatusCode::OK,
            headers,
            body: body.into(),
            event_urns: Vec::new(),
            etag: EtagSource::None,
        }
    }

    /// Builds a JSON response that no cache may store, because it describes subscribers or deliveries and may contain a new
    /// secret.
    pub(crate) fn no_store(status: StatusCode, value: &serde_json::Value) -> Self {
        Self::no_store_text(status, &value.to_string())
    }

    /// As [`no_store`](Self::no_store), with JSON text.
    pub(crate) fn no_store_text(status: StatusCode, json: &str) -> Self {
        let headers = vec![
            (header::CONTENT_TYPE, "application/json".to_owned()),
            (header::CACHE_CONTROL, "no-store".to_owned()),
        ];
        Self {
            status,
            headers,
            body: format!("{json}\n").into_bytes(),
            event_urns: Vec::new(),
            etag: EtagSource::None,
        }
    }

    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), event_urns: Vec::new(), etag: EtagSource::Body }
    }

    /// Sets the `ETag` to a hash of `parts`. Two responses with the same parts must have the same body.
    pub(super) fn with_etag(mut self, parts: &[&str]) -> Self {
        self.etag = EtagSource::Known(etag(parts.join("\n").as_bytes()));
        self
    }

    pub(super) fn without_etag(mut self) -> Self {
        self.etag = EtagSource::None;
        self
    }

    pub(super) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Completes a 200 response to a GET request: adds `ETag` and `Vary`, returns 304 instead if `If-None-Match` matches the
    /// `ETag`, and compresses the body if the client accepts gzip.
    pub(super) fn finalize(mut self, request: &ApiRequest<'_>) -> Self {
        if self.status != StatusCode::OK || request.method != Method::GET {
            return self;
        }
        let tag = match std::mem::replace(&mut self.etag, EtagSource::None) {
            EtagSource::Known(tag) => Some(tag),
            EtagSource::Body => Some(etag(&self.body)),
            EtagSource::None => None,
        };
        self = self.with_header(header::VARY, "accept, accept-encoding");
        if let Some(tag) = tag {
            let is_unmodified =
                request.header(header::IF_NONE_MATCH).is_some_and(|known| matches_etag(known, &tag));
            self = self.with_header(header::ETAG, &tag);
            if is_unmodified {
                self.status = StatusCode::NOT_MODIFIED;
                self.body = Vec::new();
                return self;
            }
        }
        if self.body.len() >= MIN_GZIP_BYTES
            && request.header(header::ACCEPT_ENCODING).is_some_and(accepts_gzip)
            && let Some(compressed) = gzip(&self.body)
        {
            self.body = compressed;
            self = self.with_header(header::CONTENT_ENCODING, "gzip");
        }
        self
    }
}

/// Builds a 200 response that no cache may store.
pub(super) fn ok_response(value: &serde_json::Value) -> Result<ApiResponse, ApiError> {
    Ok(ApiResponse::no_store(StatusCode::OK, value))
}

/// Computes an `ETag`. The `ETag` is weak (`W/`), because the plain and the compressed body have the same one.
fn etag(content: &[u8]) -> String {
    format!("W/\"{}\"", hex::encode(&Sha256::digest(content)[..16]))
}

/// Whether an `If-None-Match` header contains this tag or is `*`. The comparison is weak: it ignores the prefix `W/`. Source: RFC
/// 9110, section 13.1.2.
fn matches_etag(if_none_match: &str, tag: &str) -> bool {
    let opaque_tag = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    if_none_match.trim() == "*" || if_none_match.split(',').any(|known| opaque_tag(known) == opaque_tag(tag))
}

/// Whether an `Accept-Encoding` header accepts gzip. Source: RFC 9110, section 12.5.3.
fn accepts_gzip(accept_encoding: &str) -> bool {
    // Whether the header accepts a coding; `None` if it does not name the coding.
    let accepts = |name: &str| {
        accept_encoding.split(',').find_map(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let is_named = parts.next().is_some_and(|coding| coding.eq_ignore_ascii_case(name));
            let is_excluded = parts.any(|weight| {
                weight.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
            });
            is_named.then_some(!is_excluded)
        })
    };
    accepts("gzip").or_else(|| accepts("*")).unwrap_or(false)
}

fn gzip(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory cannot fail.
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_an_etag_matches() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", W/\"a\"", "*"] {
            assert!(matches_etag(known, "W/\"a\""), "{known}");
        }
        for known in ["", "a", "\"b\"", "W/\"aa\""] {
            assert!(!matches_etag(known, "W/\"a\""), "{known}");
        }
    }

    #[test]
    fn gzip_is_sent_only_if_accepted() {
        for accepted in ["gzip", "br, GZIP;q=0.5", "*", "gzip;q=1", "gzip, *;q=0"] {
            assert!(accepts_gzip(accepted), "{accepted}");
        }
        for accepted in ["", "br", "identity", "gzip;q=0", "gzip; q=0.000, br", "*, gzip;q=0"] {
            assert!(!accepts_gzip(accepted), "{accepted}");
        }
    }
}
