//! Sources of encryption keys: fixed, file, or Secrets Manager.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use tracing::warn;

use super::keys::{KeyError, KeyRing};
use crate::secrets::{SecretError, SecretStore as _, SecretsManager, VersionStage};

/// How often the secret is read at most when a key is missing.
const AT_MOST_EVERY: Duration = Duration::from_secs(30);

/// Where keys are had from.
pub enum KeySource {
    /// Given.
    Fixed(KeyRing),
    /// In a file, which can get another one while it is used.
    #[cfg(feature = "command")]
    File(std::path::PathBuf),
    /// From a secret of Secrets Manager, read when it is first needed.
    Secret(SecretsManager, Box<Mutex<Option<(KeyRing, Instant)>>>),
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum NoKeys {
    /// The secret cannot be read.
    #[error("the key of subscribers' secrets: {0}")]
    Secret(SecretError),
    /// There is nothing in it.
    #[error("the key of subscribers' secrets: there is none")]
    None,
    /// The file cannot be read.
    #[cfg(feature = "command")]
    #[error(transparent)]
    File(#[from] super::KeyFileError),
    /// What is in it is none.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl KeySource {
    /// From this secret.
    pub fn secret(secret: SecretsManager) -> Self {
        Self::Secret(secret, Box::default())
    }

    /// The keys.
    ///
    /// # Errors
    /// [`NoKeys`].
    pub async fn ring(&self) -> Result<KeyRing, NoKeys> {
        let (secret, read) = match self {
            Self::Fixed(ring) => return Ok(ring.clone()),
            #[cfg(feature = "command")]
            Self::File(path) => return Ok(KeyRing::of_file(path)?),
            Self::Secret(secret, read) => (secret, read),
        };
        let mut read = read.lock().await;
        if let Some((ring, _)) = &*read {
            return Ok(ring.clone());
        }
        let ring = fetch(secret).await?;
        *read = Some((ring.clone(), Instant::now()));
        Ok(ring)
    }

    /// The keys as they are now: what is encrypted with one that has been taken out since cannot be read any more.
    ///
    /// # Errors
    /// [`NoKeys`].
    pub(super) async fn newest(&self) -> Result<KeyRing, NoKeys> {
        match self {
            Self::Secret(secret, _) => fetch(secret).await,
            _ => self.ring().await,
        }
    }

    /// Reads the keys anew, unless that was done just now; whether it was done.
    pub(super) async fn read_again(&self) -> bool {
        let (secret, read) = match self {
            Self::Fixed(_) => return false,
            #[cfg(feature = "command")]
            Self::File(_) => return true,
            Self::Secret(secret, read) => (secret, read),
        };
        let mut read = read.lock().await;
        if read.as_ref().is_some_and(|(_, when)| when.elapsed() < AT_MOST_EVERY) {
            return false;
        }
        match fetch(secret).await {
            Ok(ring) => *read = Some((ring, Instant::now())),
            Err(error) => {
                warn!(error = error.to_string(), "failed to refresh the encryption keys");
                return false;
            }
        }
        true
    }
}

async fn fetch(secret: &SecretsManager) -> Result<KeyRing, NoKeys> {
    let version = secret.fetch(VersionStage::Current).await.map_err(NoKeys::Secret)?.ok_or(NoKeys::None)?;
    let text = std::str::from_utf8(version.secret.expose()).map_err(|_| KeyError::NotAKey)?;
    Ok(KeyRing::read(text)?)
}
