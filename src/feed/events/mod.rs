//! `GET /events`: the log in order after a cursor, with long polling, and `GET /events/{id}`.

pub(crate) mod cursor;
pub(super) mod format;
pub(super) mod query;
pub(super) mod stream;

use std::ops::Range;

use http::{HeaderName, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use tokio::time::{Duration, Instant, sleep, timeout_at};

use super::response::FeedResponse;
use super::{Feed, FeedRequest, MAX_RESPONSE_BYTES, TokenScope, json_string_bytes};
use crate::db::DatabaseError;
use crate::log::{Bounds, CursorSigningKey, EventFilter, EventLog, PageLimit, Position, PositionedEvent};
use format::{Format, ResponseKind};
use query::{AllowedParameters, EventQuery, InvalidParameter, LogPoint, PageStart};

const PATH: &str = "/events";
/// Carries the cursor of the next page.
const CURSOR_HEADER: HeaderName = HeaderName::from_static("hookbridge-cursor");
/// The most positions that one query scans for events that match a filter.
const MAX_SCAN_STEP: i64 = 20_000;
/// How long one request scans before it returns the events found so far.
const SCAN_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after a spurious wake-up, before the next query.
const DATABASE_POLL_INTERVAL: Duration = Duration::from_millis(250);

pub(super) struct EventPage {
    pub(super) events: Vec<PositionedEvent>,
    /// The position at which the scan started.
    pub(super) start_position: Position,
    /// The position of the next page.
    pub(super) next_position: Position,
    /// Whether the log continues at `next_position`; with a filter, none of the further events may match.
    pub(super) has_more: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum PageError {
    BadRequest(String),
    /// Retention has deleted the next event.
    Expired,
    /// The cursor is beyond the end of the log.
    Ahead,
    Failed(DatabaseError),
}

impl From<DatabaseError> for PageError {
    fn from(error: DatabaseError) -> Self {
        Self::Failed(error)
    }
}

impl From<InvalidParameter> for PageError {
    fn from(InvalidParameter(message): InvalidParameter) -> Self {
        Self::BadRequest(message)
    }
}

impl PageError {
    pub(super) fn to_response(&self) -> FeedResponse {
        match self {
            Self::BadRequest(message) => FeedResponse::error(StatusCode::BAD_REQUEST, message),
            Self::Expired => FeedResponse::error_with_code(
                StatusCode::GONE,
                "cursor_expired",
                "Retention has deleted events after this cursor. Continue with after=start, the oldest event kept, and get the missing events from their source.",
            ),
            Self::Ahead => FeedResponse::error_with_code(
                StatusCode::GONE,
                "cursor_ahead",
                "The log ends before this cursor, for example because an older backup was restored. Continue with after=start, or with a time: after=2026-11-22T10:00:00Z. Events may repeat.",
            ),
            Self::Failed(error) => FeedResponse::from_log_error(error),
        }
    }
}

/// The scan for one page: the remaining limits of the page, and how far the next query scans.
struct FilteredScan<'q> {
    filter: &'q EventFilter,
    page_limit: PageLimit,
    /// The number of positions that the next query scans; it grows with each query.
    step: i64,
    deadline: Instant,
    is_empty: bool,
}

impl<'q> FilteredScan<'q> {
    fn for_page(query: &'q EventQuery, from_end: bool) -> Self {
        let page_limit =
            PageLimit { max_events: query.limit as usize, max_detail_bytes: MAX_RESPONSE_BYTES, from_end };
        Self {
            filter: &query.filter,
            page_limit,
            step: query.limit.into(),
            deadline: Instant::now() + SCAN_TIMEOUT,
            is_empty: true,
        }
    }

    /// Reads the next events; when the page is full, also returns the position after the last one.
    async fn read(
        &mut self,
        log: &EventLog,
        window: Range<Position>,
    ) -> Result<(Vec<PositionedEvent>, Option<Position>), PageError> {
        let mut events =
            log.read_events(window, self.filter, self.page_limit).await?.ok_or(PageError::Expired)?;
        let is_limit_reached = self.page_limit.is_reached(&events);
        if self.page_limit.from_end {
            events.reverse();
        }
        // A function returns the page as a JSON string, in which a detail can double in size. This upper bound is cheap to
        // compute, and usually shows that all events fit.
        let max_size: usize = events.iter().map(|positioned| 2 * positioned.event.detail.len() + 1024).sum();
        let (mut size, mut count, mut page_end) = (0, 0, None);
        if max_size <= self.page_limit.max_detail_bytes {
            (size, count) = (max_size, events.len());
        }
        for positioned in &events[count..] {
            let new_size = size + json_string_bytes(&positioned.event.detail) + 1024;
            // An oversized event gets a page for itself.
            if new_size > self.page_limit.max_detail_bytes && !(self.is_empty && count == 0) {
                page_end = Some(positioned.position + i64::from(self.page_limit.from_end));
                break;
            }
            size = new_size;
            count += 1;
        }
        events.truncate(count);
        if let Some(last) = events.last().filter(|_| is_limit_reached) {
            let last_end = last.position + i64::from(!self.page_limit.from_end);
            page_end = page_end.or(Some(last_end));
        }
        if self.page_limit.from_end {
            events.reverse();
        }
        self.is_empty &= events.is_empty();
        self.page_limit.max_events -= events.len();
        self.page_limit.max_detail_bytes = self.page_limit.max_detail_bytes.saturating_sub(size);
        self.step = (self.step * 4).min(MAX_SCAN_STEP);
        Ok((events, page_end))
    }

    fn has_timed_out(&self) -> bool {
        Instant::now() > self.deadline
    }
}

impl Feed {
    /// The key that signs this log's cursors.
    pub(super) async fn cursor_signing_key(&self) -> Result<&CursorSigningKey, DatabaseError> {
        self.cursor_key.get_or_try_init(|| self.log.cursor_signing_key()).await
    }

    /// Handles `GET /events`.
    pub(super) async fn list_events(&self, request: &FeedRequest<'_>, scope: &TokenScope) -> FeedResponse {
        if request.method != Method::GET {
            return FeedResponse::not_allowed("GET");
        }
        let format = match Format::negotiate(request.header(header::ACCEPT)) {
            ResponseKind::Stream => return stream::streaming_unavailable(),
            ResponseKind::Page(format) => format,
        };
        match self.read_page(request, scope).await {
            Ok((query, page, key)) => page_response(request, format, &query, &page, &key, None),
            Err(error) => error.to_response(),
        }
    }

    async fn read_page(
        &self,
        request: &FeedRequest<'_>,
        scope: &TokenScope,
    ) -> Result<(EventQuery, EventPage, CursorSigningKey), PageError> {
        let mut query = EventQuery::parse(request.query, AllowedParameters::Log)?;
        query.wait = query.wait.min(request.max_wait);
        let key = self.cursor_signing_key().await?.clone();
        let page = if scope.restrict_sources(&mut query.filter.sources) {
            self.page_for(&query).await?
        } else {
            return Err(PageError::BadRequest(
                "none of the requested sources is allowed for this token".into(),
            ));
        };
        Ok((query, page, key))
    }

    async fn page_for(&self, query: &EventQuery) -> Result<EventPage, PageError> {
        match &query.start {
            PageStart::After(LogPoint::Cursor(cursor)) => {
                // Reading the page checks whether the position exists.
                let from = self.decode_cursor(cursor).await?;
                self.page_after(from, query).await
            }
            PageStart::After(point) => {
                let from = self.resolve_point(point).await?;
                self.page_after(from, query).await
            }
            PageStart::Before(point) => {
                let to = self.resolve_point(point).await?;
                self.scan_backward(to, query).await
            }
        }
    }

    /// The position in a cursor, which may be outside the log.
    async fn decode_cursor(&self, text: &str) -> Result<Position, PageError> {
        let message = "invalid cursor: damaged, truncated, or of another log; use a cursor of this log, start, now, or a time such as 2026-11-22T10:00:00Z";
        let position = cursor::decode_cursor(text, self.cursor_signing_key().await?);
        position.ok_or_else(|| PageError::BadRequest(message.into()))
    }

    /// Resolves a point to a position within the log.
    pub(super) async fn resolve_point(&self, point: &LogPoint) -> Result<Position, PageError> {
        let position = match point {
            LogPoint::Cursor(cursor) => self.decode_cursor(cursor).await?,
            LogPoint::Start => return Ok(self.log.bounds().await?.first_position),
            LogPoint::Now => return Ok(self.log.assign_positions().await?),
            LogPoint::Time(time) => return Ok(self.log.first_position_since(*time).await?),
        };
        let Bounds { first_position: first, end_position: end } = self.log.bounds().await?;
        match position {
            _ if position < first => Err(PageError::Expired),
            _ if position > end => Err(PageError::Ahead),
            _ => Ok(position),
        }
    }

    /// The page after a position; if it is empty, waits for events up to `query.wait`.
    pub(super) async fn page_after(
        &self,
        from: Position,
        query: &EventQuery,
    ) -> Result<EventPage, PageError> {
        let deadline = Instant::now() + query.wait;
        let mut from = from;
        loop {
            let page = self.scan_forward(from, query).await?;
            let is_complete = !page.events.is_empty() || page.has_more;
            if is_complete
                || timeout_at(deadline, self.log.wait_for_position(page.next_position)).await.is_err()
            {
                return Ok(page);
            }
            if page.next_position == from && self.log.assign_positions().await? <= from {
                // Spurious wake-up; the log may have been restored from a backup.
                sleep(DATABASE_POLL_INTERVAL).await;
            }
            from = page.next_position;
        }
    }

    async fn scan_forward(&self, from: Position, query: &EventQuery) -> Result<EventPage, PageError> {
        let end = self.log.assign_positions().await?;
        if from > end {
            return Err(PageError::Ahead);
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

    /// The page before a position, in log order.
    async fn scan_backward(&self, to: Position, query: &EventQuery) -> Result<EventPage, PageError> {
        let first = self.log.bounds().await?.first_position;
        if to < first {
            return Err(PageError::Expired);
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

    /// Handles `GET /events/{id}`.
    pub(super) async fn get_event(
        &self,
        request: &FeedRequest<'_>,
        scope: &TokenScope,
        id: &str,
    ) -> FeedResponse {
        if request.method != Method::GET {
            return FeedResponse::not_allowed("GET");
        }
        if !request.query.is_empty() {
            return FeedResponse::error(StatusCode::BAD_REQUEST, "This path takes no parameters.");
        }
        let id = percent_decode_str(id).decode_utf8_lossy();
        let mut sources = Vec::new();
        let is_readable = scope.restrict_sources(&mut sources) && !id.contains('\0') && !id.is_empty();
        let found = if is_readable { self.log.find_event(&id, &sources).await } else { Ok(None) };
        let format = Format::for_page(request.header(header::ACCEPT));
        match found {
            Ok(Some(event)) => {
                FeedResponse::new(format.media_type(), StatusCode::OK, format.to_bytes(&event))
            }
            Ok(None) => FeedResponse::error(
                StatusCode::NOT_FOUND,
                "There is no event with this id that this token may read.",
            ),
            Err(error) => FeedResponse::from_log_error(&error),
        }
    }
}

/// The response for a page, with the consumer's lease if there is one.
pub(super) fn page_response(
    request: &FeedRequest<'_>,
    format: Format,
    query: &EventQuery,
    page: &EventPage,
    key: &CursorSigningKey,
    lease: Option<&str>,
) -> FeedResponse {
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
    let response = FeedResponse::new(format.page_media_type(), StatusCode::OK, body)
        .with_header(CURSOR_HEADER, &next_cursor);
    // Events between two positions never change, so the positions and the query identify the page.
    let range = format!("{format:?} {} {} {}", page.start_position, page.next_position, page.has_more);
    let event_id = |positioned: Option<&PositionedEvent>| {
        positioned.map(|positioned| positioned.event.key.id.clone()).unwrap_or_default()
    };
    let (first, last) = (event_id(page.events.first()), event_id(page.events.last()));
    let response = match lease {
        // The holder of a lease must receive the events.
        Some(_) => response.without_etag(),
        None => response.with_etag(&[&range, &first, &last, request.query]),
    };
    if request.path != PATH {
        // A consumer's next page has the same URL.
        return response;
    }
    let direction = if matches!(query.start, PageStart::After(_)) { "after" } else { "before" };
    let is_position = |pair: &&str| ["after", "before"].contains(&pair.split('=').next().unwrap_or_default());
    let other_pairs = request.query.split('&').filter(|pair| !pair.is_empty() && !is_position(pair));
    let pairs: Vec<_> =
        other_pairs.map(str::to_owned).chain([format!("{direction}={next_cursor}")]).collect();
    // The query is client input: characters that could end the URL or the header are dropped.
    let is_allowed = |char: &char| char.is_ascii_graphic() && !"<>\"".contains(*char);
    let link: String = pairs.join("&").chars().filter(is_allowed).collect();
    response.with_header(header::LINK, &format!("<{PATH}?{link}>; rel=\"next\""))
}
