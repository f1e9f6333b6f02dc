//! The file with the keys that encrypt subscribers' secrets. `hookbridge serve` creates the file if it does not exist.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::key_ring::{KeyError, KeyRing, random_bytes};
use crate::util::files::create_private_folder;

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
        let io_error = |error| KeyFileError::Io { path: path.to_owned(), error };
        let key_error = |error| KeyFileError::Key { path: path.to_owned(), error };
        Self::parse(&std::fs::read_to_string(path).map_err(io_error)?).map_err(key_error)
    }

    /// Reads the key file. If the file does not exist, first creates it with a random key; only the file's owner can read it.
    pub fn load_or_create(path: &Path) -> Result<Self, KeyFileError> {
        let io_error = |error| KeyFileError::Io { path: path.to_owned(), error };
        let key_error = |error| KeyFileError::Key { path: path.to_owned(), error };
        match Self::from_file(path) {
            Err(KeyFileError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {}
            result => return result,
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            create_private_folder(folder).map_err(io_error)?;
        }
        let text = format!("{}\n", hex::encode(random_bytes::<32>().map_err(key_error)?));
        // The key is written to a temporary file, to which `path` then becomes a hard link. If another process has created the
        // key file meanwhile, linking fails and that process's key is used.
        let temporary = path.with_extension(format!("new-{}", std::process::id()));
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&temporary).map_err(io_error)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(io_error)?;
        let linked = std::fs::hard_link(&temporary, path);
        let _ = std::fs::remove_file(&temporary);
        match linked {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(io_error(error)),
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
        let encrypted = KeyRing::load_or_create(&path).unwrap().encrypt(&Secret::new("x"), "a").unwrap();
        assert!(KeyRing::load_or_create(&path).unwrap().decrypt(&encrypted, "a").is_ok());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "short").unwrap();
        assert!(KeyRing::from_file(&path).unwrap_err().to_string().contains("openssl rand -hex 32"));
        assert!(KeyRing::from_file(folder.path()).is_err(), "a folder is not a key file");
    }
}
