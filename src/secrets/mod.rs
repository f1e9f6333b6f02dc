//! The signing secrets of providers.
//!
//! A [`SecretStore`] reads the current and the previous version of a secret, and [`CachedSecrets`] caches them. A
//! [`Secret`] never prints its value.

mod cache;
mod mac;
mod secrets_manager;
#[cfg(feature = "command")]
mod static_secret;

use std::future::Future;

use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretSlice};

pub use cache::{CacheTtls, CachedSecrets, SigningSecrets};
pub(crate) use mac::compute_mac;
pub use secrets_manager::SecretsManager;
#[cfg(feature = "command")]
pub use static_secret::StaticSecret;

/// A signing secret, as bytes.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// Creates a secret from its configured value. Strips one line break at the end, which an editor or `echo` may have added.
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        let mut value = value.into();
        if value.last() == Some(&b'\n') {
            value.pop();
            if value.last() == Some(&b'\r') {
                value.pop();
            }
        }
        Self(value.into())
    }

    /// Creates a secret from exactly these bytes; unlike [`Secret::new`], keeps a line break at the end.
    pub(crate) fn from_bytes(value: Vec<u8>) -> Self {
        Self(value.into())
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// Whether the secret has no bytes. No signature is valid for an empty secret.
    pub fn is_empty(&self) -> bool {
        self.expose().is_empty()
    }
}

/// Hides the bytes.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// A version of a secret.
#[derive(Clone, Debug)]
pub struct SecretVersion {
    /// The store's id of this version.
    pub id: String,
    /// Time of creation; `None` if the store states none. For the current version this is the time of the last rotation,
    /// except after a rollback to an old version.
    pub created_at: Option<Timestamp>,
    /// The value.
    pub secret: Secret,
}

/// A staging label of a secret version, as in Secrets Manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionStage {
    /// The label `AWSCURRENT`.
    Current,
    /// The label `AWSPREVIOUS`.
    Previous,
}

/// Why a secret could not be read. The text is for the operator; senders never see it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretError {
    /// The store is down, slow or throttling; a retry may succeed.
    #[error("the secret store is unavailable: {0}")]
    Unavailable(String),
    /// The secret does not exist, or has no version yet; a retry does not help.
    #[error("cannot read the secret: it does not exist, or has no version AWSCURRENT")]
    Missing,
    /// The secret is empty or not accessible; a retry does not help.
    #[error("cannot read the secret: {0}")]
    Unreadable(String),
}

/// A store that holds the secret of one endpoint.
pub trait SecretStore: Send + Sync + 'static {
    /// Reads one version; `None` if the secret has no version with this label.
    fn fetch(
        &self,
        stage: VersionStage,
    ) -> impl Future<Output = Result<Option<SecretVersion>, SecretError>> + Send;

    /// Stores the first version. Returns false, and changes nothing, if another first version was stored before.
    fn store_first_version(&self, secret: &Secret) -> impl Future<Output = Result<bool, SecretError>> + Send;
}
