//! A JSON object whose values stay unparsed.

use std::borrow::Cow;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The names and raw values of an object's fields.
pub struct RawObject<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'a> RawObject<'a> {
    /// Parses `json`; `None` if it is not an object.
    pub fn parse(json: &'a str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }

    /// The value of a field; the last one if the name repeats.
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(field, _)| field == name).map(|(_, value)| *value)
    }

    /// The fields in document order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), *value))
    }

    /// The first field.
    pub fn first(&self) -> Option<(&str, &'a RawValue)> {
        self.iter().next()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for RawObject<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(serde::Deserialize)]
        struct Name<'a>(#[serde(borrow)] Cow<'a, str>);
        struct ObjectVisitor;
        impl<'de> Visitor<'de> for ObjectVisitor {
            type Value = RawObject<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<RawObject<'de>, A::Error> {
                let mut fields = Vec::with_capacity(32);
                while let Some((Name(name), value)) = map.next_entry()? {
                    fields.push((name, value));
                }
                Ok(RawObject(fields))
            }
        }
        deserializer.deserialize_map(ObjectVisitor)
    }
}

/// The text of a string, number or boolean; `None` for any other value. An escaped lone surrogate (`\ud83d`), which a string
/// that was cut inside an emoji contains, becomes three U+FFFD characters.
pub fn scalar_text(value: &RawValue) -> Option<Cow<'_, str>> {
    let json = value.get();
    match json.as_bytes().first()? {
        b'"' => {
            let content = &json[1..json.len() - 1];
            if memchr::memchr(b'\\', content.as_bytes()).is_none() {
                return Some(Cow::Borrowed(content));
            }
            if let Ok(text) = serde_json::from_str::<String>(json) {
                return Some(Cow::Owned(text));
            }
            let bytes: StringBytes = serde_json::from_str(json).ok()?;
            Some(Cow::Owned(String::from_utf8_lossy(&bytes.0).into_owned()))
        }
        b'{' | b'[' | b'n' => None,
        _ => Some(Cow::Borrowed(json)),
    }
}

/// The bytes of a JSON string. `serde_json` returns bytes even for a string whose escapes are not valid Unicode.
struct StringBytes(Vec<u8>);

impl<'de> Deserialize<'de> for StringBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StringVisitor;
        impl Visitor<'_> for StringVisitor {
            type Value = StringBytes;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<StringBytes, E> {
                Ok(StringBytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(StringVisitor)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_written() {
        let object = RawObject::parse(
            r#"{"a":1,"\u0062":"x\ud83d","c":[1],"a":"2\n","n":null,"t":true,"l":123456789012345678901}"#,
        );
        let object = object.unwrap();
        let text_of = |name: &str| object.get(name).and_then(scalar_text);
        assert_eq!(text_of("a").as_deref(), Some("2\n"), "the last of two");
        assert_eq!(text_of("b").as_deref(), Some("x\u{fffd}\u{fffd}\u{fffd}"));
        assert_eq!((text_of("c"), text_of("n"), text_of("absent")), (None, None, None));
        assert_eq!(text_of("t").as_deref(), Some("true"));
        assert_eq!(text_of("l").as_deref(), Some("123456789012345678901"), "every digit");
        assert!(
            RawObject::parse("[]").is_none()
                && RawObject::parse("{").is_none()
                && RawObject::parse("7").is_none()
        );
    }
}
