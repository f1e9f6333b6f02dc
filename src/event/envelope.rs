//! The EventBridge envelope: the stored and delivered form of events.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::Serialize;

use super::Event;
use super::line_breaks::{self, LineBreaks};

/// Formats times as EventBridge does, to the second.
const TIME_FORMAT: DateTimePrinter = DateTimePrinter::new().precision(Some(0));

/// The fields of an EventBridge envelope except the detail, under EventBridge's names.
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

/// The AWS account and region in an envelope.
#[derive(Clone, Copy)]
pub struct AwsOriginRef<'a> {
    /// The AWS account.
    pub account: &'a str,
    /// The AWS region.
    pub region: &'a str,
}

impl<'a> Envelope<'a> {
    /// Creates the envelope of `event`. An event without a time gets `received`. Times have a precision of one
    /// second, as on EventBridge.
    pub fn from_event(event: &'a Event, id: &'a str, through: AwsOriginRef<'a>, received: Timestamp) -> Self {
        let time = TIME_FORMAT.timestamp_to_string(&event.time.unwrap_or(received));
        Self::new(id, (&event.source, &event.detail_type), through, time, &event.resources)
    }

    /// Creates an envelope from its fields; `of` is the source and the detail type.
    pub fn new(
        id: &'a str,
        of: (&'a str, &'a str),
        through: AwsOriginRef<'a>,
        time: String,
        resources: &'a [String],
    ) -> Self {
        let ((source, detail_type), AwsOriginRef { account, region }) = (of, through);
        Self { version: "0", id, detail_type, source, account, time, region, resources }
    }

    /// Appends the envelope with `detail`, unchanged, as JSON to `to`. `detail` must be valid JSON.
    ///
    /// # Errors
    /// Never in practice, because all fields are strings.
    pub fn write_json(&self, detail: &str, to: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut *to, self)?;
        // The detail replaces the closing brace.
        to.pop();
        to.extend_from_slice(b",\"detail\":");
        to.extend_from_slice(detail.as_bytes());
        to.push(b'}');
        Ok(())
    }

    /// The envelope as one line with a line feed at its end. Line breaks in `detail` become spaces.
    ///
    /// # Errors
    /// Never in practice, because all fields are strings.
    pub fn to_line(&self, detail: &str) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = Vec::with_capacity(detail.len() + 512);
        self.write_json(detail, &mut line)?;
        line_breaks::replace_with_spaces(&mut line);
        line.push(b'\n');
        Ok(line)
    }

    /// Appends the envelope as one line to `to`. If `detail` has line breaks, a field with their offsets
    /// ([`LineBreaks`]) follows it, from which a reader restores the original.
    ///
    /// # Errors
    /// Never in practice, because all fields are strings.
    pub fn write_kept_line(&self, detail: &str, to: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        // White space around the JSON is not preserved.
        let detail = detail.trim_matches([' ', '\t', '\n', '\r']);
        let start = to.len();
        self.write_json(detail, to)?;
        if let Some(breaks) = LineBreaks::find(detail) {
            line_breaks::replace_with_spaces(&mut to[start..]);
            to.pop();
            to.extend_from_slice(line_breaks::LINE_BREAKS_FIELD.as_bytes());
            serde_json::to_writer(&mut *to, &breaks)?;
            to.push(b'}');
        }
        to.push(b'\n');
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::event::Detail;

    #[test]
    fn a_time_has_seconds_precision_and_round_trips() {
        let of = |time: &str| {
            let time: Timestamp = time.parse().unwrap();
            let detail = Detail::parse(b"{}").unwrap();
            let (source, detail_type) = ("a".into(), "b".into());
            let event = Event { source, detail_type, detail, time: Some(time), resources: vec![] };
            Envelope::from_event(&event, "7", AwsOriginRef { account: "", region: "" }, time).time
        };
        assert_eq!(of("2016-02-02T19:50:07.999999999Z"), "2016-02-02T19:50:07Z");
        assert_eq!(of("2016-02-02T20:50:00+01:00"), "2016-02-02T19:50:00Z");
        let before_year_one = of("-000044-03-15T12:00:00.5Z");
        assert_eq!(before_year_one.parse::<Timestamp>().unwrap().to_string(), "-000044-03-15T12:00:00Z");
    }

    #[test]
    fn an_envelope_is_one_line_as_a_target_receives_it() {
        let event = Event {
            source: "stripe.com".into(),
            detail_type: "charge.succeeded".into(),
            detail: Detail::parse(b"{\n  \"id\": \"evt_1\",\r\n  \"n\": 1.00\n}").unwrap(),
            time: None,
            resources: vec!["urn:webhook:stripe:evt_1".into()],
        };
        let at = Timestamp::from_millisecond(1_454_442_600_999).unwrap();
        let through = AwsOriginRef { account: "000000000000", region: "local" };
        let envelope = Envelope::from_event(&event, "7", through, at);
        let line = String::from_utf8(envelope.to_line(event.detail.as_str()).unwrap()).unwrap();
        let mut kept = b"before\n".to_vec();
        envelope.write_kept_line(event.detail.as_str(), &mut kept).unwrap();
        let kept = String::from_utf8(kept).unwrap();
        let breaks = r#","detail-line-breaks":{"\n":[1,19,31],"\r":[18]}}"#;
        assert_eq!(kept, format!("before\n{}{breaks}\n", &line[..line.len() - 2]));
        let mut whole = Vec::new();
        envelope.write_json(event.detail.as_str(), &mut whole).unwrap();
        assert!(
            String::from_utf8(whole)
                .unwrap()
                .ends_with("\"detail\":{\n  \"id\": \"evt_1\",\r\n  \"n\": 1.00\n}}")
        );
        insta::assert_snapshot!(line.trim_end(), @r#"{"version":"0","id":"7","detail-type":"charge.succeeded","source":"stripe.com","account":"000000000000","time":"2016-02-02T19:50:00Z","region":"local","resources":["urn:webhook:stripe:evt_1"],"detail":{   "id": "evt_1",    "n": 1.00 }}"#);
    }
}
