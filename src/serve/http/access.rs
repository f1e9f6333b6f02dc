//! Access policy for the endpoints that return personal data: the log, the search, subscribers and deliveries.
//!
//! If no token is configured, only local requests are accepted. A request is not local if its `Host` is not a loopback host (DNS
//! rebinding), if it carries a proxy's headers, or if a browser sends it for a page of another site. With `--public-url` and no
//! token, every request is rejected.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use crate::api::{ApiToken, Authenticator, MAX_BODY_BYTES, TokenList};
use crate::serve::config::ServeSettings;

/// The maximum time to receive the body of a request to the API.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Which clients may use the endpoints that return personal data: clients with the token, clients on this machine, or none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::serve) enum AccessPolicy {
    TokenRequired,
    LoopbackOnly,
    Denied,
}

impl AccessPolicy {
    pub(in crate::serve) fn from_settings(settings: &ServeSettings) -> Self {
        match (&settings.token, &settings.public_url) {
            (Some(_), _) => Self::TokenRequired,
            (None, None) => Self::LoopbackOnly,
            (None, Some(_)) => Self::Denied,
        }
    }

    /// Returns the error response for a request that the policy rejects; `None` if the policy allows the request.
    pub(in crate::serve) fn rejection_for(self, headers: &HeaderMap) -> Option<Response> {
        let is_allowed = match self {
            Self::TokenRequired => true,
            Self::LoopbackOnly => is_loopback_origin(headers),
            Self::Denied => false,
        };
        let message = "Without a token, only local requests are accepted, and none with --public-url; start hookbridge serve with --token.";
        (!is_allowed).then(|| error_response(StatusCode::FORBIDDEN, message))
    }
}

/// Builds an authenticator that accepts the configured token, or every client if no token is configured.
pub(in crate::serve) fn build_authenticator(settings: &ServeSettings) -> Authenticator {
    match &settings.token {
        Some(token) => Authenticator::Tokens(TokenList::new(vec![ApiToken::new("serve", token, vec![])])),
        None => Authenticator::Open,
    }
}

/// Reads the whole body of a request to the API, or returns the error response.
pub(in crate::serve) async fn read_body(body: Body) -> Result<Bytes, Response> {
    match timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY_BYTES).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(error_response(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KB."))
        }
        Ok(Err(_)) => Err(error_response(StatusCode::BAD_REQUEST, "The body is incomplete.")),
        Err(_) => Err(error_response(StatusCode::REQUEST_TIMEOUT, "The body did not arrive within 10 s.")),
    }
}

/// Builds the error response for a rejected request.
pub(in crate::serve) fn error_response(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({"errors": [{"message": message}]}).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Whether a request names a loopback host, did not pass a proxy, and was not sent by a page of another site.
fn is_loopback_origin(headers: &HeaderMap) -> bool {
    let proxy_headers = ["forwarded", "x-forwarded-for", "x-forwarded-host", "via"];
    if proxy_headers.iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    // Without this check, a page of another site could make a browser on this machine send a request that moves a consumer
    // (CSRF).
    let header_text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_cross_origin = header_text(HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site != "same-origin" && site != "none")
        || header_text(header::ORIGIN).is_some_and(|origin| {
            origin.split_once("://").is_none_or(|(_, authority)| !is_loopback_host(authority))
        });
    !is_cross_origin && is_loopback_host(header_text(header::HOST).unwrap_or_default())
}

/// Whether a host, given with or without a port, is `localhost` or a loopback address.
fn is_loopback_host(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    let name = name.strip_suffix('.').unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn loopback_names_are_recognised() {
        let is_loopback = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            is_loopback_origin(&headers)
        };
        for host in [
            "localhost",
            "localhost:8787",
            "LocalHost:1",
            "localhost.",
            "127.0.0.1:1",
            "127.1.2.3",
            "[::1]:8787",
            "[::1]",
        ] {
            assert!(is_loopback(host), "{host}");
        }
        for host in [
            "",
            "hooks.example",
            "127.0.0.1.hooks.example",
            "localhost.example:80",
            "10.0.0.1:8787",
            "[::2]:1",
        ] {
            assert!(!is_loopback(host), "{host}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        headers.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
        assert!(!is_loopback_origin(&headers));
        for (name, value, expected) in [
            ("origin", "http://localhost:3000", true),
            ("origin", "https://evil.example", false),
            ("origin", "null", false),
            ("sec-fetch-site", "same-origin", true),
            ("sec-fetch-site", "none", true),
            ("sec-fetch-site", "cross-site", false),
            ("sec-fetch-site", "same-site", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, "localhost".parse().unwrap());
            headers.insert(name, value.parse().unwrap());
            assert_eq!(is_loopback_origin(&headers), expected, "{name}: {value}");
        }
    }
}
