//! An event that a rule of a bus sent: EventBridge's envelope, taken apart.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{IN_LOG, sparkpost};
use crate::log::{Found, Record, can_be_recorded, storable};
use crate::providers::sparkpost::SPARKPOST;

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
}

/// The record of an event; `None` when it is no envelope. An event that was published from the log, out of a batch or by
/// itself, is the record that the log has of it.
pub(super) fn record(json: &str) -> Option<Record<'_>> {
    let envelope: Envelope<'_> = serde_json::from_str(json).ok()?;
    if !can_be_recorded(envelope.time) {
        return None;
    }
    let of_batch = (envelope.source == SPARKPOST.source)
        .then(|| sparkpost::record(envelope.detail, envelope.time))
        .flatten();
    let (time, id, found) = match of_batch {
        Some(record) => (record.time, record.id, record.found),
        None => {
            let in_log = envelope.resources.iter().find_map(|urn| urn.strip_prefix(IN_LOG));
            let id = in_log.map_or(envelope.id, |id| Cow::Owned(id.to_owned()));
            (envelope.time, storable(id), Found::default())
        }
    };
    Some(Record {
        time,
        id,
        source: storable(envelope.source),
        detail_type: storable(envelope.detail_type),
        account: storable(envelope.account),
        region: storable(envelope.region),
        resources: envelope.resources.into_iter().map(|urn| storable(urn.into()).into_owned()).collect(),
        detail: Cow::Borrowed(envelope.detail.get()),
        found,
    })
}
