//! Query parameters of the two search APIs.
//!
//! Unknown parameters are rejected, because a mistyped filter would otherwise match every event.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::SEARCH_PATHS;
use super::cursor::SearchCursor;
use crate::log::{COLUMNS, Search, ValueFormat};
use crate::providers::Form;
use crate::providers::email::sparkpost::SPARKPOST;
use crate::util::time::parse_timestamp_in_range;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SearchApi {
    /// `GET /api/v1/events/message`: pages by cursor.
    Current,
    /// `GET /api/v1/message-events`: pages by number.
    Legacy,
}

/// The parsed query of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchRequest {
    pub(super) api: SearchApi,
    pub(super) search: Search,
    pub(super) per_page: u32,
    pub(super) cursor: Option<SearchCursor>,
    /// The page number, from 1; only for [`SearchApi::Legacy`].
    page: u32,
    /// The other parameters of the request, which the next page's URL repeats unchanged: all except `cursor`, `page`, `from` and
    /// `to`.
    other_parameters: Vec<(String, String)>,
}

/// An invalid parameter. The text is the message of the 400 response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidParameter(pub(super) String);

const MAX_PER_PAGE: u32 = 10_000;
const DEFAULT_PER_PAGE: u32 = 1000;
const DAY: SignedDuration = SignedDuration::from_hours(24);
const MINUTE: SignedDuration = SignedDuration::from_mins(1);
/// The maximum number of values in one filter.
const MAX_FILTER_VALUES: usize = 1000;

/// The characters to percent-encode: all except the unreserved characters of RFC 3986 and the colon, which times contain.
const QUERY_ENCODE_SET: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');

/// The filters of the older API: the name of each filter there, and its name in the current API.
const LEGACY_NAMES: [(&str, &str); 9] = [
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

impl SearchRequest {
    /// Parses a query string. By default, the time range begins 24 hours and ends one minute before `now`.
    pub(super) fn parse(api: SearchApi, query: &str, now: Timestamp) -> Result<Self, InvalidParameter> {
        let mut pairs = Vec::new();
        for (name, value) in Form::parse(query.as_bytes()).pairs() {
            let text = |bytes: &[u8]| {
                String::from_utf8(bytes.to_vec()).map_err(|_| invalid("the query", "is not UTF-8"))
            };
            pairs.push((text(name)?, text(value)?));
        }
        let delimiter = pairs.iter().find(|(name, _)| name == "delimiter" && api == SearchApi::Current);
        let delimiter = delimiter.map_or(",", |(_, value)| value.as_str()).to_owned();
        if delimiter.is_empty() {
            return Err(invalid("delimiter", "is empty"));
        }
        let mut search_request = Self {
            api,
            search: Search { from: now - DAY, to: now - MINUTE, ..Search::default() },
            per_page: DEFAULT_PER_PAGE,
            cursor: None,
            page: 1,
            other_parameters: Vec::new(),
        };
        search_request.search.sources = vec![SPARKPOST.source.into()];
        for (n, (name, value)) in pairs.iter().enumerate() {
            if pairs[..n].iter().any(|(earlier, _)| earlier == name) {
                return Err(invalid(name, "is repeated; separate its values with the delimiter"));
            }
            search_request.set_parameter(name, value, &delimiter)?;
        }
        if !pairs.iter().any(|(name, _)| name == "to") {
            // Without `to`, a time range that starts within the last minute is empty, not invalid.
            search_request.search.to = search_request.search.to.max(search_request.search.from);
        }
        let is_position_or_range = |name: &str| matches!(name, "cursor" | "page" | "from" | "to");
        search_request.other_parameters =
            pairs.into_iter().filter(|(name, _)| !is_position_or_range(name)).collect();
        if search_request.search.from > search_request.search.to {
            return Err(InvalidParameter("from is later than to".into()));
        }
        Ok(search_request)
    }

    fn set_parameter(&mut self, name: &str, value: &str, delimiter: &str) -> Result<(), InvalidParameter> {
        let parse_values = || {
            let values: Vec<_> = value
                .split(delimiter)
                .map(str::trim)
                .filter(|value| !value.is_empty())
                .map(str::to_owned)
                .collect();
            match values.len() {
                0 => Err(invalid(name, "is empty")),
                1..=MAX_FILTER_VALUES if !value.contains('\0') => Ok(values),
                1..=MAX_FILTER_VALUES => Err(invalid(name, "contains a NUL character")),
                _ => Err(invalid(name, &format!("has more than {MAX_FILTER_VALUES} values"))),
            }
        };
        let parse_number = |max: u32| {
            let number = value.parse().ok().filter(|number| (1..=max).contains(number));
            number.ok_or_else(|| invalid(name, &format!("must be a whole number from 1 to {max}")))
        };
        match (self.api, name) {
            (_, "from") => self.search.from = parse_time(name, value)?,
            (_, "to") => self.search.to = parse_time(name, value)?,
            (_, "per_page") => self.per_page = parse_number(MAX_PER_PAGE)?,
            (_, "events") => self.search.types = parse_values()?,
            (SearchApi::Current, "delimiter") => {}
            (SearchApi::Current, "event_ids") => self.search.ids = parse_values()?,
            (SearchApi::Current, "cursor") if value == "initial" => {}
            (SearchApi::Current, "cursor") => {
                let cursor = SearchCursor::decode(value);
                self.cursor =
                    Some(cursor.ok_or_else(|| {
                        invalid(name, "must be 'initial' or a cursor that this API returned")
                    })?);
            }
            (SearchApi::Legacy, "page") => self.page = parse_number(u32::MAX)?,
            (SearchApi::Legacy, "reason") => {
                self.search.reason_contains = Some(parse_values()?.join(delimiter));
            }
            (SearchApi::Legacy, "timezone") if value.eq_ignore_ascii_case("UTC") => {}
            (SearchApi::Legacy, "timezone") => {
                return Err(invalid(name, "must be UTC"));
            }
            (api, _) => {
                let filter = match api {
                    SearchApi::Current => Some(name),
                    SearchApi::Legacy => {
                        LEGACY_NAMES.iter().find(|(legacy, _)| *legacy == name).map(|(_, filter)| *filter)
                    }
                };
                let index = COLUMNS.iter().position(|column| Some(column.query_parameter) == filter);
                let index = index.ok_or_else(|| {
                    invalid(name, &format!("is unknown; known parameters: {}", parameter_names(api)))
                })?;
                let (values, format) = (parse_values()?, COLUMNS[index].value_format);
                if !values.iter().all(|value| format.accepts(value)) {
                    return Err(invalid(
                        name,
                        match format {
                            ValueFormat::Text => "must be text",
                            ValueFormat::WholeNumber => "must be whole numbers",
                            ValueFormat::IpAddress => "must be IP addresses",
                        },
                    ));
                }
                self.search.columns.push((index, values));
            }
        }
        Ok(())
    }

    /// The number of results on the pages before this one, for pages by number.
    pub(super) fn offset(&self) -> u64 {
        u64::from(self.page - 1) * u64::from(self.per_page)
    }

    /// The path and query of the page after `cursor`. The query contains the time range, because the default range depends on the
    /// time of the request.
    pub(super) fn next_url(&self, cursor: &SearchCursor) -> String {
        let position = match self.api {
            SearchApi::Current => ("cursor", cursor.encode()),
            SearchApi::Legacy => ("page", (self.page + 1).to_string()),
        };
        let (from, to) = (self.search.from.to_string(), self.search.to.to_string());
        let other_pairs = self.other_parameters.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let pairs = other_pairs.chain([("from", from), ("to", to), position]);
        let encode = |text: &str| utf8_percent_encode(text, &QUERY_ENCODE_SET).to_string();
        let pairs: Vec<_> = pairs.map(|(name, value)| format!("{name}={}", encode(&value))).collect();
        let path = match self.api {
            SearchApi::Current => SEARCH_PATHS[0],
            SearchApi::Legacy => SEARCH_PATHS[1],
        };
        format!("{path}?{}", pairs.join("&"))
    }
}

fn invalid(name: &str, problem: &str) -> InvalidParameter {
    InvalidParameter(format!("{name} {problem}"))
}

/// Every parameter name of an API, for error messages.
fn parameter_names(api: SearchApi) -> String {
    let mut names = vec!["events", "from", "per_page", "to"];
    match api {
        SearchApi::Current => {
            names.extend(["cursor", "delimiter", "event_ids"]);
            names.extend(COLUMNS.iter().map(|column| column.query_parameter));
        }
        SearchApi::Legacy => {
            names.extend(["page", "reason", "timezone"]);
            names.extend(LEGACY_NAMES.map(|(legacy, _)| legacy));
        }
    }
    names.sort_unstable();
    names.join(", ")
}

/// Parses a time such as `2026-11-22T10:00:00Z`. Also accepts `2026-11-22T10:00`, without seconds and time zone, as a time in
/// UTC.
fn parse_time(name: &str, value: &str) -> Result<Timestamp, InvalidParameter> {
    let parse_utc_civil_time =
        || value.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let invalid_time = || invalid(name, "must be a time such as 2026-11-22T10:00:00Z or 2026-11-22T10:00");
    // Decoding the query turned a plus sign that was not percent-encoded, as in `+01:00`, into a space, which becomes a plus sign
    // again.
    parse_timestamp_in_range(&value.replace(' ', "+")).or_else(parse_utc_civil_time).ok_or_else(invalid_time)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::log::EventKey;

    fn parse(api: SearchApi, query: &str) -> Result<SearchRequest, String> {
        let now = "2026-11-22T10:00:00Z".parse().unwrap();
        SearchRequest::parse(api, query, now).map_err(|InvalidParameter(message)| message)
    }

    #[test]
    fn the_default_range_is_the_last_day_up_to_a_minute_ago() {
        let search_request = parse(SearchApi::Current, "").unwrap();
        assert_eq!(search_request.search.from.to_string(), "2026-11-21T10:00:00Z");
        assert_eq!(search_request.search.to.to_string(), "2026-11-22T09:59:00Z");
        assert_eq!((search_request.per_page, search_request.cursor), (1000, None));
        let recent = parse(SearchApi::Current, "from=2026-11-22T09:59:30Z").unwrap().search;
        assert_eq!(recent.from, recent.to, "an empty range");
    }

    #[test]
    fn the_openapi_document_has_every_parameter() {
        let document: serde_json::Value = serde_json::from_str(include_str!("../openapi.json")).unwrap();
        for (api, path) in [(SearchApi::Current, SEARCH_PATHS[0]), (SearchApi::Legacy, SEARCH_PATHS[1])] {
            let parameters = document["paths"][path]["get"]["parameters"].as_array().unwrap();
            let mut described: Vec<_> =
                parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
            described.sort_unstable();
            assert_eq!(described.join(", "), parameter_names(api));
        }
    }

    #[test]
    fn every_filter_is_parsed() {
        for column in &COLUMNS {
            let (query, expected) = match column.value_format {
                ValueFormat::Text => ("a,b%20c,", ["a", "b c"]),
                ValueFormat::WholeNumber => ("1,%2020", ["1", "20"]),
                ValueFormat::IpAddress => ("192.0.2.1,2001:db8::1", ["192.0.2.1", "2001:db8::1"]),
            };
            let query = format!("{}={query}", column.query_parameter);
            let search_request = parse(SearchApi::Current, &query).unwrap();
            let (index, values) = &search_request.search.columns[0];
            assert_eq!(
                (COLUMNS[*index].name, values.as_slice()),
                (column.name, &expected.map(str::to_owned)[..])
            );
        }
        let search_request = parse(SearchApi::Current, "events=open;x,y&delimiter=%3B&event_ids=1").unwrap();
        assert_eq!(
            (search_request.search.types, search_request.search.ids),
            (vec!["open".into(), "x,y".into()], vec!["1".into()])
        );
        let legacy =
            parse(SearchApi::Legacy, "reason=a,b&page=3&per_page=10&campaign_ids=c&from=2016-02-02T19:50")
                .unwrap();
        assert_eq!((legacy.offset(), legacy.search.reason_contains.as_deref()), (20, Some("a,b")));
        assert_eq!(legacy.search.from.to_string(), "2016-02-02T19:50:00Z");
    }

    #[test]
    fn the_next_page_repeats_the_same_search() {
        let cursor =
            SearchCursor { after: EventKey { time: Timestamp::UNIX_EPOCH, id: "x".into() }, total: 9 };
        let search_request = parse(SearchApi::Current, "subjects=a%26b&per_page=2").unwrap();
        let next_url = search_request.next_url(&cursor);
        insta::assert_snapshot!(next_url, @"/api/v1/events/message?subjects=a%26b&per_page=2&from=2026-11-21T10:00:00Z&to=2026-11-22T09:59:00Z&cursor=OSAwIHg");
        let next_request = parse(SearchApi::Current, next_url.split_once('?').unwrap().1).unwrap();
        assert_eq!(
            (&next_request.search, next_request.per_page, next_request.cursor),
            (&search_request.search, 2, Some(cursor))
        );
    }

    #[test]
    fn invalid_parameters_are_named() {
        let error_message = |query| parse(SearchApi::Current, query).unwrap_err();
        insta::assert_snapshot!(error_message("recipient=a"), @"recipient is unknown; known parameters: ab_test_versions, ab_tests, bounce_classes, campaigns, cursor, delimiter, event_ids, events, from, from_addresses, ip_pools, mailbox_provider_regions, mailbox_providers, messages, per_page, reasons, recipient_domains, recipients, sending_domains, sending_ips, subaccounts, subjects, templates, to, transmissions");
        insta::assert_snapshot!(error_message("per_page=0"), @"per_page must be a whole number from 1 to 10000");
        insta::assert_snapshot!(error_message("per_page=10001"), @"per_page must be a whole number from 1 to 10000");
        insta::assert_snapshot!(error_message("cursor=x"), @"cursor must be 'initial' or a cursor that this API returned");
        insta::assert_snapshot!(error_message("from=yesterday"), @"from must be a time such as 2026-11-22T10:00:00Z or 2026-11-22T10:00");
        insta::assert_snapshot!(error_message("from=2026-11-22T10:00:00Z&to=2026-11-21T10:00:00Z"), @"from is later than to");
        insta::assert_snapshot!(error_message("bounce_classes=10,x"), @"bounce_classes must be whole numbers");
        insta::assert_snapshot!(error_message("subaccounts=-1"), @"subaccounts must be whole numbers");
        insta::assert_snapshot!(error_message("sending_ips=192.0.2"), @"sending_ips must be IP addresses");
        insta::assert_snapshot!(error_message("events=,"), @"events is empty");
        insta::assert_snapshot!(error_message("subjects=%00"), @"subjects contains a NUL character");
        insta::assert_snapshot!(error_message("subjects=%ff"), @"the query is not UTF-8");
        insta::assert_snapshot!(error_message("page=2"), @"page is unknown; known parameters: ab_test_versions, ab_tests, bounce_classes, campaigns, cursor, delimiter, event_ids, events, from, from_addresses, ip_pools, mailbox_provider_regions, mailbox_providers, messages, per_page, reasons, recipient_domains, recipients, sending_domains, sending_ips, subaccounts, subjects, templates, to, transmissions");
    }
}
