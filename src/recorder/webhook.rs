//! Converts archived webhooks into log events.

use std::borrow::Cow;

use jiff::Timestamp;

use crate::archive::ArchivedPayload;
use crate::log::{NewEvent, UNRECOGNIZED_TYPE, is_recordable, sanitize_text};
use crate::providers::{Provider, VerifiedWebhook};

/// Converts an archived webhook into a log event with the source, type, `detail` and resources of the event that `bridge`
/// publishes for such a webhook. Also returns whether the provider's parser recognized the webhook.
pub(super) fn to_new_event(
    provider: &'static Provider,
    payload: &ArchivedPayload,
) -> (NewEvent<'static>, bool) {
    // Truncate the time to whole seconds, as EventBridge does.
    let received_at = Timestamp::from_second(payload.received_at.as_second()).unwrap_or(payload.received_at);
    let verified = VerifiedWebhook::from_archive(provider, &payload.headers, payload.body.clone());
    let event_from_content = |detail: String, detail_type: String| {
        NewEvent::from_content(provider.source, detail_type, Cow::Owned(detail), received_at)
    };
    let Ok(event) = verified.to_event() else {
        let body = serde_json::Value::from(String::from_utf8_lossy(&payload.body)).to_string();
        return (event_from_content(body, UNRECOGNIZED_TYPE.to_owned()), false);
    };
    let mut new_event = event_from_content(event.detail.as_str().to_owned(), event.detail_type);
    let time = event.time.filter(|time| is_recordable(*time));
    new_event.time =
        time.and_then(|time| Timestamp::from_second(time.as_second()).ok()).unwrap_or(received_at);
    if let Some(id) = event.resources.first().and_then(|urn| provider.delivery_id_from_urn(urn)) {
        new_event.id = sanitize_text(Cow::Owned(id.to_owned()));
    }
    new_event.resources = event.resources;
    (new_event, true)
}
