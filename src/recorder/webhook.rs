//! A webhook that was kept instead of being put on a bus: the record is the event it would have become there.

use std::borrow::Cow;

use jiff::Timestamp;

use super::sparkpost::{UNRECOGNIZED, content_id};
use crate::archive::Stored;
use crate::log::{Found, Record, can_be_recorded, storable};
use crate::providers::{Provider, Verified};

/// The record, and whether it was understood.
pub(super) fn record(provider: &'static Provider, stored: &Stored) -> (Record<'static>, bool) {
    // To the second, as EventBridge has it.
    let received = Timestamp::from_second(stored.received.as_second()).unwrap_or(stored.received);
    let verified = Verified::of_archive(provider, &stored.headers, stored.body.clone());
    let base = |detail: String, detail_type: String| Record {
        time: received,
        id: Cow::Owned(content_id(&detail)),
        source: Cow::Borrowed(provider.source),
        detail_type: Cow::Owned(detail_type),
        account: Cow::Borrowed(""),
        region: Cow::Borrowed(""),
        resources: Vec::new(),
        detail: Cow::Owned(detail),
        found: Found::default(),
    };
    let Ok(event) = verified.event() else {
        let body = serde_json::Value::from(String::from_utf8_lossy(&stored.body)).to_string();
        return (base(body, UNRECOGNIZED.to_owned()), false);
    };
    let mut record = base(event.detail.as_str().to_owned(), event.detail_type);
    let time = event.time.filter(|time| can_be_recorded(*time));
    record.time = time.and_then(|time| Timestamp::from_second(time.as_second()).ok()).unwrap_or(received);
    if let Some(id) = event.resources.first().and_then(|urn| provider.delivery_of(urn)) {
        record.id = storable(Cow::Owned(id.to_owned()));
    }
    record.resources = event.resources;
    (record, true)
}
