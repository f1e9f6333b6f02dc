//! The key file of `hookbridge serve`, which is created when it is first needed.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::key_ring::{KeyError, KeyRing, random_bytes};
use crate::files::make_private;

#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    #[error(
        "encryption key file {path}: {error}; `hookbridge serve` creates it beside its log, name another file with --subscriber-key"
    )]
    Io { path: PathBuf, error: std::io::Error },
    #[error("{path}: {error}")]
    Key { path: PathBuf, error: KeyError },
}

impl KeyRing {
    pub fn from_file(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
        let wrong = |error| KeyFileError::Key { path: path.to_owned(), error };
        Self::parse(&std::fs::read_to_string(path).map_err(failed)?).map_err(wrong)
    }

    /// Reads the key file, or creates one with a random key that only its owner can read.
    pub fn create_in_file(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
        let wrong = |error| KeyFileError::Key { path: path.to_owned(), error };
        match Self::from_file(path) {
            Err(KeyFileError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {}
            done => return done,
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make_private(folder).map_err(failed)?;
        }
        let text = format!("{}\n", hex::encode(random_bytes::<32>().map_err(wrong)?));
        // Written beside it and then linked without overwriting, because another process may create it at the same time.
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&new).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        let linked = std::fs::hard_link(&new, path);
        let _ = std::fs::remove_file(&new);
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(failed(error)),
            _ => Self::from_file(path),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    #[test]
    fn a_key_file_is_created_once_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join("subscriber.key");
        assert!(KeyRing::from_file(&path).is_err());
        let encrypted = KeyRing::create_in_file(&path).unwrap().encrypt(&Secret::new("x"), "a").unwrap();
        assert!(KeyRing::create_in_file(&path).unwrap().decrypt(&encrypted, "a").is_ok());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "short").unwrap();
        assert!(KeyRing::from_file(&path).unwrap_err().to_string().contains("openssl rand -hex 32"));
        assert!(KeyRing::from_file(folder.path()).is_err(), "a folder");
    }
}
