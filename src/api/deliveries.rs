//! `/deliveries`: list, inspect, retry and cancel deliveries.

use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{deserialize_time, parse_body, parse_value};
use super::error::ApiError;
use super::response::ok_response;
use super::{ApiRequest, ApiResponse};
use crate::delivery::{
    AttemptView, DeliveryFilter, DeliveryState, DeliveryView, SubscriberService, SubscriberServiceError, view,
};

const DEFAULT_PAGE_SIZE: usize = 100;
const MAX_PAGE_SIZE: usize = 1000;

/// The query of `GET /deliveries`, and the body of `POST /deliveries/retry` and `POST /deliveries/cancel`. A filter that is
/// `None` matches every delivery; a `limit` that is `None` means [`DEFAULT_PAGE_SIZE`].
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct DeliveryQuery {
    subscriber: Option<String>,
    event: Option<String>,
    status: Option<DeliveryState>,
    #[serde(deserialize_with = "deserialize_time")]
    since: Option<Timestamp>,
    #[serde(deserialize_with = "deserialize_time")]
    until: Option<Timestamp>,
    /// Selects the deliveries with ids below this id.
    before: Option<i64>,
    limit: Option<usize>,
}

/// Handles a request; `segments` are the path segments after `/deliveries`.
pub(super) async fn route(
    service: &SubscriberService,
    request: &ApiRequest<'_>,
    segments: &[&str],
) -> Result<ApiResponse, ApiError> {
    match (segments, request.method) {
        ([], &Method::GET) => list(service, request).await,
        ([action @ ("retry" | "cancel")], &Method::POST) => change_selected(service, request, action).await,
        (["retry" | "cancel"], _) => Err(ApiError::MethodNotAllowed("POST")),
        ([id], &Method::GET) => show(service, id).await,
        ([id, action @ ("retry" | "cancel")], &Method::POST) => change_one(service, id, action).await,
        ([_, "retry" | "cancel"], _) => Err(ApiError::MethodNotAllowed("POST")),
        ([] | [_], _) => Err(ApiError::MethodNotAllowed("GET")),
        _ => Err(ApiError::NotFound("Not found. Paths of a delivery: retry, cancel.".into())),
    }
}

async fn list(service: &SubscriberService, request: &ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
    let query = DeliveryQuery::parse(request.query)?;
    validate_query(service, &query).await?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE_SIZE);
    if !(1..=MAX_PAGE_SIZE).contains(&limit) {
        return Err(ApiError::BadRequest(format!("limit is out of range, expected 1 to {MAX_PAGE_SIZE}")));
    }
    let deliveries = service.store.history.list(&query.into_filter(), limit + 1).await;
    let mut deliveries = deliveries.map_err(SubscriberServiceError::from)?;
    let has_more = deliveries.len() > limit;
    deliveries.truncate(limit);
    let data: Vec<_> = deliveries.iter().map(view::delivery_json).collect();
    ok_response(&json!({"object": "list", "data": data, "has_more": has_more}))
}

/// Retries or cancels the deliveries that the request body selects.
async fn change_selected(
    service: &SubscriberService,
    request: &ApiRequest<'_>,
    action: &str,
) -> Result<ApiResponse, ApiError> {
    let mut query: DeliveryQuery = parse_body(request.body)?;
    validate_query(service, &query).await?;
    let (has_subscriber, has_event) = (query.subscriber.is_some(), query.event.is_some());
    if !has_subscriber && !has_event && query.since.is_none() && query.status.is_none() {
        let message = "select deliveries with at least one of subscriber, event, status and since";
        return Err(ApiError::BadRequest(message.into()));
    }
    if query.limit.is_some() || query.before.is_some() {
        return Err(ApiError::BadRequest("limit and before are only for GET /deliveries".into()));
    }
    if action == "retry" {
        query.status = query.status.or(Some(DeliveryState::Failed));
    }
    let changed_count = change_deliveries(service, action, &query.into_filter(), None).await?;
    ok_response(&json!({"object": "done", "deliveries": changed_count}))
}

/// Retries or cancels one delivery.
async fn change_one(service: &SubscriberService, id: &str, action: &str) -> Result<ApiResponse, ApiError> {
    let (delivery, _) = find_with_attempts(service, id).await?;
    if change_deliveries(service, action, &DeliveryFilter::default(), Some(delivery.id)).await? == 0 {
        return Err(ApiError::Conflict(match action {
            "retry" => "the delivery is in flight, or its subscriber was deleted",
            _ => "the delivery is not pending",
        }));
    }
    show(service, id).await
}

async fn show(service: &SubscriberService, id: &str) -> Result<ApiResponse, ApiError> {
    let (delivery, attempts) = find_with_attempts(service, id).await?;
    ok_response(&view::delivery_with_attempts_json(&delivery, &attempts))
}

async fn find_with_attempts(
    service: &SubscriberService,
    id: &str,
) -> Result<(DeliveryView, Vec<AttemptView>), ApiError> {
    let not_found = || ApiError::NotFound(format!("no delivery {id}"));
    let found = service.store.history.find(id.parse().map_err(|_| not_found())?).await;
    found.map_err(SubscriberServiceError::from)?.ok_or_else(not_found)
}

/// Rejects a query that names an unknown subscriber or contains a NUL character. A deleted subscriber is known by the
/// name that it has since its deletion: `NAME (deleted ID)`.
async fn validate_query(service: &SubscriberService, query: &DeliveryQuery) -> Result<(), ApiError> {
    if [&query.subscriber, &query.event].into_iter().flatten().any(|text| text.contains('\0')) {
        return Err(ApiError::BadRequest("subscriber or event contains a NUL character".into()));
    }
    match &query.subscriber {
        Some(name)
            if !service.store.subscribers.has_name(name).await.map_err(SubscriberServiceError::from)? =>
        {
            Err(SubscriberServiceError::NotFound(name.clone()).into())
        }
        _ => Ok(()),
    }
}

/// Retries or cancels (`action`) the deliveries that match `filter` and, if `id` is given, have that id. Returns the number of
/// deliveries that changed.
async fn change_deliveries(
    service: &SubscriberService,
    action: &str,
    filter: &DeliveryFilter,
    id: Option<i64>,
) -> Result<usize, ApiError> {
    let now = (service.clock)();
    let changed_count = match action {
        "retry" => service.store.retry_deliveries(filter, id, now).await,
        _ => service.store.cancel_deliveries(filter, id).await,
    };
    Ok(changed_count.map_err(SubscriberServiceError::from)?)
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
        parse_value(Value::Object(fields))
    }

    fn into_filter(self) -> DeliveryFilter {
        let Self { subscriber, event, status, since, until, before, limit: _ } = self;
        DeliveryFilter { subscriber, event, state: status, since, until, before_id: before }
    }
}
