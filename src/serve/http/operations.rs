//! HTTP routes for operating `serve`: `/healthz`, `/readyz` and `/metrics`.

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::json;

use super::access::{AccessPolicy, build_authenticator};
use super::api::into_axum_response;
use crate::api::Api;
use crate::serve::config::ServeSettings;
use crate::serve::health::Health;

/// The media type of the metrics. Source: "OpenMetrics 1.0", section "Protocol Negotiation".
const METRICS_MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct Operations {
    health: Arc<Health>,
    api: Api,
    policy: AccessPolicy,
}

pub(in crate::serve) fn router(settings: &ServeSettings, health: Arc<Health>) -> Router {
    let api = Api::new(build_authenticator(settings));
    let state = Arc::new(Operations { health, api, policy: AccessPolicy::from_settings(settings) });
    Router::new()
        .route("/healthz", get(|| std::future::ready("ok\n")))
        .route("/readyz", get(readiness))
        .route("/metrics", get(metrics))
        .with_state(state)
}

/// Whether the bus can be written and the log read. Names the parts that fail, and not why, because anybody may ask.
async fn readiness(State(state): State<Arc<Operations>>) -> Response {
    let failed = state.health.failing_required().await;
    let status = if failed.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = json!({"ready": failed.is_empty(), "failed": failed});
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}

async fn metrics(State(state): State<Arc<Operations>>, headers: HeaderMap) -> Response {
    if let Some(response) = state.policy.rejection_for(&headers) {
        return response;
    }
    if let Err(response) = state.api.authenticate(&headers, "/metrics", false).await {
        return into_axum_response(response);
    }
    let text = state.health.reporter.metrics.to_text(&state.health.measure().await);
    ([(header::CONTENT_TYPE, METRICS_MEDIA_TYPE)], text).into_response()
}
