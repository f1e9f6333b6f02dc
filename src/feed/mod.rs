//! The job **feed**: the log, read over HTTP.
//!
//! A [`Feed`] answers `GET /api/v1/events/message`, the search that senders of email know, and the older
//! `GET /api/v1/message-events`. The function and `hookbridge serve` are two ways to the same [`Feed::answer`]. Who may
//! read what is decided before anything is looked at: email addresses are personal data.

mod access;
mod cursor;
mod environment;
mod function;
mod parameters;
mod result;

use http::{Method, StatusCode};
use jiff::Timestamp;
use tracing::error;

pub use access::{Access, Scope, Token, Tokens};
pub use environment::Environment;
pub use function::{FeedAnswer, FeedFunction};

use crate::log::{Log, LogError, Order, Page};
use cursor::Cursor;
use parameters::{Api, Asked, BadParameter};

/// An answer ends before it is larger than this, in bytes of its results as a string of JSON: a function's may have 6 MB.
const LARGEST: usize = 5_000_000;

/// Answers searches in a log.
pub struct Feed<L> {
    /// What is searched.
    pub log: L,
    /// Who may.
    pub access: Access,
}

/// A request, as far as it matters here.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, from the first slash.
    pub path: &'a str,
    /// Its query, without the question mark.
    pub query: &'a str,
    /// Its `Authorization`, if it has one.
    pub authorization: Option<&'a str>,
    /// Whether AWS has checked its signature (a Function URL with IAM).
    pub is_signed: bool,
}

/// What is answered: JSON.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Headers besides the content type.
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body.
    pub body: String,
}

impl Answer {
    fn error(status: StatusCode, message: &str) -> Self {
        let body = serde_json::json!({"errors": [{"message": message}]}).to_string();
        Self { status, headers: Vec::new(), body }
    }

    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

/// The paths there are.
pub const PATHS: [&str; 2] = ["/api/v1/events/message", "/api/v1/message-events"];

impl<L: Log> Feed<L> {
    /// Answers a request.
    pub async fn answer(&self, request: Request<'_>) -> Answer {
        let scope = match self.access.of(request.authorization, request.is_signed).await {
            Ok(Some(scope)) => scope,
            Ok(None) => {
                let answer = Answer::error(StatusCode::UNAUTHORIZED, "Unauthorized.");
                return answer.with("www-authenticate", "Bearer");
            }
            Err(why) => {
                error!(error = why.to_string(), "nobody can be let in");
                return Answer::error(StatusCode::SERVICE_UNAVAILABLE, "Try again later.")
                    .with("retry-after", "5");
            }
        };
        let api = match request.path.trim_end_matches('/') {
            path if path == PATHS[0] => Api::Events,
            path if path == PATHS[1] => Api::MessageEvents,
            _ => return Answer::error(StatusCode::NOT_FOUND, &format!("There are: {}.", PATHS.join(", "))),
        };
        if request.method != Method::GET {
            return Answer::error(StatusCode::METHOD_NOT_ALLOWED, "Only GET is answered.")
                .with("allow", "GET");
        }
        let mut asked = match Asked::read(api, request.query, Timestamp::now()) {
            Ok(asked) => asked,
            Err(BadParameter(why)) => return Answer::error(StatusCode::BAD_REQUEST, &why),
        };
        if !scope.narrow(&mut asked.search) {
            return Answer::error(StatusCode::FORBIDDEN, "This token does not read message events.");
        }
        match self.page(&asked).await {
            Ok(Ok(body)) => Answer { status: StatusCode::OK, headers: Vec::new(), body },
            Ok(Err(BadParameter(why))) => Answer::error(StatusCode::BAD_REQUEST, &why),
            Err(why) => {
                error!(error = why.to_string(), "a search failed");
                let status = match why {
                    LogError::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
                    LogError::Credentials(_) | LogError::Refused(_) => StatusCode::INTERNAL_SERVER_ERROR,
                };
                Answer::error(status, "The log cannot be read now. Try again later.").with("retry-after", "5")
            }
        }
    }

    async fn page(&self, asked: &Asked) -> Result<Result<String, BadParameter>, LogError> {
        let (after, known) = match &asked.cursor {
            Some(cursor) => (Some(cursor.after.clone()), Some(cursor.total)),
            None => (None, None),
        };
        let total = async {
            match known {
                Some(total) => Ok(total),
                None => self.log.count(&asked.search).await,
            }
        };
        let page = Page {
            order: Order::NewestFirst,
            after,
            offset: asked.offset(),
            // One more than is shown tells whether there are more.
            limit: asked.per_page + 1,
        };
        let (total, found) = tokio::try_join!(total, self.log.search(&asked.search, &page))?;
        let mut results = String::new();
        let (mut shown, mut size) = (0_usize, 0);
        for event in found.iter().take(usize::try_from(asked.per_page).unwrap_or(usize::MAX)) {
            let mut result = result::of(event);
            if in_json(&result) > LARGEST {
                result = result::without_detail(event);
            }
            size += in_json(&result) + 1;
            if size > LARGEST {
                // What an older page holds is counted by its number: only a cursor can end it early.
                if asked.api == Api::MessageEvents {
                    let why = "per_page is too large for the events that are found";
                    return Ok(Err(BadParameter(why.into())));
                }
                break;
            }
            if shown > 0 {
                results.push(',');
            }
            results.push_str(&result);
            shown += 1;
        }
        let last = found.get(shown.wrapping_sub(1)).filter(|_| shown < found.len());
        let next = last.map(|last| asked.next(&Cursor { after: last.key.clone(), total }));
        let links = match (asked.api, next) {
            (Api::Events, None) => "{}".to_owned(),
            (Api::Events, Some(next)) => serde_json::json!({"next": next}).to_string(),
            (Api::MessageEvents, None) => "[]".to_owned(),
            (Api::MessageEvents, Some(next)) => {
                serde_json::json!([{"href": next, "rel": "next"}]).to_string()
            }
        };
        // Both were asked at once, and more may have come in between.
        let total = total.max(shown as u64);
        Ok(Ok(format!(r#"{{"results":[{results}],"total_count":{total},"links":{links}}}"#)))
    }
}

/// The size of a text of JSON as a string in JSON.
fn in_json(text: &str) -> usize {
    text.len() + text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count()
}
