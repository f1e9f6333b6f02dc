//! Converts archived webhooks into log events.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::archive::ArchivedPayload;
use crate::event::Event;
use crate::log::{NewEvent, UNRECOGNIZED_TYPE, is_recordable, sanitize_text};
use crate::providers::{Provider, VerifiedWebhook};

/// Converts an archived webhook into log events with the source, type, `detail` and resources of the events that `bridge`
/// publishes for such a webhook. Also returns whether the provider's parser recognized the webhook.
pub(super) fn to_new_events(
    provider: &'static Provider,
    payload: &ArchivedPayload,
) -> (Vec<NewEvent<'static>>, bool) {
    // Truncate the time to whole seconds, as EventBridge does.
    let received_at = Timestamp::from_second(payload.received_at.as_second()).unwrap_or(payload.received_at);
    let verified = VerifiedWebhook::from_archive(provider, &payload.headers, payload.body.clone());
    let Ok(events) = verified.to_events(None) else {
        let body = serde_json::Value::from(String::from_utf8_lossy(&payload.body)).to_string();
        let unrecognized =
            NewEvent::from_content(provider.source, UNRECOGNIZED_TYPE, Cow::Owned(body), received_at);
        return (vec![unrecognized], false);
    };
    (events.into_iter().map(|event| to_new_event(provider, event, received_at)).collect(), true)
}

fn to_new_event(provider: &'static Provider, event: Event, received_at: Timestamp) -> NewEvent<'static> {
    let detail = Cow::Owned(event.detail.as_str().to_owned());
    let mut new_event = NewEvent::from_content(provider.source, event.detail_type, detail, received_at);
    let time = event.time.filter(|time| is_recordable(*time));
    new_event.time =
        time.and_then(|time| Timestamp::from_second(time.as_second()).ok()).unwrap_or(received_at);
    if let Some(id) = event.resources.first().and_then(|urn| provider.delivery_id_from_urn(urn)) {
        new_event.id = sanitize_text(Cow::Owned(id.to_owned()));
    }
    new_event.resources = event.resources;
    new_event
}
