//! A secret that was given once and stays: on one machine.

use std::sync::Arc;

use super::{Keys, Secret, SecretError, Version};

/// One secret without versions.
#[derive(Clone, Debug)]
pub struct FixedKey(Arc<Version>);

impl FixedKey {
    /// The only secret there is.
    pub fn new(secret: Secret) -> Self {
        Self(Arc::new(Version { id: "fixed".into(), created: None, secret }))
    }
}

impl Keys for FixedKey {
    async fn current(&self) -> Result<Arc<Version>, SecretError> {
        Ok(self.0.clone())
    }

    async fn previous(&self, _current: &Version) -> Result<Option<Arc<Version>>, SecretError> {
        Ok(None)
    }

    async fn newer(&self, _current: &Version) -> Result<Option<Arc<Version>>, SecretError> {
        Ok(None)
    }
}
