//! HTTP routes for subscribers and deliveries.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header;
use axum::response::{AppendHeaders, IntoResponse as _, Response};
use axum::routing::any;

use super::access::{AccessPolicy, build_authenticator, read_body};
use super::settings::ServeSettings;
use crate::delivery::{Api, ApiResponse, ROUTE_PREFIXES, SubscriberService};

struct ApiState {
    api: Api,
    policy: AccessPolicy,
}

pub(super) fn router(settings: &ServeSettings, service: SubscriberService) -> Router {
    let api = Api { service, authenticator: build_authenticator(settings) };
    let state = ApiState { api, policy: AccessPolicy::from_settings(settings) };
    let mut router = Router::new();
    for path in ROUTE_PREFIXES {
        router = router.route(path, any(handle));
        for suffix in ["/", "/{*rest}"] {
            router = router.route(&format!("{path}{suffix}"), any(handle));
        }
    }
    router.with_state(Arc::new(state))
}

async fn handle(State(state): State<Arc<ApiState>>, request: axum::extract::Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(response) = state.policy.reject(&parts.headers) {
        return response;
    }
    let token = parts.headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    if let Err(response) = state.api.authenticate(token, false).await {
        return into_axum_response(response);
    }
    let body = match read_body(body).await {
        Ok(body) => body,
        Err(response) => return response,
    };
    let query = parts.uri.query().unwrap_or_default();
    into_axum_response(state.api.handle(&parts.method, parts.uri.path(), query, &body).await)
}

fn into_axum_response(response: ApiResponse) -> Response {
    let ApiResponse { status, headers, body } = response;
    let mut response = (status, AppendHeaders(headers)).into_response();
    *response.body_mut() = body.into();
    response
}
