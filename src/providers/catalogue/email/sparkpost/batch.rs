//! Parser of SparkPost event batches.
//!
//! Parsing never fails and never drops an event: an unrecognized element of a batch becomes an event of the type
//! `unrecognized`, whose `detail` is the unchanged element.
//!
//! Source of the format: "Webhook Event Reference", <https://developers.sparkpost.com/api/webhooks/>.

use std::borrow::Cow;

use jiff::Timestamp;
use serde_json::value::RawValue;

use super::SPARKPOST;
use crate::event::{MAX_DETAIL_TYPE_CHARS, RawObject, is_too_deep, parse_timestamp, scalar_text};
use crate::log::{NewEvent, SearchColumns, UNRECOGNIZED_TYPE, content_id, is_recordable};
use crate::providers::BatchFormat;

/// The maximum length of an event id in bytes. A hash of the event's JSON replaces a longer id.
const MAX_ID_BYTES: usize = 256;

/// The functions with which the recorder parses SparkPost's batches, bus events and polled events.
pub(super) static BATCH_FORMAT: BatchFormat = BatchFormat { parse_batch, parse_event, parse_polled_events };

/// Parses a batch into events for the log, and counts the unrecognized elements among them. `received` is the time of
/// events without a time of their own.
fn parse_batch(body: &str, received: Timestamp) -> (Vec<NewEvent<'_>>, usize) {
    let Some(elements) = split_elements(body) else {
        // The body is not JSON, so the `detail` is a JSON string that contains the body.
        let detail = serde_json::Value::from(body).to_string();
        return (vec![unrecognized_event(Cow::Owned(detail), received)], 1);
    };
    let mut unrecognized_count = 0;
    let events = elements.into_iter().filter_map(|element| {
        if is_too_deep(element.get()) {
            // Record the element as a JSON string: clients' JSON parsers would fail on a response that nests this deeply.
            unrecognized_count += 1;
            let detail = serde_json::Value::from(element.get()).to_string();
            return Some(unrecognized_event(Cow::Owned(detail), received));
        }
        parse_element(element, received).unwrap_or_else(|UnrecognizedElement| {
            unrecognized_count += 1;
            Some(unrecognized_event(Cow::Borrowed(element.get()), received))
        })
    });
    let events = events.collect();
    (events, unrecognized_count)
}

/// Parses one event: an element of a batch, or the `detail` of a bus event. `None` if the element is not an event.
fn parse_event(element: &RawValue, received: Timestamp) -> Option<NewEvent<'_>> {
    parse_element(element, received).ok().flatten()
}

/// Parses the results of the Events API into events for the log, and counts the unrecognized results among them. A webhook
/// wraps each event in an object, and a result has no such object. This function adds the object, so that an event's
/// `detail` has the same structure from both sources.
fn parse_polled_events(results: &[&RawValue], received: Timestamp) -> (Vec<NewEvent<'static>>, usize) {
    let mut unrecognized_count = 0;
    let events = results.iter().map(|result| {
        let event_type =
            RawObject::parse(result.get()).and_then(|event| event.get("type").and_then(scalar_text));
        let element = format!("{{\"msys\":{{\"{}\":{}}}}}", event_group(event_type.as_deref()), result.get());
        let element = RawValue::from_string(element).ok();
        let event = element.and_then(|element| Some(parse_event(&element, received)?.into_owned()));
        event.unwrap_or_else(|| {
            unrecognized_count += 1;
            unrecognized_event(Cow::Owned(result.get().to_owned()), received)
        })
    });
    let events = events.collect();
    (events, unrecognized_count)
}

/// The name of the group: the object in which a webhook wraps an event of this type.
fn event_group(event_type: Option<&str>) -> &'static str {
    match event_type.unwrap_or_default() {
        "click" | "open" | "initial_open" | "amp_click" | "amp_open" | "amp_initial_open" => "track_event",
        "generation_failure" | "generation_rejection" => "gen_event",
        "list_unsubscribe" | "link_unsubscribe" => "unsubscribe_event",
        "relay_injection" | "relay_rejection" | "relay_delivery" | "relay_tempfail" | "relay_permfail" => {
            "relay_event"
        }
        _ => "message_event",
    }
}

/// An element that is not a known event.
struct UnrecognizedElement;

/// Splits a JSON array into its elements; any other JSON value counts as the only element. `None` for invalid JSON.
fn split_elements(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).or_else(|_| serde_json::from_str(json).map(|element| vec![element])).ok()
}

/// Parses an element; `None` for `{"msys":{}}`, which SparkPost sends to test an endpoint.
fn parse_element(
    element: &RawValue,
    received: Timestamp,
) -> Result<Option<NewEvent<'_>>, UnrecognizedElement> {
    let groups =
        RawObject::parse(element.get()).and_then(|element| RawObject::parse(element.get("msys")?.get()));
    let groups = groups.ok_or(UnrecognizedElement)?;
    // SparkPost wraps each event in one group, for example `message_event`.
    let Some((group, event)) = groups.first() else { return Ok(None) };
    let event = RawObject::parse(event.get()).ok_or(UnrecognizedElement)?;
    let value = |name: &str| event.get(name).and_then(scalar_text);
    let group = || Some(Cow::Owned(group.to_owned()));
    let detail_type =
        value("type").filter(|kind| is_valid_type(kind)).or_else(group).filter(|kind| is_valid_type(kind));
    let detail_type = detail_type.ok_or(UnrecognizedElement)?;
    let time = event
        .get("timestamp")
        .and_then(|time| parse_timestamp(time.get()))
        .filter(|time| is_recordable(*time));
    // Truncate the time to whole seconds, so that an event has the same time from a webhook and from the Events API: the
    // Events API states milliseconds, and webhooks do not.
    let time = time.and_then(|time| Timestamp::from_second(time.as_second()).ok()).unwrap_or(received);
    Ok(Some(NewEvent {
        time,
        id: value("event_id")
            .filter(|id| is_valid_id(id))
            .unwrap_or_else(|| Cow::Owned(content_id(element.get()))),
        source: Cow::Borrowed(SPARKPOST.source),
        detail_type,
        account: Cow::Borrowed(""),
        region: Cow::Borrowed(""),
        resources: Vec::new(),
        detail: Cow::Borrowed(element.get()),
        search_columns: SearchColumns::from_fields(value),
    }))
}

fn unrecognized_event(detail: Cow<'_, str>, received: Timestamp) -> NewEvent<'_> {
    NewEvent::from_content(SPARKPOST.source, UNRECOGNIZED_TYPE, detail, received)
}

fn is_valid_type(text: &str) -> bool {
    !text.is_empty() && text.chars().count() <= MAX_DETAIL_TYPE_CHARS && !text.chars().any(char::is_control)
}

fn is_valid_id(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_ID_BYTES && !text.chars().any(char::is_control)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    /// The type, id and time of each parsed event, and the number of unrecognized elements.
    fn summarize(body: &str) -> (Vec<String>, usize) {
        let (events, unrecognized) = parse_batch(body, "2026-11-22T10:00:00Z".parse().unwrap());
        for event in &events {
            assert!(
                body.contains(&*event.detail) || event.detail.starts_with('"'),
                "the detail is unchanged"
            );
        }
        let summary =
            |e: &NewEvent<'_>| format!("{} {} {}", e.detail_type, &e.id[..e.id.len().min(18)], e.time);
        (events.iter().map(summary).collect(), unrecognized)
    }

    fn event(fields: &str) -> String {
        let (events, unrecognized) = summarize(&format!(r#"[{{"msys":{{"message_event":{{{fields}}}}}}}]"#));
        assert_eq!((events.len(), unrecognized), (1, 0));
        events[0].clone()
    }

    #[test]
    fn event_ids_and_times_are_parsed_in_every_form() {
        insta::assert_snapshot!(event(r#""type":"bounce","event_id":"92356927693813856","timestamp":1454442600"#), @"bounce 92356927693813856 2016-02-02T19:50:00Z");
        insta::assert_snapshot!(event(r#""type":"open","event_id":9235692769381385600001,"timestamp":"1454442600""#), @"open 923569276938138560 2016-02-02T19:50:00Z");
        insta::assert_snapshot!(event(r#""type":"click","event_id":"8ae7b9c0-9f6d-11e5","timestamp":"2016-02-02T19:50:00.500Z""#), @"click 8ae7b9c0-9f6d-11e5 2016-02-02T19:50:00Z");
        insta::assert_snapshot!(event(r#""type":"a","event_id":null,"timestamp":"soon""#), @"a sha256.e5788253dea 2026-11-22T10:00:00Z");
        insta::assert_snapshot!(event(r#""type":"a","event_id":"1","timestamp":-99999999999"#), @"a 1 2026-11-22T10:00:00Z");
        insta::assert_snapshot!(event(r#""type":7,"event_id":{},"timestamp":[]"#), @"7 sha256.6e9601ad29b 2026-11-22T10:00:00Z");
        insta::assert_snapshot!(event(r#""type":"","event_id":"","timestamp":"""#), @"message_event sha256.6a87723d81a 2026-11-22T10:00:00Z");
    }

    #[test]
    fn unrecognized_elements_are_recorded_verbatim() {
        let types = |body: &str| {
            let (events, unrecognized) = summarize(body);
            let types: Vec<_> =
                events.iter().map(|event| event.split_once(' ').unwrap().0.to_owned()).collect();
            (types.join(" "), unrecognized)
        };
        let expected = |types: &str, unrecognized| (types.to_owned(), unrecognized);
        assert_eq!(types(r#"[{"msys":{}}]"#), expected("", 0), "a ping");
        assert_eq!(types("[]"), expected("", 0));
        assert_eq!(types(r#"{"msys":{"new_event":{}}}"#), expected("new_event", 0), "not an array");
        let elements = r#"[17,{"msys":{"x_event":[]}},{"a":1},{"msys":{"m":{"type":"open"}}},null]"#;
        assert_eq!(types(elements), expected("unrecognized unrecognized unrecognized open unrecognized", 4));
        assert_eq!(types("[{]"), expected("unrecognized", 1), "not JSON");
        let nested = |levels| {
            format!(
                r#"[{{"msys":{{"m":{{"type":"open","a":{}{}}}}}}}]"#,
                "[".repeat(levels),
                "]".repeat(levels)
            )
        };
        assert_eq!(types(&nested(997)), expected("open", 0));
        assert_eq!(
            types(&nested(998)),
            expected("unrecognized", 1),
            "nested more deeply than clients can parse"
        );
        assert_eq!(types(""), expected("unrecognized", 1));
    }

    #[test]
    fn an_event_is_equal_by_webhook_and_by_poll() {
        let received = "2026-11-22T10:00:00Z".parse().unwrap();
        let webhook = r#"[{"msys":{"track_event":{"type":"open","event_id":"7","timestamp":"1454442600","subaccount_id":"1"}}}]"#;
        let polled = r#"[{"type":"open","event_id":"7","timestamp":"2016-02-02T19:50:00.500Z","subaccount_id":1}, 17, {}]"#;
        let polled: Vec<&RawValue> = serde_json::from_str(polled).unwrap();
        let (webhook, (polled, unrecognized)) =
            (parse_batch(webhook, received).0, parse_polled_events(&polled, received));
        assert_eq!(webhook[0].key(), polled[0].key());
        assert!(
            webhook[0].detail_type == polled[0].detail_type
                && webhook[0].search_columns == polled[0].search_columns
        );
        insta::assert_snapshot!(polled[0].detail, @r#"{"msys":{"track_event":{"type":"open","event_id":"7","timestamp":"2016-02-02T19:50:00.500Z","subaccount_id":1}}}"#);
        let types: Vec<_> = polled.iter().map(|event| &*event.detail_type).collect();
        assert_eq!((types, unrecognized), (vec!["open", "unrecognized", "message_event"], 1));
        assert_eq!(polled[1].detail, "17");
    }

    #[test]
    fn lone_surrogates_and_nul_characters_are_recorded() {
        let body = r#"[{"msys":{"message_event":{"type":"open","subject":"a\ud83d","rcpt_to":"a\u0000b@example.com"}}}]"#;
        let (events, unrecognized) = parse_batch(body, Timestamp::UNIX_EPOCH);
        assert_eq!((events.len(), unrecognized), (1, 0));
        let values: Vec<_> = events[0].search_columns.stored_values().flatten().collect();
        assert_eq!(values, ["ab@example.com", "example.com", "a\u{fffd}\u{fffd}\u{fffd}"]);
        assert!(body.contains(&*events[0].detail), "the detail is unchanged");
    }
}
