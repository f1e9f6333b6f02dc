//! Opaque, signed cursors.
//!
//! A cursor is the position of the next event. It is signed with a key that is kept with the log, so it is good for as long
//! as the log is, wherever that is moved or restored, and for no other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::log::{CursorKey, Position};

/// What the signature is over, before the position: nothing else that is signed with the key begins so.
const PURPOSE: &[u8] = b"events cursor 1";
/// The bytes of the signature that are kept.
const TAG: usize = 16;

/// A position as a client sees it.
pub(crate) fn write(position: Position, key: &CursorKey) -> String {
    let mut bytes = position.to_be_bytes().to_vec();
    bytes.extend_from_slice(&mac(position, key).finalize().into_bytes()[..TAG]);
    BASE64.encode(bytes)
}

/// Reads what [`write()`] wrote; `None` for anything else.
pub(crate) fn read(text: &str, key: &CursorKey) -> Option<Position> {
    let bytes = BASE64.decode(text).ok()?;
    let (position, tag) = bytes.split_first_chunk()?;
    let position = Position::from_be_bytes(*position);
    let is_ours = tag.len() == TAG && mac(position, key).verify_truncated_left(tag).is_ok();
    is_ours.then_some(position)
}

fn mac(position: Position, key: &CursorKey) -> Hmac<Sha256> {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("a key of any length");
    mac.update(PURPOSE);
    mac.update(&position.to_be_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_and_nothing_else_is_one() {
        let key = CursorKey::new(vec![7; 32]);
        let cursor = write(1 << 40, &key);
        assert_eq!(cursor.len(), 32);
        assert_eq!(read(&cursor, &key), Some(1 << 40));
        assert_eq!(read(&cursor, &CursorKey::new(vec![8; 32])), None, "of another log");
        for at in 0..cursor.len() {
            assert_eq!(read(&cursor[..at], &key), None, "cut short");
            let mut changed = cursor.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            assert_eq!(read(&String::from_utf8_lossy(&changed), &key), None, "changed at {at}");
        }
        for text in ["", "start", "!", &format!("{cursor}AAAA"), &format!("{cursor}="), &"A".repeat(10_000)] {
            assert_eq!(read(text, &key), None, "{text}");
        }
    }
}
