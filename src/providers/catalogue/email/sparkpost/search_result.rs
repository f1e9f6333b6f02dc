//! An event in the format of SparkPost's Events API, which differs slightly from the format of webhooks.
//!
//! Source: "Events API", <https://developers.sparkpost.com/api/events/>. A search result is the event without its
//! wrapper object; times are in ISO 8601 and UTC, and numbers are JSON numbers.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::event::{RawObject, parse_timestamp, scalar_text};
use crate::log::StoredEvent;

/// Fields that are strings in SparkPost's webhooks and numbers in its Events API.
const NUMBER_FIELDS: [&str; 9] = [
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
const TIME_FIELDS: [&str; 2] = ["timestamp", "injection_time"];

/// Returns the JSON of an event in the format of a search result of the Events API.
pub fn message_event_json(event: &StoredEvent) -> String {
    let mut result = Map::new();
    let element = RawObject::parse(&event.detail);
    let groups = element.as_ref().and_then(|element| RawObject::parse(element.get("msys")?.get()));
    let fields = groups.as_ref().and_then(|groups| RawObject::parse(groups.first()?.1.get()));
    for (name, value) in fields.iter().flat_map(RawObject::iter) {
        let number = || scalar_text(value).and_then(|text| parse_number(&text));
        let time = || parse_timestamp(value.get()).map(|time| format!("{time:.3}").into());
        let converted = match name {
            name if NUMBER_FIELDS.contains(&name) => number(),
            name if TIME_FIELDS.contains(&name) => time(),
            _ => None,
        };
        result.insert(name.to_owned(), converted.unwrap_or_else(|| verbatim_value(value)));
    }
    if fields.is_none() {
        // Return an unrecognized event verbatim, in the field `detail`.
        let detail = serde_json::from_str(&event.detail).map(verbatim_value).unwrap_or_default();
        result.insert("detail".into(), detail);
    }
    serialize_with_id(result, event)
}

/// Returns the JSON that replaces an event that is too large for a response: its type, id, time and size. `hookbridge
/// export` exports the whole event.
pub fn summary_json(event: &StoredEvent) -> String {
    serialize_with_id(Map::from_iter([("detail_bytes".to_owned(), event.detail.len().into())]), event)
}

fn serialize_with_id(mut result: Map<String, Value>, event: &StoredEvent) -> String {
    result.insert("type".into(), event.detail_type.as_str().into());
    result.insert("event_id".into(), event.key.id.as_str().into());
    result.insert("timestamp".into(), format!("{:.3}", event.key.time).into());
    Value::Object(result).to_string()
}

/// Parses a whole number without leading zeros or a plus sign; `None` for any other text, which stays a string.
fn parse_number(text: &str) -> Option<Value> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then(|| number.into())
}

/// Parses a value unchanged, except for lone surrogates, which `serde_json` rejects: in a string, a lone surrogate becomes
/// U+FFFD characters; an array or object that contains a lone surrogate becomes `null`.
fn verbatim_value(value: &RawValue) -> Value {
    serde_json::from_str(value.get())
        .unwrap_or_else(|_| scalar_text(value).map_or(Value::Null, |text| Value::from(text.into_owned())))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::log::EventKey;

    fn result_json(detail: &str) -> String {
        let time = "2016-02-02T19:50:00Z".parse().unwrap();
        message_event_json(&StoredEvent {
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
        insta::assert_snapshot!(result_json(detail), @r#"{"bounce_class":10,"customer_id":1,"error_code":"554","event_id":"7","injection_time":"2016-02-02T19:49:59.000Z","msg_size":1337,"rcpt_meta":{"a":[1]},"subaccount_id":"007","subject":"x���","timestamp":"2016-02-02T19:50:00.000Z","type":"bounce"}"#);
        insta::assert_snapshot!(result_json("17"), @r#"{"detail":17,"event_id":"7","timestamp":"2016-02-02T19:50:00.000Z","type":"bounce"}"#);
    }
}
