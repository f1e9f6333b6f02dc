//! HTTP routes for subscribers and deliveries.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::routing::any;

use super::access::{AccessPolicy, read_body, token_access};
use super::settings::ServeSettings;
use crate::delivery::{Api, ApiResponse, ROUTE_PREFIXES, SubscriberService};
use crate::log::AnyLog;

struct ApiState {
    api: Api<AnyLog>,
    policy: AccessPolicy,
}

pub(super) fn router(settings: &ServeSettings, manager: SubscriberService<AnyLog>) -> Router {
    let api = Api { service: manager, access: token_access(settings) };
    let office = ApiState { api, policy: AccessPolicy::from_settings(settings) };
    let mut router = Router::new();
    for path in ROUTE_PREFIXES {
        router = router.route(path, any(handle));
        for more in ["/", "/{*rest}"] {
            router = router.route(&format!("{path}{more}"), any(handle));
        }
    }
    router.with_state(Arc::new(office))
}

async fn handle(State(office): State<Arc<ApiState>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(refused) = office.policy.reject(&parts.headers) {
        return refused;
    }
    let token = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    if let Err(refused) = office.api.authenticate(token, false).await {
        return into_axum_response(refused);
    }
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(refused) => return refused,
    };
    let query = parts.uri.query().unwrap_or_default();
    into_axum_response(office.api.handle(&parts.method, parts.uri.path(), query, &body).await)
}

fn into_axum_response(answer: ApiResponse) -> Response {
    let ApiResponse { status, headers, body } = answer;
    let mut response = (status, AppendHeaders(headers)).into_response();
    *response.body_mut() = body.into();
    response
}
