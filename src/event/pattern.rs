//! EventBridge event patterns.
//!
//! A pattern is a JSON object that mirrors the event, with a list of allowed values or operators at each field. A list
//! in the event matches if one of its elements matches. If the event has a list of objects, one of them must match all
//! nested conditions on its own. Numbers match only if they are written alike (`300` does not match `300.0`);
//! the operator `numeric` compares their values instead.
//!
//! Source: "Comparison operators for use in event patterns in Amazon EventBridge", Amazon EventBridge User Guide.

use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde_json::{Map, Value};

/// Maximum nesting depth of a pattern. Real events are nested less deeply.
const MAX_DEPTH: usize = 64;
/// Maximum length of a pattern in bytes: EventBridge's limit for a rule.
const MAX_PATTERN_BYTES: usize = 4096;

/// An event pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    text: String,
    fields: ObjectPattern,
}

/// Why a text is not a valid pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an event pattern: {0}")]
pub struct PatternError(String);

/// The conditions on an object, all of which must hold.
#[derive(Clone, Debug, PartialEq)]
struct ObjectPattern(Vec<Condition>);

#[derive(Clone, Debug, PartialEq)]
enum Condition {
    /// The field matches at least one of the matchers.
    Values(String, Vec<Matcher>),
    /// The field is an object that meets the conditions.
    Nested(String, ObjectPattern),
    /// The object meets at least one of the alternatives (`$or`).
    Either(Vec<ObjectPattern>),
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
    /// The value is a number for which all comparisons hold.
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
    /// The text pieces between the stars.
    Wildcard(Vec<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    Greater,
    GreaterOrEqual,
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
        Ok(Self { fields: parse_fields(object, "", 0)?, text: text.to_owned() })
    }
}

impl Pattern {
    /// Whether the pattern matches `event`, an event's JSON as an EventBridge target receives it.
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
    matches_pieces(text, &pieces)
}

fn parse_fields(
    object: &Map<String, Value>,
    path: &str,
    depth: usize,
) -> Result<ObjectPattern, PatternError> {
    if object.is_empty() {
        let subject = if path.is_empty() { "it" } else { path };
        return Err(PatternError(format!("{subject} is an empty object")));
    }
    if depth > MAX_DEPTH {
        return Err(PatternError(format!("it is nested deeper than {MAX_DEPTH} objects")));
    }
    let condition = |(name, value): (&String, &Value)| {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        match value {
            Value::Array(alternatives) if name == "$or" => parse_or(alternatives, &path, depth),
            Value::Array(values) if values.is_empty() => {
                Err(PatternError(format!("{path} is an empty list")))
            }
            Value::Array(values) => {
                let matchers =
                    values.iter().map(|value| parse_matcher(value, &path)).collect::<Result<_, _>>()?;
                Ok(Condition::Values(name.clone(), matchers))
            }
            Value::Object(object) => {
                Ok(Condition::Nested(name.clone(), parse_fields(object, &path, depth + 1)?))
            }
            _ => Err(PatternError(format!("{path} is neither a list of values nor an object"))),
        }
    };
    Ok(ObjectPattern(object.iter().map(condition).collect::<Result<_, _>>()?))
}

fn parse_or(alternatives: &[Value], path: &str, depth: usize) -> Result<Condition, PatternError> {
    if alternatives.len() < 2 {
        return Err(PatternError(format!("{path} is not a list of two objects or more")));
    }
    let parse_alternative = |value: &Value| match value {
        Value::Object(object) => parse_fields(object, path, depth + 1),
        _ => Err(PatternError(format!("{path} holds something that is not an object"))),
    };
    Ok(Condition::Either(alternatives.iter().map(parse_alternative).collect::<Result<_, _>>()?))
}

fn parse_matcher(value: &Value, path: &str) -> Result<Matcher, PatternError> {
    let invalid = |problem: &str| PatternError(format!("{path}: {problem}"));
    let object = match value {
        Value::Array(_) => return Err(invalid("a list contains another list")),
        Value::Object(object) => object,
        value => return Ok(Matcher::Equals(value.clone())),
    };
    let mut entries = object.iter();
    let (Some((name, value)), None) = (entries.next(), entries.next()) else {
        return Err(invalid("an operator is an object with one field"));
    };
    match name.as_str() {
        "exists" => match value {
            Value::Bool(exists) => Ok(Matcher::Exists(*exists)),
            _ => Err(invalid("exists must be true or false")),
        },
        "numeric" => parse_numeric(value)
            .map(Matcher::Numeric)
            .ok_or_else(|| invalid("numeric is a list of comparisons, for example [\">\", 0, \"<=\", 5]")),
        "cidr" => match value.as_str().and_then(|text| text.parse().ok()) {
            Some(net) => Ok(Matcher::Cidr(net)),
            None => Err(invalid("cidr is not a range of addresses, for example 10.0.0.0/8")),
        },
        "anything-but" => parse_anything_but(value).ok_or_else(|| {
            invalid("anything-but is neither a value, a list of values, nor an operator on texts")
        }),
        _ => match parse_text_matcher(name, value) {
            Some(matcher) => Ok(Matcher::Text(matcher)),
            None => Err(invalid(&format!(
                "unknown operator '{name}', or a value of the wrong type; the operators are: prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, exists, cidr"
            ))),
        },
    }
}

fn parse_text_matcher(name: &str, value: &Value) -> Option<TextMatcher> {
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
        "wildcard" => parse_wildcard(text).map(TextMatcher::Wildcard),
        _ => None,
    }
}

/// Splits a wildcard text at its stars; `\*` and `\\` are a literal star and backslash.
fn parse_wildcard(text: &str) -> Option<Vec<String>> {
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

fn parse_anything_but(value: &Value) -> Option<Matcher> {
    match value {
        Value::Object(object) => {
            let (name, value) = object.iter().next().filter(|_| object.len() == 1)?;
            let parse = |value| parse_text_matcher(name, value);
            let matchers = match value {
                Value::Array(values) if !values.is_empty() => {
                    values.iter().map(parse).collect::<Option<_>>()?
                }
                value => vec![parse(value)?],
            };
            Some(Matcher::NotText(matchers))
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

fn parse_numeric(value: &Value) -> Option<Vec<(Comparison, f64)>> {
    let values = value.as_array().filter(|values| !values.is_empty() && values.len() % 2 == 0)?;
    let parse_pair = |pair: &[Value]| {
        let comparison = match pair.first()?.as_str()? {
            "<" => Comparison::Less,
            "<=" => Comparison::LessOrEqual,
            "=" => Comparison::Equal,
            ">" => Comparison::Greater,
            ">=" => Comparison::GreaterOrEqual,
            _ => return None,
        };
        Some((comparison, pair.get(1)?.as_f64()?))
    };
    values.chunks(2).map(parse_pair).collect()
}

impl ObjectPattern {
    fn all_match(&self, object: &Map<String, Value>) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Either(alternatives) => alternatives.iter().any(|fields| fields.all_match(object)),
            Condition::Nested(name, fields) => match object.get(name) {
                Some(Value::Object(inner)) => fields.all_match(inner),
                Some(Value::Array(list)) => nested_objects(list).iter().any(|inner| fields.all_match(inner)),
                _ => fields.all_match(&Map::new()),
            },
            Condition::Values(name, matchers) => {
                let value = object.get(name);
                matchers.iter().any(|matcher| matcher.matches(value))
            }
        })
    }
}

/// The objects in a list, also those in nested lists.
fn nested_objects(list: &[Value]) -> Vec<&Map<String, Value>> {
    let mut objects = Vec::new();
    for value in list {
        match value {
            Value::Object(object) => objects.push(object),
            Value::Array(inner) => objects.extend(nested_objects(inner)),
            _ => {}
        }
    }
    objects
}

impl Matcher {
    fn matches(&self, value: Option<&Value>) -> bool {
        // `exists` applies to leaves only: an object or an empty list counts as missing.
        let is_leaf = |value: &Value| match value {
            Value::Object(_) => false,
            Value::Array(list) => !list.is_empty(),
            _ => true,
        };
        match (self, value) {
            (Self::Exists(exists), value) => value.is_some_and(is_leaf) == *exists,
            (_, None) => false,
            (_, Some(Value::Array(list))) => list.iter().any(|value| self.matches(Some(value))),
            (_, Some(Value::Object(_))) => false,
            (Self::Equals(expected), Some(value)) => expected == value,
            (Self::NotEqual(values), Some(value)) => !values.contains(value),
            (Self::Text(matcher), Some(value)) => value.as_str().is_some_and(|text| matcher.matches(text)),
            (Self::NotText(matchers), Some(value)) => {
                value.as_str().is_some_and(|text| !matchers.iter().any(|matcher| matcher.matches(text)))
            }
            (Self::Numeric(comparisons), Some(value)) => value.as_f64().is_some_and(|number| {
                comparisons.iter().all(|(comparison, operand)| match comparison {
                    Comparison::Less => number < *operand,
                    Comparison::LessOrEqual => number <= *operand,
                    // Compare exactly, without a tolerance for rounding.
                    Comparison::Equal => number.total_cmp(operand).is_eq(),
                    Comparison::Greater => number > *operand,
                    Comparison::GreaterOrEqual => number >= *operand,
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
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Prefix(prefix) => text.starts_with(prefix.as_str()),
            Self::Suffix(suffix) => text.ends_with(suffix.as_str()),
            Self::PrefixIgnoreCase(prefix) => text.to_lowercase().starts_with(prefix.as_str()),
            Self::SuffixIgnoreCase(suffix) => text.to_lowercase().ends_with(suffix.as_str()),
            Self::EqualsIgnoreCase(lowercase) => text.to_lowercase() == *lowercase,
            Self::Wildcard(pieces) => matches_pieces(text, pieces),
        }
    }
}

/// Whether a text consists of these pieces in order, with any characters between them.
fn matches_pieces(text: &str, pieces: &[String]) -> bool {
    let (Some((first, rest)), last) = (pieces.split_first(), pieces.last()) else { return text.is_empty() };
    let Some((last, middle)) = last.filter(|_| !rest.is_empty()).map(|last| (last, &rest[..rest.len() - 1]))
    else {
        return text == first;
    };
    let Some(text) = text.strip_prefix(first.as_str()) else { return false };
    let Some(mut text) = text.strip_suffix(last.as_str()) else { return false };
    for piece in middle {
        match text.find(piece.as_str()) {
            Some(offset) => text = &text[offset + piece.len()..],
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
        let error_text = |text: &str| text.parse::<Pattern>().unwrap_err().to_string();
        insta::assert_snapshot!(error_text("{\"detail\":"), @"not an event pattern: not JSON (line 1, column 10)");
        insta::assert_snapshot!(error_text("[]"), @"not an event pattern: it is not an object");
        insta::assert_snapshot!(error_text("{}"), @"not an event pattern: it is an empty object");
        insta::assert_snapshot!(error_text(r#"{"detail":{"shop":"x"}}"#), @"not an event pattern: detail.shop is neither a list of values nor an object");
        insta::assert_snapshot!(error_text(r#"{"detail":{"shop":[]}}"#), @"not an event pattern: detail.shop is an empty list");
        insta::assert_snapshot!(error_text(r#"{"n":[{"numeric":[">"]}]}"#), @r#"not an event pattern: n: numeric is a list of comparisons, for example [">", 0, "<=", 5]"#);
        insta::assert_snapshot!(error_text(r#"{"n":[{"near":1}]}"#), @"not an event pattern: n: unknown operator 'near', or a value of the wrong type; the operators are: prefix, suffix, equals-ignore-case, wildcard, anything-but, numeric, exists, cidr");
        let deep = format!("{}[1]{}", "{\"a\":".repeat(100), "}".repeat(100));
        insta::assert_snapshot!(error_text(&deep), @"not an event pattern: it is nested deeper than 64 objects");
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

    /// Reference implementation of [`glob_match`] for tests: tries every number of characters that a star can match.
    fn glob_match_exhaustively(text: &[char], glob: &[char]) -> bool {
        match (text, glob) {
            (_, ['*', glob @ ..]) => {
                (0..=text.len()).any(|length| glob_match_exhaustively(&text[length..], glob))
            }
            ([a, text @ ..], [b, glob @ ..]) => a == b && glob_match_exhaustively(text, glob),
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

    /// A pattern that requires the value of every leaf of `event`. If `changed_leaf` is the index of a leaf, the pattern
    /// requires another value for that leaf and does not match the event.
    fn pattern_for(event: &Value, changed_leaf: &mut Option<usize>) -> Value {
        if let Value::Object(fields) = event {
            return fields
                .iter()
                .map(|(name, value)| (name.clone(), pattern_for(value, changed_leaf)))
                .collect();
        }
        let is_changed = *changed_leaf == Some(0);
        *changed_leaf = changed_leaf.and_then(|index| index.checked_sub(1));
        if is_changed { json!(["something else"]) } else { json!(["something else", event]) }
    }

    fn count_leaves(event: &Value) -> usize {
        event.as_object().map_or(1, |fields| fields.values().map(count_leaves).sum())
    }

    proptest! {
        #[test]
        fn a_glob_matches_as_exhaustive_search_does(text in "[ab.]{0,9}", glob in "[ab.*]{0,7}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(glob_match(&text, &glob), glob_match_exhaustively(&chars(&text), &chars(&glob)));
        }

        #[test]
        fn an_event_matches_its_own_values_and_not_changed_ones(
            detail in event(),
            changed_leaf in any::<prop::sample::Index>(),
        ) {
            let event = json!({"detail": {"x": detail}});
            let parse = |pattern: Value| pattern.to_string().parse::<Pattern>().unwrap();
            prop_assert!(parse(pattern_for(&event, &mut None)).matches(&event));
            let changed = pattern_for(&event, &mut Some(changed_leaf.index(count_leaves(&event))));
            prop_assert!(!parse(changed).matches(&event));
        }
    }
}
