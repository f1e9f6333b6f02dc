//! EventBridge event patterns.
//!
//! A pattern is a JSON object that mirrors the event, with a list of allowed values or operators at each field. A
//! list in the event matches if one of its elements matches. An object in a list must match all conditions on its
//! own. Equal numbers must be written alike (`300` is not `300.0`), while `numeric` compares their values.
//!
//! Source: "Comparison operators for use in event patterns in Amazon EventBridge", Amazon EventBridge User Guide.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde_json::{Map, Value};

/// Maximum nesting depth of a pattern, which exceeds that of real events.
const MAX_DEPTH: usize = 64;
/// Maximum length of a pattern in bytes: EventBridge's limit for a rule.
const MAX_PATTERN_BYTES: usize = 4096;

/// An event pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    text: String,
    fields: Fields,
}

/// Why a text is not a valid pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event pattern: {0}")]
pub struct PatternError(String);

/// The conditions on an object, all of which must hold.
#[derive(Clone, Debug, PartialEq)]
struct Fields(Vec<Condition>);

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    /// The field matches at least one of the matchers.
    Values(String, Vec<Matcher>),
    /// The field is an object that meets the conditions.
    Nested(String, Fields),
    /// The object meets at least one of the alternatives (`$or`).
    Either(Vec<Fields>),
}

#[derive(Clone, Debug, PartialEq)]
enum Matcher {
    Equals(Value),
    Exists(bool),
    Text(TextMatcher),
    /// The value equals none of these.
    NotEqual(Vec<Value>),
    /// The value is a string that matches none of these.
    NotText(Vec<TextMatcher>),
    Numeric(Vec<(Comparison, f64)>),
    Cidr(IpNet),
}

#[derive(Clone, Debug, PartialEq)]
enum TextMatcher {
    Prefix(String),
    Suffix(String),
    PrefixIgnoreCase(String),
    SuffixIgnoreCase(String),
    EqualsIgnoreCase(String),
    Wildcard(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    More,
    MoreOrEqual,
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > MAX_PATTERN_BYTES {
            return Err(PatternError(format!("it is longer than {MAX_PATTERN_BYTES} bytes")));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| {
            PatternError(format!("not JSON (line {}, column {})", error.line(), error.column()))
        })?;
        let Value::Object(object) = &value else {
            return Err(PatternError("it is not an object".into()));
        };
        Ok(Self { fields: fields(object, "", 0)?, text: text.to_owned() })
    }
}

impl Pattern {
    /// Whether the pattern matches an event in the form that targets receive.
    pub fn matches(&self, event: &Value) -> bool {
        event.as_object().is_some_and(|event| self.fields.all_match(event))
    }

    /// The source text of the pattern.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Whether a text matches a glob, in which `*` stands for any characters.
pub fn glob_match(text: &str, glob: &str) -> bool {
    let pieces: Vec<_> = glob.split('*').map(str::to_owned).collect();
    has_pieces(text, &pieces)
}

fn fields(object: &Map<String, Value>, path: &str, depth: usize) -> Result<Fields, PatternError> {
    if object.is_empty() {
        let place = if path.is_empty() { "it" } else { path };
        return Err(PatternError(format!("{place} is an empty object")));
    }
    if depth > MAX_DEPTH {
        return Err(PatternError(format!("it is nested deeper than {MAX_DEPTH} objects")));
    }
    let condition = |(name, value): (&String, &Value)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Array(some) if name == "$or" => parse_or(some, &path, depth),
            Value::Array(values) if values.is_empty() => {
                Err(PatternError(format!("{path} is an empty list")))
            }
            Value::Array(values) => {
                let matchers = values.iter().map(|value| matcher(value, &path)).collect::<Result<_, _>>()?;
                Ok(Condition::Values(name.clone(), matchers))
            }
            Value::Object(object) => Ok(Condition::Nested(name.clone(), fields(object, &path, depth + 1)?)),
            _ => Err(PatternError(format!("{path} is neither a list of values nor an object"))),
        }
    };
    Ok(Fields(object.iter().map(condition).collect::<Result<_, _>>()?))
}

fn parse_or(some: &[Value], path: &str, depth: usize) -> Result<Condition, PatternError> {
    if some.len() < 2 {
        return Err(PatternError(format!("{path} is not a list of two objects or more")));
    }
    let one = |value: &Value| match value {
        Value::Object(object) => fields(object, path, depth + 1),
        _ => Err(PatternError(format!("{path} holds something that is not an object"))),
    };
    Ok(Condition::Either(some.iter().map(one).collect::<Result<_, _>>()?))
}

fn matcher(value: &Value, path: &str) -> Result<Matcher, PatternError> {
    let wrong = |why: &str| PatternError(format!("{path}: {why}"));
    let object = match value {
        Value::Array(_) => return Err(wrong("a list contains another list")),
        Value::Object(object) => object,
        value => return Ok(Matcher::Equals(value.clone())),
    };
    let mut entries = object.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        return Err(wrong("an operator is an object with one field"));
    };
    match name.as_str() {
        "exists" => match value {
            Value::Bool(exists) => Ok(Matcher::Exists(*exists)),
            _ => Err(wrong("exists must be true or false")),
        },
        "numeric" => numeric(value)
            .map(Matcher::Numeric)
            .ok_or_else(|| wrong("numeric is a list of comparisons, for example [\">\", 0, \"<=\", 5]")),
        "cidr" => match value.as_str().and_then(|text| text.parse().ok()) {
            Some(net) => Ok(Matcher::Cidr(net)),
            None => Err(wrong("cidr is not a range of addresses, for example 10.0.0.0/8")),
        },
        "anything-but" => anything_but(value).ok_or_else(|| {
            wrong("anything-but is neither a value, a list of values, nor an operator on texts")
        }),
        _ => match text_matcher(name, value) {
            Some(matcher) => Ok(Matcher::Text(matcher)),
            None => Err(wrong(&format!(
                "unknown operator '{name}', or a value of the wrong type; the operators are: prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, exists, cidr"
            ))),
        },
    }
}

fn text_matcher(name: &str, value: &Value) -> Option<TextMatcher> {
    if let Value::Object(object) = value {
        let text = object.get("equals-ignore-case").filter(|_| object.len() == 1)?.as_str()?.to_lowercase();
        return match name {
            "prefix" => Some(TextMatcher::PrefixIgnoreCase(text)),
            "suffix" => Some(TextMatcher::SuffixIgnoreCase(text)),
            _ => None,
        };
    }
    let text = value.as_str()?;
    match name {
        "prefix" => Some(TextMatcher::Prefix(text.to_owned())),
        "suffix" => Some(TextMatcher::Suffix(text.to_owned())),
        "equals-ignore-case" => Some(TextMatcher::EqualsIgnoreCase(text.to_lowercase())),
        "wildcard" => wildcard(text).map(TextMatcher::Wildcard),
        _ => None,
    }
}

/// Splits a wildcard text at its stars; `\*` and `\\` are a literal star and backslash.
fn wildcard(text: &str) -> Option<Vec<String>> {
    let mut pieces = vec![String::new()];
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        match char {
            '*' => pieces.push(String::new()),
            '\\' => pieces.last_mut()?.push(chars.next().filter(|char| matches!(char, '*' | '\\'))?),
            char => pieces.last_mut()?.push(char),
        }
    }
    Some(pieces)
}

fn anything_but(value: &Value) -> Option<Matcher> {
    match value {
        Value::Object(object) => {
            let (name, value) = object.iter().next().filter(|_| object.len() == 1)?;
            let one = |value| text_matcher(name, value);
            let all = match value {
                Value::Array(values) if !values.is_empty() => {
                    values.iter().map(one).collect::<Option<_>>()?
                }
                value => vec![one(value)?],
            };
            Some(Matcher::NotText(all))
        }
        Value::Array(values) if values.is_empty() => None,
        Value::Array(values) => values
            .iter()
            .all(|value| value.is_string() || value.is_number())
            .then(|| Matcher::NotEqual(values.clone())),
        Value::String(_) | Value::Number(_) => Some(Matcher::NotEqual(vec![value.clone()])),
        _ => None,
    }
}

fn numeric(value: &Value) -> Option<Vec<(Comparison, f64)>> {
    let values = value.as_array().filter(|values| !values.is_empty() && values.len() % 2 == 0)?;
    let pair = |pair: &[Value]| {
        let comparison = match pair.first()?.as_str()? {
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            "=" => Comparison::Equal,
            ">" => Comparison::More,
            ">=" => Comparison::MoreOrEqual,
            _ => return None,
        };
        Some((comparison, pair.get(1)?.as_f64()?))
    };
    values.chunks(2).map(pair).collect()
}

impl Fields {
    fn all_match(&self, object: &Map<String, Value>) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Either(some) => some.iter().any(|fields| fields.all_match(object)),
            Condition::Nested(name, fields) => match object.get(name) {
                Some(Value::Object(inner)) => fields.all_match(inner),
                Some(Value::Array(list)) => nested_objects(list).iter().any(|inner| fields.all_match(inner)),
                _ => fields.all_match(&Map::new()),
            },
            Condition::Values(name, matchers) => {
                let value = object.get(name);
                matchers.iter().any(|matcher| matcher.is_met_by(value))
            }
        })
    }
}

fn nested_objects(list: &[Value]) -> Vec<&Map<String, Value>> {
    let mut found = Vec::new();
    for value in list {
        match value {
            Value::Object(object) => found.push(object),
            Value::Array(inner) => found.extend(nested_objects(inner)),
            _ => {}
        }
    }
    found
}

impl Matcher {
    fn is_met_by(&self, value: Option<&Value>) -> bool {
        // `exists` applies to leaves only: an object or an empty list counts as missing.
        let is_leaf = |value: &Value| match value {
            Value::Object(_) => false,
            Value::Array(list) => !list.is_empty(),
            _ => true,
        };
        match (self, value) {
            (Self::Exists(exists), value) => value.is_some_and(is_leaf) == *exists,
            (_, None) => false,
            (_, Some(Value::Array(list))) => list.iter().any(|value| self.is_met_by(Some(value))),
            (_, Some(Value::Object(_))) => false,
            (Self::Equals(wanted), Some(value)) => wanted == value,
            (Self::NotEqual(values), Some(value)) => !values.contains(value),
            (Self::Text(matcher), Some(value)) => value.as_str().is_some_and(|text| matcher.is_met_by(text)),
            (Self::NotText(matchers), Some(value)) => {
                value.as_str().is_some_and(|text| !matchers.iter().any(|matcher| matcher.is_met_by(text)))
            }
            (Self::Numeric(comparisons), Some(value)) => value.as_f64().is_some_and(|number| {
                comparisons.iter().all(|(comparison, than)| match comparison {
                    Comparison::Less => number < *than,
                    Comparison::LessOrEqual => number <= *than,
                    // The exact value in the pattern, without a tolerance.
                    Comparison::Equal => number.total_cmp(than).is_eq(),
                    Comparison::More => number > *than,
                    Comparison::MoreOrEqual => number >= *than,
                })
            }),
            (Self::Cidr(net), Some(value)) => {
                let address = value.as_str().and_then(|text| text.parse::<IpAddr>().ok());
                address.is_some_and(|address| net.contains(&address))
            }
        }
    }
}

impl TextMatcher {
    fn is_met_by(&self, text: &str) -> bool {
        match self {
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::PrefixIgnoreCase(prefix) => text.to_lowercase().starts_with(prefix.as_str()),
            Self::SuffixIgnoreCase(suffix) => text.to_lowercase().ends_with(suffix.as_str()),
            Self::EqualsIgnoreCase(other) => text.to_lowercase() == *other,
            Self::Wildcard(pieces) => has_pieces(text, pieces),
        }
    }
}

/// Whether a text consists of these pieces in order, with any characters between them.
fn has_pieces(text: &str, pieces: &[String]) -> bool {
    let (Some((first, rest)), last) = (pieces.split_first(), pieces.last()) else { return text.is_empty() };
    let Some((last, middle)) = last.filter(|_| !rest.is_empty()).map(|last| (last, &rest[..rest.len() - 1]))
    else {
        return text == first;
    };
    let Some(text) = text.strip_prefix(first.as_str()) else { return false };
    let Some(mut text) = text.strip_suffix(last.as_str()) else { return false };
    for piece in middle {
        match text.find(piece.as_str()) {
            Some(at) => text = &text[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn every_pattern_operator_behaves_as_documented() {
        let event = serde_json::json!({
            "source": "shop", "detail": {
                "shop": "shop1", "n": 5, "file": "dir/a.png", "ip": "10.1.2.3", "none": null, "is": true,
                "tags": ["a", "b"], "lines": [{"sku": "x", "count": 1}, {"sku": "y", "count": 9}], "empty": {}
            }
        });
        for (detail, expected) in [
            (r#"{"shop":["shop1","shop2"]}"#, true),
            (r#"{"shop":["Shop1"]}"#, false),
            (r#"{"shop":["shop1"],"n":[6]}"#, false),
            (r#"{"n":[5]}"#, true),
            (r#"{"n":[5.0]}"#, false),
            (r#"{"n":["5"]}"#, false),
            (r#"{"none":[null],"is":[true]}"#, true),
            (r#"{"shop":[{"prefix":"sh"}]}"#, true),
            (r#"{"shop":[{"prefix":{"equals-ignore-case":"SH"}}]}"#, true),
            (r#"{"file":[{"suffix":".png"}]}"#, true),
            (r#"{"file":[{"suffix":{"equals-ignore-case":".PNG"}}]}"#, true),
            (r#"{"shop":[{"equals-ignore-case":"SHOP1"}]}"#, true),
            (r#"{"file":[{"wildcard":"dir/*.png"}]}"#, true),
            (r#"{"file":[{"wildcard":"*/*/*"}]}"#, false),
            (r#"{"file":[{"wildcard":"dir\\*"}]}"#, false),
            (r#"{"shop":[{"anything-but":"shop1"}]}"#, false),
            (r#"{"shop":[{"anything-but":["shop2","shop3"]}]}"#, true),
            (r#"{"shop":[{"anything-but":{"prefix":"sh"}}]}"#, false),
            (r#"{"shop":[{"anything-but":{"suffix":["2","3"]}}]}"#, true),
            (r#"{"n":[{"numeric":[">",0,"<=",5]}]}"#, true),
            (r#"{"n":[{"numeric":["=",5]}]}"#, true),
            (r#"{"n":[{"numeric":["<",5]}]}"#, false),
            (r#"{"ip":[{"cidr":"10.0.0.0/8"}]}"#, true),
            (r#"{"ip":[{"cidr":"11.0.0.0/8"}]}"#, false),
            (r#"{"nothing":[{"exists":false}]}"#, true),
            (r#"{"shop":[{"exists":false}]}"#, false),
            (r#"{"shop":[{"exists":true}]}"#, true),
            (r#"{"empty":[{"exists":true}]}"#, false),
            (r#"{"nothing":{"deeper":[{"exists":false}]}}"#, true),
            (r#"{"tags":["b"]}"#, true),
            (r#"{"tags":["c"]}"#, false),
            (r#"{"lines":{"sku":["x"],"count":[1]}}"#, true),
            (r#"{"lines":{"sku":["x"],"count":[9]}}"#, false),
            (r#"{"$or":[{"shop":["no"]},{"n":[5]}]}"#, true),
            (r#"{"$or":[{"shop":["no"]},{"n":[6]}]}"#, false),
        ] {
            let pattern: Pattern = format!("{{\"detail\":{detail}}}").parse().unwrap();
            assert_eq!(pattern.matches(&event), expected, "{detail}");
        }
        assert!(!"{\"source\":[\"other\"]}".parse::<Pattern>().unwrap().matches(&event));
    }

    #[test]
    fn an_invalid_pattern_is_rejected_with_its_position() {
        let why = |text: &str| text.parse::<Pattern>().unwrap_err().to_string();
        insta::assert_snapshot!(why("{\"detail\":"), @"not an event pattern: not JSON (line 1, column 10)");
        insta::assert_snapshot!(why("[]"), @"not an event pattern: it is not an object");
        insta::assert_snapshot!(why("{}"), @"not an event pattern: it is an empty object");
        insta::assert_snapshot!(why(r#"{"detail":{"shop":"x"}}"#), @"not an event pattern: detail.shop is neither a list of values nor an object");
        insta::assert_snapshot!(why(r#"{"detail":{"shop":[]}}"#), @"not an event pattern: detail.shop is an empty list");
        insta::assert_snapshot!(why(r#"{"n":[{"numeric":[">"]}]}"#), @r#"not an event pattern: n: numeric is a list of comparisons, for example [">", 0, "<=", 5]"#);
        insta::assert_snapshot!(why(r#"{"n":[{"near":1}]}"#), @"not an event pattern: n: unknown operator 'near', or a value of the wrong type; the operators are: prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, exists, cidr");
        let deep = format!("{}[1]{}", "{\"a\":".repeat(100), "}".repeat(100));
        insta::assert_snapshot!(why(&deep), @"not an event pattern: it is nested deeper than 64 objects");
    }

    #[test]
    fn a_star_stands_for_any_characters() {
        for (text, glob, expected) in [
            ("lead.created", "lead.*", true),
            ("lead", "lead.*", false),
            ("a.b.c", "a.*.c", true),
            ("a.c", "a.*.c", false),
            ("abab", "*ab", true),
            ("", "*", true),
            ("x", "x", true),
            ("aa", "a*a*a", false),
        ] {
            assert_eq!(glob_match(text, glob), expected, "{text} {glob}");
        }
    }

    /// Reference implementation of globs, which tries every length for a star.
    fn is_like_by_trying(text: &[char], glob: &[char]) -> bool {
        match (text, glob) {
            (_, ['*', glob @ ..]) => (0..=text.len()).any(|taken| is_like_by_trying(&text[taken..], glob)),
            ([a, text @ ..], [b, glob @ ..]) => a == b && is_like_by_trying(text, glob),
            _ => text.is_empty() && glob.is_empty(),
        }
    }

    fn leaf() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<bool>().prop_map(Value::from),
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            "[a-zé$*\"]{0,6}".prop_map(Value::from)
        ]
    }

    fn event() -> impl Strategy<Value = Value> {
        leaf().prop_recursive(4, 24, 4, |inner| {
            prop::collection::btree_map("[a-e]{1,2}", inner, 1..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect()))
        })
    }

    /// A pattern of all leaves of an event. Leaf number `change`, if any, does not match the event.
    fn only(event: &Value, change: &mut Option<usize>) -> Value {
        if let Value::Object(fields) = event {
            return fields.iter().map(|(name, value)| (name.clone(), only(value, change))).collect();
        }
        let is_changed = *change == Some(0);
        *change = change.and_then(|left| left.checked_sub(1));
        if is_changed { json!(["something else"]) } else { json!(["something else", event]) }
    }

    fn leaves(event: &Value) -> usize {
        event.as_object().map_or(1, |fields| fields.values().map(leaves).sum())
    }

    proptest! {
        #[test]
        fn a_glob_matches_as_exhaustive_search_does(text in "[ab.]{0,9}", glob in "[ab.*]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(glob_match(&text, &glob), is_like_by_trying(&chars(&text), &chars(&glob)));
        }

        #[test]
        fn an_event_matches_its_own_values_and_not_changed_ones(
            detail in event(),
            at in any::<prop::sample::Index>(),
        ) {
            let event = json!({"detail": {"x": detail}});
            let read = |pattern: Value| pattern.to_string().parse::<Pattern>().unwrap();
            prop_assert!(read(only(&event, &mut None)).matches(&event));
            let other = only(&event, &mut Some(at.index(leaves(&event))));
            prop_assert!(!read(other).matches(&event));
        }
    }
}
