//! Development secrets: made once for every provider, kept in the data folder, readable by their owner only.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::providers;

/// The file's name in the data folder.
const FILE: &str = "secrets.json";

/// Why the secrets cannot be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum DevelopmentSecretsError {
    /// The file cannot be read or written.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("{path} is not a JSON object of strings; mend it, or remove it to have new secrets made")]
    Unreadable {
        /// The file.
        path: PathBuf,
    },
    /// There is none for this provider.
    #[error(
        "no development secret for {provider} in {path}; start `hookbridge serve` once, name its folder with \
         --secret-from, or give the secret with --secret"
    )]
    Missing {
        /// The provider.
        provider: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// The file of secrets in `folder`.
pub fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// A secret for every provider: those that are kept in `folder`, and new ones where there are none yet.
///
/// # Errors
/// [`DevelopmentSecretsError`] when the file cannot be read or written.
pub fn ensure(folder: &Path) -> Result<BTreeMap<String, String>, DevelopmentSecretsError> {
    let mut secrets = read(folder)?;
    let missing: Vec<_> =
        providers::ALL.iter().filter(|p| secrets.get(p.name).is_none_or(String::is_empty)).collect();
    if !missing.is_empty() {
        for provider in missing {
            // Two random UUIDs: 244 bits from the system's generator.
            let secret = format!("dev-{}{}", uuid::Uuid::new_v4().simple(), uuid::Uuid::new_v4().simple());
            secrets.insert(provider.name.to_owned(), secret);
        }
        write(folder, &secrets).map_err(|error| DevelopmentSecretsError::Io { path: path(folder), error })?;
    }
    Ok(secrets)
}

/// The secret kept in `folder` for `provider`.
///
/// # Errors
/// [`DevelopmentSecretsError`] when there is none.
pub fn get(folder: &Path, provider: &'static str) -> Result<String, DevelopmentSecretsError> {
    let missing = || DevelopmentSecretsError::Missing { provider, path: path(folder) };
    read(folder)?.remove(provider).ok_or_else(missing)
}

fn read(folder: &Path) -> Result<BTreeMap<String, String>, DevelopmentSecretsError> {
    let path = path(folder);
    match std::fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|_| DevelopmentSecretsError::Unreadable { path }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(DevelopmentSecretsError::Io { path, error }),
    }
}

/// Writes a new file and puts it in the place of the old one, so that a crash leaves one or the other.
fn write(folder: &Path, secrets: &BTreeMap<String, String>) -> std::io::Result<()> {
    let new = folder.join(format!("{FILE}.new"));
    let mut options = OpenOptions::new();
    options.create(true).truncate(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(serde_json::to_string_pretty(secrets)?.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(new, path(folder))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_made_once_and_are_their_owners() {
        let folder = tempfile::tempdir().unwrap();
        let first = ensure(folder.path()).unwrap();
        assert_eq!(first.len(), providers::ALL.len());
        assert_eq!(ensure(folder.path()).unwrap(), first);
        assert_eq!(get(folder.path(), "github").unwrap(), first["github"]);
        assert_ne!(first["github"], first["stripe"]);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(path(folder.path())).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn what_is_missing_or_broken_is_said_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let said = get(folder.path(), "github").unwrap_err().to_string();
        assert!(said.contains("start `hookbridge serve` once"), "{said}");
        std::fs::write(path(folder.path()), "{").unwrap();
        let said = ensure(folder.path()).unwrap_err().to_string();
        assert!(said.ends_with("mend it, or remove it to have new secrets made"), "{said}");
    }
}
