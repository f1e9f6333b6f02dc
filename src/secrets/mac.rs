//! HMAC helper.

use hmac::{KeyInit, Mac};

/// The HMAC of these pieces, one behind the other.
pub(crate) fn compute_mac<M: Mac + KeyInit>(key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "an HMAC takes a key of any length")]
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC key");
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().to_vec()
}
