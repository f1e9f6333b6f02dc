//! Query parameters of `GET /events`.
//!
//! A parameter that is not known is refused: a filter that was mistyped and passed over would let everything through.

use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::log::{EventFilter, TypePattern};
use crate::providers::Form;

/// The largest page.
pub(in crate::feed) const MOST: u32 = 1000;
const USUAL: u32 = 100;
/// The longest that a request is held: what stands between often ends one after 30 s.
const LONGEST_WAIT: u64 = 25;
/// Types, or sources, of one filter.
const MOST_VALUES: usize = 100;

/// A page of the log, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::feed) struct Query {
    pub(in crate::feed) place: Place,
    pub(in crate::feed) limit: u32,
    pub(in crate::feed) filter: EventFilter,
    pub(in crate::feed) wait: Duration,
}

/// From where, and which way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::feed) enum Place {
    After(Point),
    Before(Point),
}

/// A place between two events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::feed) enum Point {
    /// Before the first that is kept.
    Start,
    /// After the last.
    Now,
    /// Before the first that was recorded at a time or later.
    Time(Timestamp),
    /// Where a cursor says.
    Cursor(String),
}

impl Point {
    pub(in crate::feed) fn read(text: &str) -> Self {
        match text {
            "start" => Self::Start,
            "now" => Self::Now,
            _ => time_of(text).map_or_else(|| Self::Cursor(text.to_owned()), Self::Time),
        }
    }
}

/// A parameter that cannot be, and why.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::feed) struct BadParameter(pub(in crate::feed) String);

/// Which parameters there are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::feed) enum Parameters {
    /// All of them.
    Log,
    /// Those of a named consumer, whose place the server keeps.
    Consumer,
}

impl Query {
    pub(in crate::feed) fn read(query: &str, parameters: Parameters) -> Result<Self, BadParameter> {
        let mut asked = Self {
            place: Place::After(Point::Start),
            limit: USUAL,
            filter: EventFilter::default(),
            wait: Duration::ZERO,
        };
        let mut given = Vec::new();
        for (name, value) in Form::parse(query.as_bytes()).pairs() {
            let text = |bytes: &[u8]| {
                let text = String::from_utf8(bytes.to_vec()).map_err(|_| bad("the query", "is not UTF-8"))?;
                if text.contains('\0') { Err(bad("the query", "holds a NUL")) } else { Ok(text) }
            };
            let (name, value) = (text(name)?, text(value)?);
            let is_list = matches!(name.as_str(), "type" | "types[]" | "source");
            if !is_list && given.contains(&name) {
                return Err(bad(&name, "is there twice"));
            }
            asked.take(&name, &value, parameters)?;
            given.push(name);
        }
        let is_given = |name: &str| given.iter().any(|given| given == name);
        if is_given("after") && is_given("before") {
            return Err(BadParameter("after and before exclude each other".into()));
        }
        if is_given("before") && is_given("wait") {
            return Err(BadParameter("wait is for what comes after: it does not go with before".into()));
        }
        if let (Some(from), Some(to)) = (asked.filter.from, asked.filter.to)
            && from > to
        {
            return Err(BadParameter("from is later than to".into()));
        }
        if asked.filter.types.len() > MOST_VALUES || asked.filter.sources.len() > MOST_VALUES {
            return Err(BadParameter(format!("more than {MOST_VALUES} types or sources")));
        }
        Ok(asked)
    }

    fn take(&mut self, name: &str, value: &str, parameters: Parameters) -> Result<(), BadParameter> {
        let number = |least: u64, most: u64| {
            let number = value.parse().ok().filter(|number| (least..=most).contains(number));
            number.ok_or_else(|| bad(name, &format!("is not a whole number from {least} to {most}")))
        };
        match (name, parameters) {
            ("after", Parameters::Log) => self.place = Place::After(Point::read(value)),
            ("before", Parameters::Log) => self.place = Place::Before(Point::read(value)),
            ("limit", _) => self.limit = u32::try_from(number(1, MOST.into())?).unwrap_or(MOST),
            ("wait", _) => self.wait = Duration::from_secs(number(0, LONGEST_WAIT)?),
            ("from", _) => self.filter.from = Some(time(name, value)?),
            ("to", _) => self.filter.to = Some(time(name, value)?),
            ("source" | "type" | "types[]", _) if value.is_empty() => return Err(bad(name, "is empty")),
            ("source", _) => self.filter.sources.push(value.to_owned()),
            ("type" | "types[]", _) if value.find('*').is_some_and(|at| at + 1 < value.len()) => {
                return Err(bad(name, "has a * before its end"));
            }
            ("type" | "types[]", _) => self.filter.types.push(TypePattern(value.to_owned())),
            (_, parameters) => {
                let place = if parameters == Parameters::Log { "after, before, " } else { "" };
                let all = format!("{place}from, limit, source, to, type, types[], wait");
                return Err(bad(name, &format!("is not known; there are: {all}")));
            }
        }
        Ok(())
    }
}

fn bad(name: &str, why: &str) -> BadParameter {
    BadParameter(format!("{name} {why}"))
}

fn time(name: &str, value: &str) -> Result<Timestamp, BadParameter> {
    let wrong = || bad(name, "is not a time; it is written 2026-11-22T10:00:00Z or 2026-11-22");
    time_of(value).ok_or_else(wrong)
}

/// A time, or the beginning of a day in UTC.
fn time_of(text: &str) -> Option<Timestamp> {
    let day = || Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    // A plus sign that was not encoded is a space by now.
    text.replace(' ', "+").parse().ok().or_else(day)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Query, String> {
        Query::read(query, Parameters::Log).map_err(|BadParameter(why)| why)
    }

    #[test]
    fn every_parameter_is_read() {
        let asked = read("").unwrap();
        assert_eq!((asked.place, asked.limit, asked.wait), (Place::After(Point::Start), 100, Duration::ZERO));
        assert_eq!(asked.filter, EventFilter::default());
        let asked = read("after=now&limit=1000&wait=25&type=a.*&types%5B%5D=b&types[]=*&source=x&source=y&from=2026-11-22T10:00:00Z&to=2026-11-22T12:00:00+01:00").unwrap();
        assert_eq!(asked.place, Place::After(Point::Now));
        assert_eq!((asked.limit, asked.wait), (1000, Duration::from_secs(25)));
        let types: Vec<_> = asked.filter.types.iter().map(|pattern| pattern.0.as_str()).collect();
        assert_eq!(types, ["a.*", "b", "*"]);
        assert_eq!(asked.filter.sources, ["x", "y"]);
        assert_eq!(asked.filter.to.unwrap().to_string(), "2026-11-22T11:00:00Z");
        let time = "2026-11-22T10:00:00Z".parse().unwrap();
        assert_eq!(read("before=2026-11-22T10:00:00Z").unwrap().place, Place::Before(Point::Time(time)));
        assert_eq!(read("after=1970-01-01").unwrap().place, Place::After(Point::Time(Timestamp::UNIX_EPOCH)));
        assert_eq!(read("after=x").unwrap().place, Place::After(Point::Cursor("x".into())));
    }

    #[test]
    fn what_cannot_be_is_said() {
        let why = |query: &str| read(query).unwrap_err();
        for limit in ["0", "1001", "-1", "1.5", "", "99999999999999999999", "x"] {
            assert_eq!(why(&format!("limit={limit}")), "limit is not a whole number from 1 to 1000");
        }
        assert_eq!(why("wait=26"), "wait is not a whole number from 0 to 25");
        assert_eq!(why("type="), "type is empty");
        assert_eq!(why("type=a*b"), "type has a * before its end");
        assert_eq!(why("source=%00"), "the query holds a NUL");
        assert_eq!(why("source=%ff"), "the query is not UTF-8");
        assert_eq!(why("after=start&before=now"), "after and before exclude each other");
        assert_eq!(why("before=now&wait=1"), "wait is for what comes after: it does not go with before");
        assert_eq!(why("limit=1&limit=2"), "limit is there twice");
        assert_eq!(why("from=2026-11-22T10:00:00Z&to=2026-11-22T09:00:00Z"), "from is later than to");
        assert_eq!(
            why("from=yesterday"),
            "from is not a time; it is written 2026-11-22T10:00:00Z or 2026-11-22"
        );
        assert_eq!(
            why("cursor=x"),
            "cursor is not known; there are: after, before, from, limit, source, to, type, types[], wait"
        );
        assert_eq!(why(&"type=x&".repeat(101)), "more than 100 types or sources");
        let consumer = Query::read("after=start", Parameters::Consumer);
        assert!(consumer.is_err(), "the place is kept by the server");
    }
}
