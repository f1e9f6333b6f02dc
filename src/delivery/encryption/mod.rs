//! Encryption of the subscribers' secrets at rest: the key ring, and the sources of its keys.

#[cfg(feature = "command")]
mod key_file;
mod key_ring;
mod key_source;

#[cfg(feature = "command")]
pub use key_file::KeyFileError;
pub(super) use key_ring::{EncryptedSecret, random_bytes};
pub use key_ring::{KeyError, KeyRing};
pub use key_source::{KeySource, KeySourceError};
