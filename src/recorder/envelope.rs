//! Parses EventBridge envelopes into log events.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::LOG_URN_PREFIX;
use crate::event::LineBreaks;
use crate::log::{NewEvent, SearchColumns, is_recordable, sanitize_text};
use crate::providers::{self, Provider};

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "detail-type", borrow)]
    detail_type: Cow<'a, str>,
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow, default)]
    account: Cow<'a, str>,
    time: Timestamp,
    #[serde(borrow, default)]
    region: Cow<'a, str>,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(borrow)]
    detail: &'a RawValue,
    /// The offsets of the line breaks that were removed from `detail`; only lines of the local bus file have this field.
    #[serde(rename = "detail-line-breaks", default)]
    line_breaks: Option<LineBreaks>,
}

/// Parses an EventBridge envelope; `None` if `json` is not a valid envelope. The log recognizes a duplicate by its id and time.
/// Therefore an event that was published from the log gets the log id in its `resources`, and an event to which its provider
/// assigned an id and a time gets this id and time. Every other event keeps the envelope's `id`, which is new at each
/// publication.
pub(super) fn parse_event(json: &str) -> Option<NewEvent<'_>> {
    let envelope: Envelope<'_> = serde_json::from_str(json).ok()?;
    if !is_recordable(envelope.time) {
        return None;
    }
    let format = providers::find_batch_provider(&envelope.source).and_then(Provider::batch_format);
    let batch_event = format.and_then(|format| (format.parse_event)(envelope.detail, envelope.time));
    let (time, id, search_columns) = match batch_event {
        Some(event) => (event.time, event.id, event.search_columns),
        None => {
            let original_id = envelope.resources.iter().find_map(|urn| urn.strip_prefix(LOG_URN_PREFIX));
            let original_id =
                original_id.or_else(|| provider_event_id(&envelope.source, &envelope.resources));
            let id = original_id.map_or(envelope.id, |id| Cow::Owned(id.to_owned()));
            (envelope.time, sanitize_text(id), SearchColumns::default())
        }
    };
    Some(NewEvent {
        time,
        id,
        source: sanitize_text(envelope.source),
        detail_type: sanitize_text(envelope.detail_type),
        account: sanitize_text(envelope.account),
        region: sanitize_text(envelope.region),
        resources: envelope.resources.into_iter().map(|urn| sanitize_text(urn.into()).into_owned()).collect(),
        detail: match envelope.line_breaks.and_then(|breaks| breaks.restore(envelope.detail.get())) {
            Some(detail) => Cow::Owned(detail),
            None => Cow::Borrowed(envelope.detail.get()),
        },
        search_columns,
    })
}

/// Returns the event id that the provider assigned; `None` unless the provider also assigns the event's time.
fn provider_event_id<'r>(source: &str, resources: &'r [String]) -> Option<&'r str> {
    let provider = providers::PROVIDERS.into_iter().find(|provider| provider.source == source);
    let provider = provider.filter(|provider| provider.identifies_events())?;
    resources.iter().find_map(|urn| provider.delivery_id_from_urn(urn)).filter(|id| !id.is_empty())
}
