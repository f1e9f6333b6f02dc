//! The log as server-sent events: what there is from a place on, and then what comes.
//!
//! Source of the form: "Server-sent events", WHATWG HTML Standard. The id of each event is the cursor behind it, which a
//! browser sends again as `Last-Event-ID` when it connects anew.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode, header};

use super::query::{Parameters, Place, Point, Query};
use super::{Answer, Feed, NoPage, PATH, Request, cursor};
use crate::access::Scope;
use crate::feed::events::format::{Accepted, Format};
use crate::feed::trimmed;
use crate::log::{ConsumerStore, CursorKey, EventReader, Position, PositionedEvent};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How long nothing may be sent: what stands between takes a connection for dead after some more.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The headers of a stream.
pub const STREAM_HEADERS: [(HeaderName, &str); 2] =
    [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];

/// Whether a request is for a stream, and of what can be one.
pub fn is_for_stream(request: &Request<'_>) -> bool {
    request.method == Method::GET
        && trimmed(request.path) == PATH
        && Format::accepted(request.header(header::ACCEPT)) == Accepted::Stream
}

/// A client that follows the log.
pub struct Follower<L> {
    feed: Arc<Feed<L>>,
    query: Query,
    next: Position,
    key: CursorKey,
    has_ended: bool,
}

impl<L: EventReader + ConsumerStore> Feed<L> {
    /// Begins a stream for an authenticated request: its first text, and the follower that has the rest.
    ///
    /// # Errors
    /// The answer to give instead.
    pub async fn follow(
        self: &Arc<Self>,
        request: Request<'_>,
        scope: Scope,
    ) -> Result<(String, Follower<L>), Answer> {
        let begun = async {
            let mut query = Query::read(request.query, Parameters::Log)?;
            if let Some(last) = request.header(LAST_EVENT_ID) {
                query.place = Place::After(Point::read(last));
            }
            let Place::After(point) = &query.place else {
                return Err(NoPage::Bad("before does not go with a stream".into()));
            };
            if !scope.narrow(&mut query.filter.sources) {
                return Err(NoPage::Bad("none of the requested sources is allowed for this token".into()));
            }
            let next = self.position(point).await?;
            query.wait = Duration::ZERO;
            let key = self.cursor_key().await?.clone();
            let mut follower = Follower { feed: self.clone(), query, next, key, has_ended: false };
            // What cannot be read is said by the status.
            let first = follower.read().await?;
            follower.query.wait = KEEP_ALIVE;
            Ok((first, follower))
        };
        begun.await.map_err(|no_page: NoPage| no_page.answer())
    }
}

impl<L: EventReader + ConsumerStore> Follower<L> {
    /// What comes next: events, or after some time without any a comment. `None` when it has ended.
    pub async fn next(&mut self) -> Option<String> {
        if self.has_ended {
            return None;
        }
        Some(self.read().await.unwrap_or_else(|no_page| {
            self.has_ended = true;
            let answer = no_page.answer();
            format!("event: error\ndata: {}\n\n", String::from_utf8_lossy(&answer.body))
        }))
    }

    async fn read(&mut self) -> Result<String, NoPage> {
        let page = self.feed.after(self.next, &self.query).await?;
        self.next = page.next;
        let mut text: String = page.events.iter().map(|placed| self.event(placed)).collect();
        if text.is_empty() {
            // Without data, a client takes the id and shows nothing.
            text = format!(": nothing new\nid: {}\n\n", cursor::write(self.next, &self.key));
        }
        Ok(text)
    }

    fn event(&self, placed: &PositionedEvent) -> String {
        let line = placed.event.to_json_line();
        let cursor = cursor::write(placed.position + 1, &self.key);
        format!("id: {cursor}\ndata: {}\n", String::from_utf8_lossy(&line))
    }
}

/// The answer of those who cannot stream.
pub(super) fn no_stream() -> Answer {
    let why = "Streaming is not supported here; use long polling (wait=25).";
    Answer::error(StatusCode::NOT_ACCEPTABLE, why)
}
