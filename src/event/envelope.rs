//! An event as targets receive it and as it is stored and shown: the EventBridge envelope.

use jiff::Timestamp;
use serde::Serialize;

use super::Event;

/// The EventBridge envelope around an [`Event`], with the names EventBridge gives its fields.
pub struct Envelope<'a> {
    event: &'a Event,
    id: String,
    account: &'a str,
    region: &'a str,
    received: Timestamp,
}

/// All of it but the detail.
#[derive(Serialize)]
struct Head<'a> {
    version: &'static str,
    id: &'a str,
    #[serde(rename = "detail-type")]
    detail_type: &'a str,
    source: &'a str,
    account: &'a str,
    time: String,
    region: &'a str,
    resources: &'a [String],
}

impl<'a> Envelope<'a> {
    /// Wraps `event`. `received` is its time where it has none of its own; as on EventBridge, times are to the
    /// second.
    pub fn new(event: &'a Event, id: String, account: &'a str, region: &'a str, received: Timestamp) -> Self {
        Self { event, id, account, region, received }
    }

    /// One line of JSON, with its line break. The detail keeps every byte but its line breaks, which JSON only has between tokens and
    /// which become spaces.
    ///
    /// # Errors
    /// None in practice: the fields are strings.
    pub fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let detail = self.event.detail.as_str().as_bytes();
        let mut line = Vec::with_capacity(detail.len() + 512);
        let head = Head {
            version: "0",
            id: &self.id,
            detail_type: &self.event.detail_type,
            source: &self.event.source,
            account: self.account,
            time: self.event.time.unwrap_or(self.received).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            region: self.region,
            resources: &self.event.resources,
        };
        serde_json::to_writer(&mut line, &head)?;
        // The detail is JSON already: it takes the place of the closing brace.
        line.pop();
        line.extend_from_slice(b",\"detail\":");
        let start = line.len();
        line.extend_from_slice(detail);
        if memchr::memchr2(b'\n', b'\r', detail).is_some() {
            for byte in line[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
                *byte = b' ';
            }
        }
        line.extend_from_slice(b"}\n");
        Ok(line)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::event::Detail;

    #[test]
    fn an_envelope_is_what_a_target_receives_on_one_line() {
        let event = Event {
            source: "stripe.com".into(),
            detail_type: "charge.succeeded".into(),
            detail: Detail::parse(b"{\n  \"id\": \"evt_1\",\r\n  \"n\": 1.00\n}").unwrap(),
            time: None,
            resources: vec!["urn:webhook:stripe:evt_1".into()],
        };
        let at = Timestamp::from_millisecond(1_454_442_600_999).unwrap();
        let envelope = Envelope::new(&event, "7".into(), "000000000000", "local", at);
        let line = String::from_utf8(envelope.to_line().unwrap()).unwrap();
        insta::assert_snapshot!(line.trim_end(), @r#"{"version":"0","id":"7","detail-type":"charge.succeeded","source":"stripe.com","account":"000000000000","time":"2016-02-02T19:50:00Z","region":"local","resources":["urn:webhook:stripe:evt_1"],"detail":{   "id": "evt_1",    "n": 1.00 }}"#);
    }
}
