//! The routes of the API, and the OpenAPI document that describes them.
//!
//! An [`Api`] has groups of resources. The groups are trait objects, so that the functions `feed` and `subscribers` do not
//! contain each other's code.

use std::pin::Pin;
use std::sync::Arc;

use http::{Method, StatusCode};

use super::error::ApiError;
use super::events::reader::LogReader;
use super::{
    Api, ApiRequest, ApiResponse, EventStream, MAX_BODY_BYTES, SEARCH_PATHS, TokenScope, consumers,
    deliveries, events, search, subscribers,
};
use crate::delivery::SubscriberService;

const OPENAPI_PATH: &str = "/openapi.json";

pub(crate) type RouteFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, ApiError>> + Send + 'a>>;

/// Resources that an [`Api`] serves together or not at all.
pub(crate) trait ResourceGroup: Send + Sync {
    /// The paths of the resources. The group also handles every path below one of these, such as `/events/{id}` below `/events`.
    fn paths(&self) -> &'static [&'static str];

    /// Whether a token that is limited to some sources may use the resources.
    fn allows_limited_tokens(&self) -> bool;

    /// Handles a request. `segments` are the segments of the request's path.
    fn route<'a>(
        &'a self,
        request: &'a ApiRequest<'a>,
        scope: &'a TokenScope,
        segments: &'a [&'a str],
    ) -> RouteFuture<'a, ApiResponse>;

    /// Opens a stream of events. Returns `None` if the group cannot stream.
    fn open_stream<'a>(
        &'a self,
        _request: &'a ApiRequest<'a>,
        _scope: &'a TokenScope,
    ) -> Option<RouteFuture<'a, (String, EventStream)>> {
        None
    }
}

/// The resources of the log: events, consumers and the search.
pub(super) struct LogResources(pub(super) Arc<LogReader>);

impl ResourceGroup for LogResources {
    fn paths(&self) -> &'static [&'static str] {
        &["/events", "/consumers", SEARCH_PATHS[0], SEARCH_PATHS[1]]
    }

    fn allows_limited_tokens(&self) -> bool {
        true
    }

    fn route<'a>(
        &'a self,
        request: &'a ApiRequest<'a>,
        scope: &'a TokenScope,
        segments: &'a [&'a str],
    ) -> RouteFuture<'a, ApiResponse> {
        let log = &self.0;
        match segments {
            ["events"] => Box::pin(events::list_events(log, request, scope)),
            ["events", id] => Box::pin(events::get_event(log, request, scope, id)),
            ["consumers", segments @ ..] => Box::pin(consumers::route(log, request, scope, segments)),
            _ if SEARCH_PATHS.contains(&request.path) => Box::pin(search::search(log, request, scope)),
            _ => Box::pin(std::future::ready(Err(not_found(self.paths())))),
        }
    }

    fn open_stream<'a>(
        &'a self,
        request: &'a ApiRequest<'a>,
        scope: &'a TokenScope,
    ) -> Option<RouteFuture<'a, (String, EventStream)>> {
        Some(Box::pin(EventStream::open(&self.0, request, scope)))
    }
}

/// The resources of delivery: subscribers and deliveries.
pub(super) struct SubscriberResources {
    pub(super) service: SubscriberService,
    /// Reads the events of a replay.
    pub(super) reader: LogReader,
}

impl ResourceGroup for SubscriberResources {
    fn paths(&self) -> &'static [&'static str] {
        &["/subscribers", "/deliveries"]
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
        match segments {
            ["subscribers", segments @ ..] => {
                Box::pin(subscribers::route(&self.service, &self.reader, request, segments))
            }
            ["deliveries", segments @ ..] => Box::pin(deliveries::route(&self.service, request, segments)),
            _ => Box::pin(std::future::ready(Err(not_found(self.paths())))),
        }
    }
}

impl Api {
    /// The paths of the resources that this API serves, and the path of the OpenAPI document.
    pub fn paths(&self) -> Vec<&'static str> {
        self.groups.iter().flat_map(|group| group.paths()).copied().chain([OPENAPI_PATH]).collect()
    }

    /// The group that serves a path.
    pub(super) fn find_group(&self, path: &str) -> Option<&dyn ResourceGroup> {
        let is_below = |resource: &str| {
            path.strip_prefix(resource).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.groups
            .iter()
            .map(AsRef::as_ref)
            .find(|group| group.paths().iter().any(|resource| is_below(resource)))
    }

    /// Dispatches a request to the group of its path, or returns the OpenAPI document.
    pub(super) async fn route(
        &self,
        request: &ApiRequest<'_>,
        scope: &TokenScope,
    ) -> Result<ApiResponse, ApiError> {
        if request.body.len() > MAX_BODY_BYTES {
            return Err(ApiError::BodyTooLarge);
        }
        if request.path == OPENAPI_PATH {
            let is_get = request.method == Method::GET;
            let document = || ApiResponse::json(StatusCode::OK, self.openapi_document());
            return is_get.then(document).ok_or(ApiError::MethodNotAllowed("GET"));
        }
        let segments: Vec<_> = request.path.split('/').skip(1).collect();
        match self.find_group(request.path) {
            Some(group) => group.route(request, scope, &segments).await,
            None => Err(not_found(&self.paths())),
        }
    }

    /// The OpenAPI 3.1 document of the resources that this API serves.
    fn openapi_document(&self) -> String {
        let mut document: serde_json::Value =
            serde_json::from_str(include_str!("openapi.json")).unwrap_or_default();
        if let Some(paths) = document["paths"].as_object_mut() {
            paths.retain(|path, _| self.find_group(path).is_some());
        }
        document.to_string()
    }
}

fn not_found(paths: &[&str]) -> ApiError {
    ApiError::NotFound(format!("Not found. Paths: {}.", paths.join(", ")))
}
