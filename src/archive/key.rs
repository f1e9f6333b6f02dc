//! Object keys of archive entries.
//!
//! Entries with different ids get different keys. But on a case-insensitive file system, two keys that differ only in upper
//! and lower case lead to the same file.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sha2::{Digest as _, Sha256};

use super::ArchiveEntry;

/// The characters of an id that are percent-encoded in a key.
pub(super) const ID_ENCODE_SET: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_');
/// Maximum length in bytes of an id that a key contains; a key contains the hash of a longer id. Percent-encoding at most triples
/// the length, and a file name has at most 255 bytes.
const MAX_ID_BYTES: usize = 80;

/// Prefix of the file name of a polled entry. The encoded id of a webhook contains no dot, so no sender can forge the prefix.
const POLLED_PREFIX: &str = "polled.";

/// Whether the poller fetched the entry with this key from a provider's API.
pub fn is_polled(key: &str) -> bool {
    key.rsplit('/').next().is_some_and(|name| name.starts_with(POLLED_PREFIX))
}

/// Returns the key of an entry: `<provider>/<id>.json`, or `<provider>/polled.<id>.json` if the poller fetched the entry. Bytes
/// of the id other than letters, digits, `-` and `_` are percent-encoded (`%2F`), so that no id leads out of the provider's
/// folder. A hash replaces an id of more than 80 bytes. The hash of the body replaces a missing id.
pub fn object_key(entry: &ArchiveEntry) -> String {
    let name = match &entry.id {
        None => format!("sha256.{}", hex::encode(Sha256::digest(&entry.body))),
        Some(id) if id.len() > MAX_ID_BYTES => format!("id-sha256.{}", hex::encode(Sha256::digest(id))),
        Some(id) => percent_encode(id, &ID_ENCODE_SET).to_string(),
    };
    format!("{}/{}{name}.json", entry.provider, if entry.is_polled { POLLED_PREFIX } else { "" })
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn key_of(id: Option<&str>) -> String {
        let id = id.map(|id| id.as_bytes().to_vec());
        object_key(&ArchiveEntry {
            provider: "sparkpost",
            id,
            is_polled: false,
            received_at: Timestamp::UNIX_EPOCH,
            headers: vec![],
            body: "[]".into(),
        })
    }

    #[test]
    fn every_id_maps_to_one_file_in_the_provider_s_folder() {
        insta::assert_snapshot!(key_of(Some("8ae7b9c0-9f6d-11e5-aa1f-0024e8f4d9ac")), @"sparkpost/8ae7b9c0-9f6d-11e5-aa1f-0024e8f4d9ac.json");
        insta::assert_snapshot!(key_of(Some("../../x y%2F.json")), @"sparkpost/%2E%2E%2F%2E%2E%2Fx%20y%252F%2Ejson.json");
        insta::assert_snapshot!(key_of(Some("..")), @"sparkpost/%2E%2E.json");
        insta::assert_snapshot!(key_of(None), @"sparkpost/sha256.4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945.json");
        assert_eq!(key_of(Some(&"a".repeat(81))).len(), "sparkpost/id-sha256..json".len() + 64);
        assert_ne!(key_of(Some(&"a".repeat(81))), key_of(Some(&"a".repeat(82))));
    }

    #[test]
    fn no_sender_can_forge_the_key_of_a_polled_page() {
        let polled_entry = ArchiveEntry {
            provider: "stripe",
            id: None,
            is_polled: true,
            received_at: Timestamp::UNIX_EPOCH,
            headers: vec![],
            body: "{}".into(),
        };
        insta::assert_snapshot!(object_key(&polled_entry), @"stripe/polled.sha256.44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a.json");
        assert!(is_polled(&object_key(&polled_entry)));
        assert!(!is_polled(&key_of(Some("polled.1"))) && !is_polled(&key_of(None)));
    }
}
