//! HMAC computation.

use hmac::{KeyInit, Mac};

/// Computes the HMAC of the concatenated `pieces`.
pub(crate) fn compute_mac<M: Mac + KeyInit>(key: &[u8], pieces: &[&[u8]]) -> Vec<u8> {
    #[expect(clippy::expect_used, reason = "HMAC accepts keys of any length")]
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("an HMAC key");
    for piece in pieces {
        mac.update(piece);
    }
    mac.finalize().into_bytes().to_vec()
}
