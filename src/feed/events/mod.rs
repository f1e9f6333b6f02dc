//! `GET /events`: the log in its order, from a cursor on, held until there is something where that is asked for; and
//! `GET /events/{id}`.

pub(crate) mod cursor;
pub(super) mod format;
pub(super) mod query;
pub(super) mod stream;

use std::ops::Range;

use http::{HeaderName, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use tokio::time::{Duration, Instant, sleep, timeout_at};

use super::answer::Answer;
use super::{Feed, LARGEST, Request, Scope, in_json};
use crate::log::{
    Bounds, CursorKey, EventFilter, EventReader, LogError, PageLimit, Position, PositionedEvent,
};
use format::{Accepted, Format};
use query::{BadParameter, Parameters, Place, Point, Query};

/// The path of the log.
const PATH: &str = "/events";
/// The header with the cursor to go on from.
const CURSOR: HeaderName = HeaderName::from_static("hookbridge-cursor");
/// The most positions that are looked at at once for what a filter lets through.
const WIDEST: i64 = 20_000;
/// How long the log is looked through for a page before what was found so far is answered.
const LOOKING: Duration = Duration::from_secs(5);
/// How soon is looked again for what there should be.
const AGAIN: Duration = Duration::from_millis(250);

/// A page of the log.
pub(super) struct Page {
    pub(super) events: Vec<PositionedEvent>,
    /// Where it begins.
    pub(super) first: Position,
    /// Where to go on.
    pub(super) next: Position,
    /// Whether the log goes on there.
    pub(super) has_more: bool,
}

/// Why there is no page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoPage {
    /// A parameter cannot be.
    Bad(String),
    /// What comes next there is no longer kept.
    Expired,
    /// The log does not reach as far as the cursor.
    Ahead,
    /// The log cannot be read.
    Failed(LogError),
}

impl From<LogError> for NoPage {
    fn from(error: LogError) -> Self {
        Self::Failed(error)
    }
}

impl From<BadParameter> for NoPage {
    fn from(BadParameter(why): BadParameter) -> Self {
        Self::Bad(why)
    }
}

impl NoPage {
    pub(super) fn answer(&self) -> Answer {
        match self {
            Self::Bad(why) => Answer::error(StatusCode::BAD_REQUEST, why),
            Self::Expired => Answer::error_of(
                StatusCode::GONE,
                "cursor_expired",
                "Events after this cursor are no longer kept. Go on with after=start, which is the oldest event there is, and get what is missing from where it came from.",
            ),
            Self::Ahead => Answer::error_of(
                StatusCode::GONE,
                "cursor_ahead",
                "The log ends before this cursor: it was set back, for example to an older backup. What comes now may have been seen already. Go on with after=start, or with a time: after=2026-11-22T10:00:00Z.",
            ),
            Self::Failed(why) => Answer::failed(why),
        }
    }
}

/// A page on the way: what is still wanted of it, and how far is looked at once.
struct Looking<'q> {
    filter: &'q EventFilter,
    most: PageLimit,
    step: i64,
    enough: Instant,
    is_empty: bool,
}

impl<'q> Looking<'q> {
    fn for_page(query: &'q Query, from_end: bool) -> Self {
        let most = PageLimit { max_events: query.limit as usize, max_detail_bytes: LARGEST, from_end };
        let enough = Instant::now() + LOOKING;
        Self { filter: &query.filter, most, step: query.limit.into(), enough, is_empty: true }
    }

    /// The next events; and when there is no place on the page for more, where to go on after them.
    async fn read(
        &mut self,
        log: &impl EventReader,
        window: Range<Position>,
    ) -> Result<(Vec<PositionedEvent>, Option<Position>), NoPage> {
        let mut events = log.read_events(window, self.filter, self.most).await?.ok_or(NoPage::Expired)?;
        let is_cut = self.most.is_reached(&events);
        if self.most.from_end {
            events.reverse();
        }
        // As JSON in JSON, which is how a function hands it over, details are larger: at most twice as large, and that is enough
        // to know where even so there is room for all.
        let at_most: usize = events.iter().map(|placed| 2 * placed.event.detail.len() + 1024).sum();
        let (mut size, mut kept, mut rest) = (0, 0, None);
        if at_most <= self.most.max_detail_bytes {
            (size, kept) = (at_most, events.len());
        }
        for placed in &events[kept..] {
            let larger = size + in_json(&placed.event.detail) + 1024;
            // One is shown in any case, by itself if it is that large.
            if larger > self.most.max_detail_bytes && !(self.is_empty && kept == 0) {
                rest = Some(placed.position + i64::from(self.most.from_end));
                break;
            }
            size = larger;
            kept += 1;
        }
        events.truncate(kept);
        if let Some(last) = events.last().filter(|_| is_cut) {
            let behind = last.position + i64::from(!self.most.from_end);
            rest = rest.or(Some(behind));
        }
        if self.most.from_end {
            events.reverse();
        }
        self.is_empty &= events.is_empty();
        self.most.max_events -= events.len();
        self.most.max_detail_bytes = self.most.max_detail_bytes.saturating_sub(size);
        self.step = (self.step * 4).min(WIDEST);
        Ok((events, rest))
    }

    /// Whether what was found is answered, however little it is.
    fn is_enough(&self) -> bool {
        Instant::now() > self.enough
    }
}

impl<L: EventReader> Feed<L> {
    /// What this log's cursors are signed with.
    pub(super) async fn cursor_key(&self) -> Result<&CursorKey, LogError> {
        self.cursor_key.get_or_try_init(|| self.log.cursor_key()).await
    }

    /// Answers `GET /events`.
    pub(super) async fn events(&self, request: &Request<'_>, scope: &Scope) -> Answer {
        if request.method != Method::GET {
            return Answer::not_allowed("GET");
        }
        let format = match Format::accepted(request.header(header::ACCEPT)) {
            Accepted::Stream => return stream::no_stream(),
            Accepted::Page(format) => format,
        };
        match self.asked(request, scope).await {
            Ok((query, page, key)) => answered(request, format, &query, &page, &key, None),
            Err(no_page) => no_page.answer(),
        }
    }

    async fn asked(&self, request: &Request<'_>, scope: &Scope) -> Result<(Query, Page, CursorKey), NoPage> {
        let mut query = Query::read(request.query, Parameters::Log)?;
        query.wait = query.wait.min(request.patience);
        let key = self.cursor_key().await?.clone();
        let page = if scope.narrow(&mut query.filter.sources) {
            self.page_of(&query).await?
        } else {
            return Err(NoPage::Bad("none of the requested sources is allowed for this token".into()));
        };
        Ok((query, page, key))
    }

    async fn page_of(&self, query: &Query) -> Result<Page, NoPage> {
        match &query.place {
            Place::After(Point::Cursor(cursor)) => {
                // Whether the log has it is known when it was read.
                let from = self.position_in(cursor).await?;
                self.after(from, query).await
            }
            Place::After(point) => {
                let from = self.position(point).await?;
                self.after(from, query).await
            }
            Place::Before(point) => {
                let to = self.position(point).await?;
                self.before(to, query).await
            }
        }
    }

    /// The position in a cursor, whether or not the log reaches there.
    async fn position_in(&self, text: &str) -> Result<Position, NoPage> {
        let why = "the cursor is none of this log: garbled, cut short, or of another log; there are also start, now, and times as 2026-11-22T10:00:00Z";
        cursor::read(text, self.cursor_key().await?).ok_or_else(|| NoPage::Bad(why.into()))
    }

    /// The position of what comes next at a place, which the log reaches.
    pub(super) async fn position(&self, point: &Point) -> Result<Position, NoPage> {
        let position = match point {
            Point::Cursor(cursor) => self.position_in(cursor).await?,
            Point::Start => return Ok(self.log.bounds().await?.first),
            Point::Now => return Ok(self.log.assign_positions().await?),
            Point::Time(time) => return Ok(self.log.first_position_since(*time).await?),
        };
        let Bounds { first, end } = self.log.bounds().await?;
        match position {
            _ if position < first => Err(NoPage::Expired),
            _ if position > end => Err(NoPage::Ahead),
            _ => Ok(position),
        }
    }

    /// The page after a position; when there is nothing, what comes while it waits.
    pub(super) async fn after(&self, from: Position, query: &Query) -> Result<Page, NoPage> {
        let until = Instant::now() + query.wait;
        let mut from = from;
        loop {
            let page = self.forward(from, query).await?;
            let is_something = !page.events.is_empty() || page.has_more;
            if is_something || timeout_at(until, self.log.wait_for_position(page.next)).await.is_err() {
                return Ok(page);
            }
            if page.next == from && self.log.assign_positions().await? <= from {
                // Spurious wake-up; the log may have been restored from a backup.
                sleep(AGAIN).await;
            }
            from = page.next;
        }
    }

    async fn forward(&self, from: Position, query: &Query) -> Result<Page, NoPage> {
        let end = self.log.assign_positions().await?;
        if from > end {
            return Err(NoPage::Ahead);
        }
        let mut page = Page { events: Vec::new(), first: from, next: from, has_more: false };
        let mut looking = Looking::for_page(query, false);
        while page.next < end {
            let window = page.next..end.min(page.next + looking.step);
            page.next = window.end;
            let (events, rest) = looking.read(&self.log, window).await?;
            page.next = rest.unwrap_or(page.next);
            page.events.extend(events);
            if rest.is_some() || looking.is_enough() {
                break;
            }
        }
        page.has_more = page.next < end;
        Ok(page)
    }

    /// The page before a position, in the order of the log.
    async fn before(&self, to: Position, query: &Query) -> Result<Page, NoPage> {
        let first = self.log.bounds().await?.first;
        if to < first {
            return Err(NoPage::Expired);
        }
        let mut page = Page { events: Vec::new(), first: to, next: to, has_more: false };
        let mut looking = Looking::for_page(query, true);
        while page.next > first {
            let window = first.max(page.next - looking.step)..page.next;
            page.next = window.start;
            let (mut events, rest) = looking.read(&self.log, window).await?;
            page.next = rest.unwrap_or(page.next);
            events.append(&mut page.events);
            page.events = events;
            if rest.is_some() || looking.is_enough() {
                break;
            }
        }
        page.has_more = page.next > first;
        Ok(page)
    }

    /// Answers `GET /events/{id}`.
    pub(super) async fn event(&self, request: &Request<'_>, scope: &Scope, id: &str) -> Answer {
        if request.method != Method::GET {
            return Answer::not_allowed("GET");
        }
        if !request.query.is_empty() {
            return Answer::error(StatusCode::BAD_REQUEST, "There are no parameters here.");
        }
        let id = percent_decode_str(id).decode_utf8_lossy();
        let mut sources = Vec::new();
        let is_readable = scope.narrow(&mut sources) && !id.contains('\0') && !id.is_empty();
        let found = if is_readable { self.log.find_event(&id, &sources).await } else { Ok(None) };
        let format = Format::of_page(request.header(header::ACCEPT));
        match found {
            Ok(Some(event)) => Answer::of(format.media_type(), StatusCode::OK, format.of(&event)),
            Ok(None) => Answer::error(
                StatusCode::NOT_FOUND,
                "There is no event with this id, or none that this token reads.",
            ),
            Err(why) => Answer::failed(&why),
        }
    }
}

/// A page as it is answered; with the lease of a consumer, where it is one's.
pub(super) fn answered(
    request: &Request<'_>,
    format: Format,
    query: &Query,
    page: &Page,
    key: &CursorKey,
    lease: Option<&str>,
) -> Answer {
    let next = cursor::write(page.next, key);
    let size: usize = page.events.iter().map(|placed| placed.event.detail.len() + 512).sum();
    let mut body = Vec::with_capacity(size + 256);
    body.extend_from_slice(match format {
        Format::List => b"{\"object\":\"list\",\"data\":[".as_slice(),
        Format::CloudEvents => b"[",
    });
    for (n, placed) in page.events.iter().enumerate() {
        body.extend_from_slice(if n > 0 { b"," } else { b"" });
        format.write(&placed.event, &mut body);
    }
    match format {
        Format::List => {
            let lease = lease.map(|lease| format!(r#","lease":"{lease}""#)).unwrap_or_default();
            let (has_more, path) = (page.has_more, request.path);
            let rest = format!(r#"],"has_more":{has_more},"cursor":"{next}"{lease},"url":"{path}"}}"#);
            body.extend_from_slice(rest.as_bytes());
        }
        Format::CloudEvents => body.push(b']'),
    }
    let answer = Answer::of(format.media_type_of_page(), StatusCode::OK, body).with(CURSOR, &next);
    // What stands between two positions never changes: these and the question say what the page is.
    let of = format!("{format:?} {} {} {}", page.first, page.next, page.has_more);
    let id = |placed: Option<&PositionedEvent>| {
        placed.map(|placed| placed.event.key.id.clone()).unwrap_or_default()
    };
    let (first, last) = (id(page.events.first()), id(page.events.last()));
    let answer = match lease {
        // Who has a lease gets its events.
        Some(_) => answer.untagged(),
        None => answer.known_by(&[&of, &first, &last, request.query]),
    };
    if request.path != PATH {
        // A consumer's next page has the same URL.
        return answer;
    }
    let direction = if matches!(query.place, Place::After(_)) { "after" } else { "before" };
    let is_place = |pair: &&str| ["after", "before"].contains(&pair.split('=').next().unwrap_or_default());
    let others = request.query.split('&').filter(|pair| !pair.is_empty() && !is_place(pair));
    let all: Vec<_> = others.map(str::to_owned).chain([format!("{direction}={next}")]).collect();
    // What a client sent stands in a header: nothing of it may end the URL.
    let is_harmless = |char: &char| char.is_ascii_graphic() && !"<>\"".contains(*char);
    let link: String = all.join("&").chars().filter(is_harmless).collect();
    answer.with(header::LINK, &format!("<{PATH}?{link}>; rel=\"next\""))
}
