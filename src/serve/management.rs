//! Subscribers and deliveries, as HTTP paths.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::routing::any;

use super::door::{Door, access, whole};
use super::settings::Settings;
use crate::dispatch::{Api, ApiResponse, ROUTE_PREFIXES, SubscriberService};
use crate::log::AnyLog;

struct Office {
    api: Api<AnyLog>,
    door: Door,
}

pub(super) fn router(settings: &Settings, manager: SubscriberService<AnyLog>) -> Router {
    let api = Api { service: manager, access: access(settings) };
    let office = Office { api, door: Door::of(settings) };
    let mut router = Router::new();
    for path in ROUTE_PREFIXES {
        router = router.route(path, any(answer));
        for more in ["/", "/{*rest}"] {
            router = router.route(&format!("{path}{more}"), any(answer));
        }
    }
    router.with_state(Arc::new(office))
}

async fn answer(State(office): State<Arc<Office>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(refused) = office.door.refuses(&parts.headers) {
        return refused;
    }
    let token = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    if let Err(refused) = office.api.authenticate(token, false).await {
        return response(refused);
    }
    let body = match whole(body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let query = parts.uri.query().unwrap_or_default();
    response(office.api.handle(&parts.method, parts.uri.path(), query, &body).await)
}

fn response(answer: ApiResponse) -> Response {
    let ApiResponse { status, headers, body } = answer;
    let mut response = (status, AppendHeaders(headers)).into_response();
    *response.body_mut() = body.into();
    response
}
