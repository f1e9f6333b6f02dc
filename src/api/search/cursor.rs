//! Cursors of the search. Unlike the cursors of `/events`, a search cursor is not signed: a forged one only selects another page
//! of the same search.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use jiff::Timestamp;

use crate::log::EventKey;

/// The sort key of the last event of a page, and the total number of results. The total is counted only for the first page;
/// the searches for later pages read it from the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SearchCursor {
    pub(super) after: EventKey,
    pub(super) total: u64,
}

impl SearchCursor {
    pub(super) fn encode(&self) -> String {
        let text = format!("{} {} {}", self.total, self.after.time.as_microsecond(), self.after.id);
        BASE64.encode(text)
    }

    /// Decodes a cursor that [`SearchCursor::encode`] made. Returns `None` for a malformed text.
    pub(super) fn decode(text: &str) -> Option<Self> {
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
    fn a_cursor_round_trips_and_malformed_text_is_rejected() {
        let time = Timestamp::from_microsecond(-5).unwrap_or_default();
        let cursor = SearchCursor { after: EventKey { time, id: "a b ä".into() }, total: 7 };
        assert_eq!(SearchCursor::decode(&cursor.encode()), Some(cursor));
        for text in ["", "initial", "!", "AAAA", "NyA1", "NyA5OTk5OTk5OTk5OTk5OTk5OTk5IGE"] {
            assert_eq!(SearchCursor::decode(text), None, "{text}");
        }
    }
}
