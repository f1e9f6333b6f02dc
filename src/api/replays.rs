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
use crate::log::{PositionedEvent, StoredEvent};
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
        let urn = replay_urn(started);
        let (target, mut report) = (Arc::new(target), ReplayReport::default());
        let (mut cursor, mut has_more, mut failure) = (None, false, None);
        match Selection::read(&self.reader, request.query, event.as_deref()).await? {
            Selection::Event(_) if dry_run => report.sent = 1,
            Selection::Event(event) => {
                let event = std::iter::once(*event);
                failure = send(&target, event, &urn, &mut report).await.err();
            }
            Selection::Page { events, mut next_position, has_more: log_has_more } => {
                has_more = log_has_more;
                if dry_run {
                    report.sent = events.len() as u64;
                } else {
                    let deadline = Instant::now() + SEND_TIMEOUT;
                    for group in events.chunks(GROUP_SIZE) {
                        let first_position = group.first().map(|first: &PositionedEvent| first.position);
                        let is_late = Instant::now() > deadline;
                        let stored = group.iter().map(|positioned| positioned.event.clone());
                        if !is_late {
                            failure = send(&target, stored, &urn, &mut report).await.err();
                        }
                        if let (true, Some(position)) = (is_late || failure.is_some(), first_position) {
                            (next_position, has_more) = (position, true);
                            break;
                        }
                    }
                }
                cursor = Some(encode_cursor(next_position, self.reader.cursor_signing_key().await?));
            }
        }
        Ok(ApiResponse::no_store(
            StatusCode::OK,
            &json!({
                "object": "replay",
                "events": report.sent,
                "skipped": report.skipped,
                "started": started,
                "cursor": cursor,
                "has_more": has_more,
                "error": failure,
            }),
        ))
    }
}

/// Sends a group of events; the error is the text of the first failure.
async fn send<B: Bus>(
    target: &Arc<ReplayTarget<B>>,
    group: impl Iterator<Item = StoredEvent>,
    replay_urn: &str,
    report: &mut ReplayReport,
) -> Result<(), String> {
    send_group(target, group, replay_urn, EVENT_TIMEOUT, async || (), report)
        .await
        .map_err(|error| error.to_string())
}
