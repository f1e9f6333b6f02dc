//! The bodies of SQS messages to the recorder: S3 event notifications or EventBridge events.

use std::borrow::Cow;

use percent_encoding::percent_decode_str;
use serde::Deserialize;

/// The content of an SQS message.
pub(super) enum Notification<'a> {
    /// S3 objects were created.
    ObjectsCreated(Vec<S3Object<'a>>),
    /// The JSON of an EventBridge event, with its envelope.
    Event(&'a str),
    /// A notification that needs no action: an S3 test event, or the removal of an object.
    Ignored,
}

/// An object in an S3 bucket.
pub(super) struct S3Object<'a> {
    pub(super) bucket: Cow<'a, str>,
    pub(super) key: String,
}

/// The JSON fields by which the two message formats are distinguished. Sources: "Event message structure", Amazon S3 User Guide;
/// "Events structure reference", Amazon EventBridge User Guide.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "Records", borrow)]
    records: Option<Vec<S3Record<'a>>>,
    #[serde(rename = "Event", borrow)]
    event: Option<Cow<'a, str>>,
    #[serde(rename = "detail-type", borrow)]
    detail_type: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct S3Record<'a> {
    #[serde(rename = "eventName", borrow)]
    event_name: Cow<'a, str>,
    #[serde(borrow)]
    s3: S3<'a>,
}

#[derive(Deserialize)]
struct S3<'a> {
    #[serde(borrow)]
    bucket: Bucket<'a>,
    #[serde(borrow)]
    object: Object<'a>,
}

#[derive(Deserialize)]
struct Bucket<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
}

impl<'a> Notification<'a> {
    /// Parses the body of an SQS message; `None` if its format is unknown.
    pub(super) fn parse(body: &'a str) -> Option<Self> {
        let message: Message<'_> = serde_json::from_str(body).ok()?;
        if let Some(records) = message.records {
            let created = records.into_iter().filter(|record| record.event_name.contains("ObjectCreated"));
            let objects: Vec<_> = created
                .map(|record| S3Object {
                    bucket: record.s3.bucket.name,
                    key: decode_key(&record.s3.object.key),
                })
                .collect();
            return Some(if objects.is_empty() { Self::Ignored } else { Self::ObjectsCreated(objects) });
        }
        if message.event.as_deref() == Some("s3:TestEvent") {
            return Some(Self::Ignored);
        }
        message.detail_type.map(|_| Self::Event(body))
    }
}

/// Decodes the object key in an S3 notification. S3 percent-encodes the key and writes a space as `+`.
fn decode_key(encoded: &str) -> String {
    percent_decode_str(&encoded.replace('+', " ")).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn describe(body: &str) -> String {
        match Notification::parse(body) {
            None => "unknown format".into(),
            Some(Notification::Ignored) => "ignored".into(),
            Some(Notification::Event(_)) => "an event".into(),
            Some(Notification::ObjectsCreated(objects)) => {
                objects.iter().map(|object| format!("{}: {}", object.bucket, object.key)).collect()
            }
        }
    }

    #[test]
    fn a_message_is_an_s3_notification_or_an_event() {
        let s3 = |name: &str| {
            format!(
                r#"{{"Records":[{{"eventVersion":"2.1","eventSource":"aws:s3","eventName":"{name}","s3":{{"bucket":{{"name":"raw"}},"object":{{"key":"a+b/sparkpost/x%2520y%252F.json","size":1}}}}}}]}}"#
            )
        };
        insta::assert_snapshot!(describe(&s3("ObjectCreated:Put")), @"raw: a b/sparkpost/x%20y%2F.json");
        insta::assert_snapshot!(describe(&s3("ObjectRemoved:Delete")), @"ignored");
        insta::assert_snapshot!(describe(r#"{"Service":"Amazon S3","Event":"s3:TestEvent","Bucket":"raw"}"#), @"ignored");
        insta::assert_snapshot!(describe(r#"{"version":"0","id":"1","detail-type":"push","detail":{}}"#), @"an event");
        for body in ["", "{}", "[]", "{\"Records\":[{}]}", "{\"Records\":7}", "push"] {
            assert_eq!(describe(body), "unknown format", "{body}");
        }
    }
}
