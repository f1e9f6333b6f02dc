//! The log as server-sent events: first the recorded events after a point, then each new event when it is recorded.
//!
//! Source: "Server-sent events", WHATWG HTML Standard. The `id` of a server-sent event is the cursor after this event. When a
//! browser reconnects, it sends the last `id` as `Last-Event-ID`, and the stream continues there.

use std::sync::Arc;

use http::{HeaderName, Method, header};
use tokio::time::{Duration, Instant};

use super::query::{AllowedParameters, EventQuery, LogPoint, PageAnchor};
use super::reader::LogReader;
use super::{EVENTS_PATH, restrict_sources};
use crate::api::error::ApiError;
use crate::api::events::format::{Format, ResponseKind};
use crate::api::{ApiRequest, TokenScope, cursor, trim_slash};
use crate::log::{CursorSigningKey, Position, PositionedEvent};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// After this time without a new event, the stream sends a comment, because proxies close connections that are idle for long.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);

pub const STREAM_HEADERS: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];

/// Whether a request asks for a stream of `/events`, the only path that streams.
pub fn is_stream_request(request: &ApiRequest<'_>) -> bool {
    request.method == Method::GET
        && trim_slash(request.path) == EVENTS_PATH
        && Format::negotiate(request.header(header::ACCEPT)) == ResponseKind::Stream
}

/// An open stream of events.
pub struct EventStream {
    reader: Arc<LogReader>,
    query: EventQuery,
    next_position: Position,
    signing_key: CursorSigningKey,
    is_finished: bool,
}

impl EventStream {
    /// Opens the stream of a request: returns its first chunk, and the stream of the remaining chunks.
    ///
    /// # Errors
    /// The request is invalid, or the first read failed.
    pub(in crate::api) async fn open(
        reader: &Arc<LogReader>,
        request: &ApiRequest<'_>,
        scope: &TokenScope,
    ) -> Result<(String, Self), ApiError> {
        let mut query = EventQuery::parse(request.query, AllowedParameters::Log)?;
        if let Some(last_event_id) = request.header(LAST_EVENT_ID) {
            query.anchor = PageAnchor::After(LogPoint::parse(last_event_id));
        }
        let PageAnchor::After(point) = &query.anchor else {
            return Err(ApiError::BadRequest("before cannot be combined with a stream".into()));
        };
        let next_position = reader.resolve_point(point).await?;
        restrict_sources(scope, &mut query)?;
        query.wait = Duration::ZERO;
        let signing_key = reader.cursor_signing_key().await?.clone();
        let mut stream =
            Self { reader: reader.clone(), query, next_position, signing_key, is_finished: false };
        // The first chunk is read before the response starts, so that an error of this read becomes the response's status.
        let first_chunk = stream.read().await?;
        stream.query.wait = KEEP_ALIVE_INTERVAL;
        Ok((first_chunk, stream))
    }

    /// Returns the next chunk: new events, or a keep-alive comment after 15 s without a new event. If reading fails, returns an
    /// error event, and `None` from then on.
    pub async fn next_chunk(&mut self) -> Option<String> {
        if self.is_finished {
            return None;
        }
        Some(self.read().await.unwrap_or_else(|error| {
            self.is_finished = true;
            let response = error.into_response();
            format!("event: error\ndata: {}\n\n", String::from_utf8_lossy(&response.body))
        }))
    }

    async fn read(&mut self) -> Result<String, ApiError> {
        let deadline = Instant::now() + self.query.wait;
        let page = self.reader.page_after(self.next_position, &self.query, deadline).await?;
        self.next_position = page.next_position;
        let mut text: String = page.events.iter().map(|positioned| self.event_chunk(positioned)).collect();
        if text.is_empty() {
            // This keep-alive has an id but no data: by the specification, a client stores the id and dispatches no event.
            text = format!(
                ": nothing new\nid: {}\n\n",
                cursor::encode_cursor(self.next_position, &self.signing_key)
            );
        }
        Ok(text)
    }

    fn event_chunk(&self, positioned: &PositionedEvent) -> String {
        let line = positioned.event.to_json_line();
        let cursor = cursor::encode_cursor(positioned.position + 1, &self.signing_key);
        format!("id: {cursor}\ndata: {}\n", String::from_utf8_lossy(&line))
    }
}
