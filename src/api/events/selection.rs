//! Events that a request to replay selects: one by its id, or a page of those that its query selects.

use super::query::{AllowedParameters, EventQuery, PageAnchor};
use super::reader::LogReader;
use crate::api::error::ApiError;
use crate::log::{Position, PositionedEvent, StoredEvent};

/// The events to replay.
pub(in crate::api) enum Selection {
    Event(Box<StoredEvent>),
    Page {
        events: Vec<PositionedEvent>,
        /// The position from which the next page is read.
        next_position: Position,
        has_more: bool,
    },
}

impl Selection {
    /// Reads the event with the id, or without an id a page of the events that the query selects.
    pub(in crate::api) async fn read(
        reader: &LogReader,
        query_string: &str,
        event_id: Option<&str>,
    ) -> Result<Self, ApiError> {
        match event_id {
            Some(_) if !query_string.is_empty() => Err(ApiError::BadRequest(
                "event and the parameters of the query exclude each other".into(),
            )),
            Some(id) => {
                let not_found = || ApiError::NotFound("There is no event with this id.".into());
                let is_possible = !id.is_empty() && !id.contains('\0');
                let found = if is_possible { reader.log.find_event(id, &[]).await? } else { None };
                Ok(Self::Event(Box::new(found.ok_or_else(not_found)?)))
            }
            None if query_string.is_empty() => Err(ApiError::BadRequest(
                "select events: one by event in the body, or a range by after, from, to, type, source or id in the query".into(),
            )),
            None => {
                let query = EventQuery::parse(query_string, AllowedParameters::Log)?;
                if !query.wait.is_zero() || !matches!(query.anchor, PageAnchor::After(_)) {
                    return Err(ApiError::BadRequest("before and wait are only for GET /events".into()));
                }
                let page = reader.page_for(&query).await?;
                Ok(Self::Page {
                    events: page.events,
                    next_position: page.next_position,
                    has_more: page.has_more,
                })
            }
        }
    }
}
