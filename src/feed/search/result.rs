//! An event as the Events API shows it, which is not quite as the webhook had it.
//!
//! Source: "Events API", <https://developers.sparkpost.com/api/events/>: the event without its wrapping, times in ISO
//! 8601 and UTC, numbers as numbers.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::event::{RawObject, parse_timestamp, scalar_text};
use crate::log::StoredEvent;

/// What the webhook writes as text and the API as a number.
const NUMBERS: [&str; 9] = [
    "ab_test_version",
    "bounce_class",
    "customer_id",
    "msg_size",
    "num_retries",
    "outbound_tls",
    "queue_time",
    "sms_segments",
    "subaccount_id",
];
/// Times.
const TIMES: [&str; 2] = ["timestamp", "injection_time"];

/// One result, as JSON.
pub(super) fn of(event: &StoredEvent) -> String {
    let mut shown = Map::new();
    let element = RawObject::parse(&event.detail);
    let groups = element.as_ref().and_then(|element| RawObject::parse(element.get("msys")?.get()));
    let fields = groups.as_ref().and_then(|groups| RawObject::parse(groups.first()?.1.get()));
    for (name, value) in fields.iter().flat_map(RawObject::iter) {
        let number = || scalar_text(value).and_then(|text| number(&text));
        let time = || parse_timestamp(value.get()).map(|time| format!("{time:.3}").into());
        let shown_as = match name {
            name if NUMBERS.contains(&name) => number(),
            name if TIMES.contains(&name) => time(),
            _ => None,
        };
        shown.insert(name.to_owned(), shown_as.unwrap_or_else(|| verbatim(value)));
    }
    if fields.is_none() {
        // Not understood: as it came.
        let detail = serde_json::from_str(&event.detail).map(verbatim).unwrap_or_default();
        shown.insert("detail".into(), detail);
    }
    finished(shown, event)
}

/// One that is too large to be shown: it can be exported.
pub(super) fn without_detail(event: &StoredEvent) -> String {
    finished(Map::from_iter([("detail_bytes".to_owned(), event.detail.len().into())]), event)
}

fn finished(mut shown: Map<String, Value>, event: &StoredEvent) -> String {
    shown.insert("type".into(), event.detail_type.as_str().into());
    shown.insert("event_id".into(), event.key.id.as_str().into());
    shown.insert("timestamp".into(), format!("{:.3}", event.key.time).into());
    Value::Object(shown).to_string()
}

/// A whole number; leading zeros and signs make it a text.
fn number(text: &str) -> Option<Value> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then(|| number.into())
}

/// What JSON says; half of a surrogate pair, which `serde_json` does not take, is shown as U+FFFD.
fn verbatim(value: &RawValue) -> Value {
    serde_json::from_str(value.get())
        .unwrap_or_else(|_| scalar_text(value).map_or(Value::Null, |text| Value::from(text.into_owned())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::log::EventKey;

    fn shown(detail: &str) -> String {
        let time = "2016-02-02T19:50:00Z".parse().unwrap();
        of(&StoredEvent {
            key: EventKey { time, id: "7".into() },
            source: "sparkpost.com".into(),
            detail_type: "bounce".into(),
            account: String::new(),
            region: String::new(),
            resources: vec![],
            detail: detail.into(),
        })
    }

    #[test]
    fn numbers_are_numbers_and_times_are_iso() {
        let detail = r#"{"msys":{"message_event":{"type":"bounce","customer_id":"1","bounce_class":"10","msg_size":1337,"subaccount_id":"007","error_code":"554","injection_time":"2016-02-02T19:49:59+00:00","timestamp":"1454442600","rcpt_meta":{"a":[1]},"subject":"x\ud83d"}}}"#;
        insta::assert_snapshot!(shown(detail), @r#"{"bounce_class":10,"customer_id":1,"error_code":"554","event_id":"7","injection_time":"2016-02-02T19:49:59.000Z","msg_size":1337,"rcpt_meta":{"a":[1]},"subaccount_id":"007","subject":"x���","timestamp":"2016-02-02T19:50:00.000Z","type":"bounce"}"#);
        insta::assert_snapshot!(shown("17"), @r#"{"detail":17,"event_id":"7","timestamp":"2016-02-02T19:50:00.000Z","type":"bounce"}"#);
    }
}
