//! Reads pages of the log: the events after a point, or before it, that match a filter.

use std::ops::Range;

use tokio::sync::OnceCell;
use tokio::time::{Duration, Instant};

use super::long_poll::retry_while_unavailable;
use super::query::{EventQuery, LogPoint, PageAnchor};
use crate::api::error::ApiError;
use crate::api::{MAX_RESPONSE_BYTES, cursor, json_string_bytes};
use crate::db::DatabaseError;
use crate::log::{Bounds, CursorSigningKey, EventFilter, EventLog, PageLimit, Position, PositionedEvent};

/// The maximum number of positions that one database query scans for events that match a filter.
const MAX_SCAN_STEP: i64 = 20_000;
/// How long the scan for one page may take. After that time the page has the events found so far.
const SCAN_TIMEOUT: Duration = Duration::from_secs(5);

/// Reads pages of a log and decodes its cursors.
pub(in crate::api) struct LogReader {
    pub(in crate::api) log: EventLog,
    signing_key: OnceCell<CursorSigningKey>,
}

/// A page of events, in log order.
pub(in crate::api) struct EventPage {
    pub(in crate::api) events: Vec<PositionedEvent>,
    /// The position at which the scan for the page started.
    pub(in crate::api) start_position: Position,
    /// The position from which the next page is read.
    pub(in crate::api) next_position: Position,
    /// Whether the log has more events in the direction of the scan, although possibly none that matches the filter.
    pub(in crate::api) has_more: bool,
}

/// The scan for one page. It reads one range of positions after the other, until the page is full, the log has no further event,
/// or `deadline` has passed.
struct FilteredScan<'q> {
    filter: &'q EventFilter,
    /// The limits of the page, less the events found so far.
    remaining_limit: PageLimit,
    /// The number of positions that the next query scans. Each query scans four times as many as the one before, up to
    /// [`MAX_SCAN_STEP`].
    step: i64,
    deadline: Instant,
    /// Whether the scan has found no event so far.
    has_found_nothing: bool,
}

impl<'q> FilteredScan<'q> {
    fn for_page(query: &'q EventQuery, from_end: bool) -> Self {
        let page_limit =
            PageLimit { max_events: query.limit as usize, max_detail_bytes: MAX_RESPONSE_BYTES, from_end };
        Self {
            filter: &query.filter,
            remaining_limit: page_limit,
            step: query.limit.into(),
            deadline: Instant::now() + SCAN_TIMEOUT,
            has_found_nothing: true,
        }
    }

    /// Reads the events at the positions `window` that match the filter. If the page is full, also returns the position from
    /// which the next page is read.
    async fn read(
        &mut self,
        log: &EventLog,
        window: Range<Position>,
    ) -> Result<(Vec<PositionedEvent>, Option<Position>), ApiError> {
        let mut events = log
            .read_events(window, self.filter, self.remaining_limit)
            .await?
            .ok_or(ApiError::CursorExpired)?;
        let is_limit_reached = self.remaining_limit.is_reached(&events);
        if self.remaining_limit.from_end {
            events.reverse();
        }
        // A Lambda function returns the page as a JSON string, in which escaping can double the size of an event's `detail`. The
        // sum of the doubled sizes is cheap to compute, and usually shows that all events fit on the page.
        let max_escaped_bytes: usize =
            events.iter().map(|positioned| 2 * positioned.event.detail.len() + 1024).sum();
        let (mut size, mut count, mut page_end) = (0, 0, None);
        if max_escaped_bytes <= self.remaining_limit.max_detail_bytes {
            (size, count) = (max_escaped_bytes, events.len());
        }
        for positioned in &events[count..] {
            let new_size = size + json_string_bytes(&positioned.event.detail) + 1024;
            // An event that is larger than the limit of a page gets a page for itself.
            if new_size > self.remaining_limit.max_detail_bytes && !(self.has_found_nothing && count == 0) {
                page_end = Some(positioned.position + i64::from(self.remaining_limit.from_end));
                break;
            }
            size = new_size;
            count += 1;
        }
        events.truncate(count);
        if let Some(last) = events.last().filter(|_| is_limit_reached) {
            let last_end = last.position + i64::from(!self.remaining_limit.from_end);
            page_end = page_end.or(Some(last_end));
        }
        if self.remaining_limit.from_end {
            events.reverse();
        }
        self.has_found_nothing &= events.is_empty();
        self.remaining_limit.max_events -= events.len();
        self.remaining_limit.max_detail_bytes = self.remaining_limit.max_detail_bytes.saturating_sub(size);
        self.step = (self.step * 4).min(MAX_SCAN_STEP);
        Ok((events, page_end))
    }

    fn has_timed_out(&self) -> bool {
        Instant::now() > self.deadline
    }
}

impl LogReader {
    pub(in crate::api) fn new(log: EventLog) -> Self {
        Self { log, signing_key: OnceCell::new() }
    }

    /// The key that signs this log's cursors.
    pub(in crate::api) async fn cursor_signing_key(&self) -> Result<&CursorSigningKey, DatabaseError> {
        self.signing_key.get_or_try_init(|| self.log.cursor_signing_key()).await
    }

    /// Reads the page that a query requests.
    pub(in crate::api) async fn page_for(&self, query: &EventQuery) -> Result<EventPage, ApiError> {
        let deadline = Instant::now() + query.wait;
        match &query.anchor {
            PageAnchor::After(LogPoint::Cursor(cursor)) => {
                // `decode_cursor`, unlike `resolve_point`, does not check that the log has the position: `page_after` checks it.
                let from = retry_while_unavailable(deadline, || self.decode_cursor(cursor)).await?;
                self.page_after(from, query, deadline).await
            }
            PageAnchor::After(point) => {
                let from = retry_while_unavailable(deadline, || self.resolve_point(point)).await?;
                self.page_after(from, query, deadline).await
            }
            PageAnchor::Before(point) => {
                let to = self.resolve_point(point).await?;
                self.scan_backward(to, query).await
            }
        }
    }

    /// Decodes a cursor into its position, which may be outside the log.
    async fn decode_cursor(&self, text: &str) -> Result<Position, ApiError> {
        let message = "invalid cursor: damaged, truncated, or of another log; use a cursor of this log, start, now, or a time such as 2026-11-22T10:00:00Z";
        let position = cursor::decode_cursor(text, self.cursor_signing_key().await?);
        position.ok_or_else(|| ApiError::BadRequest(message.into()))
    }

    /// Resolves a point to a position within the log. Fails for a cursor whose position is outside the log.
    pub(in crate::api) async fn resolve_point(&self, point: &LogPoint) -> Result<Position, ApiError> {
        let position = match point {
            LogPoint::Cursor(cursor) => self.decode_cursor(cursor).await?,
            LogPoint::Start => return Ok(self.log.bounds().await?.first_position),
            LogPoint::Now => return Ok(self.log.assign_positions().await?),
            LogPoint::Time(time) => return Ok(self.log.first_position_since(*time).await?),
        };
        let Bounds { first_position: first, end_position: end } = self.log.bounds().await?;
        match position {
            _ if position < first => Err(ApiError::CursorExpired),
            _ if position > end => Err(ApiError::CursorAhead),
            _ => Ok(position),
        }
    }

    /// Reads the page of events from the position `from` on, without waiting for new events.
    pub(super) async fn scan_forward(
        &self,
        from: Position,
        query: &EventQuery,
    ) -> Result<EventPage, ApiError> {
        let end = self.log.assign_positions().await?;
        if from > end {
            return Err(ApiError::CursorAhead);
        }
        let mut page =
            EventPage { events: Vec::new(), start_position: from, next_position: from, has_more: false };
        let mut scan = FilteredScan::for_page(query, false);
        while page.next_position < end {
            let window = page.next_position..end.min(page.next_position + scan.step);
            page.next_position = window.end;
            let (events, page_end) = scan.read(&self.log, window).await?;
            page.next_position = page_end.unwrap_or(page.next_position);
            page.events.extend(events);
            if page_end.is_some() || scan.has_timed_out() {
                break;
            }
        }
        page.has_more = page.next_position < end;
        Ok(page)
    }

    /// Reads the page of events that ends before the position `to`. The scan goes backward, but the page is in log order.
    async fn scan_backward(&self, to: Position, query: &EventQuery) -> Result<EventPage, ApiError> {
        let first = self.log.bounds().await?.first_position;
        if to < first {
            return Err(ApiError::CursorExpired);
        }
        let mut page =
            EventPage { events: Vec::new(), start_position: to, next_position: to, has_more: false };
        let mut scan = FilteredScan::for_page(query, true);
        while page.next_position > first {
            let window = first.max(page.next_position - scan.step)..page.next_position;
            page.next_position = window.start;
            let (mut events, page_end) = scan.read(&self.log, window).await?;
            page.next_position = page_end.unwrap_or(page.next_position);
            events.append(&mut page.events);
            page.events = events;
            if page_end.is_some() || scan.has_timed_out() {
                break;
            }
        }
        page.has_more = page.next_position > first;
        Ok(page)
    }
}
