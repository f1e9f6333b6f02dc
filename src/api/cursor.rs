//! Cursors of `/events` and of named consumers: opaque, signed positions in the log.
//!
//! A cursor is the position of the next event, signed with a key that is stored in the log's database. So a cursor stays valid
//! after that database is moved or restored, and is invalid for every other log.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::log::{CursorSigningKey, Position};

/// The first part of the signed bytes, for domain separation: a MAC that was made with the same key for another purpose is not a
/// valid cursor.
const MAC_PURPOSE: &[u8] = b"events cursor 1";
/// The length to which the MAC in a cursor is truncated.
const TAG_BYTES: usize = 16;

pub(crate) fn encode_cursor(position: Position, key: &CursorSigningKey) -> String {
    let mut bytes = position.to_be_bytes().to_vec();
    bytes.extend_from_slice(&cursor_mac(position, key).finalize().into_bytes()[..TAG_BYTES]);
    BASE64.encode(bytes)
}

/// Decodes a cursor that [`encode_cursor`] made with this key. Returns `None` for any other text.
pub(crate) fn decode_cursor(text: &str, key: &CursorSigningKey) -> Option<Position> {
    let bytes = BASE64.decode(text).ok()?;
    let (position, tag) = bytes.split_first_chunk()?;
    let position = Position::from_be_bytes(*position);
    let is_authentic = tag.len() == TAG_BYTES && cursor_mac(position, key).verify_truncated_left(tag).is_ok();
    is_authentic.then_some(position)
}

fn cursor_mac(position: Position, key: &CursorSigningKey) -> Hmac<Sha256> {
    #[allow(clippy::expect_used, reason = "HMAC takes keys of any length")]
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).expect("a key of any length");
    mac.update(MAC_PURPOSE);
    mac.update(&position.to_be_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_round_trips_and_forgeries_are_rejected() {
        let key = CursorSigningKey::new(vec![7; 32]);
        let cursor = encode_cursor(1 << 40, &key);
        assert_eq!(cursor.len(), 32);
        assert_eq!(decode_cursor(&cursor, &key), Some(1 << 40));
        assert_eq!(decode_cursor(&cursor, &CursorSigningKey::new(vec![8; 32])), None, "of another log");
        for index in 0..cursor.len() {
            assert_eq!(decode_cursor(&cursor[..index], &key), None, "truncated");
            let mut changed = cursor.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            assert_eq!(decode_cursor(&String::from_utf8_lossy(&changed), &key), None, "changed at {index}");
        }
        for text in ["", "start", "!", &format!("{cursor}AAAA"), &format!("{cursor}="), &"A".repeat(10_000)] {
            assert_eq!(decode_cursor(text, &key), None, "{text}");
        }
    }
}
