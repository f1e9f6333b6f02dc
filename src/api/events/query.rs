//! Query parameters of `GET /events`.
//!
//! Unknown parameters are rejected, because a mistyped filter would otherwise return every event.

use std::time::Duration;

use jiff::Timestamp;

use super::long_poll::MAX_WAIT;
use crate::log::{EventFilter, TypePattern};
use crate::providers::Form;
use crate::util::time;

/// The maximum of the parameter `limit`, the number of events on a page.
pub(in crate::api) const MAX_LIMIT: u32 = 1000;
const DEFAULT_LIMIT: u32 = 100;
/// The maximum number of types in one filter, and also the maximum number of sources.
const MAX_FILTER_VALUES: usize = 100;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) struct EventQuery {
    pub(in crate::api) anchor: PageAnchor,
    pub(in crate::api) limit: u32,
    pub(in crate::api) filter: EventFilter,
    pub(in crate::api) wait: Duration,
}

/// Where a page of events begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) enum PageAnchor {
    /// The page begins with the first event after this point.
    After(LogPoint),
    /// The page ends with the last event before this point.
    Before(LogPoint),
}

/// A point in the log: before, between or after its events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::api) enum LogPoint {
    /// Before the oldest event in the log.
    Start,
    /// After the newest event.
    Now,
    /// Before the first event recorded at this time or later.
    Time(Timestamp),
    /// A cursor, which is not decoded yet.
    Cursor(String),
}

impl LogPoint {
    pub(in crate::api) fn parse(text: &str) -> Self {
        match text {
            "start" => Self::Start,
            "now" => Self::Now,
            _ => parse_time_or_date(text).map_or_else(|| Self::Cursor(text.to_owned()), Self::Time),
        }
    }
}

/// An invalid parameter. The text is the message of the 400 response.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::api) struct InvalidParameter(pub(in crate::api) String);

/// The query parameters that a path accepts.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::api) enum AllowedParameters {
    /// All parameters of `GET /events`.
    Log,
    /// The parameters of `GET /consumers/{name}/events`: without `after` and `before`, because the server stores the consumer's
    /// cursor.
    Consumer,
}

impl EventQuery {
    pub(in crate::api) fn parse(
        query_string: &str,
        parameters: AllowedParameters,
    ) -> Result<Self, InvalidParameter> {
        let mut query = Self {
            anchor: PageAnchor::After(LogPoint::Start),
            limit: DEFAULT_LIMIT,
            filter: EventFilter::default(),
            wait: Duration::ZERO,
        };
        let mut seen_names = Vec::new();
        for (name, value) in Form::parse(query_string.as_bytes()).pairs() {
            let decode_text = |bytes: &[u8]| {
                let text =
                    String::from_utf8(bytes.to_vec()).map_err(|_| invalid("the query", "is not UTF-8"))?;
                if text.contains('\0') {
                    Err(invalid("the query", "contains a NUL character"))
                } else {
                    Ok(text)
                }
            };
            let (name, value) = (decode_text(name)?, decode_text(value)?);
            let may_repeat = matches!(name.as_str(), "type" | "types[]" | "source");
            if !may_repeat && seen_names.contains(&name) {
                return Err(invalid(&name, "is repeated"));
            }
            query.set_parameter(&name, &value, parameters)?;
            seen_names.push(name);
        }
        let has_parameter = |name: &str| seen_names.iter().any(|seen| seen == name);
        if has_parameter("after") && has_parameter("before") {
            return Err(InvalidParameter("after and before exclude each other".into()));
        }
        if has_parameter("before") && has_parameter("wait") {
            return Err(InvalidParameter("wait cannot be combined with before".into()));
        }
        if let (Some(from), Some(to)) = (query.filter.from, query.filter.to)
            && from > to
        {
            return Err(InvalidParameter("from is later than to".into()));
        }
        if query.filter.types.len() > MAX_FILTER_VALUES || query.filter.sources.len() > MAX_FILTER_VALUES {
            return Err(InvalidParameter(format!("more than {MAX_FILTER_VALUES} types or sources")));
        }
        Ok(query)
    }

    fn set_parameter(
        &mut self,
        name: &str,
        value: &str,
        parameters: AllowedParameters,
    ) -> Result<(), InvalidParameter> {
        let parse_number = |min: u64, max: u64| {
            let number = value.parse().ok().filter(|number| (min..=max).contains(number));
            number.ok_or_else(|| invalid(name, &format!("must be a whole number from {min} to {max}")))
        };
        match (name, parameters) {
            ("after", AllowedParameters::Log) => self.anchor = PageAnchor::After(LogPoint::parse(value)),
            ("before", AllowedParameters::Log) => self.anchor = PageAnchor::Before(LogPoint::parse(value)),
            ("limit", _) => {
                self.limit = u32::try_from(parse_number(1, MAX_LIMIT.into())?).unwrap_or(MAX_LIMIT);
            }
            ("wait", _) => self.wait = Duration::from_secs(parse_number(0, MAX_WAIT.as_secs())?),
            ("from", _) => self.filter.from = Some(parse_time(name, value)?),
            ("to", _) => self.filter.to = Some(parse_time(name, value)?),
            ("source" | "type" | "types[]" | "id", _) if value.is_empty() => {
                return Err(invalid(name, "is empty"));
            }
            ("source", _) => self.filter.sources.push(value.to_owned()),
            ("id", AllowedParameters::Log) => self.filter.id_part = Some(value.to_owned()),
            ("type" | "types[]", _) if value.find('*').is_some_and(|index| index + 1 < value.len()) => {
                return Err(invalid(name, "may contain * only at its end"));
            }
            ("type" | "types[]", _) => self.filter.types.push(TypePattern(value.to_owned())),
            (_, parameters) => {
                let (anchors, id) = match parameters {
                    AllowedParameters::Log => ("after, before, ", "id, "),
                    AllowedParameters::Consumer => ("", ""),
                };
                let names = format!("{anchors}from, {id}limit, source, to, type, types[], wait");
                return Err(invalid(name, &format!("is unknown; known parameters: {names}")));
            }
        }
        Ok(())
    }
}

fn invalid(name: &str, problem: &str) -> InvalidParameter {
    InvalidParameter(format!("{name} {problem}"))
}

fn parse_time(name: &str, value: &str) -> Result<Timestamp, InvalidParameter> {
    let invalid_time = || invalid(name, "must be a time such as 2026-11-22T10:00:00Z or 2026-11-22");
    parse_time_or_date(value).ok_or_else(invalid_time)
}

/// Parses a time or a date. Query decoding turns a plus sign that is not percent-encoded, as in `+01:00`, into a space, so this
/// function first turns each space back into a plus sign.
fn parse_time_or_date(text: &str) -> Option<Timestamp> {
    time::parse_time_or_date(&text.replace(' ', "+"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<EventQuery, String> {
        EventQuery::parse(query, AllowedParameters::Log).map_err(|InvalidParameter(message)| message)
    }

    #[test]
    fn every_parameter_is_parsed() {
        let query = parse("").unwrap();
        assert_eq!(
            (query.anchor, query.limit, query.wait),
            (PageAnchor::After(LogPoint::Start), 100, Duration::ZERO)
        );
        assert_eq!(query.filter, EventFilter::default());
        let query = parse("after=now&limit=1000&wait=25&type=a.*&types%5B%5D=b&types[]=*&source=x&source=y&from=2026-11-22T10:00:00Z&to=2026-11-22T12:00:00+01:00").unwrap();
        assert_eq!(query.anchor, PageAnchor::After(LogPoint::Now));
        assert_eq!((query.limit, query.wait), (1000, Duration::from_secs(25)));
        let types: Vec<_> = query.filter.types.iter().map(|pattern| pattern.0.as_str()).collect();
        assert_eq!(types, ["a.*", "b", "*"]);
        assert_eq!(query.filter.sources, ["x", "y"]);
        assert_eq!(query.filter.to.unwrap().to_string(), "2026-11-22T11:00:00Z");
        let time = "2026-11-22T10:00:00Z".parse().unwrap();
        assert_eq!(
            parse("before=2026-11-22T10:00:00Z").unwrap().anchor,
            PageAnchor::Before(LogPoint::Time(time))
        );
        assert_eq!(
            parse("after=1970-01-01").unwrap().anchor,
            PageAnchor::After(LogPoint::Time(Timestamp::UNIX_EPOCH))
        );
        assert_eq!(parse("after=x").unwrap().anchor, PageAnchor::After(LogPoint::Cursor("x".into())));
    }

    #[test]
    fn invalid_parameters_are_rejected() {
        let error_message = |query: &str| parse(query).unwrap_err();
        for limit in ["0", "1001", "-1", "1.5", "", "99999999999999999999", "x"] {
            assert_eq!(
                error_message(&format!("limit={limit}")),
                "limit must be a whole number from 1 to 1000"
            );
        }
        assert_eq!(error_message("wait=26"), "wait must be a whole number from 0 to 25");
        assert_eq!(error_message("type="), "type is empty");
        assert_eq!(error_message("type=a*b"), "type may contain * only at its end");
        assert_eq!(error_message("source=%00"), "the query contains a NUL character");
        assert_eq!(error_message("source=%ff"), "the query is not UTF-8");
        assert_eq!(error_message("after=start&before=now"), "after and before exclude each other");
        assert_eq!(error_message("before=now&wait=1"), "wait cannot be combined with before");
        assert_eq!(error_message("limit=1&limit=2"), "limit is repeated");
        assert_eq!(
            error_message("from=2026-11-22T10:00:00Z&to=2026-11-22T09:00:00Z"),
            "from is later than to"
        );
        assert_eq!(
            error_message("from=yesterday"),
            "from must be a time such as 2026-11-22T10:00:00Z or 2026-11-22"
        );
        assert_eq!(
            error_message("cursor=x"),
            "cursor is unknown; known parameters: after, before, from, id, limit, source, to, type, types[], wait"
        );
        assert_eq!(error_message(&"type=x&".repeat(101)), "more than 100 types or sources");
        let consumer = EventQuery::parse("after=start", AllowedParameters::Consumer);
        assert!(consumer.is_err(), "the server keeps the cursor");
    }
}
