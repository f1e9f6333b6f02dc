//! The spellings of a request's URL that its sender may have signed.
//!
//! A provider that signs the URL signs it as the operator typed it. The URL that arrives can differ: a front door may add the
//! stage of API Gateway, and may report the parameters of the query without their order or their encoding; Twilio sorts them
//! before it sends them. Every spelling has the parameters that arrived, so a signature over any of them covers these parameters.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Form, PublicUrl, RequestUrl};
use crate::lambda::{ReceivedQuery, ReceivedUrl};

/// Maximum number of spellings. Each costs one HMAC, even for a forged request.
const MAX_SPELLINGS: usize = 12;

/// Maximum number of received parameters that are compared with those of the configured URL.
const MAX_ARRANGED: usize = 100;

/// Maximum number of parameters that are tried in every order.
const MAX_PERMUTED: usize = 3;

/// Characters that are percent-encoded in a URI component. Source: RFC 3986, section 2.3.
const URI_COMPONENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// Characters that are percent-encoded in a form; a space becomes `+`. Source: WHATWG URL Standard,
/// "application/x-www-form-urlencoded percent-encode set".
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'*').remove(b' ');
/// Characters that must be percent-encoded in a parameter of a query: those that a query cannot contain, and those that separate
/// parameters. Source:
/// RFC 3986, section 3.4.
const QUERY: &AsciiSet = &URI_COMPONENT
    .remove(b'!')
    .remove(b'$')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')')
    .remove(b'*')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'?')
    .remove(b'@');

/// The spellings of a request's URL, the likeliest first; at least one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlSpellings(Vec<RequestUrl>);

impl UrlSpellings {
    /// Lists the URLs that the sender of a request may have signed. `url` is the URL as its front door reports it; `public_url` is
    /// the URL that is configured at the provider, if it is known.
    pub fn new(url: ReceivedUrl, public_url: Option<&PublicUrl>) -> Self {
        let queries = query_spellings(url.query, public_url.and_then(PublicUrl::query));
        let paths: Vec<String> = url.path_with_stage.into_iter().chain([url.path]).collect();
        let spellings = queries.iter().flat_map(|query| {
            paths.iter().map(|path| {
                let (authority, path) = (url.authority.clone(), path.clone());
                let query = Some(query.clone()).filter(|query| !query.is_empty());
                let url = RequestUrl { scheme: url.scheme, authority, path, query };
                public_url.map_or(url.clone(), |public_url| public_url.rewrite(url))
            })
        });
        Self(first_distinct(spellings))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &RequestUrl> {
        self.0.iter()
    }
}

/// The URL of a request exactly as its sender wrote it.
impl From<RequestUrl> for UrlSpellings {
    fn from(url: RequestUrl) -> Self {
        Self(vec![url])
    }
}

fn first_distinct<T: PartialEq>(items: impl Iterator<Item = T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for item in items {
        if distinct.len() < MAX_SPELLINGS && !distinct.contains(&item) {
            distinct.push(item);
        }
    }
    distinct
}

/// The spellings of a query, each as a text without its `?`. `typed` is the query of the URL that is configured at the provider.
fn query_spellings(query: ReceivedQuery, typed: Option<&str>) -> Vec<String> {
    let (parameter_lists, has_all_values) = match query {
        ReceivedQuery::AsSent(query) => (vec![split(&query)], true),
        ReceivedQuery::Parameters { pairs, is_encoded, has_all_values } => {
            let spell = |encode: fn(&str) -> String| {
                pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect()
            };
            let encodings: &[fn(&str) -> String] =
                if is_encoded { &[str::to_owned] } else { &[encode_component, encode_query, encode_form] };
            let lists: Vec<Vec<String>> = encodings.iter().map(|encode| spell(*encode)).collect();
            (lists.iter().flat_map(|parameters| permutations(parameters)).collect(), has_all_values)
        }
    };
    let as_typed =
        parameter_lists.iter().filter_map(|parameters| arrange(parameters, typed?, has_all_values));
    first_distinct(as_typed.chain(parameter_lists.iter().map(|parameters| parameters.join("&"))))
}

fn split(query: &str) -> Vec<String> {
    if query.is_empty() { Vec::new() } else { query.split('&').map(str::to_owned).collect() }
}

/// Puts the parameters of `typed` first, in their order and encoding, and then the other received `parameters`. `None` if `typed` has a parameter that did not
/// arrive. If a front door reports only the last value of a repeated name, the other values count as received.
fn arrange(parameters: &[String], typed: &str, has_all_values: bool) -> Option<String> {
    let decode = |parameter: &str| {
        let form = Form::parse(parameter.as_bytes());
        form.pairs().first().map(|(name, value)| (name.to_vec(), value.to_vec()))
    };
    if parameters.len() > MAX_ARRANGED {
        return None;
    }
    let mut remaining: Vec<&String> = parameters.iter().collect();
    let typed_parameters = split(typed);
    for (index, parameter) in typed_parameters.iter().enumerate() {
        let pair = decode(parameter);
        let is_repeated_later = || {
            let name = |pair: &Option<(Vec<u8>, Vec<u8>)>| pair.as_ref().map(|(name, _)| name.clone());
            typed_parameters[index + 1..].iter().any(|later| name(&decode(later)) == name(&pair))
        };
        match remaining.iter().position(|received| decode(received) == pair) {
            Some(position) => {
                remaining.remove(position);
            }
            None if !has_all_values && is_repeated_later() => {}
            None => return None,
        }
    }
    let typed_parameters = typed_parameters.iter().map(String::as_str);
    Some(typed_parameters.chain(remaining.into_iter().map(String::as_str)).collect::<Vec<_>>().join("&"))
}

/// All orders of `items`, the given order first. For more than [`MAX_PERMUTED`] items, only the given order.
fn permutations(items: &[String]) -> Vec<Vec<String>> {
    if items.len() <= 1 || items.len() > MAX_PERMUTED {
        return vec![items.to_vec()];
    }
    let with_first = |index: usize| {
        let mut rest = items.to_vec();
        let first = rest.remove(index);
        permutations(&rest).into_iter().map(move |rest| [vec![first.clone()], rest].concat())
    };
    (0..items.len()).flat_map(with_first).collect()
}

fn encode_component(text: &str) -> String {
    utf8_percent_encode(text, URI_COMPONENT).to_string()
}

fn encode_query(text: &str) -> String {
    utf8_percent_encode(text, QUERY).to_string()
}

fn encode_form(text: &str) -> String {
    utf8_percent_encode(text, FORM).to_string().replace(' ', "+")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn decoded(pairs: &[(&str, &str)]) -> ReceivedQuery {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        ReceivedQuery::Parameters { pairs, is_encoded: false, has_all_values: true }
    }

    fn as_sent(query: &str) -> ReceivedQuery {
        ReceivedQuery::AsSent(query.to_owned())
    }

    #[test]
    fn a_query_as_sent_has_one_spelling() {
        assert_eq!(query_spellings(as_sent(""), None), [""]);
        assert_eq!(query_spellings(as_sent("b=1&a=%2C&&c"), None), ["b=1&a=%2C&&c"]);
    }

    #[test]
    fn a_typed_query_precedes_the_received_one() {
        let spellings = |query, typed| query_spellings(as_sent(query), Some(typed));
        assert_eq!(spellings("a=2&b=1", "b=1&a=2"), ["b=1&a=2", "a=2&b=1"]);
        assert_eq!(spellings("a=x%20y&b=1&bodySHA256=f", "b=1&a=x+y")[0], "b=1&a=x+y&bodySHA256=f");
        assert_eq!(spellings("a=2", "a=2&b=1"), ["a=2"], "a typed parameter did not arrive");
        assert_eq!(spellings("a=2", "a=3"), ["a=2"], "a typed parameter arrived with another value");
        assert_eq!(spellings("a=1&a=2", "a=2&a=1")[0], "a=2&a=1");
        assert_eq!(spellings("a=1", "a=1&a=1"), ["a=1"], "a repeated parameter did not arrive twice");
    }

    #[test]
    fn decoded_parameters_are_spelled_in_every_order_and_encoding() {
        assert_eq!(query_spellings(decoded(&[]), None), [""]);
        let expected = ["a=x%20y%2C%C3%BC", "a=x%20y,%C3%BC", "a=x+y%2C%C3%BC"];
        assert_eq!(query_spellings(decoded(&[("a", "x y,ü")]), None), expected);
        let expected = ["a=1&b=2", "b=2&a=1"];
        assert_eq!(query_spellings(decoded(&[("a", "1"), ("b", "2")]), None), expected);
        let three = query_spellings(decoded(&[("a", "1"), ("b", "2"), ("c", "3")]), None);
        assert_eq!((three.len(), three[0].as_str(), three[5].as_str()), (6, "a=1&b=2&c=3", "c=3&b=2&a=1"));
        let four = decoded(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")]);
        assert_eq!(query_spellings(four.clone(), None), ["a=1&b=2&c=3&d=4"]);
        let typed = Some("d=4&c=3&b=2&a=1");
        assert_eq!(query_spellings(four, typed), ["d=4&c=3&b=2&a=1", "a=1&b=2&c=3&d=4"]);
        let many = query_spellings(decoded(&[("a", " ,"), ("b", " ,"), ("c", " ,")]), None);
        assert_eq!(many.len(), MAX_SPELLINGS);
    }

    #[test]
    fn a_typed_query_states_the_values_that_a_load_balancer_omits() {
        let pairs = vec![("a".to_owned(), "%2C2".to_owned())];
        let query = ReceivedQuery::Parameters { pairs, is_encoded: true, has_all_values: false };
        assert_eq!(query_spellings(query.clone(), Some("a=1&a=%2C2")), ["a=1&a=%2C2", "a=%2C2"]);
        assert_eq!(query_spellings(query, Some("a=%2C2&a=1")), ["a=%2C2"]);
    }

    #[test]
    fn a_path_is_tried_with_and_without_the_stage() {
        let url = || ReceivedUrl {
            scheme: "https",
            authority: "id.execute-api.us-east-1.amazonaws.com".into(),
            path: "/in".into(),
            path_with_stage: Some("/prod/in".into()),
            query: as_sent("x=1"),
        };
        let spellings = |public_url: Option<&str>| {
            let public_url = public_url.map(|text| text.parse::<PublicUrl>().unwrap());
            UrlSpellings::new(url(), public_url.as_ref())
                .iter()
                .map(RequestUrl::to_string)
                .collect::<Vec<_>>()
        };
        let host = "https://id.execute-api.us-east-1.amazonaws.com";
        assert_eq!(spellings(None), [format!("{host}/prod/in?x=1"), format!("{host}/in?x=1")]);
        assert_eq!(
            spellings(Some("https://hooks.example/in?x=1")),
            ["https://hooks.example/in/prod/in?x=1", "https://hooks.example/in?x=1"]
        );
    }
}
