//! Subscribers and deliveries, as HTTP paths.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;

use super::door::{Door, access, refused, whole};
use super::settings::Settings;
use crate::access::{Access, Scope};
use crate::dispatch::{Api, Manager, PATHS};
use crate::log::AnyLog;

struct Office {
    api: Api<AnyLog>,
    door: Door,
    access: Access,
}

pub(super) fn router(settings: &Settings, manager: Manager<AnyLog>) -> Router {
    let office = Office { api: Api { manager }, door: Door::of(settings), access: access(settings) };
    let mut router = Router::new();
    for path in PATHS {
        router = router.route(path, any(answer)).route(&format!("{path}/{{*rest}}"), any(answer));
    }
    router.with_state(Arc::new(office))
}

async fn answer(State(office): State<Arc<Office>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(refused) = office.door.refuses(&parts.headers) {
        return refused;
    }
    let token = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    match office.access.of(token, false).await {
        Ok(Some(Scope::Everything)) => {}
        Ok(Some(Scope::Sources(_))) => {
            return refused(StatusCode::FORBIDDEN, "This token reads some sources only.");
        }
        Ok(None) | Err(_) => {
            let mut response = refused(StatusCode::UNAUTHORIZED, "Unauthorized.");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return response;
        }
    }
    let body = match whole(body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let query = parts.uri.query().unwrap_or_default();
    let (status, answer) = office.api.answer(&parts.method, parts.uri.path(), query, &body).await;
    if status == StatusCode::NO_CONTENT {
        return status.into_response();
    }
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, format!("{answer}\n")).into_response()
}
