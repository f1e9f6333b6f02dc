//! A place in what a search finds, as a client holds it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;

use crate::log::EventKey;

/// Where a page ended, and how many events the search found when it began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) after: EventKey,
    pub(super) total: u64,
}

impl Cursor {
    /// As a client sees it: opaque.
    pub(super) fn write(&self) -> String {
        let text = format!("{} {} {}", self.total, self.after.time.as_microsecond(), self.after.id);
        BASE64.encode(text)
    }

    /// Reads what [`Cursor::write`] wrote; `None` for anything else.
    pub(super) fn read(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let mut parts = text.splitn(3, ' ');
        let total = parts.next()?.parse().ok()?;
        let time = Timestamp::from_microsecond(parts.next()?.parse().ok()?).ok()?;
        let id = parts.next().filter(|id| !id.contains('\0'))?;
        Some(Self { after: EventKey { time, id: id.to_owned() }, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nothing_else_is_one() {
        let time = Timestamp::from_microsecond(-5).unwrap_or_default();
        let cursor = Cursor { after: EventKey { time, id: "a b ä".into() }, total: 7 };
        assert_eq!(Cursor::read(&cursor.write()), Some(cursor));
        for text in ["", "initial", "!", "AAAA", "NyA1", "NyA5OTk5OTk5OTk5OTk5OTk5OTk5IGE"] {
            assert_eq!(Cursor::read(text), None, "{text}");
        }
    }
}
