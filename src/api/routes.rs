//! The routes of the API, and the OpenAPI document that describes them.

use http::{Method, StatusCode};

use super::error::ApiError;
use super::{
    Api, ApiRequest, ApiResponse, MAX_BODY_BYTES, SEARCH_PATHS, TokenScope, consumers, deliveries, events,
    search, subscribers,
};

/// The paths of the log's resources.
const LOG_PATHS: [&str; 4] = ["/events", "/consumers", SEARCH_PATHS[0], SEARCH_PATHS[1]];
/// The paths of subscribers and deliveries.
const SUBSCRIBER_PATHS: [&str; 2] = ["/subscribers", "/deliveries"];
const OPENAPI_PATH: &str = "/openapi.json";

impl Api {
    /// The paths of the resources that this API serves.
    pub fn paths(&self) -> Vec<&'static str> {
        let log = self.log.iter().flat_map(|_| LOG_PATHS);
        let subscribers = self.subscribers.iter().flat_map(|_| SUBSCRIBER_PATHS);
        log.chain(subscribers).chain([OPENAPI_PATH]).collect()
    }

    pub(super) async fn route(
        &self,
        request: &ApiRequest<'_>,
        scope: &TokenScope,
    ) -> Result<ApiResponse, ApiError> {
        if request.body.len() > MAX_BODY_BYTES {
            return Err(ApiError::BodyTooLarge);
        }
        let segments: Vec<_> = request.path.split('/').skip(1).collect();
        match (segments.as_slice(), &self.log, &self.subscribers) {
            (["events"], Some(log), _) => events::list_events(log, request, scope).await,
            (["events", id], Some(log), _) => events::get_event(log, request, scope, id).await,
            (["consumers", segments @ ..], Some(log), _) => {
                consumers::route(log, request, scope, segments).await
            }
            (_, Some(log), _) if SEARCH_PATHS.contains(&request.path) => {
                search::search(log, request, scope).await
            }
            (["subscribers", segments @ ..], _, Some(service)) => {
                subscribers::route(service, request, segments).await
            }
            (["deliveries", segments @ ..], _, Some(service)) => {
                deliveries::route(service, request, segments).await
            }
            (["openapi.json"], ..) if request.method == Method::GET => {
                Ok(ApiResponse::json(StatusCode::OK, self.openapi_document()))
            }
            (["openapi.json"], ..) => Err(ApiError::MethodNotAllowed("GET")),
            _ => Err(ApiError::NotFound(format!("Not found. Paths: {}.", self.paths().join(", ")))),
        }
    }

    /// The OpenAPI 3.1 document of the resources that this API serves.
    fn openapi_document(&self) -> String {
        let document = include_str!("openapi.json");
        if self.log.is_some() && self.subscribers.is_some() {
            return document.to_owned();
        }
        let mut value: serde_json::Value = serde_json::from_str(document).unwrap_or_default();
        if let Some(paths) = value["paths"].as_object_mut() {
            paths.retain(|path, _| is_subscriber_path(path) == self.subscribers.is_some());
        }
        value.to_string()
    }
}

/// Whether a path belongs to subscribers or deliveries, which a token that is limited to some sources may not use.
pub(super) fn is_subscriber_path(path: &str) -> bool {
    let first_segment = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    SUBSCRIBER_PATHS.iter().any(|resource| resource[1..] == *first_segment)
}
