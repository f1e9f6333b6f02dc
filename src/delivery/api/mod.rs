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
use crate::db::DatabaseError;
use crate::delivery::store::{DeliveryFilter, DeliveryState};
use crate::delivery::subscriber::SignerError;
use crate::delivery::subscriber_service::{
    MAX_OVERLAP, SubscriberService, SubscriberServiceError, SubscriberUpdate,
};
use crate::delivery::view;
use crate::secrets::Secret;

const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 1000;
const MAX_BODY_BYTES: usize = 64 * 1024;
const DEFAULT_OVERLAP_HOURS: i64 = 24;

/// The first path segments of the API.
pub const ROUTE_PREFIXES: [&str; 2] = ["/subscribers", "/deliveries"];

pub struct Api {
    pub service: SubscriberService,
    /// Tokens that are limited to some sources are rejected.
    pub authenticator: Authenticator,
}

/// A response. It may contain a new secret, so it has no `Debug`.
pub struct ApiResponse {
    pub status: StatusCode,
    pub headers: Vec<(HeaderName, &'static str)>,
    /// JSON, or empty.
    pub body: String,
}

/// The fields of `POST /subscribers` that are not settings.
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
    fn from(message: String) -> Self {
        Self::BadRequest(message)
    }
}

impl From<DatabaseError> for ApiError {
    fn from(error: DatabaseError) -> Self {
        Self::Service(error.into())
    }
}

impl ApiError {
    fn into_response(self) -> ApiResponse {
        let (status, message) = match self {
            Self::BadRequest(message) => (StatusCode::BAD_REQUEST, message),
            Self::NotFound(message) => (StatusCode::NOT_FOUND, message),
            Self::MethodNotAllowed(methods) => {
                let message = format!("Use {methods}.");
                return ApiResponse::error(StatusCode::METHOD_NOT_ALLOWED, &message)
                    .with_header(header::ALLOW, methods);
            }
            Self::Service(error) => {
                let status = match &error {
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
                    error!(error = error.to_string(), "subscriber request failed");
                    return ApiResponse::error(status, "Service unavailable; try again later.")
                        .with_header(header::RETRY_AFTER, "5");
                }
                (status, error.to_string())
            }
        };
        ApiResponse::error(status, &message)
    }
}

impl ApiResponse {
    fn json(status: StatusCode, value: &Value) -> Self {
        let headers = vec![(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
        Self { status, headers, body: format!("{value}\n") }
    }

    fn error(status: StatusCode, message: &str) -> Self {
        Self::json(status, &json!({"errors": [{"message": message}]}))
    }

    fn with_header(mut self, name: HeaderName, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
}

fn ok(value: &Value) -> Result<ApiResponse, ApiError> {
    Ok(ApiResponse::json(StatusCode::OK, value))
}

impl Api {
    /// Authenticates a client by its `Authorization` header or AWS signature. Returns the name of its token.
    ///
    /// # Errors
    /// The response to a request that is rejected.
    pub async fn authenticate(
        &self,
        authorization: Option<&str>,
        is_signed: bool,
    ) -> Result<Option<String>, ApiResponse> {
        match self.authenticator.authenticate(authorization, is_signed).await {
            Ok(Some(AuthenticatedToken { token, scope: TokenScope::AllSources })) => Ok(token),
            Ok(Some(_)) => {
                Err(ApiResponse::error(StatusCode::FORBIDDEN, "This token is limited to some sources."))
            }
            Ok(None) => Err(ApiResponse::error(StatusCode::UNAUTHORIZED, "Unauthorized.")
                .with_header(header::WWW_AUTHENTICATE, "Bearer")),
            Err(error) => {
                error!(
                    error = error.to_string(),
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
        let segments: Vec<_> = path.trim_end_matches('/').split('/').skip(1).collect();
        let response = match segments.as_slice() {
            ["subscribers", segments @ ..] => self.subscribers(method, segments, body).await,
            ["deliveries", segments @ ..] => self.deliveries(method, segments, query, body).await,
            _ => Err(ApiError::NotFound("Not found. Use /subscribers or /deliveries.".into())),
        };
        response.unwrap_or_else(ApiError::into_response)
    }

    async fn subscribers(
        &self,
        method: &Method,
        segments: &[&str],
        body: &[u8],
    ) -> Result<ApiResponse, ApiError> {
        let now = (self.service.clock)();
        match (segments, method) {
            ([], &Method::GET) => {
                let subscribers = self.service.store.subscribers.list(None).await?;
                let data: Vec<_> =
                    subscribers.iter().map(|subscriber| view::subscriber_json(subscriber, now)).collect();
                ok(&json!({"object": "list", "data": data}))
            }
            ([], &Method::POST) => {
                let mut settings: serde_json::Map<String, Value> = input::parse_body(body)?;
                let fields = ["name", "secret"].into_iter().filter_map(|name| settings.remove_entry(name));
                let CreateRequest { name, secret } = input::parse_value(Value::Object(fields.collect()))?;
                let changes: SubscriberUpdate =
                    input::parse_value(Value::Object(settings)).map_err(|message| {
                        // The message lists only the settings; `CreateRequest` has two more fields.
                        match message.strip_prefix("unknown field ") {
                            Some(_) => {
                                message.replace("expected one of ", "expected one of `name`, `secret`, ")
                            }
                            None => message,
                        }
                    })?;
                let is_imported = secret.is_some();
                let (created, secret) = self.service.create(&name, changes, secret.map(Secret::new)).await?;
                let json = view::subscriber_json(&created, now);
                let json = if is_imported { json } else { with_secret(json, &secret) };
                Ok(ApiResponse::json(StatusCode::CREATED, &json))
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
                let max_hours = MAX_OVERLAP.as_hours();
                if !(0..=max_hours).contains(&hours) {
                    return Err(ApiError::BadRequest(format!(
                        "overlap_hours is out of range, expected 0 to {max_hours}"
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
        segments: &[&str],
        query: &str,
        body: &[u8],
    ) -> Result<ApiResponse, ApiError> {
        let store = &self.service.store;
        let now = (self.service.clock)();
        match (segments, method) {
            ([], &Method::GET) => {
                let query = DeliveryQuery::parse(query)?;
                self.check_subscriber_exists(&query).await?;
                let limit = query.limit.unwrap_or(DEFAULT_PAGE_SIZE);
                if !(1..=MAX_PAGE_SIZE).contains(&limit) {
                    return Err(ApiError::BadRequest(format!(
                        "limit is out of range, expected 1 to {MAX_PAGE_SIZE}"
                    )));
                }
                let mut deliveries = store.history.list(&query.into_filter(), limit + 1).await?;
                let has_more = deliveries.len() > limit;
                deliveries.truncate(limit);
                let data: Vec<_> = deliveries.iter().map(view::delivery_json).collect();
                ok(&json!({"object": "list", "data": data, "has_more": has_more}))
            }
            ([action @ ("retry" | "cancel")], &Method::POST) => {
                let mut query: DeliveryQuery = input::parse_body(body)?;
                self.check_subscriber_exists(&query).await?;
                let (has_subscriber, has_event) = (query.subscriber.is_some(), query.event.is_some());
                if !has_subscriber && !has_event && query.since.is_none() && query.status.is_none() {
                    let message =
                        "select deliveries with at least one of subscriber, event, status and since";
                    return Err(ApiError::BadRequest(message.into()));
                }
                if query.limit.is_some() || query.before.is_some() {
                    return Err(ApiError::BadRequest("limit and before are only for GET /deliveries".into()));
                }
                if *action == "retry" {
                    query.status = query.status.or(Some(DeliveryState::Failed));
                }
                let changed = self.change_deliveries(action, &query.into_filter(), None, now).await?;
                ok(&json!({"object": "done", "deliveries": changed}))
            }
            ([_], &Method::GET) | ([_, "retry" | "cancel"], &Method::POST) => {
                let not_found = || ApiError::NotFound(format!("no delivery {}", segments[0]));
                let id = segments[0].parse().map_err(|_| not_found())?;
                if let [_, action] = segments {
                    store.history.find(id).await?.ok_or_else(not_found)?;
                    let changed =
                        self.change_deliveries(action, &DeliveryFilter::default(), Some(id), now).await?;
                    if changed == 0 {
                        let message = if *action == "retry" {
                            "the delivery is in flight, or its subscriber was deleted"
                        } else {
                            "the delivery is not pending"
                        };
                        return Ok(ApiResponse::error(StatusCode::CONFLICT, message));
                    }
                }
                let (delivery, attempts) = store.history.find(id).await?.ok_or_else(not_found)?;
                ok(&view::delivery_with_attempts_json(&delivery, &attempts))
            }
            ([], _) | ([_], _) => Err(ApiError::MethodNotAllowed("GET")),
            ([_, "retry" | "cancel"], _) => Err(ApiError::MethodNotAllowed("POST")),
            _ => Err(ApiError::NotFound("Not found. Paths of a delivery: retry, cancel.".into())),
        }
    }

    /// Rejects a query for an unknown subscriber. Deleting a subscriber renames it.
    async fn check_subscriber_exists(&self, query: &DeliveryQuery) -> Result<(), ApiError> {
        if [&query.subscriber, &query.event].into_iter().flatten().any(|text| text.contains('\0')) {
            return Err(ApiError::BadRequest("subscriber or event contains a NUL character".into()));
        }
        match &query.subscriber {
            Some(name) if !self.service.store.subscribers.has_name(name).await? => {
                Err(SubscriberServiceError::NotFound(name.clone()).into())
            }
            _ => Ok(()),
        }
    }

    async fn change_deliveries(
        &self,
        action: &str,
        filter: &DeliveryFilter,
        id: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, DatabaseError> {
        match action {
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

fn with_secret(mut json: Value, secret: &Secret) -> Value {
    json["secret"] = String::from_utf8_lossy(secret.expose()).into();
    json
}
