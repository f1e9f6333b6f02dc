//! Events before they are recorded.

use std::borrow::Cow;

use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::search_columns::{COLUMNS, CaseFolding};

/// The maximum length in bytes of a stored text other than the `detail`. An entry of a PostgreSQL B-tree index holds at most
/// 2,704 bytes.
const MAX_TEXT_BYTES: usize = 1024;
/// The earliest recordable time: 0001-01-01, in seconds since 1970. PostgreSQL timestamps begin in 4713 BC, but those before the
/// year 1 have another text format.
const MIN_EPOCH_SECONDS: i64 = -62_135_596_800;

/// The detail type of an event that no parser recognized.
pub const UNRECOGNIZED_TYPE: &str = "unrecognized";

/// Derives an event's id from its content, so that equal contents have the same id.
pub fn content_id(content: &str) -> String {
    format!("sha256.{}", hex::encode(Sha256::digest(content)))
}

/// Whether both databases can store a time: it lies in the year 1 or later.
pub fn is_recordable(time: Timestamp) -> bool {
    time.as_second() >= MIN_EPOCH_SECONDS
}

/// An event with its EventBridge envelope fields and its search columns.
pub struct NewEvent<'a> {
    /// When the event happened, to the microsecond; the time must be [recordable](is_recordable).
    pub time: Timestamp,
    /// The event id, at most 1,024 bytes. A redelivered event has the same id.
    pub id: Cow<'a, str>,
    /// The source, for example `sparkpost.com`.
    pub source: Cow<'a, str>,
    /// The detail type, for example `bounce`.
    pub detail_type: Cow<'a, str>,
    /// The AWS account that received the event; may be empty.
    pub account: Cow<'a, str>,
    /// The AWS region that received the event; may be empty.
    pub region: Cow<'a, str>,
    /// The resources, usually URNs.
    pub resources: Vec<String>,
    /// The event's `detail` as JSON text, unchanged.
    pub detail: Cow<'a, str>,
    /// The values of the search columns.
    pub search_columns: SearchColumns<'a>,
}

impl<'a> NewEvent<'a> {
    /// Creates an event for content that has no id: the id is derived from the detail.
    pub fn from_content(
        source: &'static str,
        detail_type: impl Into<Cow<'a, str>>,
        detail: Cow<'a, str>,
        time: Timestamp,
    ) -> Self {
        Self {
            time,
            id: Cow::Owned(content_id(&detail)),
            source: Cow::Borrowed(source),
            detail_type: detail_type.into(),
            account: Cow::Borrowed(""),
            region: Cow::Borrowed(""),
            resources: Vec::new(),
            detail,
            search_columns: SearchColumns::default(),
        }
    }
}

impl NewEvent<'_> {
    /// The identity of the event: its time in microseconds since 1970, and its id.
    pub fn key(&self) -> (i64, &str) {
        (self.time.as_microsecond(), &self.id)
    }

    /// Copies every borrowed field, so that the returned event owns all its data.
    pub fn into_owned(self) -> NewEvent<'static> {
        let owned = |text: Cow<'_, str>| Cow::Owned(text.into_owned());
        NewEvent {
            time: self.time,
            id: owned(self.id),
            source: owned(self.source),
            detail_type: owned(self.detail_type),
            account: owned(self.account),
            region: owned(self.region),
            resources: self.resources,
            detail: owned(self.detail),
            search_columns: SearchColumns(self.search_columns.0.map(|value| value.map(owned))),
        }
    }
}

/// The `Debug` output omits the `detail` and the search columns, which may contain personal data.
impl std::fmt::Debug for NewEvent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewEvent")
            .field("time", &self.time)
            .field("id", &self.id)
            .field("source", &self.source)
            .field("detail_type", &self.detail_type)
            .field("detail_bytes", &self.detail.len())
            .finish_non_exhaustive()
    }
}

/// The values that an event has in the search columns, in the order of [`COLUMNS`], with upper and lower case as sent.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SearchColumns<'a>([Option<Cow<'a, str>>; COLUMNS.len()]);

impl<'a> SearchColumns<'a> {
    /// Reads each column's value through `field`, which returns an event field by name.
    pub fn from_fields(mut field: impl FnMut(&str) -> Option<Cow<'a, str>>) -> Self {
        let mut values: [Option<Cow<'a, str>>; COLUMNS.len()] = Default::default();
        for (index, column) in COLUMNS.iter().enumerate() {
            let value = field(column.field).filter(|value| !value.is_empty()).or_else(|| {
                let address_index =
                    COLUMNS.iter().position(|candidate| Some(candidate.name) == column.fallback_domain_of)?;
                let (_, domain) = values[address_index].as_deref()?.rsplit_once('@')?;
                Some(Cow::Owned(domain.to_owned()))
            });
            values[index] = value
                .map(|value| sanitize_text(if column.is_address { extract_address(value) } else { value }));
        }
        Self(values)
    }

    /// The values as the database stores them: addresses and domains in lower case.
    pub fn stored_values(&self) -> impl Iterator<Item = Option<Cow<'_, str>>> {
        let needs_folding = |b: u8| b.is_ascii_uppercase() || !b.is_ascii();
        self.values_as_sent().zip(&COLUMNS).map(move |(value, column)| match column.case_folding {
            CaseFolding::Lowercase if value?.bytes().any(needs_folding) => {
                value.map(|value| Cow::Owned(value.to_lowercase()))
            }
            _ => value.map(Cow::Borrowed),
        })
    }

    /// The values with upper and lower case as sent.
    pub fn values_as_sent(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.iter().map(Option::as_deref)
    }
}

/// Extracts the address from `Name <address>`. Returns a value of another form unchanged.
fn extract_address(value: Cow<'_, str>) -> Cow<'_, str> {
    match value.trim_end().strip_suffix('>').and_then(|inner| inner.rsplit_once('<')) {
        Some((_, address)) if !address.is_empty() => Cow::Owned(address.to_owned()),
        _ => value,
    }
}

/// Removes NUL characters, which PostgreSQL cannot store, and truncates the value to 1,024 bytes.
pub fn sanitize_text(mut value: Cow<'_, str>) -> Cow<'_, str> {
    if value.contains('\0') {
        value = Cow::Owned(value.replace('\0', ""));
    }
    if value.len() > MAX_TEXT_BYTES {
        let end = value.floor_char_boundary(MAX_TEXT_BYTES);
        value = match value {
            Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
            Cow::Owned(mut text) => {
                text.truncate(end);
                Cow::Owned(text)
            }
        };
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(columns: &SearchColumns<'_>, name: &str) -> Option<String> {
        let index = COLUMNS.iter().position(|column| column.name == name)?;
        columns.stored_values().nth(index)?.map(Cow::into_owned)
    }

    #[test]
    fn a_missing_domain_is_derived_from_the_address() {
        let columns = SearchColumns::from_fields(|field| match field {
            "rcpt_to" => Some("Recipient@Example.COM".into()),
            "friendly_from" => Some("Sender <sender@example.com>".into()),
            "sending_domain" => Some("mail.example.com".into()),
            "subject" => Some("a\0b".into()),
            "reason" => Some("ä".repeat(600).into()),
            "campaign_id" => Some("".into()),
            _ => None,
        });
        assert_eq!(value(&columns, "rcpt_to").as_deref(), Some("recipient@example.com"));
        assert_eq!(columns.values_as_sent().next().flatten(), Some("Recipient@Example.COM"));
        assert_eq!(value(&columns, "recipient_domain").as_deref(), Some("example.com"));
        assert_eq!(value(&columns, "friendly_from").as_deref(), Some("sender@example.com"));
        assert_eq!(value(&columns, "sending_domain").as_deref(), Some("mail.example.com"));
        assert_eq!(value(&columns, "subject").as_deref(), Some("ab"));
        assert_eq!(value(&columns, "reason").map(|value| value.len()), Some(1024));
        assert_eq!(value(&columns, "campaign_id"), None);
    }
}
