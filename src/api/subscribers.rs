//! `/subscribers`: create, change, pause, test and delete subscribers, rotate their secrets, and replay events to them.

use http::{Method, StatusCode};
use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{parse_body, parse_value};
use super::cursor::encode_cursor;
use super::error::ApiError;
use super::events::reader::LogReader;
use super::events::selection::Selection;
use super::response::ok_response;
use super::{ApiRequest, ApiResponse};
use crate::delivery::{
    ArrivedEvent, MAX_OVERLAP, SubscriberService, SubscriberServiceError, SubscriberUpdate, view,
};
use crate::secrets::Secret;

/// How long the previous secret keeps signing after a rotation if the request has no `overlap_hours`.
const DEFAULT_OVERLAP_HOURS: i64 = 24;

/// The fields in the body of `POST /subscribers` that are not settings of the subscriber. If `secret` is `None`, the
/// server generates a secret.
#[derive(Deserialize)]
struct CreateRequest {
    name: String,
    #[serde(default)]
    secret: Option<String>,
}

/// The request body of `POST /subscribers/{name}/rotate-secret`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct RotateSecretRequest {
    overlap_hours: Option<i64>,
}

/// The request body of `POST /subscribers/{name}/replay`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ReplayRequest {
    /// The id of the only event; `None` for the events that the query selects.
    event: Option<String>,
    dry_run: bool,
}

/// Handles a request; `segments` are the path segments after `/subscribers`.
pub(super) async fn route(
    service: &SubscriberService,
    reader: &LogReader,
    request: &ApiRequest<'_>,
    segments: &[&str],
) -> Result<ApiResponse, ApiError> {
    let now = (service.clock)();
    match (segments, request.method) {
        ([], &Method::GET) => {
            let subscribers =
                service.store.subscribers.list(None).await.map_err(SubscriberServiceError::from)?;
            let data: Vec<_> =
                subscribers.iter().map(|subscriber| view::subscriber_json(subscriber, now)).collect();
            ok_response(&json!({"object": "list", "data": data}))
        }
        ([], &Method::POST) => create(service, request).await,
        ([], _) => Err(ApiError::MethodNotAllowed("GET, POST")),
        ([name], &Method::GET) => ok_response(&view::subscriber_json(&service.find(name).await?, now)),
        ([name], &Method::PATCH) => {
            ok_response(&view::subscriber_json(&service.update(name, parse_body(request.body)?).await?, now))
        }
        ([name], &Method::DELETE) => {
            service.delete(name).await?;
            Ok(ApiResponse::empty(StatusCode::NO_CONTENT))
        }
        ([_], _) => Err(ApiError::MethodNotAllowed("GET, PATCH, DELETE")),
        ([name, "pause"], &Method::POST) => {
            ok_response(&view::subscriber_json(&service.pause(name).await?, now))
        }
        ([name, "resume"], &Method::POST) => {
            ok_response(&view::subscriber_json(&service.resume(name).await?, now))
        }
        ([name, "test"], &Method::POST) => ok_response(&view::ping_json(&service.send_ping(name).await?)),
        ([name, "rotate-secret"], &Method::POST) => rotate_secret(service, request, name).await,
        ([name, "replay"], &Method::POST) => replay(service, reader, request, name).await,
        ([_, "pause" | "resume" | "test" | "rotate-secret" | "replay"], _) => {
            Err(ApiError::MethodNotAllowed("POST"))
        }
        _ => Err(ApiError::NotFound(
            "Not found. Paths of a subscriber: pause, replay, resume, rotate-secret, test.".into(),
        )),
    }
}

async fn create(service: &SubscriberService, request: &ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
    let mut settings: serde_json::Map<String, Value> = parse_body(request.body)?;
    let fields = ["name", "secret"].into_iter().filter_map(|name| settings.remove_entry(name));
    let CreateRequest { name, secret } = parse_value(Value::Object(fields.collect()))?;
    let changes: SubscriberUpdate = parse_value(Value::Object(settings)).map_err(|error| match error {
        // serde's message lists only the settings as expected fields. The two fields of `CreateRequest` are added to that list.
        ApiError::BadRequest(message) if message.starts_with("unknown field ") => {
            let fields = "expected one of `name`, `secret`, ";
            ApiError::BadRequest(message.replace("expected one of ", fields))
        }
        error => error,
    })?;
    // The response contains the secret only if the server generated it.
    let has_client_secret = secret.is_some();
    let (created, secret) = service.create(&name, changes, secret.map(Secret::new)).await?;
    let json = view::subscriber_json(&created, (service.clock)());
    let json = if has_client_secret { json } else { with_secret(json, &secret) };
    Ok(ApiResponse::no_store(StatusCode::CREATED, &json))
}

async fn rotate_secret(
    service: &SubscriberService,
    request: &ApiRequest<'_>,
    name: &str,
) -> Result<ApiResponse, ApiError> {
    let RotateSecretRequest { overlap_hours } =
        if request.body.is_empty() { RotateSecretRequest::default() } else { parse_body(request.body)? };
    let hours = overlap_hours.unwrap_or(DEFAULT_OVERLAP_HOURS);
    let max_hours = MAX_OVERLAP.as_hours();
    if !(0..=max_hours).contains(&hours) {
        return Err(ApiError::BadRequest(format!(
            "overlap_hours is out of range, expected 0 to {max_hours}"
        )));
    }
    let secret = service.rotate_secret(name, SignedDuration::from_hours(hours)).await?;
    ok_response(&with_secret(view::subscriber_json(&service.find(name).await?, (service.clock)()), &secret))
}

/// Delivers events of the log to a subscriber again: one event, or a page of those that the query selects.
async fn replay(
    service: &SubscriberService,
    reader: &LogReader,
    request: &ApiRequest<'_>,
    name: &str,
) -> Result<ApiResponse, ApiError> {
    let ReplayRequest { event, dry_run } =
        if request.body.is_empty() { ReplayRequest::default() } else { parse_body(request.body)? };
    let (events, cursor, has_more) = match Selection::read(reader, request.query, event.as_deref()).await? {
        Selection::Event(event) => (vec![ArrivedEvent::from_stored(*event)], None, false),
        Selection::Page { events, next_position, has_more } => {
            let events = events.into_iter().map(|positioned| ArrivedEvent::from_stored(positioned.event));
            let cursor = encode_cursor(next_position, reader.cursor_signing_key().await?);
            (events.collect(), Some(cursor), has_more)
        }
    };
    let deliveries = service.replay(name, &events, dry_run).await?;
    ok_response(
        &json!({"object": "replay", "deliveries": deliveries, "cursor": cursor, "has_more": has_more}),
    )
}

/// Adds the signing secret to a subscriber's JSON.
fn with_secret(mut json: Value, secret: &Secret) -> Value {
    json["secret"] = String::from_utf8_lossy(secret.expose()).into();
    json
}
