//! Development secrets: one signing secret for every provider, generated once and stored in the data folder, in a file that only
//! its owner can read.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::providers::Provider;
use crate::util::files::replace_file;

const SECRETS_FILE: &str = "secrets.json";

#[derive(Debug, thiserror::Error)]
pub enum DevelopmentSecretsError {
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    #[error("{path} is not a JSON object of strings; fix it, or delete it to create new secrets")]
    Unreadable { path: PathBuf },
    #[error("the operating system has no random numbers for development secrets")]
    NoRandomNumbers,
    #[error(
        "no development secret for {provider} in {path}; start `hookbridge serve` once, name its folder with \
         --secret-from, or give the secret with --secret"
    )]
    Missing { provider: &'static str, path: PathBuf },
}

pub fn secrets_path(folder: &Path) -> PathBuf {
    folder.join(SECRETS_FILE)
}

/// Returns the development secret of each of `providers`. Generates and stores the secrets that are missing. For a provider that signs
/// with a private key, the secret is the public key, and the file contains the private key under the name `PROVIDER.private`.
pub fn ensure_secrets(
    folder: &Path,
    providers: &[&'static Provider],
) -> Result<BTreeMap<String, String>, DevelopmentSecretsError> {
    let mut secrets = read_secrets(folder)?;
    let mut is_changed = false;
    for provider in providers {
        if secrets.get(provider.name).is_none_or(String::is_empty) {
            let secret = provider
                .signature_scheme
                .generate_secret()
                .ok_or(DevelopmentSecretsError::NoRandomNumbers)?;
            if secret.signing != secret.verifying {
                secrets.insert(signing_secret_name(provider.name), secret.signing);
            }
            secrets.insert(provider.name.to_owned(), secret.verifying);
            is_changed = true;
        }
    }
    if is_changed {
        write_secrets(folder, &secrets)
            .map_err(|error| DevelopmentSecretsError::Io { path: secrets_path(folder), error })?;
    }
    Ok(secrets)
}

/// Reads the development secret with which a provider's webhooks are signed.
pub fn read_signing_secret(folder: &Path, provider: &'static str) -> Result<String, DevelopmentSecretsError> {
    let missing = || DevelopmentSecretsError::Missing { provider, path: secrets_path(folder) };
    let mut secrets = read_secrets(folder)?;
    let signing = secrets.remove(&signing_secret_name(provider));
    signing.or_else(|| secrets.remove(provider)).ok_or_else(missing)
}

/// The name of the private key in the file.
pub fn signing_secret_name(provider: &str) -> String {
    format!("{provider}.private")
}

fn read_secrets(folder: &Path) -> Result<BTreeMap<String, String>, DevelopmentSecretsError> {
    let path = secrets_path(folder);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| DevelopmentSecretsError::Unreadable { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(DevelopmentSecretsError::Io { path, error }),
    }
}

fn write_secrets(folder: &Path, secrets: &BTreeMap<String, String>) -> std::io::Result<()> {
    replace_file(&secrets_path(folder), serde_json::to_string_pretty(secrets)?.as_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::providers::PROVIDERS;

    #[test]
    fn development_secrets_are_created_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let first = ensure_secrets(folder.path(), &PROVIDERS).unwrap();
        assert!(PROVIDERS.iter().all(|provider| first.contains_key(provider.name)));
        assert_eq!(ensure_secrets(folder.path(), &PROVIDERS).unwrap(), first);
        assert_eq!(read_signing_secret(folder.path(), "github").unwrap(), first["github"]);
        assert_ne!(first["github"], first["stripe"]);
        assert_eq!(read_signing_secret(folder.path(), "discord").unwrap(), first["discord.private"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(secrets_path(folder.path())).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn a_missing_or_broken_file_is_reported_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let message = read_signing_secret(folder.path(), "github").unwrap_err().to_string();
        assert!(message.contains("start `hookbridge serve` once"), "{message}");
        std::fs::write(secrets_path(folder.path()), "{").unwrap();
        let message = ensure_secrets(folder.path(), &PROVIDERS).unwrap_err().to_string();
        assert!(message.ends_with("fix it, or delete it to create new secrets"), "{message}");
    }
}
