//! Describes the event-list APIs of providers.

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

use crate::event::{RawObject, scalar_text};

/// An event-list API: a GET request for a time range returns JSON pages of events.
#[derive(Debug)]
pub struct PollingApi {
    /// URL of the API's documentation, the source of the fields below.
    pub documentation: &'static str,
    /// Scheme and host of the API, without a path.
    pub base_url: &'static str,
    /// The path of the event list.
    pub path: &'static str,
    /// The CloudFormation parameter for the API key.
    pub api_key_parameter: &'static str,
    /// A sentence for operators: where to find the API key and which permissions it needs.
    pub api_key_hint: &'static str,
    /// The text before the API key in the header `Authorization`, for example `Bearer `; may be empty.
    pub authorization_prefix: &'static str,
    /// Query parameter for the start of the time range, inclusive.
    pub from_parameter: &'static str,
    /// Query parameter for the end of the time range, exclusive.
    pub until_parameter: &'static str,
    /// Format of the two ends of the time range.
    pub time_format: TimeFormat,
    /// Query parameters of the request for the first page, for example the page size.
    pub fixed_query: &'static str,
    /// Format of the filter by event type.
    pub type_filter: TypeFilter,
    /// A sentence for operators about the filter; may be empty.
    pub type_filter_hint: &'static str,
    /// Name of the response field that holds the events.
    pub events_field: &'static str,
    /// How a response refers to the next page.
    pub pagination: Pagination,
    /// The provider's retention period of events, in days.
    pub retention_days: u8,
}

/// Format of a time in a query.
#[derive(Clone, Copy, Debug)]
pub enum TimeFormat {
    /// Seconds since 1970.
    EpochSeconds,
    /// RFC 3339, in UTC.
    Rfc3339,
}

/// Format of the filter by event type in a query.
#[derive(Clone, Copy, Debug)]
pub enum TypeFilter {
    /// One parameter of this name per type.
    RepeatedParameter(&'static str),
    /// One parameter of this name with comma-separated types.
    CommaSeparated(&'static str),
}

/// How a response refers to the next page.
#[derive(Clone, Copy, Debug)]
pub enum Pagination {
    /// While the response's `has_more` is true, the next query is the query for the first page plus this parameter, whose
    /// value is the id of the last event in the response.
    AfterLastId(&'static str),
    /// The response's `links.next` is the URL of the next page; it is missing or null on the last page.
    NextLink,
}

/// Why a response is not a page of events.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// The response has no list of events.
    #[error("the answer is not a page of events: no list under '{0}'")]
    MissingEvents(&'static str),
    /// The response does not state whether a next page exists, or its reference to the next page is invalid.
    #[error("the answer does not say whether there is another page, or where: {0}")]
    MissingNextPage(&'static str),
}

impl PollingApi {
    /// The query for the first page of a time range. Selects only events of the given `types`, or of every type if `types` is
    /// empty.
    pub fn first_page_query(&self, from: Timestamp, until: Timestamp, types: &[String]) -> String {
        let format_time = |time: Timestamp| match self.time_format {
            TimeFormat::EpochSeconds => time.as_second().to_string(),
            TimeFormat::Rfc3339 => percent_encode(&time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        };
        let (from_name, until_name) =
            (percent_encode(self.from_parameter), percent_encode(self.until_parameter));
        let mut query = format!(
            "{}&{from_name}={}&{until_name}={}",
            self.fixed_query,
            format_time(from),
            format_time(until)
        );
        match self.type_filter {
            _ if types.is_empty() => {}
            TypeFilter::RepeatedParameter(name) => {
                for event_type in types {
                    query.push_str(&format!("&{}={}", percent_encode(name), percent_encode(event_type)));
                }
            }
            TypeFilter::CommaSeparated(name) => {
                query.push_str(&format!("&{name}={}", percent_encode(&types.join(","))));
            }
        }
        query
    }

    /// The events of a response, as raw JSON.
    ///
    /// # Errors
    /// When the response has no list of events.
    pub fn parse_events<'a>(&self, response: &'a str) -> Result<Vec<&'a RawValue>, PageError> {
        let list = RawObject::parse(response).and_then(|fields| fields.get(self.events_field));
        list.and_then(|list| serde_json::from_str(list.get()).ok())
            .ok_or(PageError::MissingEvents(self.events_field))
    }

    /// The query for the page after `response`; `None` after the last page. `first` is the query for the first page.
    ///
    /// # Errors
    /// When the response does not state whether a next page exists. An unclear response never counts as the last
    /// page.
    pub fn next_page_query(&self, response: &str, first: &str) -> Result<Option<String>, PageError> {
        let field = |name: &'static str| {
            RawObject::parse(response)
                .and_then(|fields| fields.get(name))
                .ok_or(PageError::MissingNextPage(name))
        };
        match self.pagination {
            Pagination::AfterLastId(parameter) => {
                match field("has_more")?.get() {
                    "false" => return Ok(None),
                    "true" => {}
                    _ => return Err(PageError::MissingNextPage("has_more")),
                }
                let last = self.parse_events(response)?.pop().and_then(|last| RawObject::parse(last.get()));
                let id = last
                    .and_then(|last| last.get("id").and_then(scalar_text))
                    .ok_or(PageError::MissingNextPage("id"))?;
                Ok(Some(format!("{first}&{parameter}={}", percent_encode(&id))))
            }
            Pagination::NextLink => {
                let links =
                    RawObject::parse(field("links")?.get()).ok_or(PageError::MissingNextPage("links"))?;
                let Some(link) = links.get("next").filter(|link| link.get() != "null") else {
                    return Ok(None);
                };
                // Use only the query of the link, so that the API key never goes to another host or path.
                let link = scalar_text(link).unwrap_or_default();
                let query = link.split_once('?').map_or("", |(_, query)| query);
                let has_only_url_chars = query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
                if query.is_empty() || !has_only_url_chars {
                    return Err(PageError::MissingNextPage("links.next"));
                }
                Ok(Some(query.to_owned()))
            }
        }
    }
}

fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::providers::{email::sparkpost::SPARKPOST, payments::stripe::STRIPE};

    #[test]
    fn stripe_is_polled_by_seconds_and_paged_by_the_last_id() {
        let polling = STRIPE.polling.as_ref().unwrap();
        let types = ["invoice.paid".to_owned(), "charge.failed".to_owned()];
        let first = polling.first_page_query(
            "2026-11-22T10:00:00Z".parse().unwrap(),
            "2026-11-22T10:05:00.9Z".parse().unwrap(),
            &types,
        );
        insta::assert_snapshot!(first, @"limit=100&created%5Bgte%5D=1795341600&created%5Blt%5D=1795341900&types%5B%5D=invoice%2Epaid&types%5B%5D=charge%2Efailed");
        let response = r#"{"object":"list","data":[{"id":"evt_2"},{"id":"evt_1"}],"has_more":true}"#;
        let next = polling.next_page_query(response, &first).unwrap().unwrap();
        insta::assert_snapshot!(next.strip_prefix(&first).unwrap(), @"&starting_after=evt%5F1");
        assert_eq!(polling.parse_events(response).unwrap().len(), 2);
        assert_eq!(polling.next_page_query(&response.replace("true", "false"), &first), Ok(None));
        let invalid_pages = [
            r#"{"data":[],"has_more":true}"#,
            r#"{"data":[7],"has_more":true}"#,
            r#"{"data":[{"id":"evt_1"}],"has_more":1}"#,
            r#"{"data":[{"id":"evt_1"}]}"#,
            "[]",
            "",
        ];
        for response in invalid_pages {
            assert!(
                matches!(polling.next_page_query(response, &first), Err(PageError::MissingNextPage(_))),
                "{response}"
            );
        }
        insta::assert_snapshot!(polling.parse_events(r#"{"error":{}}"#).unwrap_err(), @"the answer is not a page of events: no list under 'data'");
    }

    #[test]
    fn sparkpost_is_polled_by_dates_and_paged_by_links_whose_host_is_ignored() {
        let polling = SPARKPOST.polling.as_ref().unwrap();
        let types = ["bounce".to_owned(), "open".to_owned()];
        let first = polling.first_page_query(
            "2026-11-22T10:00:00Z".parse().unwrap(),
            "2026-11-22T10:05:00Z".parse().unwrap(),
            &types,
        );
        insta::assert_snapshot!(first, @"cursor=initial&per_page=1000&from=2026%2D11%2D22T10%3A00%3A00Z&to=2026%2D11%2D22T10%3A05%3A00Z&events=bounce%2Copen");
        let next =
            |link: &str| polling.next_page_query(&format!(r#"{{"results":[],"links":{link}}}"#), &first);
        let other_host = r#"{"next":"https://evil.example/api/v1/events/message?cursor=abc&per_page=1000"}"#;
        assert_eq!(next(other_host), Ok(Some("cursor=abc&per_page=1000".into())));
        for last_page in ["{}", r#"{"next":null}"#] {
            assert_eq!(next(last_page), Ok(None), "{last_page}");
        }
        for invalid in
            ["[]", "null", r#"{"next":{}}"#, r#"{"next":"/x"}"#, r#"{"next":"/x?"}"#, r#"{"next":"/x?a b"}"#]
        {
            assert!(matches!(next(invalid), Err(PageError::MissingNextPage(_))), "{invalid}");
        }
    }
}
