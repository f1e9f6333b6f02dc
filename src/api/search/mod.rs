//! SparkPost's search API, answered from the log: `GET /api/v1/events/message`, and the older `GET /api/v1/message-events`.

mod cursor;
mod parameters;

use http::{Method, StatusCode};
use jiff::Timestamp;

use super::error::ApiError;
use super::events::reader::LogReader;
use super::{ApiRequest, ApiResponse, MAX_RESPONSE_BYTES, TokenScope, json_string_bytes};
use crate::log::{EventLog, PageRequest, SortOrder};
use crate::providers::email::sparkpost;
use cursor::SearchCursor;
use parameters::{InvalidParameter, SearchApi, SearchRequest};

/// The paths of SparkPost's search API: the current one and the older one.
pub const SEARCH_PATHS: [&str; 2] = ["/api/v1/events/message", "/api/v1/message-events"];

impl From<InvalidParameter> for ApiError {
    fn from(InvalidParameter(message): InvalidParameter) -> Self {
        Self::BadRequest(message)
    }
}

/// Handles a search at one of [`SEARCH_PATHS`].
pub(super) async fn search(
    reader: &LogReader,
    request: &ApiRequest<'_>,
    scope: &TokenScope,
) -> Result<ApiResponse, ApiError> {
    let api = if request.path == SEARCH_PATHS[0] { SearchApi::Current } else { SearchApi::Legacy };
    if request.method != Method::GET {
        return Err(ApiError::MethodNotAllowed("GET"));
    }
    let mut search_request = SearchRequest::parse(api, request.query, Timestamp::now())?;
    if !scope.restrict_sources(&mut search_request.search.sources) {
        return Err(ApiError::Forbidden("This token may not read message events."));
    }
    Ok(ApiResponse::json(StatusCode::OK, search_page(&reader.log, &search_request).await?))
}

/// Runs a search and returns the response body with one page of results.
async fn search_page(log: &EventLog, search_request: &SearchRequest) -> Result<String, ApiError> {
    let (after, known_total) = match &search_request.cursor {
        Some(cursor) => (Some(cursor.after.clone()), Some(cursor.total)),
        None => (None, None),
    };
    let total = async {
        match known_total {
            Some(total) => Ok(total),
            None => log.count(&search_request.search).await,
        }
    };
    let page = PageRequest {
        order: SortOrder::NewestFirst,
        after,
        offset: search_request.offset(),
        // One event more than the page can have: if the search finds it, there is a next page.
        limit: search_request.per_page + 1,
    };
    let (total, events) = tokio::try_join!(total, log.search(&search_request.search, &page))?;
    let mut results = String::new();
    let (mut count, mut size) = (0_usize, 0);
    for event in events.iter().take(usize::try_from(search_request.per_page).unwrap_or(usize::MAX)) {
        let mut result = sparkpost::message_event_json(event);
        if json_string_bytes(&result) > MAX_RESPONSE_BYTES {
            result = sparkpost::summary_json(event);
        }
        size += json_string_bytes(&result) + 1;
        if size > MAX_RESPONSE_BYTES {
            // A numbered page cannot end early, because the next page starts at a multiple of `per_page`; a page with a cursor
            // can.
            if search_request.api == SearchApi::Legacy {
                let message = "per_page is too large for the events found; use a smaller one";
                return Err(ApiError::BadRequest(message.into()));
            }
            break;
        }
        if count > 0 {
            results.push(',');
        }
        results.push_str(&result);
        count += 1;
    }
    let last = events.get(count.wrapping_sub(1)).filter(|_| count < events.len());
    let next_url = last.map(|last| search_request.next_url(&SearchCursor { after: last.key.clone(), total }));
    let links = match (search_request.api, next_url) {
        (SearchApi::Current, None) => "{}".to_owned(),
        (SearchApi::Current, Some(url)) => serde_json::json!({"next": url}).to_string(),
        (SearchApi::Legacy, None) => "[]".to_owned(),
        (SearchApi::Legacy, Some(url)) => serde_json::json!([{"href": url, "rel": "next"}]).to_string(),
    };
    // The count and the search ran concurrently, so the search may have found events that the count missed.
    let total = total.max(count as u64);
    Ok(format!(r#"{{"results":[{results}],"total_count":{total},"links":{links}}}"#))
}
