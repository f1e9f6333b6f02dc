//! How a provider is asked for the events it has had, for those whose webhooks were missed.

use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::value::RawValue;

use crate::event::{Object, text};

/// A provider's own list of its events: a GET request for a range of time, answered in pages of JSON.
#[derive(Debug)]
pub struct Polling {
    /// Its page about it, the source of all this.
    pub documentation: &'static str,
    /// Scheme and host.
    pub base: &'static str,
    /// The path.
    pub path: &'static str,
    /// The template's parameter that takes the key.
    pub key_parameter: &'static str,
    /// Where a person finds that key, and what it should be allowed.
    pub key_hint: &'static str,
    /// What stands before the key in the header `Authorization`.
    pub before_key: &'static str,
    /// The parameter of the first time that is in the range.
    pub from: &'static str,
    /// The parameter of the first time that is not.
    pub until: &'static str,
    /// How these times are written.
    pub times: Times,
    /// The parameters that never change: the size of a page, for example.
    pub constant: &'static str,
    /// Where in an answer the events are.
    pub events: &'static str,
    /// How the next page is asked for.
    pub next: Next,
    /// How long the provider keeps its events, in days.
    pub kept_days: u8,
}

/// How a time is written.
#[derive(Clone, Copy, Debug)]
pub enum Times {
    /// As seconds since 1970.
    EpochSeconds,
    /// As RFC 3339, in UTC.
    Rfc3339,
}

/// How the page after an answer is asked for.
#[derive(Clone, Copy, Debug)]
pub enum Next {
    /// As the first, and with this parameter the id of the last event, while the answer says that it `has_more`.
    AfterLast(&'static str),
    /// By the URL under `next` in the answer's `links`.
    Link,
}

/// An answer that is not a page of events.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not a page of events: no list under '{0}'")]
pub struct NotAPage(&'static str);

impl Polling {
    /// The query of the first page of a range of times.
    pub fn query(&self, from: Timestamp, until: Timestamp) -> String {
        let written = |time: Timestamp| match self.times {
            Times::EpochSeconds => time.as_second().to_string(),
            Times::Rfc3339 => encoded(&time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()),
        };
        let (from_name, until_name) = (encoded(self.from), encoded(self.until));
        format!("{}&{from_name}={}&{until_name}={}", self.constant, written(from), written(until))
    }

    /// The events of an answer, each as it stands there.
    ///
    /// # Errors
    /// [`NotAPage`].
    pub fn events_of<'a>(&self, answer: &'a str) -> Result<Vec<&'a RawValue>, NotAPage> {
        let list = Object::of(answer).and_then(|answer| answer.get(self.events));
        list.and_then(|list| serde_json::from_str(list.get()).ok()).ok_or(NotAPage(self.events))
    }

    /// The query of the page after an answer that was given to the query `first`, or to one that came of it; `None` after the
    /// last page.
    pub fn next_after(&self, answer: &str, first: &str) -> Option<String> {
        let fields = Object::of(answer)?;
        match self.next {
            Next::AfterLast(parameter) => {
                let has_more = fields.get("has_more").and_then(text)? == "true";
                let last = self.events_of(answer).ok()?.pop().filter(|_| has_more)?;
                let id = Object::of(last.get())?.get("id").and_then(text)?;
                Some(format!("{first}&{parameter}={}", encoded(&id)))
            }
            Next::Link => {
                let link = Object::of(fields.get("links")?.get())?.get("next").and_then(text)?;
                // The query only: whatever host or path the link names, the key goes where it went before.
                let (_, query) = link.split_once('?')?;
                let is_plain = query.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
                (is_plain && !query.is_empty()).then(|| query.to_owned())
            }
        }
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use crate::providers::{sparkpost::SPARKPOST, stripe::STRIPE};

    #[test]
    fn stripe_is_asked_by_seconds_and_goes_on_after_the_last() {
        let polling = STRIPE.polling.as_ref().unwrap();
        let first =
            polling.query("2026-11-22T10:00:00Z".parse().unwrap(), "2026-11-22T10:05:00.9Z".parse().unwrap());
        insta::assert_snapshot!(first, @"limit=100&created%5Bgte%5D=1795341600&created%5Blt%5D=1795341900");
        let answer = r#"{"object":"list","data":[{"id":"evt_2"},{"id":"evt_1"}],"has_more":true}"#;
        let next = polling.next_after(answer, &first).unwrap();
        insta::assert_snapshot!(next.strip_prefix(&first).unwrap(), @"&starting_after=evt%5F1");
        assert_eq!(polling.events_of(answer).unwrap().len(), 2);
        assert_eq!(polling.next_after(&answer.replace("true", "false"), &first), None);
        for empty in [r#"{"data":[],"has_more":true}"#, r#"{"data":[7],"has_more":true}"#, "[]", ""] {
            assert_eq!(polling.next_after(empty, &first), None, "{empty}");
        }
        insta::assert_snapshot!(polling.events_of(r#"{"error":{}}"#).unwrap_err(), @"the answer is not a page of events: no list under 'data'");
    }

    #[test]
    fn sparkpost_is_asked_by_dates_and_goes_on_by_its_link_but_never_elsewhere() {
        let polling = SPARKPOST.polling.as_ref().unwrap();
        let first =
            polling.query("2026-11-22T10:00:00Z".parse().unwrap(), "2026-11-22T10:05:00Z".parse().unwrap());
        insta::assert_snapshot!(first, @"cursor=initial&per_page=1000&from=2026%2D11%2D22T10%3A00%3A00Z&to=2026%2D11%2D22T10%3A05%3A00Z");
        let next = |link: &str| polling.next_after(&format!(r#"{{"results":[],"links":{link}}}"#), &first);
        let elsewhere = r#"{"next":"https://evil.example/api/v1/events/message?cursor=abc&per_page=1000"}"#;
        assert_eq!(next(elsewhere).as_deref(), Some("cursor=abc&per_page=1000"));
        for end in [
            "{}",
            "[]",
            "null",
            r#"{"next":null}"#,
            r#"{"next":"/x"}"#,
            r#"{"next":"/x?"}"#,
            r#"{"next":"/x?a b"}"#,
        ] {
            assert_eq!(next(end), None, "{end}");
        }
    }
}
