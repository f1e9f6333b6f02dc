//! What is answered, and how it goes over the wire: with a tag, by which a client that has it already is told so, and
//! compressed for a client that takes that.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{self, HeaderName};
use http::{Method, StatusCode};
use sha2::{Digest as _, Sha256};
use tracing::error;

use super::Request;
use crate::log::LogError;

/// What is smaller is not worth compressing, in bytes.
const SMALL: usize = 1024;

/// What is answered.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers.
    pub headers: Vec<(HeaderName, String)>,
    /// The body.
    pub body: Vec<u8>,
    tag: Tag,
}

/// By what a client says that it has the answer already.
enum Tag {
    /// By what is known without looking at the body.
    Known(String),
    /// By the body.
    OfBody,
    /// By nothing.
    None,
}

impl Answer {
    /// JSON.
    pub(super) fn json(status: StatusCode, body: impl Into<Vec<u8>>) -> Self {
        Self::of("application/json", status, body)
    }

    /// Something of a media type.
    pub(super) fn of(media_type: &str, status: StatusCode, body: impl Into<Vec<u8>>) -> Self {
        let headers = vec![
            (header::CONTENT_TYPE, media_type.to_owned()),
            // It is asked for with a token, and about people: only who asked keeps it, and asks again.
            (header::CACHE_CONTROL, "private, no-cache".to_owned()),
        ];
        Self { status, headers, body: body.into(), tag: Tag::OfBody }
    }

    /// Nothing.
    pub(super) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new(), tag: Tag::OfBody }
    }

    /// What is the same whenever these are.
    pub(super) fn known_by(mut self, parts: &[&str]) -> Self {
        self.tag = Tag::Known(tag(parts.join("\n").as_bytes()));
        self
    }

    /// What is never said to be there already.
    pub(super) fn untagged(mut self) -> Self {
        self.tag = Tag::None;
        self
    }

    /// What went wrong, for a person.
    pub(super) fn error(status: StatusCode, message: &str) -> Self {
        Self::json(status, serde_json::json!({"errors": [{"message": message}]}).to_string())
    }

    /// What went wrong, for a person, and a word for it, for a program.
    pub(super) fn error_of(status: StatusCode, code: &str, message: &str) -> Self {
        Self::json(status, serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string())
    }

    /// Another method than these.
    pub(super) fn not_allowed(allowed: &'static str) -> Self {
        Self::error(StatusCode::METHOD_NOT_ALLOWED, &format!("Only {allowed} is answered."))
            .with(header::ALLOW, allowed)
    }

    /// The log cannot be read.
    pub(super) fn failed(why: &LogError) -> Self {
        error!(error = why.to_string(), "the log could not be read");
        let status = match why {
            LogError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
            LogError::InvalidCredentials(_) | LogError::Rejected(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::error(status, "The log cannot be read now. Try again later.").with(header::RETRY_AFTER, "5")
    }

    /// With one more header.
    pub(super) fn with(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    /// As the request wants it: not at all when it has it already, and compressed.
    pub(super) fn encoded(mut self, request: &Request<'_>) -> Self {
        if self.status != StatusCode::OK || request.method != Method::GET {
            return self;
        }
        let tag = match std::mem::replace(&mut self.tag, Tag::None) {
            Tag::Known(tag) => Some(tag),
            Tag::OfBody => Some(tag(&self.body)),
            Tag::None => None,
        };
        self = self.with(header::VARY, "accept, accept-encoding");
        if let Some(tag) = tag {
            let has_it = request.header(header::IF_NONE_MATCH).is_some_and(|known| has_tag(known, &tag));
            self = self.with(header::ETAG, &tag);
            if has_it {
                self.status = StatusCode::NOT_MODIFIED;
                self.body = Vec::new();
                return self;
            }
        }
        if self.body.len() >= SMALL
            && request.header(header::ACCEPT_ENCODING).is_some_and(takes_gzip)
            && let Some(smaller) = compressed(&self.body)
        {
            self.body = smaller;
            self = self.with(header::CONTENT_ENCODING, "gzip");
        }
        self
    }
}

/// A weak tag: it is the same whether what it stands for is compressed or not.
fn tag(of: &[u8]) -> String {
    format!("W/\"{}\"", hex::encode(&Sha256::digest(of)[..16]))
}

/// Whether an `If-None-Match` names a tag. Source: RFC 9110, 13.1.2; the comparison is the weak one.
fn has_tag(known: &str, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    known.trim() == "*" || known.split(',').any(|one| bare(one) == bare(tag))
}

/// Whether an `Accept-Encoding` takes gzip. Source: RFC 9110, 12.5.3.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip") || name == "*");
        let is_refused = parts.any(|weight| {
            weight.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|q| q <= 0.0)
        });
        is_gzip && !is_refused
    })
}

fn compressed(body: &[u8]) -> Option<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Memory takes all of it.
    encoder.write_all(body).ok()?;
    encoder.finish().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_found_in_every_form() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", W/\"a\"", "*"] {
            assert!(has_tag(known, "W/\"a\""), "{known}");
        }
        for known in ["", "a", "\"b\"", "W/\"aa\""] {
            assert!(!has_tag(known, "W/\"a\""), "{known}");
        }
    }

    #[test]
    fn gzip_is_taken_by_who_says_so() {
        for accepted in ["gzip", "br, GZIP;q=0.5", "*", "gzip;q=1"] {
            assert!(takes_gzip(accepted), "{accepted}");
        }
        for accepted in ["", "br", "identity", "gzip;q=0", "gzip; q=0.000, br"] {
            assert!(!takes_gzip(accepted), "{accepted}");
        }
    }
}
