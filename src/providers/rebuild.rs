//! Rebuilds a webhook from a recorded event, for `hookbridge listen --sign-as`.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{BodyFormat, FieldLocation, Provider, SampleWebhook};
use crate::event::find_value;

/// The characters that the WHATWG URL Standard escapes in a form. A space becomes `%20`, which every decoder accepts.
const FORM_ESCAPES: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

impl Provider {
    /// The body of a webhook that contains one event, with this type and this `detail`. If the provider's webhooks contain several
    /// events, what surrounds them is from the provider's sample, because an event does not contain it.
    pub fn body_with_event(&self, event_type: &str, detail: &str) -> String {
        let sample = self.samples.iter().find(|sample| sample.event_type == event_type);
        let sample = sample.or(self.samples.first()).unwrap_or(&SampleWebhook::EMPTY);
        match self.body_format {
            BodyFormat::Custom { write, .. } => write(detail),
            BodyFormat::Batch(_) => format!("[{detail}]"),
            BodyFormat::FormField(field) => {
                format!("{field}={}", form_encode(&self.surround(detail, event_type, None)))
            }
            BodyFormat::Json | BodyFormat::JsonOrFormField(_) => {
                self.surround(detail, event_type, Some(sample.body))
            }
        }
    }

    /// The JSON of a webhook with this `detail`. `sample` is the JSON of a sample, if the sample is JSON.
    fn surround(&self, detail: &str, event_type: &str, sample: Option<&str>) -> String {
        match (self.split, sample) {
            (None, _) => detail.to_owned(),
            // A provider that sends an array or a single event.
            (Some(""), Some(sample)) if !sample.starts_with('[') => detail.to_owned(),
            (Some(""), _) => format!("[{detail}]"),
            (Some(pointer), sample) => {
                let sample = sample.unwrap_or_default();
                let json = replace_value(sample, pointer, &format!("[{detail}]"));
                match self.event_type {
                    Some(FieldLocation::Envelope(pointer)) => {
                        replace_value(&json, pointer, &serde_json::Value::from(event_type).to_string())
                    }
                    _ => json,
                }
            }
        }
    }
}

/// Replaces the value at `pointer` in `json`. Returns `json` unchanged if there is none.
fn replace_value(json: &str, pointer: &str, value: &str) -> String {
    let Some(old) = find_value(json, pointer) else { return json.to_owned() };
    // `old` is a part of `json`, so the distance of their addresses is its offset.
    let start = old.as_ptr() as usize - json.as_ptr() as usize;
    [&json[..start], value, &json[start + old.len()..]].concat()
}

/// Encodes the name or the value of a form's field.
pub(super) fn form_encode(text: &str) -> String {
    utf8_percent_encode(text, FORM_ESCAPES).to_string()
}
