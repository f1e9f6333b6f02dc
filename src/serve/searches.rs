//! The search of the log, as HTTP paths.
//!
//! Without a token, only this machine is answered: neither another one, nor a page in a browser that was told that its
//! name is this machine, nor, as far as it can be seen, who comes through a proxy or a tunnel. Nobody is where the settings
//! name what stands in front.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;

use super::settings::Settings;
use crate::feed::{self, Access, Answer, Feed, Request, Token, Tokens};
use crate::log::AnyLog;

struct Searches {
    feed: Feed<AnyLog>,
    door: Door,
}

/// Who comes as far as the feed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Door {
    /// Everybody: there the token is asked for.
    Token,
    /// This machine.
    Machine,
    /// Nobody.
    Closed,
}

pub(super) fn router(settings: &Settings, log: AnyLog) -> Router {
    let access = match &settings.token {
        Some(token) => Access::Tokens(Tokens::new(vec![Token::of("serve", token, vec![])])),
        None => Access::Open,
    };
    let door = match (&settings.token, &settings.public_url) {
        (Some(_), _) => Door::Token,
        (None, None) => Door::Machine,
        (None, Some(_)) => Door::Closed,
    };
    let searches = Arc::new(Searches { feed: Feed { log, access }, door });
    let mut router = Router::new();
    for path in feed::PATHS {
        router = router.route(path, any(search));
    }
    router.with_state(searches)
}

async fn search(State(searches): State<Arc<Searches>>, parts: Parts) -> Response {
    let is_let_in = match searches.door {
        Door::Token => true,
        Door::Machine => is_of_this_machine(&parts.headers),
        Door::Closed => false,
    };
    if !is_let_in {
        let message = "Without a token only this machine is answered, and nobody behind a --public-url: start hookbridge serve with --token.";
        let body = serde_json::json!({"errors": [{"message": message}]}).to_string();
        return json(StatusCode::FORBIDDEN, vec![], body);
    }
    let authorization = parts.headers.get(header::AUTHORIZATION);
    let Answer { status, headers, body } = searches
        .feed
        .answer(Request {
            method: &parts.method,
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            // What is not text is no token.
            authorization: authorization.map(|value| value.to_str().unwrap_or("")),
            is_signed: false,
        })
        .await;
    json(status, headers, body)
}

fn json(status: StatusCode, headers: Vec<(&'static str, &'static str)>, body: String) -> Response {
    let mut response = (status, body).into_response();
    let all = [("content-type", "application/json"), ("cache-control", "no-store")];
    for (name, value) in all.into_iter().chain(headers) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a request names this machine by a name that is nobody else's, and came by no proxy.
fn is_of_this_machine(headers: &HeaderMap) -> bool {
    let by_proxy = ["forwarded", "x-forwarded-for", "x-forwarded-host", "via"];
    if by_proxy.iter().any(|name| headers.contains_key(*name)) {
        return false;
    }
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    };
    let address = name.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>();
    name == "localhost" || address.is_ok_and(|address| address.is_loopback())
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
        for host in ["localhost", "localhost:8787", "127.0.0.1:1", "127.1.2.3", "[::1]:8787", "[::1]"] {
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
    }
}
