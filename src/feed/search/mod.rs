//! The search that senders of email know: `GET /api/v1/events/message`, and the older `GET /api/v1/message-events`.

mod cursor;
mod parameters;
mod result;

use http::{Method, StatusCode};
use jiff::Timestamp;

use super::answer::Answer;
use super::{Feed, LARGEST, Request, Scope, in_json};
use crate::log::{EventStore, LogError, Order, PageRequest};
use cursor::Cursor;
use parameters::{Api, Asked, BadParameter};

/// The paths of the search.
pub const PATHS: [&str; 2] = ["/api/v1/events/message", "/api/v1/message-events"];

impl<L: EventStore> Feed<L> {
    /// Answers a search at one of [`PATHS`].
    pub(super) async fn search(&self, request: &Request<'_>, scope: &Scope) -> Answer {
        let api = if request.path == PATHS[0] { Api::Events } else { Api::MessageEvents };
        if request.method != Method::GET {
            return Answer::not_allowed("GET");
        }
        let mut asked = match Asked::read(api, request.query, Timestamp::now()) {
            Ok(asked) => asked,
            Err(BadParameter(why)) => return Answer::error(StatusCode::BAD_REQUEST, &why),
        };
        if !scope.narrow(&mut asked.search.sources) {
            return Answer::error(StatusCode::FORBIDDEN, "This token does not read message events.");
        }
        match self.page(&asked).await {
            Ok(Ok(body)) => Answer::json(StatusCode::OK, body),
            Ok(Err(BadParameter(why))) => Answer::error(StatusCode::BAD_REQUEST, &why),
            Err(why) => Answer::failed(&why),
        }
    }

    async fn page(&self, asked: &Asked) -> Result<Result<String, BadParameter>, LogError> {
        let (after, known) = match &asked.cursor {
            Some(cursor) => (Some(cursor.after.clone()), Some(cursor.total)),
            None => (None, None),
        };
        let total = async {
            match known {
                Some(total) => Ok(total),
                None => self.log.count(&asked.search).await,
            }
        };
        let page = PageRequest {
            order: Order::NewestFirst,
            after,
            offset: asked.offset(),
            // One more than is shown tells whether there are more.
            limit: asked.per_page + 1,
        };
        let (total, found) = tokio::try_join!(total, self.log.search(&asked.search, &page))?;
        let mut results = String::new();
        let (mut shown, mut size) = (0_usize, 0);
        for event in found.iter().take(usize::try_from(asked.per_page).unwrap_or(usize::MAX)) {
            let mut result = result::of(event);
            if in_json(&result) > LARGEST {
                result = result::without_detail(event);
            }
            size += in_json(&result) + 1;
            if size > LARGEST {
                // Numbered pages have a fixed size; only cursor pages may be cut short.
                if asked.api == Api::MessageEvents {
                    let why = "per_page is too large for the events that are found";
                    return Ok(Err(BadParameter(why.into())));
                }
                break;
            }
            if shown > 0 {
                results.push(',');
            }
            results.push_str(&result);
            shown += 1;
        }
        let last = found.get(shown.wrapping_sub(1)).filter(|_| shown < found.len());
        let next = last.map(|last| asked.next(&Cursor { after: last.key.clone(), total }));
        let links = match (asked.api, next) {
            (Api::Events, None) => "{}".to_owned(),
            (Api::Events, Some(next)) => serde_json::json!({"next": next}).to_string(),
            (Api::MessageEvents, None) => "[]".to_owned(),
            (Api::MessageEvents, Some(next)) => {
                serde_json::json!([{"href": next, "rel": "next"}]).to_string()
            }
        };
        // Both were asked at once, and more may have come in between.
        let total = total.max(shown as u64);
        Ok(Ok(format!(r#"{{"results":[{results}],"total_count":{total},"links":{links}}}"#)))
    }
}
