//! Query parameters of the two search APIs.
//!
//! A parameter that is not known is refused: one that was mistyped and passed over would find everything.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::PATHS;
use super::cursor::Cursor;
use crate::log::{COLUMNS, Search};
use crate::providers::Form;
use crate::providers::sparkpost::SPARKPOST;

/// Which interface is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Api {
    /// `GET /api/v1/events/message`: pages by cursor.
    Events,
    /// `GET /api/v1/message-events`: pages by number.
    MessageEvents,
}

/// A search, and the page of it that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) api: Api,
    pub(super) search: Search,
    pub(super) per_page: u32,
    pub(super) cursor: Option<Cursor>,
    /// From 1; of [`Api::MessageEvents`] only.
    page: u32,
    /// The parameters as they came, but for the place.
    others: Vec<(String, String)>,
}

/// A parameter that cannot be, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadParameter(pub(super) String);

const LARGEST_PAGE: u32 = 10_000;
const USUAL_PAGE: u32 = 1000;
const DAY: SignedDuration = SignedDuration::from_hours(24);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// The values of one filter.
const MOST_VALUES: usize = 1000;

/// What is written as it is: the unreserved characters of RFC 3986, and the colon of times.
const IN_QUERY: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The older interface has other names for some filters.
const OLDER: [(&str, &str); 9] = [
    ("bounce_classes", "bounce_classes"),
    ("campaign_ids", "campaigns"),
    ("friendly_froms", "from_addresses"),
    ("message_ids", "messages"),
    ("recipients", "recipients"),
    ("subaccounts", "subaccounts"),
    ("template_ids", "templates"),
    ("transmission_ids", "transmissions"),
    ("subjects", "subjects"),
];

impl Asked {
    /// Reads a query. `now` is what the usual range ends before.
    pub(super) fn read(api: Api, query: &str, now: Timestamp) -> Result<Self, BadParameter> {
        let mut pairs = Vec::new();
        for (name, value) in Form::parse(query.as_bytes()).pairs() {
            let text = |bytes: &[u8]| {
                String::from_utf8(bytes.to_vec()).map_err(|_| bad("the query", "is not UTF-8"))
            };
            pairs.push((text(name)?, text(value)?));
        }
        let delimiter = pairs.iter().find(|(name, _)| name == "delimiter" && api == Api::Events);
        let delimiter = delimiter.map_or(",", |(_, value)| value.as_str()).to_owned();
        if delimiter.is_empty() {
            return Err(bad("delimiter", "is empty"));
        }
        let mut asked = Self {
            api,
            search: Search { from: now - DAY, to: now - MINUTE, ..Search::default() },
            per_page: USUAL_PAGE,
            cursor: None,
            page: 1,
            others: Vec::new(),
        };
        asked.search.sources = vec![SPARKPOST.source.into()];
        for (n, (name, value)) in pairs.iter().enumerate() {
            if pairs[..n].iter().any(|(earlier, _)| earlier == name) {
                return Err(bad(
                    name,
                    "is there twice: its values are written with a delimiter between them",
                ));
            }
            asked.take(name, value, &delimiter)?;
        }
        if !pairs.iter().any(|(name, _)| name == "to") {
            // Who asks from a moment ago on gets nothing yet, and no error.
            asked.search.to = asked.search.to.max(asked.search.from);
        }
        let is_place = |name: &str| matches!(name, "cursor" | "page" | "from" | "to");
        asked.others = pairs.into_iter().filter(|(name, _)| !is_place(name)).collect();
        if asked.search.from > asked.search.to {
            return Err(BadParameter("from is later than to".into()));
        }
        Ok(asked)
    }

    fn take(&mut self, name: &str, value: &str, delimiter: &str) -> Result<(), BadParameter> {
        let values = || {
            let values: Vec<_> = value
                .split(delimiter)
                .map(str::trim)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
                .collect();
            match values.len() {
                0 => Err(bad(name, "is empty")),
                1..=MOST_VALUES if !value.contains('\0') => Ok(values),
                1..=MOST_VALUES => Err(bad(name, "holds a NUL")),
                _ => Err(bad(name, &format!("has more than {MOST_VALUES} values"))),
            }
        };
        let number = |most: u32| {
            let number = value.parse().ok().filter(|number| (1..=most).contains(number));
            number.ok_or_else(|| bad(name, &format!("is not a whole number from 1 to {most}")))
        };
        match (self.api, name) {
            (_, "from") => self.search.from = time(name, value)?,
            (_, "to") => self.search.to = time(name, value)?,
            (_, "per_page") => self.per_page = number(LARGEST_PAGE)?,
            (_, "events") => self.search.types = values()?,
            (Api::Events, "delimiter") => {}
            (Api::Events, "event_ids") => self.search.ids = values()?,
            (Api::Events, "cursor") if value == "initial" => {}
            (Api::Events, "cursor") => {
                let cursor = Cursor::read(value);
                self.cursor = Some(
                    cursor.ok_or_else(|| bad(name, "is neither 'initial' nor one that was given here"))?,
                );
            }
            (Api::MessageEvents, "page") => self.page = number(u32::MAX)?,
            (Api::MessageEvents, "reason") => self.search.reason_contains = Some(values()?.join(delimiter)),
            (Api::MessageEvents, "timezone") if value.eq_ignore_ascii_case("UTC") => {}
            (Api::MessageEvents, "timezone") => return Err(bad(name, "is not UTC, the only one here")),
            (api, _) => {
                let filter = match api {
                    Api::Events => Some(name),
                    Api::MessageEvents => {
                        OLDER.iter().find(|(older, _)| *older == name).map(|(_, filter)| *filter)
                    }
                };
                let at = COLUMNS.iter().position(|column| Some(column.query_parameter) == filter);
                let at = at.ok_or_else(|| bad(name, &format!("is not known; there are: {}", names(api))))?;
                self.search.columns.push((at, values()?));
            }
        }
        Ok(())
    }

    /// How many events come before the page.
    pub(super) fn offset(&self) -> u64 {
        u64::from(self.page - 1) * u64::from(self.per_page)
    }

    /// The URL of the page after `cursor`. It says the range in full: the usual one moves.
    pub(super) fn next(&self, cursor: &Cursor) -> String {
        let place = match self.api {
            Api::Events => ("cursor", cursor.write()),
            Api::MessageEvents => ("page", (self.page + 1).to_string()),
        };
        let (from, to) = (self.search.from.to_string(), self.search.to.to_string());
        let others = self.others.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let all = others.chain([("from", from), ("to", to), place]);
        let encoded = |text: &str| utf8_percent_encode(text, &IN_QUERY).to_string();
        let pairs: Vec<_> = all.map(|(name, value)| format!("{}={}", name, encoded(&value))).collect();
        let path = match self.api {
            Api::Events => PATHS[0],
            Api::MessageEvents => PATHS[1],
        };
        format!("{path}?{}", pairs.join("&"))
    }
}

fn bad(name: &str, why: &str) -> BadParameter {
    BadParameter(format!("{name} {why}"))
}

/// Every parameter of an interface.
fn names(api: Api) -> String {
    let mut names = vec!["events", "from", "per_page", "to"];
    match api {
        Api::Events => {
            names.extend(["cursor", "delimiter", "event_ids"]);
            names.extend(COLUMNS.iter().map(|column| column.query_parameter));
        }
        Api::MessageEvents => {
            names.extend(["page", "reason", "timezone"]);
            names.extend(OLDER.map(|(older, _)| older));
        }
    }
    names.sort_unstable();
    names.join(", ")
}

/// A time as the two interfaces have it: `2026-11-22T10:00:00Z`, or without seconds and zone, which is UTC.
fn time(name: &str, value: &str) -> Result<Timestamp, BadParameter> {
    let civil =
        || value.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let wrong = || bad(name, "is not a time; it is written 2026-11-22T10:00:00Z or 2026-11-22T10:00");
    // A plus sign that was not encoded is a space by now.
    value.replace(' ', "+").parse().ok().or_else(civil).ok_or_else(wrong)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::log::EventKey;

    fn read(api: Api, query: &str) -> Result<Asked, String> {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        Asked::read(api, query, now).map_err(|BadParameter(why)| why)
    }

    #[test]
    fn without_parameters_it_is_the_last_day_up_to_a_minute_ago() {
        let asked = read(Api::Events, "").unwrap();
        assert_eq!(asked.search.from.to_string(), "2026-11-21T10:00:00Z");
        assert_eq!(asked.search.to.to_string(), "2026-11-22T09:59:00Z");
        assert_eq!((asked.per_page, asked.cursor), (1000, None));
        let recent = read(Api::Events, "from=2026-11-22T09:59:30Z").unwrap().search;
        assert_eq!(recent.from, recent.to, "nothing yet");
    }

    #[test]
    fn the_openapi_document_has_every_parameter() {
        let document: serde_json::Value = serde_json::from_str(include_str!("../openapi.json")).unwrap();
        for (api, path) in [(Api::Events, PATHS[0]), (Api::MessageEvents, PATHS[1])] {
            let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
            let mut described: Vec<_> =
                parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
            described.sort_unstable();
            assert_eq!(described.join(", "), names(api));
        }
    }

    #[test]
    fn every_filter_is_read() {
        for column in &COLUMNS {
            let asked = read(Api::Events, &format!("{}=a,b%20c,", column.query_parameter)).unwrap();
            let (at, values) = &asked.search.columns[0];
            assert_eq!(
                (COLUMNS[*at].name, values.as_slice()),
                (column.name, &["a".to_owned(), "b c".into()][..])
            );
        }
        let asked = read(Api::Events, "events=open;x,y&delimiter=%3B&event_ids=1").unwrap();
        assert_eq!(
            (asked.search.types, asked.search.ids),
            (vec!["open".into(), "x,y".into()], vec!["1".into()])
        );
        let older =
            read(Api::MessageEvents, "reason=a,b&page=3&per_page=10&campaign_ids=c&from=2016-02-02T19:50")
                .unwrap();
        assert_eq!((older.offset(), older.search.reason_contains.as_deref()), (20, Some("a,b")));
        assert_eq!(older.search.from.to_string(), "2016-02-02T19:50:00Z");
    }

    #[test]
    fn the_next_page_is_of_the_same_search() {
        let cursor = Cursor { after: EventKey { time: Timestamp::UNIX_EPOCH, id: "x".into() }, total: 9 };
        let asked = read(Api::Events, "subjects=a%26b&per_page=2").unwrap();
        let next = asked.next(&cursor);
        insta::assert_snapshot!(next, @"/api/v1/events/message?subjects=a%26b&per_page=2&from=2026-11-21T10:00:00Z&to=2026-11-22T09:59:00Z&cursor=OSAwIHg");
        let again = read(Api::Events, next.split_once('?').unwrap().1).unwrap();
        assert_eq!((&again.search, again.per_page, again.cursor), (&asked.search, 2, Some(cursor)));
    }

    #[test]
    fn what_cannot_be_is_named() {
        let why = |query| read(Api::Events, query).unwrap_err();
        insta::assert_snapshot!(why("recipient=a"), @"recipient is not known; there are: ab_test_versions, ab_tests, bounce_classes, campaigns, cursor, delimiter, event_ids, events, from, from_addresses, ip_pools, mailbox_provider_regions, mailbox_providers, messages, per_page, reasons, recipient_domains, recipients, sending_domains, sending_ips, subaccounts, subjects, templates, to, transmissions");
        insta::assert_snapshot!(why("per_page=0"), @"per_page is not a whole number from 1 to 10000");
        insta::assert_snapshot!(why("per_page=10001"), @"per_page is not a whole number from 1 to 10000");
        insta::assert_snapshot!(why("cursor=x"), @"cursor is neither 'initial' nor one that was given here");
        insta::assert_snapshot!(why("from=yesterday"), @"from is not a time; it is written 2026-11-22T10:00:00Z or 2026-11-22T10:00");
        insta::assert_snapshot!(why("from=2026-11-22T10:00:00Z&to=2026-11-21T10:00:00Z"), @"from is later than to");
        insta::assert_snapshot!(why("events=,"), @"events is empty");
        insta::assert_snapshot!(why("subjects=%00"), @"subjects holds a NUL");
        insta::assert_snapshot!(why("subjects=%ff"), @"the query is not UTF-8");
        insta::assert_snapshot!(why("page=2"), @"page is not known; there are: ab_test_versions, ab_tests, bounce_classes, campaigns, cursor, delimiter, event_ids, events, from, from_addresses, ip_pools, mailbox_provider_regions, mailbox_providers, messages, per_page, reasons, recipient_domains, recipients, sending_domains, sending_ips, subaccounts, subjects, templates, to, transmissions");
    }
}
