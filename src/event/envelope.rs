//! The EventBridge envelope: the JSON object around a `detail`, in which EventBridge delivers events and the local bus
//! stores them.

use jiff::Timestamp;
use jiff::fmt::temporal::DateTimePrinter;
use serde::Serialize;

use super::Event;
use super::line_breaks::{self, LineBreaks};

/// Formats times without fractions of a second, as EventBridge does.
const TIME_FORMAT: DateTimePrinter = DateTimePrinter::new().precision(Some(0));

/// The fields of an EventBridge envelope except the `detail`, under EventBridge's names.
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
    /// Creates the envelope of `event`. An event without a time gets the time `received_at`. The envelope omits fractions of a
    /// second, as EventBridge does.
    pub fn from_event(
        event: &'a Event,
        id: &'a str,
        origin: AwsOriginRef<'a>,
        received_at: Timestamp,
    ) -> Self {
        let time = TIME_FORMAT.timestamp_to_string(&event.time.unwrap_or(received_at));
        Self::new(id, (&event.source, &event.detail_type), origin, time, &event.resources)
    }

    /// Creates an envelope from its fields.
    pub fn new(
        id: &'a str,
        (source, detail_type): (&'a str, &'a str),
        AwsOriginRef { account, region }: AwsOriginRef<'a>,
        time: String,
        resources: &'a [String],
    ) -> Self {
        Self { version: "0", id, detail_type, source, account, time, region, resources }
    }

    /// Appends the envelope with `detail`, unchanged, as JSON to `output`. `detail` must be valid JSON.
    ///
    /// # Errors
    /// Never in practice, because all fields are strings.
    pub fn write_json(&self, detail: &str, output: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut *output, self)?;
        // Append the field `detail` instead of the closing brace.
        output.pop();
        output.extend_from_slice(b",\"detail\":");
        output.extend_from_slice(detail.as_bytes());
        output.push(b'}');
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

    /// Appends the envelope as one line to `output`. If `detail` has line breaks, the line ends with a field of their offsets
    /// ([`LineBreaks`]), from which a reader restores the original `detail`.
    ///
    /// # Errors
    /// Never in practice, because all fields are strings.
    pub fn write_bus_file_line(&self, detail: &str, output: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        // The line does not preserve white space around `detail`.
        let detail = detail.trim_matches([' ', '\t', '\n', '\r']);
        let start = output.len();
        self.write_json(detail, output)?;
        if let Some(breaks) = LineBreaks::find(detail) {
            line_breaks::replace_with_spaces(&mut output[start..]);
            output.pop();
            output.extend_from_slice(line_breaks::LINE_BREAKS_FIELD.as_bytes());
            serde_json::to_writer(&mut *output, &breaks)?;
            output.push(b'}');
        }
        output.push(b'\n');
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
        let envelope_time = |time: &str| {
            let time: Timestamp = time.parse().unwrap();
            let detail = Detail::parse(b"{}").unwrap();
            let (source, detail_type) = ("a".into(), "b".into());
            let event = Event {
                source,
                detail_type,
                detail,
                time: Some(time),
                resources: vec![],
                trace_header: None,
                group_id: None,
            };
            Envelope::from_event(&event, "7", AwsOriginRef { account: "", region: "" }, time).time
        };
        assert_eq!(envelope_time("2016-02-02T19:50:07.999999999Z"), "2016-02-02T19:50:07Z");
        assert_eq!(envelope_time("2016-02-02T20:50:00+01:00"), "2016-02-02T19:50:00Z");
        let before_year_one = envelope_time("-000044-03-15T12:00:00.5Z");
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
            trace_header: None,
            group_id: None,
        };
        let received_at = Timestamp::from_millisecond(1_454_442_600_999).unwrap();
        let origin = AwsOriginRef { account: "000000000000", region: "local" };
        let envelope = Envelope::from_event(&event, "7", origin, received_at);
        let line = String::from_utf8(envelope.to_line(event.detail.as_str()).unwrap()).unwrap();
        let mut file_line = b"before\n".to_vec();
        envelope.write_bus_file_line(event.detail.as_str(), &mut file_line).unwrap();
        let file_line = String::from_utf8(file_line).unwrap();
        let breaks = r#","detail-line-breaks":{"\n":[1,19,31],"\r":[18]}}"#;
        assert_eq!(file_line, format!("before\n{}{breaks}\n", &line[..line.len() - 2]));
        let mut json = Vec::new();
        envelope.write_json(event.detail.as_str(), &mut json).unwrap();
        assert!(
            String::from_utf8(json)
                .unwrap()
                .ends_with("\"detail\":{\n  \"id\": \"evt_1\",\r\n  \"n\": 1.00\n}}")
        );
        insta::assert_snapshot!(line.trim_end(), @r#"{"version":"0","id":"7","detail-type":"charge.succeeded","source":"stripe.com","account":"000000000000","time":"2016-02-02T19:50:00Z","region":"local","resources":["urn:webhook:stripe:evt_1"],"detail":{   "id": "evt_1",    "n": 1.00 }}"#);
    }
}
