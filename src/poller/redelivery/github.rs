//! GitHub's API of the deliveries of a webhook.
//!
//! Source: "Repository webhooks", "Organization webhooks", "GitHub App webhooks" and "Rate limits", GitHub REST API documentation.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{ACCEPT, AUTHORIZATION, LINK, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::{SignedDuration, Timestamp};
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde::Deserialize;
use serde_json::json;
use tokio::time::{Instant, timeout_at};

use super::super::BaseUrl;
use super::super::request::{host_of, is_valid_api_key};
use crate::secrets::Secret;
use crate::util::error::error_chain;
use crate::util::http_client;

const API: &str = "https://api.github.com";

/// Maximum number of deliveries in a page.
const PAGE_SIZE: usize = 100;

/// Maximum size of a page, in bytes. A page of 100 deliveries has about 50 kB.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// How long to wait after a rate limit whose response states no time. GitHub requires a minute or more.
const DEFAULT_WAIT: SignedDuration = SignedDuration::from_mins(1);

/// A webhook at GitHub, written as its path in the API: `repos/OWNER/NAME/hooks/ID`, `orgs/NAME/hooks/ID`, or `app/ID` for the
/// webhook of the GitHub App with this id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hook {
    Repository { owner: String, name: String, id: u64 },
    Organization { name: String, id: u64 },
    App { id: u64 },
}

/// The text is not a [`Hook`].
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the format is repos/OWNER/NAME/hooks/ID, orgs/NAME/hooks/ID or app/ID")]
pub struct HookError;

impl FromStr for Hook {
    type Err = HookError;

    fn from_str(text: &str) -> Result<Self, HookError> {
        let is_name = |text: &str| {
            !text.is_empty()
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
                && ![".", ".."].contains(&text)
        };
        let id = |text: &str| text.parse().map_err(|_| HookError);
        match *text.split('/').collect::<Vec<_>>() {
            ["repos", owner, name, "hooks", number] if is_name(owner) && is_name(name) => {
                Ok(Self::Repository { owner: owner.into(), name: name.into(), id: id(number)? })
            }
            ["orgs", name, "hooks", number] if is_name(name) => {
                Ok(Self::Organization { name: name.into(), id: id(number)? })
            }
            ["app", number] => Ok(Self::App { id: id(number)? }),
            _ => Err(HookError),
        }
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Repository { owner, name, id } => write!(f, "repos/{owner}/{name}/hooks/{id}"),
            Self::Organization { name, id } => write!(f, "orgs/{name}/hooks/{id}"),
            Self::App { id } => write!(f, "app/{id}"),
        }
    }
}

impl Hook {
    /// The path of the deliveries in the API.
    fn deliveries_path(&self) -> String {
        match self {
            Self::App { .. } => "/app/hook/deliveries".to_owned(),
            hook => format!("/{hook}/deliveries"),
        }
    }
}

/// One attempt of GitHub to deliver a webhook. All attempts of a webhook have the same `guid`.
#[derive(Clone, Debug, Deserialize)]
pub struct Delivery {
    pub id: u64,
    pub guid: String,
    pub delivered_at: Timestamp,
    #[serde(default)]
    pub redelivery: bool,
    /// The status of the response; 0 if there was none.
    #[serde(default)]
    pub status_code: u16,
    /// GitHub's description of the result: `OK`, `timed out`.
    #[serde(default)]
    pub status: String,
    #[serde(default)]
    pub event: String,
    #[serde(default)]
    pub action: Option<String>,
}

impl Delivery {
    pub fn has_succeeded(&self) -> bool {
        (200..300).contains(&self.status_code)
    }
}

/// A page of deliveries, the newest first.
pub struct DeliveryPage {
    pub deliveries: Vec<Delivery>,
    /// The cursor of the next page, with older deliveries; `None` on the last page.
    pub next: Option<String>,
}

/// Why a request to GitHub failed. The text contains no token.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    #[error("the token is empty or contains a space, a line break or another character that no token has")]
    InvalidToken,
    #[error("the private key of the GitHub App is not an RSA key in PEM form, as GitHub generates it")]
    InvalidPrivateKey,
    #[error("cannot build the HTTP client: {}", error_chain(.0))]
    Client(#[source] reqwest::Error),
    #[error("no response from {url}: {cause}")]
    NoResponse { url: String, cause: String },
    #[error("{url} rejected the token ({status}); it needs the permission to read and write webhooks")]
    Unauthorized { url: String, status: StatusCode },
    #[error("{url} returned 404: the webhook does not exist, or the token may not read and write it")]
    NotFound { url: String },
    #[error(
        "{url} returned {status}: the repository or the organization was renamed or moved; enter its new name"
    )]
    Moved { url: String, status: StatusCode },
    #[error("GitHub's rate limit is exhausted until {until:.0}")]
    RateLimited { until: Timestamp },
    #[error("{url} returned status {status}")]
    UnexpectedStatus { url: String, status: StatusCode },
    #[error("{url} returned no list of deliveries: {problem}")]
    InvalidPage { url: String, problem: String },
}

/// A client for the deliveries of one webhook.
pub struct GithubClient {
    client: reqwest::Client,
    /// The URL of the deliveries.
    url: String,
    authentication: Authentication,
}

enum Authentication {
    Token(HeaderValue),
    /// The id and the private key of a GitHub App. Each request gets a new token, because a token is valid for minutes only.
    App(u64, Secret),
}

impl Authentication {
    fn new(hook: &Hook, token: &Secret) -> Result<Self, GithubError> {
        if let Hook::App { id } = hook {
            let authentication = Self::App(*id, token.clone());
            authentication.header()?;
            return Ok(authentication);
        }
        if !is_valid_api_key(token) {
            return Err(GithubError::InvalidToken);
        }
        let value = HeaderValue::from_bytes(&[b"Bearer ", token.expose()].concat());
        let mut value = value.map_err(|_| GithubError::InvalidToken)?;
        value.set_sensitive(true);
        Ok(Self::Token(value))
    }

    fn header(&self) -> Result<HeaderValue, GithubError> {
        match self {
            Self::Token(value) => Ok(value.clone()),
            Self::App(id, key) => {
                let token = app_token(*id, key, Timestamp::now()).ok_or(GithubError::InvalidPrivateKey)?;
                let value = HeaderValue::try_from(format!("Bearer {token}"));
                let mut value = value.map_err(|_| GithubError::InvalidPrivateKey)?;
                value.set_sensitive(true);
                Ok(value)
            }
        }
    }
}

impl GithubClient {
    /// Creates a client that authenticates with `token`; for the webhook of a GitHub App, the app's private key.
    ///
    /// # Errors
    /// The token or the key is invalid.
    pub fn new(hook: &Hook, base_url: Option<&BaseUrl>, token: &Secret) -> Result<Self, GithubError> {
        let base_url = base_url.map_or(API, BaseUrl::as_str);
        Ok(Self {
            client: http_client::client_for(host_of(base_url)).map_err(GithubError::Client)?,
            url: format!("{base_url}{}", hook.deliveries_path()),
            authentication: Authentication::new(hook, token)?,
        })
    }

    /// Lists a page of deliveries, the newest first; without a cursor, the first page.
    pub async fn list(&self, cursor: Option<&str>, deadline: Instant) -> Result<DeliveryPage, GithubError> {
        let mut url = format!("{}?per_page={PAGE_SIZE}", self.url);
        if let Some(cursor) = cursor {
            let cursor = percent_encoding::utf8_percent_encode(cursor, percent_encoding::NON_ALPHANUMERIC);
            url = format!("{url}&cursor={cursor}");
        }
        let list = async {
            let mut response = self.send(Method::GET, &url).await?;
            if response.status() != StatusCode::OK {
                return Err(self.error(response).await);
            }
            let next = next_cursor(response.headers());
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| self.no_response(error))? {
                if body.len() + chunk.len() > MAX_PAGE_BYTES {
                    return Err(self.invalid_page(format!("more than {MAX_PAGE_BYTES} bytes")));
                }
                body.extend_from_slice(&chunk);
            }
            // An error of serde_json can quote the response.
            let deliveries = serde_json::from_slice(&body).map_err(|error| {
                self.invalid_page(format!("line {}, column {}", error.line(), error.column()))
            })?;
            Ok(DeliveryPage { deliveries, next })
        };
        timeout_at(deadline, list).await.unwrap_or_else(|_| Err(self.deadline_passed()))
    }

    /// Requests a delivery again.
    pub async fn redeliver(&self, id: u64, deadline: Instant) -> Result<(), GithubError> {
        let redeliver = async {
            let response = self.send(Method::POST, &format!("{}/{id}/attempts", self.url)).await?;
            if response.status().is_success() { Ok(()) } else { Err(self.error(response).await) }
        };
        timeout_at(deadline, redeliver).await.unwrap_or_else(|_| Err(self.deadline_passed()))
    }

    async fn send(&self, method: Method, url: &str) -> Result<reqwest::Response, GithubError> {
        let request = self.client.request(method, url).header(AUTHORIZATION, self.authentication.header()?);
        let request = request.header(ACCEPT, "application/vnd.github+json");
        let request = request.header("x-github-api-version", "2022-11-28");
        request.send().await.map_err(|error| self.no_response(error))
    }

    /// The error of a response with another status than 2xx.
    async fn error(&self, mut response: reqwest::Response) -> GithubError {
        let (status, url) = (response.status(), self.url.clone());
        match status {
            StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
                if let Some(until) = limited_until(response.headers(), Timestamp::now()) {
                    return GithubError::RateLimited { until };
                }
                // Some responses state a secondary limit only in their text.
                let text = response.chunk().await.ok().flatten().unwrap_or_default().to_ascii_lowercase();
                let is_limit = text.windows(10).any(|words| words == b"rate limit");
                if is_limit || status == StatusCode::TOO_MANY_REQUESTS {
                    return GithubError::RateLimited { until: Timestamp::now() + DEFAULT_WAIT };
                }
                GithubError::Unauthorized { url, status }
            }
            StatusCode::UNAUTHORIZED => GithubError::Unauthorized { url, status },
            StatusCode::NOT_FOUND => GithubError::NotFound { url },
            status if status.is_redirection() => GithubError::Moved { url, status },
            status => GithubError::UnexpectedStatus { url, status },
        }
    }

    fn no_response(&self, error: reqwest::Error) -> GithubError {
        GithubError::NoResponse { url: self.url.clone(), cause: error_chain(&error.without_url()) }
    }

    fn deadline_passed(&self) -> GithubError {
        GithubError::NoResponse { url: self.url.clone(), cause: "the deadline passed".into() }
    }

    fn invalid_page(&self, problem: String) -> GithubError {
        GithubError::InvalidPage { url: self.url.clone(), problem }
    }
}

/// The end of a rate limit; `None` if the headers state no limit.
fn limited_until(headers: &HeaderMap, now: Timestamp) -> Option<Timestamp> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<i64>().ok();
    if let Some(seconds) = number(RETRY_AFTER.as_str()) {
        return now.checked_add(SignedDuration::from_secs(seconds.clamp(1, 86_400))).ok();
    }
    let is_exhausted = number("x-ratelimit-remaining") == Some(0);
    is_exhausted.then(|| {
        let reset = number("x-ratelimit-reset").and_then(|seconds| Timestamp::from_second(seconds).ok());
        reset
            .unwrap_or(now + DEFAULT_WAIT)
            .clamp(now + SignedDuration::from_secs(1), now + SignedDuration::from_hours(24))
    })
}

/// The cursor of the next page. Only the cursor is read from the header, because requests carry the token.
fn next_cursor(headers: &HeaderMap) -> Option<String> {
    let links = headers.get(LINK)?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let url = next.trim().strip_prefix('<')?.split_once('>')?.0;
    let url = reqwest::Url::parse(url).ok()?;
    url.query_pairs().find(|(name, _)| name == "cursor").map(|(_, cursor)| cursor.into_owned())
}

/// The JSON Web Token of a GitHub App, signed with the app's private key. GitHub accepts it for at most ten minutes.
///
/// Source: "Generating a JSON Web Token (JWT) for a GitHub App", GitHub documentation.
fn app_token(app: u64, private_key: &Secret, now: Timestamp) -> Option<String> {
    let key = match PrivateKeyDer::from_pem_slice(private_key.expose()).ok()? {
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).ok()?,
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok()?,
        _ => return None,
    };
    let now = now.as_second();
    let header = json!({"alg": "RS256", "typ": "JWT"}).to_string();
    // One minute in the past, because the clocks may differ.
    let claims = json!({"iat": now - 60, "exp": now + 540, "iss": app.to_string()}).to_string();
    let content = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let mut signature = vec![0; key.public().modulus_len()];
    key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), content.as_bytes(), &mut signature).ok()?;
    Some(format!("{content}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_hook_is_written_as_its_path() {
        for text in ["repos/acme/demo.js/hooks/1", "orgs/acme/hooks/22", "app/333"] {
            assert_eq!(text.parse::<Hook>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "acme/demo",
            "repos/acme/demo/hooks/x",
            "repos/../demo/hooks/1",
            "repos/a b/c/hooks/1",
            "app/",
        ] {
            assert_eq!(text.parse::<Hook>(), Err(HookError), "{text}");
        }
    }

    #[test]
    fn only_the_cursor_of_the_next_page_is_read() {
        let links = "<https://evil.example/x?cursor=v1_12&per_page=100>; rel=\"next\", <https://a.example>; rel=\"prev\"";
        let headers = |links: &str| HeaderMap::from_iter([(LINK, links.parse().unwrap())]);
        assert_eq!(next_cursor(&headers(links)).as_deref(), Some("v1_12"));
        assert_eq!(next_cursor(&headers("<https://a.example?cursor=1>; rel=\"prev\"")), None);
        assert_eq!(next_cursor(&HeaderMap::new()), None);
    }

    #[test]
    fn a_rate_limit_states_when_it_ends() {
        let now = Timestamp::from_second(1000).unwrap();
        let until = |pairs: &[(&'static str, &str)]| {
            let headers = pairs
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
            limited_until(&headers.collect(), now).map(Timestamp::as_second)
        };
        assert_eq!(until(&[("retry-after", "30")]), Some(1030));
        assert_eq!(until(&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1500")]), Some(1500));
        assert_eq!(until(&[("x-ratelimit-remaining", "0")]), Some(1060));
        assert_eq!(until(&[("x-ratelimit-remaining", "5"), ("x-ratelimit-reset", "1500")]), None);
    }
}
