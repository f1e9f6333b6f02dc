//! The HTTP API for subscribers and deliveries, served by `hookbridge serve` and by the function `subscribers`.

mod function;
mod input;

use http::{HeaderName, Method, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use tracing::error;

pub use function::ApiFunction;

use crate::auth::{AuthenticatedToken, Authenticator, TokenScope};
use crate::delivery::store::{DeliveryFilter, DeliveryState};
use crate::delivery::subscriber::SignerError;
use crate::delivery::subscriber_service::{
    MAX_OVERLAP, SubscriberService, SubscriberServiceError, SubscriberUpdate,
};
use crate::delivery::view;
use crate::log::{LogError, SqlExecutor};
use crate::secrets::Secret;

/// Deliveries of a page: default and maximum.
const PAGE_LIMITS: (usize, usize) = (100, 1000);
const MAX_BODY_BYTES: usize = 64 * 1024;
const DEFAULT_OVERLAP_HOURS: i64 = 24;

/// The first path segments of the API.
pub const ROUTE_PREFIXES: [&str; 2] = ["/subscribers", "/deliveries"];

pub struct Api<S> {
    pub service: SubscriberService<S>,
    /// Tokens that are limited to some sources are rejected.
    pub access: Authenticator,
}

/// A response. It may contain a new secret, so it has no `Debug`.
pub struct ApiResponse {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, &'static str)>,
    /// JSON, or empty.
    pub body: String,
}

/// The body of `POST /subscribers`, beside the settings.
#[derive(Deserialize)]
struct CreateRequest {
    name: String,
    #[serde(default)]
    secret: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RotateSecretRequest {
    overlap_hours: Option<i64>,
}

/// The query of the routes below `/deliveries`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DeliveryQuery {
    subscriber: Option<String>,
    event: Option<String>,
    status: Option<DeliveryState>,
    #[serde(deserialize_with = "input::deserialize_time")]
    since: Option<Timestamp>,
    #[serde(deserialize_with = "input::deserialize_time")]
    until: Option<Timestamp>,
    before: Option<i64>,
    limit: Option<usize>,
}

enum ApiError {
    BadRequest(String),
    NotFound(String),
    MethodNotAllowed(&'static str),
    Service(SubscriberServiceError),
}

impl From<SubscriberServiceError> for ApiError {
    fn from(error: SubscriberServiceError) -> Self {
        Self::Service(error)
    }
}

impl From<String> for ApiError {
    fn from(why: String) -> Self {
        Self::BadRequest(why)
    }
}

impl From<LogError> for ApiError {
    fn from(error: LogError) -> Self {
        Self::Service(error.into())
    }
}

impl ApiError {
    fn into_response(self) -> ApiResponse {
        let (status, why) = match self {
            Self::BadRequest(why) => (StatusCode::BAD_REQUEST, why),
            Self::NotFound(why) => (StatusCode::NOT_FOUND, why),
            Self::MethodNotAllowed(methods) => {
                let why = format!("Use {methods}.");
                return ApiResponse::error(StatusCode::METHOD_NOT_ALLOWED, &why)
                    .with_header(header::ALLOW, methods);
            }
            Self::Service(why) => {
                let status = match &why {
                    SubscriberServiceError::NotFound(_) => StatusCode::NOT_FOUND,
                    SubscriberServiceError::NameTaken(_)
                    | SubscriberServiceError::Conflict(_)
                    | SubscriberServiceError::UnchangedState(..) => StatusCode::CONFLICT,
                    SubscriberServiceError::MissingUrl
                    | SubscriberServiceError::Settings(_)
                    | SubscriberServiceError::BlockedUrl(_)
                    | SubscriberServiceError::InvalidSecret(_)
                    | SubscriberServiceError::ShortSecret
                    | SubscriberServiceError::Filter(_)
                    | SubscriberServiceError::Signer(SignerError::Secret(_)) => StatusCode::BAD_REQUEST,
                    SubscriberServiceError::Key(_)
                    | SubscriberServiceError::Reencrypt(..)
                    | SubscriberServiceError::Signer(SignerError::Key(_)) => {
                        StatusCode::INTERNAL_SERVER_ERROR
                    }
                    SubscriberServiceError::Keys(_) | SubscriberServiceError::Store(_) => {
                        StatusCode::SERVICE_UNAVAILABLE
                    }
                };
                if status == StatusCode::SERVICE_UNAVAILABLE {
                    error!(error = why.to_string(), "subscriber request failed");
                    return ApiResponse::error(status, "Service unavailable; try again later.")
                        .with_header(header::RETRY_AFTER, "5");
                }
                (status, why.to_string())
            }
        };
        ApiResponse::error(status, &why)
    }
}

impl ApiResponse {
    fn json(status: StatusCode, value: &Value) -> Self {
        let headers = vec![(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        Self { status, headers, body: format!("{value}\n") }
    }

    fn error(status: StatusCode, why: &str) -> Self {
        Self::json(status, &json!({"errors": [{"message": why}]}))
    }

    fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

fn ok(value: &Value) -> Result<ApiResponse, ApiError> {
    Ok(ApiResponse::json(StatusCode::OK, value))
}

impl<S: SqlExecutor> Api<S> {
    /// Authenticates a request by its `Authorization` header or by AWS's own check of its signature. Returns the token's name.
    ///
    /// # Errors
    /// The response to a request that is rejected.
    pub async fn authenticate(
        &self,
        authorization: Option<&str>,
        is_signed: bool,
    ) -> Result<Option<String>, ApiResponse> {
        match self.access.authenticate(authorization, is_signed).await {
            Ok(Some(AuthenticatedToken { token, scope: TokenScope::AllSources })) => Ok(token),
            Ok(Some(_)) => {
                Err(ApiResponse::error(StatusCode::FORBIDDEN, "This token is limited to some sources."))
            }
            Ok(None) => Err(ApiResponse::error(StatusCode::UNAUTHORIZED, "Unauthorized.")
                .with_header(header::WWW_AUTHENTICATE, "Bearer")),
            Err(why) => {
                error!(
                    error = why.to_string(),
                    "cannot authenticate requests: the token secret is unavailable"
                );
                Err(ApiResponse::error(StatusCode::SERVICE_UNAVAILABLE, "Try again later.")
                    .with_header(header::RETRY_AFTER, "5"))
            }
        }
    }

    /// Handles an authenticated request. `path` begins with a slash, `query` has no question mark.
    pub async fn handle(&self, method: &Method, path: &str, query: &str, body: &[u8]) -> ApiResponse {
        if body.len() > MAX_BODY_BYTES {
            return ApiResponse::error(StatusCode::PAYLOAD_TOO_LARGE, "The body is larger than 64 KB.");
        }
        let parts: Vec<_> = path.trim_end_matches('/').split('/').skip(1).collect();
        let answer = match parts.as_slice() {
            ["subscribers", parts @ ..] => self.subscribers(method, parts, body).await,
            ["deliveries", parts @ ..] => self.deliveries(method, parts, query, body).await,
            _ => Err(ApiError::NotFound("Not found. Use /subscribers or /deliveries.".into())),
        };
        answer.unwrap_or_else(ApiError::into_response)
    }

    async fn subscribers(
        &self,
        method: &Method,
        parts: &[&str],
        body: &[u8],
    ) -> Result<ApiResponse, ApiError> {
        let now = (self.service.clock)();
        match (parts, method) {
            ([], &Method::GET) => {
                let all = self.service.store.list_subscribers(None).await?;
                let data: Vec<_> = all.iter().map(|one| view::subscriber_json(one, now)).collect();
                ok(&json!({"object": "list", "data": data}))
            }
            ([], &Method::POST) => {
                let mut settings: serde_json::Map<String, Value> = input::parse_body(body)?;
                let ours = ["name", "secret"].into_iter().filter_map(|name| settings.remove_entry(name));
                let CreateRequest { name, secret } = input::parse_value(Value::Object(ours.collect()))?;
                let changes: SubscriberUpdate =
                    input::parse_value(Value::Object(settings)).map_err(|why| {
                        // `CreateRequest` has two more fields.
                        match why.strip_prefix("unknown field ") {
                            Some(_) => why.replace("expected one of ", "expected one of `name`, `secret`, "),
                            None => why,
                        }
                    })?;
                let is_given = secret.is_some();
                let (created, secret) = self.service.create(&name, changes, secret.map(Secret::new)).await?;
                let shown = view::subscriber_json(&created, now);
                let shown = if is_given { shown } else { with_secret(shown, &secret) };
                Ok(ApiResponse::json(StatusCode::CREATED, &shown))
            }
            ([], _) => Err(ApiError::MethodNotAllowed("GET, POST")),
            ([name], &Method::GET) => ok(&view::subscriber_json(&self.service.find(name).await?, now)),
            ([name], &Method::PATCH) => {
                ok(&view::subscriber_json(&self.service.update(name, input::parse_body(body)?).await?, now))
            }
            ([name], &Method::DELETE) => {
                self.service.delete(name).await?;
                Ok(ApiResponse { status: StatusCode::NO_CONTENT, headers: Vec::new(), body: String::new() })
            }
            ([_], _) => Err(ApiError::MethodNotAllowed("GET, PATCH, DELETE")),
            ([name, "pause"], &Method::POST) => {
                ok(&view::subscriber_json(&self.service.pause(name).await?, now))
            }
            ([name, "resume"], &Method::POST) => {
                ok(&view::subscriber_json(&self.service.resume(name).await?, now))
            }
            ([name, "test"], &Method::POST) => ok(&view::ping_json(&self.service.send_ping(name).await?)),
            ([name, "rotate-secret"], &Method::POST) => {
                let RotateSecretRequest { overlap_hours } =
                    if body.is_empty() { RotateSecretRequest::default() } else { input::parse_body(body)? };
                let hours = overlap_hours.unwrap_or(DEFAULT_OVERLAP_HOURS);
                let most = MAX_OVERLAP.as_hours();
                if !(0..=most).contains(&hours) {
                    return Err(ApiError::BadRequest(format!(
                        "overlap_hours is out of range, expected 0 to {most}"
                    )));
                }
                let secret = self.service.rotate_secret(name, SignedDuration::from_hours(hours)).await?;
                ok(&with_secret(view::subscriber_json(&self.service.find(name).await?, now), &secret))
            }
            ([_, "pause" | "resume" | "test" | "rotate-secret"], _) => {
                Err(ApiError::MethodNotAllowed("POST"))
            }
            _ => Err(ApiError::NotFound(
                "Not found. Paths of a subscriber: pause, resume, rotate-secret, test.".into(),
            )),
        }
    }

    async fn deliveries(
        &self,
        method: &Method,
        parts: &[&str],
        query: &str,
        body: &[u8],
    ) -> Result<ApiResponse, ApiError> {
        let store = &self.service.store;
        let now = (self.service.clock)();
        match (parts, method) {
            ([], &Method::GET) => {
                let which = DeliveryQuery::parse(query)?;
                self.check_subscriber_exists(&which).await?;
                let limit = which.limit.unwrap_or(PAGE_LIMITS.0);
                if !(1..=PAGE_LIMITS.1).contains(&limit) {
                    return Err(ApiError::BadRequest(format!(
                        "limit is out of range, expected 1 to {}",
                        PAGE_LIMITS.1
                    )));
                }
                let mut found = store.list_deliveries(&which.into_filter(), limit + 1).await?;
                let has_more = found.len() > limit;
                found.truncate(limit);
                let data: Vec<_> = found.iter().map(view::delivery_json).collect();
                ok(&json!({"object": "list", "data": data, "has_more": has_more}))
            }
            ([what @ ("retry" | "cancel")], &Method::POST) => {
                let mut which: DeliveryQuery = input::parse_body(body)?;
                self.check_subscriber_exists(&which).await?;
                let (subscriber, event) = (which.subscriber.is_some(), which.event.is_some());
                if !subscriber && !event && which.since.is_none() && which.status.is_none() {
                    let why = "select deliveries with at least one of subscriber, event, status and since";
                    return Err(ApiError::BadRequest(why.into()));
                }
                if which.limit.is_some() || which.before.is_some() {
                    return Err(ApiError::BadRequest("limit and before are only for GET /deliveries".into()));
                }
                if *what == "retry" {
                    which.status = which.status.or(Some(DeliveryState::Failed));
                }
                let done = self.change_deliveries(what, &which.into_filter(), None, now).await?;
                ok(&json!({"object": "done", "deliveries": done}))
            }
            ([_], &Method::GET) | ([_, "retry" | "cancel"], &Method::POST) => {
                let unknown = || ApiError::NotFound(format!("no delivery {}", parts[0]));
                let id = parts[0].parse().map_err(|_| unknown())?;
                if let [_, what] = parts {
                    store.find_delivery(id).await?.ok_or_else(unknown)?;
                    let done =
                        self.change_deliveries(what, &DeliveryFilter::default(), Some(id), now).await?;
                    if done == 0 {
                        let why = if *what == "retry" {
                            "the delivery is in flight, or its subscriber was deleted"
                        } else {
                            "the delivery is not pending"
                        };
                        return Ok(ApiResponse::error(StatusCode::CONFLICT, why));
                    }
                }
                let (delivery, attempts) = store.find_delivery(id).await?.ok_or_else(unknown)?;
                ok(&view::delivery_with_attempts_json(&delivery, &attempts))
            }
            ([], _) | ([_], _) => Err(ApiError::MethodNotAllowed("GET")),
            ([_, "retry" | "cancel"], _) => Err(ApiError::MethodNotAllowed("POST")),
            _ => Err(ApiError::NotFound("Not found. Paths of a delivery: retry, cancel.".into())),
        }
    }

    /// Rejects a filter by a subscriber that never existed.
    async fn check_subscriber_exists(&self, which: &DeliveryQuery) -> Result<(), ApiError> {
        if [&which.subscriber, &which.event].into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(ApiError::BadRequest("subscriber or event contains a NUL character".into()));
        }
        match &which.subscriber {
            Some(name) if !self.service.store.has_subscriber(name).await? => {
                Err(SubscriberServiceError::NotFound(name.clone()).into())
            }
            _ => Ok(()),
        }
    }

    async fn change_deliveries(
        &self,
        what: &str,
        filter: &DeliveryFilter,
        id: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, LogError> {
        match what {
            "retry" => self.service.store.retry_deliveries(filter, id, now).await,
            _ => self.service.store.cancel_deliveries(filter, id).await,
        }
    }
}

impl DeliveryQuery {
    fn parse(query: &str) -> Result<Self, ApiError> {
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
                return Err(ApiError::BadRequest(format!("{name} is not a number or is repeated")));
            }
        }
        Ok(input::parse_value(Value::Object(fields))?)
    }

    fn into_filter(self) -> DeliveryFilter {
        let Self { subscriber, event, status, since, until, before, limit: _ } = self;
        DeliveryFilter { subscriber, event, state: status, since, until, before_id: before }
    }
}

fn with_secret(mut shown: Value, secret: &Secret) -> Value {
    shown["secret"] = String::from_utf8_lossy(secret.expose()).into();
    shown
}
