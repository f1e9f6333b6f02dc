//! `application/x-www-form-urlencoded` bodies, decoded to bytes.
//!
//! The decoder returns bytes and not text, because a signature covers the exact bytes: replacing invalid UTF-8 would
//! change the signed content.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

/// A decoded name and its decoded value.
pub type FormField<'a> = (Cow<'a, [u8]>, Cow<'a, [u8]>);

/// The decoded names and values of a form, in document order. A text without an escape is borrowed from the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Form<'a>(Vec<FormField<'a>>);

impl<'a> Form<'a> {
    /// Decodes a body. Every body is a valid form: a `%` that begins no escape sequence stays as it is.
    ///
    /// Source: WHATWG URL Standard, "application/x-www-form-urlencoded parsing".
    pub fn parse(body: &'a [u8]) -> Self {
        Self(parse_pairs(body, usize::MAX))
    }

    /// Decodes a body; `None` if it has more than `max_fields` fields, each of which costs memory.
    pub(in crate::providers) fn parse_bounded(body: &'a [u8], max_fields: usize) -> Option<Self> {
        let pairs = parse_pairs(body, max_fields.saturating_add(1));
        (pairs.len() <= max_fields).then_some(Self(pairs))
    }

    /// The decoded names and values in document order, including repeated names.
    pub fn pairs(&self) -> &[FormField<'a>] {
        &self.0
    }

    /// The names and values without separators, sorted by name, with the distinct values of each name sorted: as Twilio and
    /// Mandrill sign them.
    pub(super) fn sorted_text(&self) -> Vec<u8> {
        let mut values_by_name: BTreeMap<&[u8], BTreeSet<&[u8]>> = BTreeMap::new();
        for (name, value) in &self.0 {
            values_by_name.entry(name).or_default().insert(value);
        }
        let pieces =
            values_by_name.iter().flat_map(|(name, values)| values.iter().flat_map(move |v| [*name, *v]));
        pieces.collect::<Vec<_>>().concat()
    }

    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(n, _)| **n == *name.as_bytes()).map(|(_, value)| &**value)
    }
}

/// Shows only the number of fields, because their values are customer data.
impl std::fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Form({} fields)", self.0.len())
    }
}

/// The first fields of a form, at most `max_fields`.
fn parse_pairs(body: &[u8], max_fields: usize) -> Vec<FormField<'_>> {
    let mut pairs = Vec::new();
    let mut rest = body;
    while !rest.is_empty() && pairs.len() < max_fields {
        // One scan finds the end of a pair without escapes.
        let stop = memchr::memchr3(b'&', b'%', b'+', rest).unwrap_or(rest.len());
        let has_escapes = stop < rest.len() && rest[stop] != b'&';
        let (pair, tail) = if has_escapes { split_at_byte(b'&', rest) } else { split_at(stop, rest) };
        if !pair.is_empty() {
            let (name, value) = split_at_byte(b'=', pair);
            pairs.push(match has_escapes {
                true => (decode(name), decode(value)),
                false => (name.into(), value.into()),
            });
        }
        rest = tail;
    }
    pairs
}

/// The texts before and after the first `separator`; the second is empty if there is none.
fn split_at_byte(separator: u8, text: &[u8]) -> (&[u8], &[u8]) {
    split_at(memchr::memchr(separator, text).unwrap_or(text.len()), text)
}

/// The texts before and after the separator at `index`.
fn split_at(index: usize, text: &[u8]) -> (&[u8], &[u8]) {
    (&text[..index], text.get(index + 1..).unwrap_or_default())
}

fn decode(text: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr::memchr2(b'%', b'+', text) else { return Cow::Borrowed(text) };
    let mut decoded = Vec::with_capacity(text.len());
    decoded.extend_from_slice(&text[..first]);
    let mut rest = &text[first..];
    // Copy the runs between the escapes, because most of a form is not escaped.
    while let Some(at) = memchr::memchr2(b'%', b'+', rest) {
        decoded.extend_from_slice(&rest[..at]);
        let digit = |offset: usize| char::from(*rest.get(at + offset)?).to_digit(16);
        let escaped = digit(1).zip(digit(2)).and_then(|(high, low)| u8::try_from(16 * high + low).ok());
        let (byte, length) = match (rest[at], escaped) {
            (b'+', _) => (b' ', 1),
            (_, Some(byte)) => (byte, 3),
            (other, None) => (other, 1),
        };
        decoded.push(byte);
        rest = &rest[at + length..];
    }
    decoded.extend_from_slice(rest);
    Cow::Owned(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(body: &str) -> Vec<(String, String)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Form::parse(body.as_bytes()).pairs().iter().map(|(n, v)| (text(n), text(v))).collect()
    }

    #[test]
    fn fields_are_decoded_in_order() {
        let expected = [("To", "+1 555"), ("Body", "a=b&c"), ("To", ""), ("", "x"), ("%zz", "%4")];
        let expected = expected.map(|(n, v)| (n.to_owned(), v.to_owned()));
        assert_eq!(pairs("To=%2B1+555&&Body=a=b%26c&To&=x&%zz=%4"), expected);
        assert_eq!(pairs(""), []);
    }

    #[test]
    fn invalid_utf8_is_preserved() {
        assert_eq!(Form::parse(b"a=%FF\xfe").get("a"), Some(&b"\xff\xfe"[..]));
    }
}
