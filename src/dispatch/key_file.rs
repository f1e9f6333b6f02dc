//! The key of subscribers' secrets in a file of this machine, made when it is first needed.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::keys::{KeyError, KeyRing, random};
use crate::files::make_private;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The file cannot be read or made.
    #[error(
        "the key of subscribers' secrets, {path}: {error}; `hookbridge serve` makes it beside its log; another file is named with --subscriber-key"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// What is in it is no key.
    #[error("{path}: {error}")]
    Key {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        error: KeyError,
    },
}

impl KeyRing {
    /// Reads the keys of a file.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn of_file(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
        let wrong = |error| KeyFileError::Key { path: path.to_owned(), error };
        Self::read(&std::fs::read_to_string(path).map_err(failed)?).map_err(wrong)
    }

    /// The same; makes the file, for its owner only, when it is not there.
    ///
    /// # Errors
    /// [`KeyFileError`].
    pub fn made_in_file(path: &Path) -> Result<Self, KeyFileError> {
        let failed = |error| KeyFileError::Io { path: path.to_owned(), error };
        let wrong = |error| KeyFileError::Key { path: path.to_owned(), error };
        match Self::of_file(path) {
            Err(KeyFileError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {}
            done => return done,
        }
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            make_private(folder).map_err(failed)?;
        }
        let text = format!("{}\n", hex::encode(random::<32>().map_err(wrong)?));
        // Made whole beside it and then given its name, unless somebody else was first.
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
            _ => Self::of_file(path),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    #[test]
    fn a_key_is_made_once_and_is_its_owner_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data").join("subscriber.key");
        assert!(KeyRing::of_file(&path).is_err());
        let sealed = KeyRing::made_in_file(&path).unwrap().seal(&Secret::new("x"), "a").unwrap();
        assert!(KeyRing::made_in_file(&path).unwrap().open(&sealed, "a").is_ok());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        std::fs::write(&path, "short").unwrap();
        assert!(KeyRing::of_file(&path).unwrap_err().to_string().contains("openssl rand -hex 32"));
        assert!(KeyRing::of_file(folder.path()).is_err(), "a folder");
    }
}
