//! Access policy for the feed and management endpoints.
//!
//! Without a token, only this machine is answered: neither another one, nor a page in a browser that was told that its
//! name is this machine, nor, as far as it can be seen, who comes through a proxy or a tunnel. Nobody is where the settings
//! name what stands in front.

use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::time::timeout;

use super::settings::Settings;
use crate::access::{Access, Token, Tokens};

/// How long a body may take to come, and how large it may be, in bytes.
const BODY: (Duration, usize) = (Duration::from_secs(10), 64 * 1024);

/// Which clients may reach authentication.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Door {
    /// Everybody.
    Token,
    /// This machine.
    Machine,
    /// Nobody.
    Closed,
}

impl Door {
    /// What the settings ask for.
    pub(super) fn of(settings: &Settings) -> Self {
        match (&settings.token, &settings.public_url) {
            (Some(_), _) => Self::Token,
            (None, None) => Self::Machine,
            (None, Some(_)) => Self::Closed,
        }
    }

    /// What who is not let in is answered.
    pub(super) fn refuses(self, headers: &HeaderMap) -> Option<Response> {
        let is_let_in = match self {
            Self::Token => true,
            Self::Machine => is_of_this_machine(headers),
            Self::Closed => false,
        };
        let why = "Without a token only this machine is answered, and nobody behind a --public-url: start hookbridge serve with --token.";
        (!is_let_in).then(|| refused(StatusCode::FORBIDDEN, why))
    }
}

/// The token that is asked for.
pub(super) fn access(settings: &Settings) -> Access {
    match &settings.token {
        Some(token) => Access::Tokens(Tokens::new(vec![Token::of("serve", token, vec![])])),
        None => Access::Open,
    }
}

/// A body as a whole, or the answer to one that cannot be had.
pub(super) async fn whole(body: Body) -> Result<Bytes, Response> {
    match timeout(BODY.0, Limited::new(body, BODY.1).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(refused(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KB."))
        }
        Ok(Err(_)) => Err(refused(StatusCode::BAD_REQUEST, "The body did not come as a whole.")),
        Err(_) => Err(refused(StatusCode::REQUEST_TIMEOUT, "The body did not come in 10 s.")),
    }
}

/// An answer that says why there is none.
pub(super) fn refused(status: StatusCode, why: &str) -> Response {
    let body = serde_json::json!({"errors": [{"message": why}]}).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// Whether a request names this machine by a name that is nobody else's, and came by no proxy.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let by_proxy = ["forwarded", "x-forwarded-for", "x-forwarded-host", "via"];
    if by_proxy.iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    // Nor may a page of somewhere else have a browser of this machine ask: it could move a consumer without seeing the answer.
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    let is_of_a_page_elsewhere = text(HeaderName::from_static("sec-fetch-site"))
        .is_some_and(|site| site != "same-origin" && site != "none")
        || text(header::ORIGIN).is_some_and(|origin| {
            origin.split_once("://").is_none_or(|(_, authority)| !is_this_machine(authority))
        });
    !is_of_a_page_elsewhere && is_this_machine(text(header::HOST).unwrap_or_default())
}

/// Whether a host, with its port or without, is this machine.
fn is_this_machine(host: &str) -> bool {
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
    fn this_machine_is_known_by_its_names() {
        let is = |host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, host.parse().unwrap());
            is_of_this_machine(&headers)
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
            assert!(is(host), "{host}");
        }
        for host in [
            "",
            "hooks.example",
            "127.0.0.1.hooks.example",
            "localhost.example:80",
            "10.0.0.1:8787",
            "[::2]:1",
        ] {
            assert!(!is(host), "{host}");
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, "localhost".parse().unwrap());
        headers.insert("x-forwarded-for", "192.0.2.1".parse().unwrap());
        assert!(!is_of_this_machine(&headers));
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
            assert_eq!(is_of_this_machine(&headers), expected, "{name}: {value}");
        }
    }
}
