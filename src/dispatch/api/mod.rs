//! Subscribers and deliveries over HTTP: what the commands do, for programs. A server shows it, or a function (`function`).

mod function;
mod input;

use http::{HeaderName, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::error;

pub use function::ApiFunction;

use crate::access::{Access, Admitted, Scope};
use crate::dispatch::manage::{Changes, LONGEST_OVERLAP, ManageError, Manager};
use crate::dispatch::store::{DeliveryFilter, State};
use crate::dispatch::subscriber::NoSigner;
use crate::dispatch::view;
use crate::log::{LogError, SqlExecutor};
use crate::secrets::Secret;

/// Deliveries of a page, when it is not said how many, and at most.
const PAGE: (usize, usize) = (100, 1000);
/// The largest body that is taken, in bytes.
const LARGEST_BODY: usize = 64 * 1024;
/// How long an old secret signs too when it is not said, in hours.
const OVERLAP: i64 = 24;

/// The paths that are answered; what stands behind a slash is theirs too.
pub const PATHS: [&str; 2] = ["/subscribers", "/deliveries"];

/// Answers over HTTP.
pub struct Api<S> {
    /// Who does it.
    pub manager: Manager<S>,
    /// Who may ask for it. A token that reads some sources only may not.
    pub access: Access,
}

/// An answer. It can hold a secret, which is shown once: it has no `Debug`.
pub struct ApiAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: Vec<(HeaderName, &'static str)>,
    /// JSON, or nothing.
    pub body: String,
}

/// A new subscriber, besides its settings.
#[derive(Deserialize)]
struct New {
    name: String,
    #[serde(default)]
    secret: Option<String>,
}

/// How a secret is rotated.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Rotation {
    overlap_hours: Option<i64>,
}

/// Which deliveries are meant.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Which {
    subscriber: Option<String>,
    event: Option<String>,
    status: Option<State>,
    #[serde(deserialize_with = "input::time")]
    since: Option<Timestamp>,
    #[serde(deserialize_with = "input::time")]
    until: Option<Timestamp>,
    before: Option<i64>,
    limit: Option<usize>,
}

/// Why nothing was done.
enum NotDone {
    Bad(String),
    NotFound(String),
    NotAllowed(&'static str),
    Manage(ManageError),
}

impl From<ManageError> for NotDone {
    fn from(error: ManageError) -> Self {
        Self::Manage(error)
    }
}

impl From<String> for NotDone {
    fn from(why: String) -> Self {
        Self::Bad(why)
    }
}

impl From<LogError> for NotDone {
    fn from(error: LogError) -> Self {
        Self::Manage(error.into())
    }
}

impl NotDone {
    fn answer(self) -> ApiAnswer {
        let (status, why) = match self {
            Self::Bad(why) => (StatusCode::BAD_REQUEST, why),
            Self::NotFound(why) => (StatusCode::NOT_FOUND, why),
            Self::NotAllowed(methods) => {
                let why = format!("Only {methods} is answered.");
                return ApiAnswer::error(StatusCode::METHOD_NOT_ALLOWED, &why).with(header::ALLOW, methods);
            }
            Self::Manage(why) => {
                let status = match &why {
                    ManageError::Unknown(_) => StatusCode::NOT_FOUND,
                    ManageError::Exists(_) | ManageError::Conflict(_) | ManageError::Already(..) => {
                        StatusCode::CONFLICT
                    }
                    ManageError::NoUrl
                    | ManageError::Settings(_)
                    | ManageError::Refused(_)
                    | ManageError::Secret(_)
                    | ManageError::ShortSecret
                    | ManageError::Filter(_)
                    | ManageError::NoSigner(NoSigner::Secret(_)) => StatusCode::BAD_REQUEST,
                    ManageError::Key(_)
                    | ManageError::NotAgain(..)
                    | ManageError::NoSigner(NoSigner::Key(_)) => StatusCode::INTERNAL_SERVER_ERROR,
                    ManageError::Keys(_) | ManageError::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
                };
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    error!(error = why.to_string(), "subscriber request failed");
                    return ApiAnswer::error(status, "Service unavailable; try again later.")
                        .with(header::RETRY_AFTER, "5");
                }
                (status, why.to_string())
            }
        };
        ApiAnswer::error(status, &why)
    }
}

impl ApiAnswer {
    fn json(status: StatusCode, value: &Value) -> Self {
        let headers = vec![(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        Self { status, headers, body: format!("{value}\n") }
    }

    /// Why it was not done.
    fn error(status: StatusCode, why: &str) -> Self {
        Self::json(status, &json!({"errors": [{"message": why}]}))
    }

    fn with(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

fn ok(value: &Value) -> Result<ApiAnswer, NotDone> {
    Ok(ApiAnswer::json(StatusCode::OK, value))
}

impl<S: SqlExecutor> Api<S> {
    /// Lets a request in, by its `Authorization` or because AWS has checked its signature; says what its token is known by.
    ///
    /// # Errors
    /// The answer, when it is not let in.
    pub async fn admit(
        &self,
        authorization: Option<&str>,
        is_signed: bool,
    ) -> Result<Option<String>, ApiAnswer> {
        match self.access.of(authorization, is_signed).await {
            Ok(Some(Admitted { token, scope: Scope::Everything })) => Ok(token),
            Ok(Some(_)) => {
                Err(ApiAnswer::error(StatusCode::FORBIDDEN, "This token reads some sources only."))
            }
            Ok(None) => Err(ApiAnswer::error(StatusCode::UNAUTHORIZED, "Unauthorized.")
                .with(header::WWW_AUTHENTICATE, "Bearer")),
            Err(why) => {
                error!(
                    error = why.to_string(),
                    "cannot authenticate requests: the token secret is unavailable"
                );
                Err(ApiAnswer::error(StatusCode::SERVICE_UNAVAILABLE, "Try again later.")
                    .with(header::RETRY_AFTER, "5"))
            }
        }
    }

    /// Answers a request that was let in: its path from the first slash, and its query without the question mark.
    pub async fn answer(&self, method: &Method, path: &str, query: &str, body: &[u8]) -> ApiAnswer {
        if body.len() > LARGEST_BODY {
            return ApiAnswer::error(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KB.");
        }
        let parts: Vec<_> = path.trim_end_matches('/').split('/').skip(1).collect();
        let answer = match parts.as_slice() {
            ["subscribers", parts @ ..] => self.subscribers(method, parts, body).await,
            ["deliveries", parts @ ..] => self.deliveries(method, parts, query, body).await,
            _ => Err(NotDone::NotFound("There are: /subscribers, /deliveries.".into())),
        };
        answer.unwrap_or_else(NotDone::answer)
    }

    async fn subscribers(&self, method: &Method, parts: &[&str], body: &[u8]) -> Result<ApiAnswer, NotDone> {
        let now = (self.manager.clock)();
        match (parts, method) {
            ([], &Method::GET) => {
                let all = self.manager.store.subscribers(None).await?;
                let data: Vec<_> = all.iter().map(|one| view::subscriber(one, now)).collect();
                ok(&json!({"object": "list", "data": data}))
            }
            ([], &Method::POST) => {
                let mut settings: serde_json::Map<String, Value> = input::read(body)?;
                let ours = ["name", "secret"].into_iter().filter_map(|name| settings.remove_entry(name));
                let New { name, secret } = input::read_value(Value::Object(ours.collect()))?;
                let changes: Changes = input::read_value(Value::Object(settings)).map_err(|why| {
                    // Of this one there are two more.
                    match why.strip_prefix("unknown field ") {
                        Some(_) => why.replace("expected one of ", "expected one of `name`, `secret`, "),
                        None => why,
                    }
                })?;
                let is_given = secret.is_some();
                let (made, secret) = self.manager.create(&name, changes, secret.map(Secret::new)).await?;
                let shown = view::subscriber(&made, now);
                let shown = if is_given { shown } else { with_secret(shown, &secret) };
                Ok(ApiAnswer::json(StatusCode::CREATED, &shown))
            }
            ([], _) => Err(NotDone::NotAllowed("GET, POST")),
            ([name], &Method::GET) => ok(&view::subscriber(&self.manager.find(name).await?, now)),
            ([name], &Method::PATCH) => {
                ok(&view::subscriber(&self.manager.update(name, input::read(body)?).await?, now))
            }
            ([name], &Method::DELETE) => {
                self.manager.remove(name).await?;
                Ok(ApiAnswer { status: StatusCode::NO_CONTENT, headers: Vec::new(), body: String::new() })
            }
            ([_], _) => Err(NotDone::NotAllowed("GET, PATCH, DELETE")),
            ([name, "pause"], &Method::POST) => ok(&view::subscriber(&self.manager.pause(name).await?, now)),
            ([name, "resume"], &Method::POST) => {
                ok(&view::subscriber(&self.manager.resume(name).await?, now))
            }
            ([name, "test"], &Method::POST) => ok(&view::test(&self.manager.test(name).await?)),
            ([name, "rotate-secret"], &Method::POST) => {
                let Rotation { overlap_hours } =
                    if body.is_empty() { Rotation::default() } else { input::read(body)? };
                let hours = overlap_hours.unwrap_or(OVERLAP);
                let most = LONGEST_OVERLAP.as_hours();
                if !(0..=most).contains(&hours) {
                    return Err(NotDone::Bad(format!("overlap_hours is not from 0 to {most}")));
                }
                let secret = self.manager.rotate(name, SignedDuration::from_hours(hours)).await?;
                ok(&with_secret(view::subscriber(&self.manager.find(name).await?, now), &secret))
            }
            ([_, "pause" | "resume" | "test" | "rotate-secret"], _) => Err(NotDone::NotAllowed("POST")),
            _ => Err(NotDone::NotFound(
                "Of a subscriber there are: pause, resume, rotate-secret, test.".into(),
            )),
        }
    }

    async fn deliveries(
        &self,
        method: &Method,
        parts: &[&str],
        query: &str,
        body: &[u8],
    ) -> Result<ApiAnswer, NotDone> {
        let store = &self.manager.store;
        let now = (self.manager.clock)();
        match (parts, method) {
            ([], &Method::GET) => {
                let which = Which::of_query(query)?;
                self.check(&which).await?;
                let limit = which.limit.unwrap_or(PAGE.0);
                if !(1..=PAGE.1).contains(&limit) {
                    return Err(NotDone::Bad(format!("limit is not from 1 to {}", PAGE.1)));
                }
                let mut found = store.deliveries(&which.filter(), limit + 1).await?;
                let has_more = found.len() > limit;
                found.truncate(limit);
                let data: Vec<_> = found.iter().map(view::delivery).collect();
                ok(&json!({"object": "list", "data": data, "has_more": has_more}))
            }
            ([what @ ("retry" | "cancel")], &Method::POST) => {
                let mut which: Which = input::read(body)?;
                self.check(&which).await?;
                let (subscriber, event) = (which.subscriber.is_some(), which.event.is_some());
                if !subscriber && !event && which.since.is_none() && which.status.is_none() {
                    let why = "say which: at least one of subscriber, event, status and since";
                    return Err(NotDone::Bad(why.into()));
                }
                if which.limit.is_some() || which.before.is_some() {
                    return Err(NotDone::Bad("limit and before are for lists".into()));
                }
                if *what == "retry" {
                    which.status = which.status.or(Some(State::Failed));
                }
                let done = self.done(what, &which.filter(), None, now).await?;
                ok(&json!({"object": "done", "deliveries": done}))
            }
            ([_], &Method::GET) | ([_, "retry" | "cancel"], &Method::POST) => {
                let unknown = || NotDone::NotFound(format!("there is no delivery {}", parts[0]));
                let id = parts[0].parse().map_err(|_| unknown())?;
                if let [_, what] = parts {
                    store.delivery(id).await?.ok_or_else(unknown)?;
                    let done = self.done(what, &DeliveryFilter::default(), Some(id), now).await?;
                    if done == 0 {
                        let why = if *what == "retry" {
                            "the delivery is in flight, or its subscriber was deleted"
                        } else {
                            "it does not wait"
                        };
                        return Ok(ApiAnswer::error(StatusCode::CONFLICT, why));
                    }
                }
                let (delivery, attempts) = store.delivery(id).await?.ok_or_else(unknown)?;
                ok(&view::audited(&delivery, &attempts))
            }
            ([], _) | ([_], _) => Err(NotDone::NotAllowed("GET")),
            ([_, "retry" | "cancel"], _) => Err(NotDone::NotAllowed("POST")),
            _ => Err(NotDone::NotFound("Of a delivery there are: retry, cancel.".into())),
        }
    }

    /// Checks that whose deliveries are meant is, or was, somebody.
    async fn check(&self, which: &Which) -> Result<(), NotDone> {
        if [&which.subscriber, &which.event].into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(NotDone::Bad("subscriber or event holds a NUL".into()));
        }
        match &which.subscriber {
            Some(name) if !self.manager.store.is_known(name).await? => {
                Err(ManageError::Unknown(name.clone()).into())
            }
            _ => Ok(()),
        }
    }

    async fn done(
        &self,
        what: &str,
        filter: &DeliveryFilter,
        id: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, LogError> {
        match what {
            "retry" => self.manager.store.retry(filter, id, now).await,
            _ => self.manager.store.cancel(filter, id).await,
        }
    }
}

impl Which {
    fn of_query(query: &str) -> Result<Self, NotDone> {
        let mut fields = serde_json::Map::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_encoding::percent_decode_str(&value.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned();
            let value = match name {
                "before" | "limit" => value.parse::<i64>().map(Value::from).unwrap_or_default(),
                _ => value.into(),
            };
            if value.is_null() || fields.insert(name.to_owned(), value).is_some() {
                return Err(NotDone::Bad(format!("{name} is not a number, or is there twice")));
            }
        }
        Ok(input::read_value(Value::Object(fields))?)
    }

    fn filter(self) -> DeliveryFilter {
        let Self { subscriber, event, status, since, until, before, limit: _ } = self;
        DeliveryFilter { subscriber, event, state: status, since, until, before }
    }
}

fn with_secret(mut shown: Value, secret: &Secret) -> Value {
    shown["secret"] = String::from_utf8_lossy(secret.expose()).into();
    shown
}
