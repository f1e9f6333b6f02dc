//! What goes out to others over HTTP is signed, so that they can tell that it is ours.

mod signature;

pub use signature::{NotASecret, SIGNATURE_HEADERS, SigningSecret};
