//! An event as targets receive it and as it is stored and shown: the EventBridge envelope.

use jiff::Timestamp;
use serde::Serialize;

use super::Event;

/// The EventBridge envelope, all of it but the detail, with the names EventBridge gives its fields.
#[derive(Serialize)]
pub struct Envelope<'a> {
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

/// Where an event came through.
#[derive(Clone, Copy)]
pub struct Through<'a> {
    /// The AWS account.
    pub account: &'a str,
    /// The AWS region.
    pub region: &'a str,
}

impl<'a> Envelope<'a> {
    /// Around `event`. `received` is its time where it has none of its own; as on EventBridge, times are to the second.
    pub fn of(event: &'a Event, id: &'a str, through: Through<'a>, received: Timestamp) -> Self {
        let time = event.time.unwrap_or(received).strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        Self::new(id, (&event.source, &event.detail_type), through, time, &event.resources)
    }

    /// By its parts. `of` is the source and the detail type.
    pub fn new(
        id: &'a str,
        of: (&'a str, &'a str),
        through: Through<'a>,
        time: String,
        resources: &'a [String],
    ) -> Self {
        let ((source, detail_type), Through { account, region }) = (of, through);
        Self { version: "0", id, detail_type, source, account, time, region, resources }
    }

    /// One line of JSON, with its line break, around `detail`, which is JSON and keeps every byte but its line breaks: JSON
    /// has them between tokens only, and they become spaces.
    ///
    /// # Errors
    /// None in practice: the fields are strings.
    pub fn to_line(&self, detail: &str) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = Vec::with_capacity(detail.len() + 512);
        self.write(detail, &mut line)?;
        line.push(b'\n');
        Ok(line)
    }

    /// The same without the line break, behind what is there.
    ///
    /// # Errors
    /// None in practice: the fields are strings.
    pub fn write(&self, detail: &str, to: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        let detail = detail.as_bytes();
        serde_json::to_writer(&mut *to, self)?;
        // It takes the place of the closing brace.
        to.pop();
        to.extend_from_slice(b",\"detail\":");
        let start = to.len();
        to.extend_from_slice(detail);
        if memchr::memchr2(b'\n', b'\r', detail).is_some() {
            for byte in to[start..].iter_mut().filter(|byte| matches!(byte, b'\n' | b'\r')) {
                *byte = b' ';
            }
        }
        to.push(b'}');
        Ok(())
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
        let through = Through { account: "000000000000", region: "local" };
        let envelope = Envelope::of(&event, "7", through, at);
        let line = String::from_utf8(envelope.to_line(event.detail.as_str()).unwrap()).unwrap();
        insta::assert_snapshot!(line.trim_end(), @r#"{"version":"0","id":"7","detail-type":"charge.succeeded","source":"stripe.com","account":"000000000000","time":"2016-02-02T19:50:00Z","region":"local","resources":["urn:webhook:stripe:evt_1"],"detail":{   "id": "evt_1",    "n": 1.00 }}"#);
    }
}
