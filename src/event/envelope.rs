//! An event as targets receive it and as it is stored and shown: the EventBridge envelope.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::Event;

/// The EventBridge envelope around an [`Event`], with the names EventBridge gives its fields.
#[derive(Serialize)]
pub struct Envelope<'a> {
    version: &'static str,
    id: String,
    #[serde(rename = "detail-type")]
    detail_type: &'a str,
    source: &'a str,
    account: &'a str,
    time: String,
    region: &'a str,
    resources: &'a [String],
    detail: &'a RawValue,
}

impl<'a> Envelope<'a> {
    /// Wraps `event`. `received` is its time where it has none of its own; as on EventBridge, times are to the
    /// second.
    ///
    /// # Errors
    /// None in practice: a [`super::Detail`] is JSON.
    pub fn new(
        event: &'a Event,
        id: String,
        account: &'a str,
        region: &'a str,
        received: Timestamp,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            version: "0",
            id,
            detail_type: &event.detail_type,
            source: &event.source,
            account,
            time: event.time.unwrap_or(received).strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            region,
            resources: &event.resources,
            detail: serde_json::from_str(event.detail.as_str())?,
        })
    }

    /// One line of JSON. The detail keeps every byte but its line breaks, which JSON only has between tokens and
    /// which become spaces.
    ///
    /// # Errors
    /// None in practice: every field is a string or JSON.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        let line = serde_json::to_string(self)?;
        Ok(if line.contains(['\n', '\r']) { line.replace(['\n', '\r'], " ") } else { line })
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
        let envelope = Envelope::new(&event, "7".into(), "000000000000", "local", at).unwrap();
        insta::assert_snapshot!(envelope.to_line().unwrap(), @r#"{"version":"0","id":"7","detail-type":"charge.succeeded","source":"stripe.com","account":"000000000000","time":"2016-02-02T19:50:00Z","region":"local","resources":["urn:webhook:stripe:evt_1"],"detail":{   "id": "evt_1",    "n": 1.00 }}"#);
    }
}
