//! The log as server-sent events: the events after a point, then new ones as they are recorded.
//!
//! Source: "Server-sent events", WHATWG HTML Standard. Each event's `id` is the cursor after it, which a browser sends as
//! `Last-Event-ID` when it reconnects.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode, header};

use super::query::{AllowedParameters, EventQuery, LogPoint, PageStart};
use super::{Feed, FeedRequest, FeedResponse, PATH, PageError, cursor};
use crate::auth::TokenScope;
use crate::feed::events::format::{Format, ResponseKind};
use crate::feed::trim_slashes;
use crate::log::{CursorSigningKey, Position, PositionedEvent};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The longest silence; proxies close connections that are idle for longer.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

pub const STREAM_HEADERS: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];

/// Whether a request asks for a stream of a resource that can be streamed.
pub fn is_stream_request(request: &FeedRequest<'_>) -> bool {
    request.method == Method::GET
        && trim_slashes(request.path) == PATH
        && Format::negotiate(request.header(header::ACCEPT)) == ResponseKind::Stream
}

pub struct EventStream {
    feed: Arc<Feed>,
    query: EventQuery,
    next_position: Position,
    key: CursorSigningKey,
    is_finished: bool,
}

impl Feed {
    /// Opens a stream for an authenticated request: returns its first chunk, and the stream of the remaining chunks.
    ///
    /// # Errors
    /// The response to return instead.
    pub async fn open_stream(
        self: &Arc<Self>,
        request: FeedRequest<'_>,
        scope: TokenScope,
    ) -> Result<(String, EventStream), FeedResponse> {
        let open = async {
            let mut query = EventQuery::parse(request.query, AllowedParameters::Log)?;
            if let Some(last_event_id) = request.header(LAST_EVENT_ID) {
                query.start = PageStart::After(LogPoint::parse(last_event_id));
            }
            let PageStart::After(point) = &query.start else {
                return Err(PageError::BadRequest("before cannot be combined with a stream".into()));
            };
            if !scope.restrict_sources(&mut query.filter.sources) {
                return Err(PageError::BadRequest(
                    "none of the requested sources is allowed for this token".into(),
                ));
            }
            let next_position = self.resolve_point(point).await?;
            query.wait = Duration::ZERO;
            let key = self.cursor_signing_key().await?.clone();
            let mut stream =
                EventStream { feed: self.clone(), query, next_position, key, is_finished: false };
            // Errors of the first read become the response's status.
            let first_chunk = stream.read().await?;
            stream.query.wait = KEEP_ALIVE_INTERVAL;
            Ok((first_chunk, stream))
        };
        open.await.map_err(|error: PageError| error.to_response())
    }
}

impl EventStream {
    /// The next chunk: events, or a comment after a silence. `None` at the end of the stream.
    pub async fn next_chunk(&mut self) -> Option<String> {
        if self.is_finished {
            return None;
        }
        Some(self.read().await.unwrap_or_else(|error| {
            self.is_finished = true;
            let response = error.to_response();
            format!("event: error\ndata: {}\n\n", String::from_utf8_lossy(&response.body))
        }))
    }

    async fn read(&mut self) -> Result<String, PageError> {
        let page = self.feed.page_after(self.next_position, &self.query).await?;
        self.next_position = page.next_position;
        let mut text: String = page.events.iter().map(|positioned| self.event_chunk(positioned)).collect();
        if text.is_empty() {
            // An event without data updates the client's last id and is not dispatched.
            text = format!(": nothing new\nid: {}\n\n", cursor::encode_cursor(self.next_position, &self.key));
        }
        Ok(text)
    }

    fn event_chunk(&self, positioned: &PositionedEvent) -> String {
        let line = positioned.event.to_json_line();
        let cursor = cursor::encode_cursor(positioned.position + 1, &self.key);
        format!("id: {cursor}\ndata: {}\n", String::from_utf8_lossy(&line))
    }
}

/// The response where streaming is not available.
pub(super) fn streaming_unavailable() -> FeedResponse {
    let message = "Streaming is not supported here; use long polling (wait=25).";
    FeedResponse::error(StatusCode::NOT_ACCEPTABLE, message)
}
