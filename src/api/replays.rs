//! `/replays`: sends events of the log again, to the bus of `hookbridge serve` or to a URL.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, StatusCode};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::body::parse_body;
use super::cursor::encode_cursor;
use super::error::ApiError;
use super::events::reader::LogReader;
use super::events::selection::Selection;
use super::routes::{ResourceGroup, RouteFuture};
use super::{ApiRequest, ApiResponse, TokenScope};
use crate::bus::Bus;
use crate::delivery::SsrfGuard;
use crate::log::{Position, PositionedEvent, StoredEvent};
use crate::replay::{ReplayReport, ReplayTarget, replay_urn, send_group};

/// The maximum number of events that are sent at once.
const GROUP_SIZE: usize = 8;
/// The timeout for one event, retries included.
const EVENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request sends events. After that time it returns the cursor of the events that are left.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);

/// The resources of replays.
pub(super) struct ReplayResources<B> {
    pub(super) reader: LogReader,
    pub(super) bus: B,
    pub(super) guard: SsrfGuard,
}

/// The request body of `POST /replays`.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct ReplayRequest {
    /// The id of the only event; `None` for the events that the query selects.
    event: Option<String>,
    /// Where to send the events; `None` is the bus.
    url: Option<String>,
    /// The start of the replay, from the response with its first page.
    started: Option<Timestamp>,
    dry_run: bool,
}

impl<B: Bus + Clone> ResourceGroup for ReplayResources<B> {
    fn paths(&self) -> &'static [&'static str] {
        &["/replays"]
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
            match (segments, request.method) {
                (["replays"], &Method::POST) => self.replay(request).await,
                (["replays"], _) => Err(ApiError::MethodNotAllowed("POST")),
                _ => Err(ApiError::NotFound("Not found. The only path is /replays.".into())),
            }
        })
    }
}

impl<B: Bus + Clone> ReplayResources<B> {
    async fn replay(&self, request: &ApiRequest<'_>) -> Result<ApiResponse, ApiError> {
        let ReplayRequest { event, url, started, dry_run } = parse_body(request.body)?;
        let target = match url {
            Some(url) => ReplayTarget::guarded_url(&url, &self.guard)
                .await
                .map_err(|error| ApiError::BadRequest(format!("url: {error}")))?,
            None => ReplayTarget::Bus(self.bus.clone()),
        };
        let started = started.unwrap_or_else(Timestamp::now);
        let mut replay = Replay {
            target: (!dry_run).then(|| Arc::new(target)),
            urn: replay_urn(started),
            report: ReplayReport::default(),
            failure: None,
        };
        let (cursor, has_more) = match Selection::read(&self.reader, request.query, event.as_deref()).await? {
            Selection::Event(event) => {
                replay.send(std::iter::once(*event)).await;
                (None, false)
            }
            Selection::Page { events, next_position, has_more } => {
                let first_left = replay.send_page(&events).await;
                let next_position = first_left.unwrap_or(next_position);
                let cursor = encode_cursor(next_position, self.reader.cursor_signing_key().await?);
                (Some(cursor), has_more || first_left.is_some())
            }
        };
        Ok(ApiResponse::no_store(
            StatusCode::OK,
            &json!({
                "object": "replay",
                "events": replay.report.sent,
                "skipped": replay.report.skipped,
                "started": started,
                "cursor": cursor,
                "has_more": has_more,
                "error": replay.failure,
            }),
        ))
    }
}

/// The events that one request sends.
struct Replay<B> {
    /// `None` only counts the events.
    target: Option<Arc<ReplayTarget<B>>>,
    urn: String,
    report: ReplayReport,
    /// Why the target did not accept an event.
    failure: Option<String>,
}

impl<B: Bus> Replay<B> {
    /// Sends a page, in groups, until the target does not accept an event or the time is up. Returns the position of the first event
    /// that may not have been sent.
    async fn send_page(&mut self, events: &[PositionedEvent]) -> Option<Position> {
        let deadline = Instant::now() + SEND_TIMEOUT;
        for group in events.chunks(GROUP_SIZE) {
            let is_late = Instant::now() > deadline;
            if !is_late {
                self.send(group.iter().map(|positioned| positioned.event.clone())).await;
            }
            if is_late || self.failure.is_some() {
                return group.first().map(|first| first.position);
            }
        }
        None
    }

    async fn send(&mut self, group: impl Iterator<Item = StoredEvent>) {
        let Some(target) = &self.target else {
            self.report.sent += group.count() as u64;
            return;
        };
        let sent = send_group(target, group, &self.urn, EVENT_TIMEOUT, async || (), &mut self.report).await;
        self.failure = sent.err().map(|error| error.to_string());
    }
}
