//! `GET /events` reads events in log order, after or before a cursor, with long polling. `GET /events/{id}` reads one event.

pub(super) mod format;
pub(super) mod long_poll;
pub(super) mod query;
pub(super) mod reader;
pub(super) mod selection;
pub(super) mod stream;

use http::{HeaderName, Method, StatusCode, header};
use percent_encoding::percent_decode_str;

use super::error::ApiError;
use super::{ApiRequest, ApiResponse, TokenScope, cursor};
use crate::log::{CursorSigningKey, PositionedEvent};
use format::{Format, ResponseKind};
use query::{AllowedParameters, EventQuery, InvalidParameter, PageAnchor};
use reader::{EventPage, LogReader};

const EVENTS_PATH: &str = "/events";
/// The response header with the cursor at which the next page starts.
const CURSOR_HEADER: HeaderName = HeaderName::from_static("hookbridge-cursor");

impl From<InvalidParameter> for ApiError {
    fn from(InvalidParameter(message): InvalidParameter) -> Self {
        Self::BadRequest(message)
    }
}

/// Handles `GET /events`.
pub(super) async fn list_events(
    reader: &LogReader,
    request: &ApiRequest<'_>,
    scope: &TokenScope,
) -> Result<ApiResponse, ApiError> {
    if request.method != Method::GET {
        return Err(ApiError::MethodNotAllowed("GET"));
    }
    let ResponseKind::Page(format) = Format::negotiate(request.header(header::ACCEPT)) else {
        return Err(ApiError::StreamUnavailable);
    };
    let mut query = EventQuery::parse(request.query, AllowedParameters::Log)?;
    query.wait = query.wait.min(request.max_wait);
    restrict_sources(scope, &mut query)?;
    let key = reader.cursor_signing_key().await?;
    let page = reader.page_for(&query).await?;
    Ok(page_response(request, format, &query, &page, key, None))
}

/// Restricts a query to the sources that the token may read. Fails if the query names only other sources.
fn restrict_sources(scope: &TokenScope, query: &mut EventQuery) -> Result<(), ApiError> {
    let any_source_allowed = scope.restrict_sources(&mut query.filter.sources);
    let message = "none of the requested sources is allowed for this token";
    any_source_allowed.then_some(()).ok_or_else(|| ApiError::BadRequest(message.into()))
}

/// Handles `GET /events/{id}`.
pub(super) async fn get_event(
    reader: &LogReader,
    request: &ApiRequest<'_>,
    scope: &TokenScope,
    id: &str,
) -> Result<ApiResponse, ApiError> {
    if request.method != Method::GET {
        return Err(ApiError::MethodNotAllowed("GET"));
    }
    if !request.query.is_empty() {
        return Err(ApiError::BadRequest("This path takes no parameters.".into()));
    }
    let id = percent_decode_str(id).decode_utf8_lossy();
    let mut sources = Vec::new();
    let can_match = scope.restrict_sources(&mut sources) && !id.contains('\0') && !id.is_empty();
    let found = if can_match { reader.log.find_event(&id, &sources).await? } else { None };
    let message = "There is no event with this id that this token may read.";
    let event = found.ok_or_else(|| ApiError::NotFound(message.into()))?;
    let format = Format::for_page(request.header(header::ACCEPT));
    Ok(ApiResponse::new(format.media_type(), StatusCode::OK, format.to_bytes(&event)))
}

/// Builds the response for a page. `lease` is the id of the lease on the page; `None` for a page without a lease.
pub(super) fn page_response(
    request: &ApiRequest<'_>,
    format: Format,
    query: &EventQuery,
    page: &EventPage,
    key: &CursorSigningKey,
    lease: Option<&str>,
) -> ApiResponse {
    let next_cursor = cursor::encode_cursor(page.next_position, key);
    let size: usize = page.events.iter().map(|positioned| positioned.event.detail.len() + 512).sum();
    let mut body = Vec::with_capacity(size + 256);
    body.extend_from_slice(match format {
        Format::List => b"{\"object\":\"list\",\"data\":[".as_slice(),
        Format::CloudEvents => b"[",
    });
    for (n, positioned) in page.events.iter().enumerate() {
        body.extend_from_slice(if n > 0 { b"," } else { b"" });
        format.write(&positioned.event, &mut body);
    }
    match format {
        Format::List => {
            let lease = lease.map(|lease| format!(r#","lease":"{lease}""#)).unwrap_or_default();
            let (has_more, path) = (page.has_more, request.path);
            let tail = format!(r#"],"has_more":{has_more},"cursor":"{next_cursor}"{lease},"url":"{path}"}}"#);
            body.extend_from_slice(tail.as_bytes());
        }
        Format::CloudEvents => body.push(b']'),
    }
    let mut response = ApiResponse::new(format.page_media_type(), StatusCode::OK, body)
        .with_header(CURSOR_HEADER, &next_cursor);
    if request.needs_event_urns {
        let urns = page.events.iter().filter_map(|positioned| positioned.event.resources.first().cloned());
        response.event_urns = urns.collect();
    }
    // Recorded events never change, so the positions, the first and last event ids and the query identify the page.
    let range = format!("{format:?} {} {} {}", page.start_position, page.next_position, page.has_more);
    let event_id = |positioned: Option<&PositionedEvent>| {
        positioned.map(|positioned| positioned.event.key.id.clone()).unwrap_or_default()
    };
    let (first, last) = (event_id(page.events.first()), event_id(page.events.last()));
    let response = match lease {
        // Without an `ETag`, a leased page is never answered with 304, so the holder of the lease always receives the events.
        Some(_) => response.without_etag(),
        None => response.with_etag(&[&range, &first, &last, request.query]),
    };
    if request.path != EVENTS_PATH {
        // A page of a named consumer has no `Link`, because the consumer's next page has the same URL.
        return response;
    }
    let direction = if matches!(query.anchor, PageAnchor::After(_)) { "after" } else { "before" };
    let is_anchor = |pair: &&str| ["after", "before"].contains(&pair.split('=').next().unwrap_or_default());
    let other_pairs = request.query.split('&').filter(|pair| !pair.is_empty() && !is_anchor(pair));
    let pairs: Vec<_> =
        other_pairs.map(str::to_owned).chain([format!("{direction}={next_cursor}")]).collect();
    // The query is client input: characters that could end the URL or the header are dropped.
    let is_allowed = |char: &char| char.is_ascii_graphic() && !"<>\"".contains(*char);
    let link: String = pairs.join("&").chars().filter(is_allowed).collect();
    response.with_header(header::LINK, &format!("<{EVENTS_PATH}?{link}>; rel=\"next\""))
}
