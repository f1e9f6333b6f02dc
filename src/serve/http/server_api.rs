//! The API of the server itself: its last webhooks, its health, and samples to send.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{Method, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::api::{ApiError, ApiRequest, ApiResponse, ResourceGroup, RouteFuture, TokenScope, parse_body};
use crate::providers::PublicUrl;
use crate::serve::activity::{MAX_WEBHOOKS, WebhookEntry};
use crate::serve::endpoints::WebhookEndpoint;
use crate::serve::health::Health;
use crate::serve::test_webhook::SampleTarget;

const DEFAULT_LIMIT: usize = 100;
/// The pause after a webhook that a request waited for, so that a burst of webhooks becomes one response.
const GATHER_PAUSE: Duration = Duration::from_millis(100);

/// The resources of the server.
pub(in crate::serve) struct ServerResources {
    pub(in crate::serve) health: Arc<Health>,
    pub(in crate::serve) endpoints: Vec<Arc<WebhookEndpoint>>,
    pub(in crate::serve) address: SocketAddr,
    pub(in crate::serve) public_url: Option<PublicUrl>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct SampleRequest {
    /// The event type; `None` for the provider's first sample.
    event: Option<String>,
}

/// A page of webhooks. It is written without an intermediate value, because each console reads several pages a second while many
/// webhooks arrive.
#[derive(Serialize)]
struct WebhookPage {
    object: &'static str,
    cursor: u64,
    data: Vec<WebhookEntry>,
}

impl ResourceGroup for ServerResources {
    fn paths(&self) -> &'static [&'static str] {
        &["/webhooks", "/status", "/samples"]
    }

    fn allows_limited_tokens(&self) -> bool {
        false
    }

    fn route<'a>(
        &'a self,
        request: &'a ApiRequest<'a>,
        _scope: &'a TokenScope,
        segments: &'a [&'a str],
    ) -> RouteFuture<'a, ApiResponse> {
        Box::pin(async move {
            if segments != ["webhooks"] && !request.query.is_empty() {
                return Err(ApiError::BadRequest("This path takes no parameters.".into()));
            }
            match (segments, request.method) {
                (["webhooks"], &Method::GET) => self.list_webhooks(request).await,
                (["webhooks", "minutes"], &Method::GET) => {
                    let data = self.health.reporter.activity.minutes();
                    Ok(ok_response(&json!({"object": "list", "data": data})))
                }
                (["status", "consumers"], &Method::GET) => {
                    let data = self.health.reporter.activity.lags();
                    Ok(ok_response(&json!({"object": "list", "data": data})))
                }
                (["status"], &Method::GET) => Ok(self.status().await),
                (["samples"], &Method::GET) => Ok(self.list_samples()),
                (["samples", provider], &Method::POST) => self.send_sample(provider, request.body).await,
                (["webhooks" | "status" | "samples"] | ["webhooks", "minutes"] | ["status", "consumers"], _) => {
                    Err(ApiError::MethodNotAllowed("GET"))
                }
                (["samples", _], _) => Err(ApiError::MethodNotAllowed("POST")),
                _ => Err(ApiError::NotFound(
                    "Not found. Paths: /webhooks, /webhooks/minutes, /status, /status/consumers, /samples, /samples/{provider}."
                        .into(),
                )),
            }
        })
    }
}

impl ServerResources {
    /// The newest webhooks, or those after a cursor, for which the request may wait.
    async fn list_webhooks(&self, request: &ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
        let activity = &self.health.reporter.activity;
        let numbers = parse_numbers(request.query, &["after", "limit", "wait"])?;
        let limit = numbers.get("limit").map_or(Ok(DEFAULT_LIMIT), |limit| usize::try_from(*limit));
        let limit = limit.ok().filter(|limit| (1..=MAX_WEBHOOKS).contains(limit));
        let Some(limit) = limit else {
            return Err(ApiError::BadRequest(format!(
                "limit must be a whole number from 1 to {MAX_WEBHOOKS}"
            )));
        };
        let after = numbers.get("after").copied().unwrap_or_default();
        let wait =
            Duration::from_secs(numbers.get("wait").copied().unwrap_or_default()).min(request.max_wait);
        if !wait.is_zero() && activity.webhooks_after(after, 1).0.is_empty() {
            // Without a webhook in this time, the page is empty.
            if timeout(wait, activity.wait_for_webhook_after(after)).await.is_ok() {
                sleep(GATHER_PAUSE).await;
            }
        }
        let (data, cursor) = activity.webhooks_after(after, limit);
        let page = WebhookPage { object: "list", cursor, data };
        let page = serde_json::to_string(&page).map_err(|error| ApiError::BadRequest(error.to_string()))?;
        Ok(ApiResponse::no_store_text(StatusCode::OK, &page))
    }

    async fn status(&self) -> ApiResponse {
        let parts = self.health.check().await;
        ok_response(&json!({
            "object": "status",
            "version": env!("CARGO_PKG_VERSION"),
            "started": self.health.reporter.activity.started,
            "time": Timestamp::now(),
            "parts": parts,
        }))
    }

    /// The providers with the paths of their webhooks. Samples of a provider can be sent if its secret was generated for development.
    fn list_samples(&self) -> ApiResponse {
        let sample = |endpoint: &Arc<WebhookEndpoint>| {
            let provider = endpoint.handler.provider;
            let events: Vec<_> = provider.samples.iter().map(|sample| sample.event_type).collect();
            let documentation = Some(provider.documentation).filter(|url| !url.is_empty());
            json!({
                "provider": provider.name,
                "title": provider.title,
                "path": format!("/hooks/{}", provider.name),
                "documentation": documentation,
                "events": events,
                "can_be_sent": endpoint.has_development_secret && !provider.samples.is_empty(),
            })
        };
        let data: Vec<Value> = self.endpoints.iter().map(sample).collect();
        ok_response(&json!({"object": "list", "data": data}))
    }

    /// Signs a sample with the development secret, and sends it to this server as the provider would.
    async fn send_sample(&self, provider: &str, body: &[u8]) -> Result<ApiResponse, ApiError> {
        let SampleRequest { event } =
            if body.is_empty() { SampleRequest::default() } else { parse_body(body)? };
        let endpoint = self.endpoints.iter().find(|endpoint| endpoint.handler.provider.name == provider);
        let endpoint = endpoint.ok_or_else(|| {
            ApiError::NotFound("There is no such provider; GET /samples lists them.".into())
        })?;
        if !endpoint.has_development_secret {
            return Err(ApiError::Conflict(
                "the provider has a secret of yours, and samples are signed only with development secrets",
            ));
        }
        let provider = endpoint.handler.provider;
        if event.as_ref().is_some_and(|event| provider.samples.iter().all(|s| s.event_type != *event)) {
            return Err(ApiError::BadRequest("event: the provider has no sample of this type".into()));
        }
        let target = SampleTarget { address: self.address, public_url: self.public_url.as_ref() };
        let (status, body) = target
            .send(provider, event.as_deref(), &endpoint.secret)
            .await
            .map_err(|error| ApiError::SampleNotSent(error.to_string()))?;
        Ok(ok_response(&json!({"object": "sent", "status": status, "body": body.trim_end()})))
    }
}

/// Parses a query of whole numbers.
fn parse_numbers<'q>(query: &'q str, known: &[&str]) -> Result<BTreeMap<&'q str, u64>, ApiError> {
    let mut numbers = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if !known.contains(&name) {
            return Err(ApiError::BadRequest(format!(
                "unknown parameter; known parameters: {}",
                known.join(", ")
            )));
        }
        let is_number = value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse().ok().filter(|_| is_number);
        let number = number.ok_or_else(|| ApiError::BadRequest(format!("{name} must be a whole number")))?;
        if numbers.insert(name, number).is_some() {
            return Err(ApiError::BadRequest(format!("{name} is repeated")));
        }
    }
    Ok(numbers)
}

fn ok_response(value: &Value) -> ApiResponse {
    ApiResponse::no_store(StatusCode::OK, value)
}
