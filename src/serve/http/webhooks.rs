//! HTTP routes for webhooks: `/hooks/{provider}`.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use jiff::Timestamp;
use tokio::time::Instant;

use super::admission::AdmissionControl;
use super::console;
use crate::bridge::{Outcome, WebhookResponse};
use crate::lambda::{ReceivedQuery, ReceivedUrl};
use crate::providers::{Diagnosis, PublicUrl, RawWebhook, UrlSpellings, diagnose};
use crate::serve::config::ServeSettings;
use crate::serve::endpoints::{WebhookEndpoint, WebhookEndpoints};
use crate::serve::reporter::Reporter;

/// The maximum time to answer a webhook: slightly less than the timeout of most providers.
const HANDLING_TIMEOUT: Duration = Duration::from_secs(9);

/// Maximum size of a body that is diagnosed.
const MAX_DIAGNOSED_BYTES: usize = 64 << 10;

struct WebhookRoute {
    admission: Arc<AdmissionControl>,
    endpoint: Arc<WebhookEndpoint>,
    public_url: Option<PublicUrl>,
    reporter: Reporter,
    /// The time of the last diagnosis, in epoch seconds.
    last_diagnosis: AtomicI64,
}

impl WebhookRoute {
    /// Why a webhook is not valid; `None` for a large body, and for a second webhook within a second: a diagnosis costs as much time
    /// as thousands of verifications, and anybody can send invalid webhooks.
    fn diagnose(&self, webhook: &RawWebhook) -> Option<Diagnosis> {
        let now = Timestamp::now();
        let last = self.last_diagnosis.swap(now.as_second(), Ordering::Relaxed);
        if webhook.body_len() > MAX_DIAGNOSED_BYTES || last == now.as_second() {
            return None;
        }
        let secret = String::from_utf8_lossy(self.endpoint.secret.expose());
        Some(diagnose(self.endpoint.handler.provider, webhook, &secret, now))
    }
}

pub(in crate::serve) fn router(
    endpoints: &WebhookEndpoints,
    settings: &ServeSettings,
    reporter: &Reporter,
) -> Router {
    let admission = Arc::new(AdmissionControl::new(settings.concurrency));
    let mut router = console::router();
    for endpoint in endpoints.iter() {
        let route = WebhookRoute {
            admission: admission.clone(),
            endpoint: endpoint.clone(),
            public_url: settings.public_url.clone(),
            reporter: reporter.clone(),
            last_diagnosis: AtomicI64::new(0),
        };
        let path = format!("/hooks/{}", endpoint.handler.provider.name);
        router = router.merge(Router::new().route(&path, any(handle_webhook)).with_state(Arc::new(route)));
    }
    router.fallback(not_found)
}

async fn handle_webhook(State(route): State<Arc<WebhookRoute>>, request: axum::extract::Request) -> Response {
    let deadline = Instant::now() + HANDLING_TIMEOUT;
    let (parts, body) = request.into_parts();
    let provider = route.endpoint.handler.provider;
    let urls = request_urls(&parts, route.public_url.as_ref());
    // The handler rejects a request that cannot be a webhook or a handshake, so such a request needs no permit, and its body is
    // not read.
    let head = RawWebhook::new(parts.method, urls, parts.headers, Bytes::new());
    let (body, _permit) = if provider.may_send(&head) {
        match route.admission.admit(body, deadline).await {
            Ok((body, permit)) => (body, Some(permit)),
            Err(rejected) => {
                let (status, reason) = (rejected.status().as_u16(), rejected.reason());
                route.reporter.rejected(provider.name, status, reason);
                return rejected.into_response();
            }
        }
    } else {
        (Bytes::new(), None)
    };
    let webhook = head.with_body(body);
    // Only webhooks that a developer sends are diagnosed.
    let copy = route.endpoint.has_development_secret.then(|| webhook.clone());
    let record = route.endpoint.handler.handle(webhook, None, deadline).await;
    let is_refused = matches!(record.outcome, Outcome::VerificationFailed(_));
    let diagnosis = copy.filter(|_| is_refused).and_then(|webhook| route.diagnose(&webhook));
    route.reporter.webhook(&record, diagnosis.as_ref());
    let WebhookResponse { status, media_type, headers, body } = record.response();
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, media_type)], axum::response::AppendHeaders(headers), body)
        .into_response()
}

/// The URL that the provider requested, which some providers sign. Behind a proxy the request arrives with another URL, which
/// `public_url` turns back into the provider's.
fn request_urls(parts: &Parts, public_url: Option<&PublicUrl>) -> UrlSpellings {
    let host = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let url = ReceivedUrl {
        scheme: "http",
        authority: host.to_owned(),
        path: parts.uri.path().to_owned(),
        path_with_stage: None,
        query: ReceivedQuery::AsSent(parts.uri.query().unwrap_or_default().to_owned()),
    };
    UrlSpellings::new(url, public_url)
}

async fn not_found() -> Response {
    let search_paths = crate::api::SEARCH_PATHS.join(", ");
    text_response(
        StatusCode::NOT_FOUND,
        &format!(
            "Not Found. Paths: / (the console), /hooks/PROVIDER (the providers are listed by `hookbridge providers`), /events, /consumers, /openapi.json, {search_paths}, /subscribers, /deliveries, /webhooks, /status, /samples, /healthz, /readyz, /metrics"
        ),
    )
}

fn text_response(status: StatusCode, body: &str) -> Response {
    (status, format!("{body}\n")).into_response()
}
