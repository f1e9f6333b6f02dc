//! Detects that an open file was moved, replaced or deleted.

use std::fs::{File, Metadata};
use std::io::Error;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

/// The identity of an open file, and the path under which it was opened.
pub(super) struct FileIdentity {
    path: PathBuf,
    identity: Identity,
}

impl FileIdentity {
    pub(super) fn new(path: PathBuf, file: &File) -> std::io::Result<Self> {
        Ok(Self { path, identity: Identity::from_file(file)? })
    }

    /// Checks that the path still names the open file. Readers of the path would not find lines that are appended to a moved
    /// file.
    pub(super) fn check_unmoved(&self) -> std::io::Result<()> {
        let is_unmoved = Identity::from_path(&self.path).is_ok_and(|current| current == self.identity);
        is_unmoved.then_some(()).ok_or_else(|| {
            Error::other(format!("{} was moved or removed; restart `hookbridge serve`", self.path.display()))
        })
    }
}

/// The device number and the inode number, which identify a file on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// On Linux, `statx` reads the device and the inode number only. If `statx` also read the file's timestamps, the kernel would
/// store a new nanosecond timestamp at the next write to the file, and the next flush would have to write one more block.
impl Identity {
    /// The identity of an open file.
    fn from_file(file: &File) -> std::io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Ok(identity) = Self::from_statx(file, Path::new(""), AtFlags::EMPTY_PATH) {
            return Ok(identity);
        }
        file.metadata().map(|metadata| Self::from_metadata(&metadata))
    }

    /// The identity of the file that `path` names now.
    fn from_path(path: &Path) -> std::io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Ok(identity) = Self::from_statx(CWD, path, AtFlags::empty()) {
            return Ok(identity);
        }
        std::fs::metadata(path).map(|metadata| Self::from_metadata(&metadata))
    }

    #[cfg(target_os = "linux")]
    fn from_statx(dir: impl std::os::fd::AsFd, path: &Path, flags: AtFlags) -> rustix::io::Result<Self> {
        let stat = statx(dir, path, flags, StatxFlags::INO)?;
        let device = makedev(stat.stx_dev_major, stat.stx_dev_minor);
        Ok(Self { device, inode: stat.stx_ino })
    }

    #[cfg(unix)]
    fn from_metadata(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self { device: metadata.dev(), inode: metadata.ino() }
    }

    /// Returns the same identity for every file, because systems other than Unix do not allow moving an open file.
    #[cfg(not(unix))]
    fn from_metadata(_: &Metadata) -> Self {
        Self { device: 0, inode: 0 }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_same_identity_by_path_and_by_handle() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other_path) = (folder.path().join("file"), folder.path().join("other"));
        let file = File::create(&path).unwrap();
        let identity = Identity::from_file(&file).unwrap();
        assert_eq!(Identity::from_path(&path).unwrap(), identity);
        assert_eq!(Identity::from_metadata(&file.metadata().unwrap()), identity);
        assert!(Identity::from_path(&other_path).is_err());
        std::fs::write(&other_path, "").unwrap();
        #[cfg(unix)]
        assert_ne!(Identity::from_path(&other_path).unwrap(), identity);
    }
}
