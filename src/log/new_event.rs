//! An event as the log keeps it.

use std::borrow::Cow;

use jiff::Timestamp;

use super::columns::{COLUMNS, CaseFolding};

/// The longest value that is kept in a column, in bytes. An index takes no more than 2,704, and nobody looks for more.
const LONGEST: usize = 1024;
/// 0001-01-01 in seconds since 1970. PostgreSQL's times begin in 4713 BC, and before the year 1 are written in its own
/// way.
const FIRST_SECOND: i64 = -62_135_596_800;

/// Whether a time is one that every database takes: of the years from 1 on.
pub fn is_recordable(time: Timestamp) -> bool {
    time.as_second() >= FIRST_SECOND
}

/// One event: the envelope that EventBridge has around it, and what it is found by.
pub struct NewEvent<'a> {
    /// When it happened, [in a year that can be recorded](is_recordable); microseconds are kept.
    pub time: Timestamp,
    /// Its id, which stays the same when it is sent again; at most 1,024 bytes.
    pub id: Cow<'a, str>,
    /// Who it comes from, for example `sparkpost.com`.
    pub source: Cow<'a, str>,
    /// What happened, for example `bounce`.
    pub detail_type: Cow<'a, str>,
    /// The AWS account that it came through.
    pub account: Cow<'a, str>,
    /// The AWS region that it came through.
    pub region: Cow<'a, str>,
    /// What it is about.
    pub resources: Vec<String>,
    /// JSON, as it was sent.
    pub detail: Cow<'a, str>,
    /// What it is found by.
    pub search_columns: SearchColumns<'a>,
}

impl NewEvent<'_> {
    /// What makes two records the same: the time in microseconds since 1970, and the id.
    pub fn key(&self) -> (i64, &str) {
        (self.time.as_microsecond(), &self.id)
    }

    /// The same, with nothing borrowed.
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

/// Shows everything but the detail and what is taken out of it, which is about people.
impl std::fmt::Debug for NewEvent<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Record")
            .field("time", &self.time)
            .field("id", &self.id)
            .field("source", &self.source)
            .field("detail_type", &self.detail_type)
            .field("detail_bytes", &self.detail.len())
            .finish_non_exhaustive()
    }
}

/// The values of [`COLUMNS`], in their order.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct SearchColumns<'a>([Option<Cow<'a, str>>; COLUMNS.len()]);

impl<'a> SearchColumns<'a> {
    /// Takes each column's value from `field`, which knows the fields of an event.
    pub fn from_fields(mut field: impl FnMut(&str) -> Option<Cow<'a, str>>) -> Self {
        let mut values: [Option<Cow<'a, str>>; COLUMNS.len()] = Default::default();
        for (at, column) in COLUMNS.iter().enumerate() {
            let value = field(column.field).filter(|value| !value.is_empty()).or_else(|| {
                let of = COLUMNS.iter().position(|other| Some(other.name) == column.fallback_domain_of)?;
                let (_, domain) = values[of].as_deref()?.rsplit_once('@')?;
                Some(Cow::Owned(domain.to_owned()))
            });
            values[at] = value.map(|value| {
                let value = sanitize_text(if column.is_address { bare(value) } else { value });
                let is_large = |b: u8| b.is_ascii_uppercase() || !b.is_ascii();
                match column.case_folding {
                    CaseFolding::Yes if value.bytes().any(is_large) => Cow::Owned(value.to_lowercase()),
                    _ => value,
                }
            });
        }
        Self(values)
    }

    /// The values, in the order of [`COLUMNS`].
    pub fn values(&self) -> impl Iterator<Item = Option<&str>> {
        self.0.iter().map(Option::as_deref)
    }
}

/// The address of a `Name <address>`.
fn bare(value: Cow<'_, str>) -> Cow<'_, str> {
    match value.trim_end().strip_suffix('>').and_then(|inside| inside.rsplit_once('<')) {
        Some((_, address)) if !address.is_empty() => Cow::Owned(address.to_owned()),
        _ => value,
    }
}

/// A value as a column can hold it: without NUL, which PostgreSQL has no place for, and not too long.
pub fn sanitize_text(mut value: Cow<'_, str>) -> Cow<'_, str> {
    if value.contains('\0') {
        value = Cow::Owned(value.replace('\0', ""));
    }
    if value.len() > LONGEST {
        let end = value.floor_char_boundary(LONGEST);
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

    fn value<'a>(found: &'a SearchColumns<'_>, name: &str) -> Option<&'a str> {
        let at = COLUMNS.iter().position(|column| column.name == name)?;
        found.values().nth(at)?
    }

    #[test]
    fn a_domain_is_taken_from_its_address_where_the_event_has_none() {
        let found = SearchColumns::from_fields(|field| match field {
            "rcpt_to" => Some("Recipient@Example.COM".into()),
            "friendly_from" => Some("Sender <sender@example.com>".into()),
            "sending_domain" => Some("mail.example.com".into()),
            "subject" => Some("a\0b".into()),
            "reason" => Some("ä".repeat(600).into()),
            "campaign_id" => Some("".into()),
            _ => None,
        });
        assert_eq!(value(&found, "rcpt_to"), Some("recipient@example.com"));
        assert_eq!(value(&found, "recipient_domain"), Some("example.com"));
        assert_eq!(value(&found, "friendly_from"), Some("sender@example.com"));
        assert_eq!(value(&found, "sending_domain"), Some("mail.example.com"));
        assert_eq!(value(&found, "subject"), Some("ab"));
        assert_eq!(value(&found, "reason").map(str::len), Some(1024));
        assert_eq!(value(&found, "campaign_id"), None);
    }
}
