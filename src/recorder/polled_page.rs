//! Parses polled pages: archived responses of providers' event-list APIs.
//!
//! An event from a polled page gets the same id and time as the event from its webhook, so that the log recognizes the duplicate.

use bytes::Bytes;
use jiff::Timestamp;

use super::webhook;
use crate::archive::ArchivedPayload;
use crate::log::NewEvent;
use crate::providers::{JSON_MEDIA_TYPE, Provider};

const SECONDS_PER_DAY: i64 = 86_400;

/// Parses the page in `response` into log events, and also returns the number of events that no parser recognized; `None` if
/// `response` is not a page of this provider. An event without a time of its own gets the start of the day of `received_at`, so
/// that repeated polls on the same day produce the same event.
pub fn parse_polled_page(
    provider: &'static Provider,
    response: &str,
    received_at: Timestamp,
) -> Option<(Vec<NewEvent<'static>>, usize)> {
    let received_at = Timestamp::from_second(received_at.as_second() / SECONDS_PER_DAY * SECONDS_PER_DAY)
        .unwrap_or(received_at);
    let events = provider.polling.as_ref()?.parse_events(response).ok()?;
    if let Some(format) = provider.batch_format() {
        return Some((format.parse_polled_events)(&events, received_at));
    }
    let mut unrecognized = 0;
    let new_events = events.into_iter().flat_map(|event| {
        let headers = vec![("content-type".to_owned(), JSON_MEDIA_TYPE.to_owned())];
        let body = Bytes::copy_from_slice(event.get().as_bytes());
        let (new_events, is_recognized) =
            webhook::to_new_events(provider, &ArchivedPayload { received_at, headers, body });
        unrecognized += usize::from(!is_recognized);
        new_events
    });
    let new_events = new_events.collect();
    Some((new_events, unrecognized))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::providers::{code::github::GITHUB, payments::stripe::STRIPE};

    #[test]
    fn a_polled_stripe_event_has_its_own_id_and_time() {
        let response = r#"{"object":"list","data":[
            {"id":"evt_1", "object":"event","created":1795341600,"type":"charge.succeeded"}, 17],"has_more":false}"#;
        let (records, unrecognized) = parse_polled_page(&STRIPE, response, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(unrecognized, 1);
        let summary = |r: &NewEvent<'_>| {
            format!("{} {} {} {:?} {}", r.time, r.id, r.detail_type, r.resources, r.detail)
        };
        insta::assert_snapshot!(summary(&records[0]), @r#"2026-11-22T10:00:00Z evt_1 charge.succeeded ["urn:webhook:stripe:evt_1"] {"id":"evt_1", "object":"event","created":1795341600,"type":"charge.succeeded"}"#);
        assert_eq!(records[1].detail_type, "unrecognized");
        let later_records =
            parse_polled_page(&STRIPE, response, "1970-01-01T23:00:00Z".parse().unwrap()).unwrap().0;
        assert_eq!(records[1].key(), later_records[1].key(), "a repeated poll yields the same record");
        assert!(parse_polled_page(&STRIPE, "{}", Timestamp::UNIX_EPOCH).is_none());
        assert!(
            parse_polled_page(&GITHUB, response, Timestamp::UNIX_EPOCH).is_none(),
            "GitHub has no event-list API"
        );
    }
}
