//! A secret without versions, for `hookbridge serve`.

use std::sync::Arc;

use super::{Secret, SecretError, SecretVersion, SigningSecrets};

/// One secret without versions.
#[derive(Clone, Debug)]
pub struct StaticSecret(Arc<SecretVersion>);

impl StaticSecret {
    /// Wraps a secret that never rotates.
    pub fn new(secret: Secret) -> Self {
        Self(Arc::new(SecretVersion { id: "fixed".into(), created_at: None, secret }))
    }
}

impl SigningSecrets for StaticSecret {
    async fn current(&self) -> Result<Arc<SecretVersion>, SecretError> {
        Ok(self.0.clone())
    }

    async fn previous(&self, _current: &SecretVersion) -> Result<Option<Arc<SecretVersion>>, SecretError> {
        Ok(None)
    }

    async fn newer(
        &self,
        _callers_version: &SecretVersion,
    ) -> Result<Option<Arc<SecretVersion>>, SecretError> {
        Ok(None)
    }

    async fn store_if_absent(&self, _transmitted: &Secret) -> Result<bool, SecretError> {
        Ok(false)
    }
}
