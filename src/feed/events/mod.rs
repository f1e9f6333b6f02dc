//! `GET /events`: the log in its order, from a cursor on, held until there is something where that is asked for; and
//! `GET /events/{id}`.

pub(crate) mod cursor;
pub(super) mod format;
pub(super) mod query;
pub(super) mod stream;

use std::ops::Range;

use http::{HeaderName, Method, StatusCode, header};
use percent_encoding::percent_decode_str;
use tokio::time::{Duration, Instant, timeout_at};

use super::answer::Answer;
use super::{Feed, LARGEST, Request, Scope, in_json};
use crate::log::{CursorKey, LogError, Ordered, Placed, Position};
use format::Format;
use query::{BadParameter, Parameters, Place, Point, Query};

/// The path of the log.
const PATH: &str = "/events";
/// The header with the cursor to go on from.
const CURSOR: HeaderName = HeaderName::from_static("hookbridge-cursor");
/// The most positions that are looked at at once for what a filter lets through.
const WIDEST: i64 = 20_000;
/// How long the log is looked through for a page before what was found so far is answered.
const LOOKING: Duration = Duration::from_secs(5);

/// A page of the log.
pub(super) struct Page {
    pub(super) events: Vec<Placed>,
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

impl<L: Ordered> Feed<L> {
    /// What this log's cursors are signed with.
    pub(super) async fn cursor_key(&self) -> Result<&CursorKey, LogError> {
        self.cursor_key.get_or_try_init(|| self.log.cursor_key()).await
    }

    /// Answers `GET /events`.
    pub(super) async fn events(&self, request: &Request<'_>, scope: &Scope) -> Answer {
        if request.method != Method::GET {
            return Answer::not_allowed("GET");
        }
        if stream::is_for_stream(request.headers) {
            return stream::no_stream();
        }
        let format = Format::accepted(request.header(header::ACCEPT));
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
            return Err(NoPage::Bad("source names none that this token reads".into()));
        };
        Ok((query, page, key))
    }

    async fn page_of(&self, query: &Query) -> Result<Page, NoPage> {
        match &query.place {
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

    /// The position of what comes next at a place.
    pub(super) async fn position(&self, point: &Point) -> Result<Position, NoPage> {
        let position = match point {
            Point::Cursor(cursor) => {
                let why = "the cursor is none of this log: garbled, cut short, or of another log; there are also start, now, and times as 2026-11-22T10:00:00Z";
                let position = cursor::read(cursor, self.cursor_key().await?);
                position.ok_or_else(|| NoPage::Bad(why.into()))?
            }
            Point::Start => return Ok(self.log.bounds().await?.first),
            Point::Now => return Ok(self.log.sequence().await?),
            Point::Time(time) => return Ok(self.log.since(*time).await?),
        };
        let end = self.log.sequence().await?;
        if position > end { Err(NoPage::Ahead) } else { Ok(position) }
    }

    /// The page after a position; when there is nothing, what comes while it waits.
    pub(super) async fn after(&self, from: Position, query: &Query) -> Result<Page, NoPage> {
        let until = Instant::now() + query.wait;
        let mut from = from;
        loop {
            let page = self.forward(from, query).await?;
            let is_something = !page.events.is_empty() || page.has_more;
            if is_something || timeout_at(until, self.log.reaches(page.next)).await.is_err() {
                return Ok(page);
            }
            from = page.next;
        }
    }

    async fn forward(&self, from: Position, query: &Query) -> Result<Page, NoPage> {
        let (limit, end) = (i64::from(query.limit), self.log.sequence().await?);
        let enough = Instant::now() + LOOKING;
        let mut page = Page { events: Vec::new(), first: from, next: from, has_more: true };
        let (mut size, mut step) = (0, limit);
        while page.next < end {
            let window = page.next..end.min(page.next + step);
            page.next = window.end;
            for event in self.window(window, query).await? {
                size += in_json(&event.event.detail) + 1024;
                if page.events.len() == query.limit as usize || size > LARGEST && !page.events.is_empty() {
                    page.next = event.position;
                    return Ok(page);
                }
                page.events.push(event);
            }
            if page.events.len() == query.limit as usize || Instant::now() > enough {
                break;
            }
            step = (step * 4).min(WIDEST);
        }
        page.has_more = page.next < end;
        Ok(page)
    }

    /// The page before a position, in the order of the log.
    async fn before(&self, to: Position, query: &Query) -> Result<Page, NoPage> {
        let (limit, first) = (i64::from(query.limit), self.log.bounds().await?.first);
        if to < first {
            return Err(NoPage::Expired);
        }
        let enough = Instant::now() + LOOKING;
        let mut page = Page { events: Vec::new(), first: to, next: to, has_more: false };
        let (mut size, mut step) = (0, limit);
        'looking: while page.next > first {
            let window = first.max(page.next - step)..page.next;
            page.next = window.start;
            for event in self.window(window, query).await?.into_iter().rev() {
                size += in_json(&event.event.detail) + 1024;
                if page.events.len() == query.limit as usize || size > LARGEST && !page.events.is_empty() {
                    page.next = event.position + 1;
                    break 'looking;
                }
                page.events.push(event);
            }
            if page.events.len() == query.limit as usize || Instant::now() > enough {
                break;
            }
            step = (step * 4).min(WIDEST);
        }
        page.events.reverse();
        page.has_more = page.next > first;
        Ok(page)
    }

    async fn window(&self, window: Range<Position>, query: &Query) -> Result<Vec<Placed>, NoPage> {
        self.log.events(window, &query.filter).await?.ok_or(NoPage::Expired)
    }

    /// Answers `GET /events/{id}`.
    pub(super) async fn event(&self, request: &Request<'_>, scope: &Scope, id: &str) -> Answer {
        if request.method != Method::GET {
            return Answer::not_allowed("GET");
        }
        let id = percent_decode_str(id).decode_utf8_lossy();
        let mut sources = Vec::new();
        let is_readable = scope.narrow(&mut sources) && !id.contains('\0') && !id.is_empty();
        let found = if is_readable { self.log.find(&id, &sources).await } else { Ok(None) };
        let format = Format::accepted(request.header(header::ACCEPT));
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
    let answer = answer.known_by(&[&of, lease.unwrap_or_default(), request.query]);
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
