//! Sources of the key ring: a fixed value, a file, or Secrets Manager.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::key_ring::{KeyError, KeyRing};
use crate::secrets::{SecretError, SecretStore as _, SecretsManager, VersionStage};

/// The shortest time between two fetches of the key ring from Secrets Manager while a key is missing.
const MIN_REFRESH_INTERVAL: Duration = Duration::from_secs(30);

pub enum KeySource {
    Static(KeyRing),
    /// A file, which is read whenever the key ring is needed, so that a key can be added while the process runs.
    #[cfg(feature = "command")]
    File(std::path::PathBuf),
    /// A secret in Secrets Manager. The key ring is fetched when it is first needed, then cached with the time of the fetch.
    SecretsManager(SecretsManager, Box<Mutex<Option<(KeyRing, Instant)>>>),
}

#[derive(Debug, thiserror::Error)]
pub enum KeySourceError {
    #[error("cannot read the secret with the encryption key: {0}")]
    Secret(SecretError),
    /// The secret in Secrets Manager has no value.
    #[error("the secret with the encryption key is empty")]
    EmptySecret,
    #[cfg(feature = "command")]
    #[error(transparent)]
    File(#[from] super::KeyFileError),
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl KeySource {
    pub fn from_secrets_manager(secret: SecretsManager) -> Self {
        Self::SecretsManager(secret, Box::default())
    }

    pub async fn key_ring(&self) -> Result<KeyRing, KeySourceError> {
        let (secret, cache) = match self {
            Self::Static(ring) => return Ok(ring.clone()),
            #[cfg(feature = "command")]
            Self::File(path) => return Ok(KeyRing::from_file(path)?),
            Self::SecretsManager(secret, cache) => (secret, cache),
        };
        let mut cache = cache.lock().await;
        if let Some((ring, _)) = &*cache {
            return Ok(ring.clone());
        }
        let ring = fetch_key_ring(secret).await?;
        *cache = Some((ring.clone(), Instant::now()));
        Ok(ring)
    }

    /// Reads the key ring without the cache. Encryption needs this: a cached key may have been removed from its source, and
    /// nothing could decrypt a secret that was encrypted with a removed key.
    pub(in crate::delivery) async fn fresh_key_ring(&self) -> Result<KeyRing, KeySourceError> {
        match self {
            Self::SecretsManager(secret, _) => fetch_key_ring(secret).await,
            _ => self.key_ring().await,
        }
    }

    /// Refreshes the cached key ring, at most once in [`MIN_REFRESH_INTERVAL`]. Returns whether the key ring may have changed.
    pub(in crate::delivery) async fn refresh(&self) -> bool {
        let (secret, cache) = match self {
            Self::Static(_) => return false,
            #[cfg(feature = "command")]
            Self::File(_) => return true,
            Self::SecretsManager(secret, cache) => (secret, cache),
        };
        let mut cache = cache.lock().await;
        if cache.as_ref().is_some_and(|(_, fetched_at)| fetched_at.elapsed() < MIN_REFRESH_INTERVAL) {
            return false;
        }
        match fetch_key_ring(secret).await {
            Ok(ring) => *cache = Some((ring, Instant::now())),
            Err(error) => {
                warn!(error = error.to_string(), "failed to refresh the encryption keys");
                return false;
            }
        }
        true
    }
}

async fn fetch_key_ring(secret: &SecretsManager) -> Result<KeyRing, KeySourceError> {
    let version = secret
        .fetch(VersionStage::Current)
        .await
        .map_err(KeySourceError::Secret)?
        .ok_or(KeySourceError::EmptySecret)?;
    let text = std::str::from_utf8(version.secret.expose()).map_err(|_| KeyError::InvalidKey)?;
    Ok(KeyRing::parse(text)?)
}
