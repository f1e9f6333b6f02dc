//! Response formats of events, chosen by the `Accept` header: EventBridge's envelope, or CloudEvents.

use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use crate::log::StoredEvent;

/// The characters that are percent-encoded in a CloudEvent's `source`, which must be a URI reference.
const URI_ENCODE_SET: AsciiSet = CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'<')
    .add(b'>')
    .add(b'\\')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}')
    .add(b'%');

/// The format of a response with one event or a page of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum Format {
    /// `{"object": "list", "data": [...]}` with EventBridge envelopes.
    List,
    /// CloudEvents 1.0 in JSON.
    CloudEvents,
}

/// The kind of response that a client requests: one or more events in a [`Format`], or a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::api) enum ResponseKind {
    Page(Format),
    /// Server-sent events.
    Stream,
}

impl Format {
    /// Chooses the supported media type that has the highest weight (`q`) in the `Accept` header; among equals, the first. If
    /// the header names no supported media type, the response is a [`Format::List`]. Source: RFC 9110, section 12.5.1.
    pub(in crate::api) fn negotiate(accept: Option<&str>) -> ResponseKind {
        let mut best = (0.0, ResponseKind::Page(Self::List));
        for media_range in accept.unwrap_or_default().split(',') {
            let mut parts = media_range.split(';').map(str::trim);
            let kind = match parts.next().unwrap_or_default().to_ascii_lowercase().as_str() {
                "application/json" | "application/*" | "*/*" => ResponseKind::Page(Self::List),
                "text/event-stream" => ResponseKind::Stream,
                name if name.starts_with("application/cloudevents") => ResponseKind::Page(Self::CloudEvents),
                _ => continue,
            };
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            let weight = weight.and_then(|q| q.parse::<f32>().ok()).unwrap_or(1.0);
            if weight > best.0 {
                best = (weight, kind);
            }
        }
        best.1
    }

    /// Like [`negotiate`](Self::negotiate), for paths that cannot stream: a request for a stream gets a [`Format::List`].
    pub(in crate::api) fn for_page(accept: Option<&str>) -> Self {
        match Self::negotiate(accept) {
            ResponseKind::Page(format) => format,
            ResponseKind::Stream => Self::List,
        }
    }

    /// The media type of a single event.
    pub(in crate::api) fn media_type(self) -> &'static str {
        match self {
            Self::List => "application/json",
            Self::CloudEvents => "application/cloudevents+json",
        }
    }

    /// The media type of a page of events.
    pub(in crate::api) fn page_media_type(self) -> &'static str {
        match self {
            Self::List => "application/json",
            Self::CloudEvents => "application/cloudevents-batch+json",
        }
    }

    /// Appends one event to `buffer`, as JSON in this format.
    pub(in crate::api) fn write(self, event: &StoredEvent, buffer: &mut Vec<u8>) {
        match self {
            Self::List => event.write_json(buffer),
            Self::CloudEvents => write_cloud_event(event, buffer),
        }
    }

    pub(in crate::api) fn to_bytes(self, event: &StoredEvent) -> Vec<u8> {
        let mut json = Vec::with_capacity(event.detail.len() + 512);
        self.write(event, &mut json);
        json
    }
}

/// The attributes of a CloudEvent, without its data. Source: "CloudEvents - Version 1.0.2", "JSON Event Format for CloudEvents".
/// `awsaccount` and `awsregion` are extension attributes.
#[derive(Serialize)]
struct CloudEventAttributes<'a> {
    specversion: &'static str,
    id: &'a str,
    source: String,
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<&'a str>,
    time: String,
    datacontenttype: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    awsaccount: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    awsregion: &'a str,
}

fn write_cloud_event(event: &StoredEvent, buffer: &mut Vec<u8>) {
    let attributes = CloudEventAttributes {
        specversion: "1.0",
        id: &event.key.id,
        source: utf8_percent_encode(&event.source, &URI_ENCODE_SET).to_string(),
        kind: &event.detail_type,
        subject: event.resources.first().map(String::as_str).filter(|urn| !urn.is_empty()),
        time: event.key.time.to_string(),
        datacontenttype: "application/json",
        awsaccount: &event.account,
        awsregion: &event.region,
    };
    // Serializing strings cannot fail.
    let _ = serde_json::to_writer(&mut *buffer, &attributes);
    // Removes the closing brace of the attributes, so that `data` becomes the last member of the object.
    buffer.pop();
    buffer.extend_from_slice(b",\"data\":");
    buffer.extend_from_slice(event.detail.as_bytes());
    buffer.push(b'}');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::log::EventKey;

    #[test]
    fn an_event_is_written_in_both_formats() {
        let event = StoredEvent {
            key: EventKey { time: "2026-11-22T10:00:00.5Z".parse().unwrap(), id: "e\"1".into() },
            source: "my app".into(),
            detail_type: "push".into(),
            account: "000000000000".into(),
            region: String::new(),
            resources: vec!["urn:webhook:github:1".into()],
            detail: "{\"n\":1.50,\"u\":\"\\ud83d\"}".into(),
        };
        let text = |format: Format| String::from_utf8(format.to_bytes(&event)).unwrap();
        insta::assert_snapshot!(text(Format::List), @r#"{"version":"0","id":"e\"1","detail-type":"push","source":"my app","account":"000000000000","time":"2026-11-22T10:00:00.5Z","region":"","resources":["urn:webhook:github:1"],"detail":{"n":1.50,"u":"\ud83d"}}"#);
        insta::assert_snapshot!(text(Format::CloudEvents), @r#"{"specversion":"1.0","id":"e\"1","source":"my%20app","type":"push","subject":"urn:webhook:github:1","time":"2026-11-22T10:00:00.5Z","datacontenttype":"application/json","awsaccount":"000000000000","data":{"n":1.50,"u":"\ud83d"}}"#);
    }

    #[test]
    fn the_format_follows_the_accept_header() {
        let negotiate = |accept: &str| Format::negotiate(Some(accept));
        let (list, cloud_events) =
            (ResponseKind::Page(Format::List), ResponseKind::Page(Format::CloudEvents));
        assert_eq!(Format::negotiate(None), list);
        for accept in [
            "",
            "*/*",
            "application/json",
            "text/event-stream;q=0",
            "text/event-stream;q=0.1, application/json",
        ] {
            assert_eq!(negotiate(accept), list, "{accept}");
        }
        for accept in [
            "application/cloudevents-batch+json",
            "text/plain, Application/CloudEvents-batch+json;charset=utf-8",
        ] {
            assert_eq!(negotiate(accept), cloud_events, "{accept}");
        }
        for accept in ["text/event-stream", "*/*;q=0.5, text/event-stream"] {
            assert_eq!(negotiate(accept), ResponseKind::Stream, "{accept}");
        }
        assert_eq!(Format::for_page(Some("text/event-stream")), Format::List);
    }
}
