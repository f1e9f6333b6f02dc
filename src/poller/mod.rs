//! The job **poller**: asks a provider for the events it has had, so that those whose webhooks were missed are recorded too.
//!
//! A [`Poller`] goes through time once, in windows that end some minutes ago, so that a webhook has had its chance; each
//! window begins before the end of the one before it, because a provider may show an event late. What the provider answers is
//! kept in the archive as it came, page by page, and from there goes the way of every batch: what the log has it does not
//! record again, and what is new there was missed. How far the poller is stands in its [`MarkPlace`], written after each page is
//! kept, so that whatever ends it on the way, it goes on where it was.

mod environment;
mod function;
mod mark;

use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest as _, Sha256};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

pub use environment::Environment;
pub use function::PollerFunction;
pub use mark::{Mark, MarkPlace, Window};

use crate::archive::{Archive, Batch};
use crate::call::CallError;
use crate::http_client;
use crate::output::chain;
use crate::providers::{JSON, NotAPage, Polling, Provider};
use crate::secrets::Secret;

/// The largest answer that is read, in bytes.
const LARGEST: usize = 64 << 20;
/// Less time than this is not worth another page.
const A_PAGE: Duration = Duration::from_secs(5);

/// Asks one provider.
pub struct Poller {
    /// Whom.
    pub provider: &'static Provider,
    /// How; that provider's.
    pub polling: &'static Polling,
    /// Scheme and host, where they are not the usual ones: SparkPost has them by region.
    pub base: Option<BaseUrl>,
    /// Where what it answers is kept.
    pub archive: Archive,
    /// Where it stands how far this is.
    pub mark: MarkPlace,
    /// How long a webhook is given to come before its event is asked for.
    pub delay: SignedDuration,
    /// How far before its first time the first poll begins.
    pub back: SignedDuration,
}

/// Scheme and host of a provider's API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseUrl(String);

/// A text that is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is written https://HOST, without a path")]
pub struct BaseUrlError;

/// What one poll came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// Pages that were answered.
    pub pages: usize,
    /// Events on them, those that are known included.
    pub events: usize,
    /// Up to when everything was asked for.
    pub until: Timestamp,
    /// Whether there is more that can be asked for now.
    pub is_more: bool,
}

/// Why a poll ended early. What was kept until then is kept, and the next poll goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// The key cannot be one.
    #[error("the API key holds what no header can")]
    Key,
    /// There is no client.
    #[error("no HTTP client: {}", chain(.0))]
    Client(#[source] reqwest::Error),
    /// Nobody answered.
    #[error("{url} did not answer: {why}")]
    NoAnswer {
        /// Who, without the query.
        url: String,
        /// What happened.
        why: String,
    },
    /// The key is not taken.
    #[error(
        "{url} refused the API key ({status}): is it of this account and region, and may it read events?"
    )]
    Refused {
        /// Who.
        url: String,
        /// What it answered.
        status: StatusCode,
    },
    /// Another answer than a page.
    #[error("{url} answered {status}")]
    Answered {
        /// Who.
        url: String,
        /// What it answered.
        status: StatusCode,
    },
    /// An answer that is too large.
    #[error("{url} answered with more than {LARGEST} bytes")]
    TooLarge {
        /// Who.
        url: String,
    },
    /// An answer that is no page.
    #[error("{url}: {error}")]
    NotAPage {
        /// Who.
        url: String,
        /// What is wrong with it.
        error: NotAPage,
    },
    /// It cannot be read or written how far this is.
    #[error("the mark: {0}")]
    Mark(CallError),
    /// A page was not kept.
    #[error("the archive: {0}")]
    Archive(CallError),
}

impl Poller {
    /// Asks with `key` for what there is up to now, page by page, and stops before `deadline`.
    ///
    /// # Errors
    /// [`PollError`].
    pub async fn poll(&self, key: &Secret, deadline: Instant) -> Result<Polled, PollError> {
        let now = seconds(Timestamp::now());
        let latest = earlier(now, self.delay);
        let mut mark = match self.mark.read(deadline).await.map_err(PollError::Mark)? {
            Some(mark) => mark,
            None => {
                let start = earlier(latest, self.back);
                let mark = Mark { start, until: start, window: None };
                self.mark.write(&mark, deadline).await.map_err(PollError::Mark)?;
                mark
            }
        };
        let mut polled = Polled { pages: 0, events: 0, until: mark.until, is_more: false };
        let request = Request::new(self, key)?;
        loop {
            let window = match mark.window.take() {
                Some(window) => window,
                None if mark.until < latest => self.next_window(&mark, now, latest),
                None => return Ok(polled),
            };
            if deadline.saturating_duration_since(Instant::now()) < A_PAGE {
                polled.is_more = true;
                return Ok(polled);
            }
            let first = self.polling.query(window.from, window.until);
            let answer = request.send(window.page.as_ref().unwrap_or(&first), deadline).await;
            if let Err(PollError::Answered { status, .. }) = &answer
                && status.is_client_error()
                && *status != StatusCode::TOO_MANY_REQUESTS
                && window.page.is_some()
            {
                // What leads to the next page is no longer good: the window is begun anew.
                let anew = Mark { window: Some(Window { page: None, ..window.clone() }), ..mark.clone() };
                self.mark.write(&anew, deadline).await.map_err(PollError::Mark)?;
            }
            let answer = answer?;
            let events = self.keep(&window, &answer, &request.url, deadline).await?;
            polled.pages += 1;
            polled.events += events;
            match self.polling.next_after(&answer, &first) {
                Some(page) if window.page.as_ref() != Some(&page) => {
                    mark.window = Some(Window { page: Some(page), ..window });
                }
                _ => mark.until = window.until,
            }
            polled.until = mark.until;
            self.mark.write(&mark, deadline).await.map_err(PollError::Mark)?;
        }
    }

    /// Up to when everything was asked for, as far as is known.
    pub async fn until(&self, deadline: Instant) -> Option<Timestamp> {
        self.mark.read(deadline).await.ok().flatten().map(|mark| mark.until)
    }

    /// The window that comes after what was asked for. It begins as much earlier as a window ends before now, but not before
    /// the first one did.
    fn next_window(&self, mark: &Mark, now: Timestamp, latest: Timestamp) -> Window {
        let from = earlier(mark.until, self.delay).max(mark.start);
        let kept = earlier(now, SignedDuration::from_hours(24 * i64::from(self.polling.kept_days)));
        if mark.until < kept {
            let (until, kept) = (mark.until.to_string(), kept.to_string());
            warn!(
                provider = self.provider.name,
                from = until,
                to = kept,
                "too late: events are no longer to be had"
            );
        }
        Window { from: from.max(kept), until: latest, page: None }
    }

    /// Keeps a page, if there is anything on it, and returns how many events that is.
    async fn keep(
        &self,
        window: &Window,
        answer: &str,
        url: &str,
        deadline: Instant,
    ) -> Result<usize, PollError> {
        let events = self.polling.events_of(answer);
        let events = events.map_err(|error| PollError::NotAPage { url: url.to_owned(), error })?.len();
        if events > 0 {
            let hash = hex::encode(&Sha256::digest(answer)[..16]);
            let batch = Batch {
                provider: self.provider.name,
                id: Some(format!("{}-{hash}", window.until.strftime("%Y%m%dT%H%M%SZ")).into_bytes()),
                polled: true,
                received: Timestamp::now(),
                headers: vec![("content-type", JSON.to_owned())],
                body: Bytes::copy_from_slice(answer.as_bytes()),
            };
            // New or not: it is there.
            self.archive.keep(&batch, deadline).await.map_err(PollError::Archive)?;
        }
        Ok(events)
    }
}

/// What is asked, but for the query.
struct Request {
    client: reqwest::Client,
    url: String,
    authorization: HeaderValue,
}

impl Request {
    fn new(poller: &Poller, key: &Secret) -> Result<Self, PollError> {
        let base = poller.base.as_ref().map_or(poller.polling.base, |base| &base.0);
        let mut value = poller.polling.before_key.as_bytes().to_vec();
        value.extend_from_slice(key.expose());
        let mut authorization = HeaderValue::from_bytes(&value).map_err(|_| PollError::Key)?;
        authorization.set_sensitive(true);
        let client = http_client::to(host_of(base)).map_err(PollError::Client)?;
        Ok(Self { client, url: format!("{base}{}", poller.polling.path), authorization })
    }

    async fn send(&self, query: &str, deadline: Instant) -> Result<String, PollError> {
        let url = || self.url.clone();
        let no_answer = |why: String| PollError::NoAnswer { url: url(), why };
        let asking = async {
            let failed = |error: reqwest::Error| no_answer(chain(&error.without_url()));
            let request = self.client.get(format!("{}?{query}", self.url));
            let mut answer =
                request.header(AUTHORIZATION, self.authorization.clone()).send().await.map_err(failed)?;
            match answer.status() {
                StatusCode::OK => {}
                status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                    return Err(PollError::Refused { url: url(), status });
                }
                status => return Err(PollError::Answered { url: url(), status }),
            }
            let mut body = Vec::new();
            while let Some(chunk) = answer.chunk().await.map_err(failed)? {
                if body.len() + chunk.len() > LARGEST {
                    return Err(PollError::TooLarge { url: url() });
                }
                body.extend_from_slice(&chunk);
            }
            Ok(String::from_utf8_lossy(&body).into_owned())
        };
        timeout_at(deadline, asking)
            .await
            .unwrap_or_else(|_| Err(no_answer("not in the time there was".into())))
    }
}

impl std::str::FromStr for BaseUrl {
    type Err = BaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let url = reqwest::Url::parse(text).map_err(|_| BaseUrlError)?;
        let is_base = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let is_open = url.username().is_empty() && url.password().is_none();
        // A key goes over an open line to this machine only.
        let is_safe =
            url.scheme() == "https" || (url.scheme() == "http" && http_client::is_here(host_of(text)));
        if !is_base || !is_open || !is_safe || url.host_str().is_none() {
            return Err(BaseUrlError);
        }
        Ok(Self(text.trim_end_matches('/').to_owned()))
    }
}

/// The host of a base URL, without the port.
fn host_of(base: &str) -> &str {
    let authority = base.split_once("://").map_or(base, |(_, rest)| rest).trim_end_matches('/');
    match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    }
}

fn seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn earlier(time: Timestamp, by: SignedDuration) -> Timestamp {
    time.checked_sub(by).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_over_tls_or_stays_on_this_machine() {
        for good in [
            "https://api.eu.sparkpost.com",
            "https://api.stripe.com/",
            "http://127.0.0.1:4010",
            "http://[::1]:1",
        ] {
            assert!(good.parse::<BaseUrl>().is_ok(), "{good}");
        }
        for bad in [
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
            assert_eq!(bad.parse::<BaseUrl>(), Err(BaseUrlError), "{bad}");
        }
    }
}
