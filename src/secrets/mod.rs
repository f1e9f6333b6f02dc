//! The secrets that providers sign with: where they are kept, and how long one is believed.
//!
//! A [`Secret`] shows itself to nobody but the HMAC. A [`SecretStore`] hands out the current and the previous
//! version; [`CachedSecrets`] stands between it and the webhooks.

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

/// The bytes that a provider signs with.
#[derive(Clone)]
pub struct Secret(SecretSlice<u8>);

impl Secret {
    /// Takes the secret as it was configured. One line break at the end is not part of it: it comes from a file
    /// or an `echo`.
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

    /// Takes the bytes as they are.
    pub(crate) fn from_bytes(value: Vec<u8>) -> Self {
        Self(value.into())
    }

    pub(crate) fn expose(&self) -> &[u8] {
        self.0.expose_secret()
    }

    /// Whether there is nothing in it. Nothing is ever verified with an empty secret.
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
    /// The store's own id of this version.
    pub id: String,
    /// When it was made; for the current version that is when the previous one was replaced.
    pub created_at: Option<Timestamp>,
    /// Its value.
    pub secret: Secret,
}

/// Which version is meant, in the words of Secrets Manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum VersionStage {
    /// `AWSCURRENT`.
    Current,
    /// `AWSPREVIOUS`.
    Previous,
}

/// Why a secret could not be had. What the store said is for the operator, not for a sender.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SecretError {
    /// The store is down, slow, or over its quota.
    #[error("the secret store did not answer: {0}")]
    Unavailable(String),
    /// The store answered, and there is no such secret, or no permission to read it, or nothing in it.
    #[error("the secret cannot be read: {0}")]
    Unreadable(String),
}

/// Where the secret of one endpoint is kept.
pub trait SecretStore: Send + Sync + 'static {
    /// Reads one version; `None` when the secret has no version of that stage.
    fn fetch(
        &self,
        stage: VersionStage,
    ) -> impl Future<Output = Result<Option<SecretVersion>, SecretError>> + Send;
}
