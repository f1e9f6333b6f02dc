//! Detection of a moved or deleted open file.

use std::fs::{File, Metadata};
use std::io::Error;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

/// The identity of an open file, and the path that should name it.
pub(super) struct FileIdentity {
    path: PathBuf,
    file: Identity,
}

impl FileIdentity {
    pub(super) fn new(path: PathBuf, file: &File) -> std::io::Result<Self> {
        Ok(Self { path, file: Identity::of(file)? })
    }

    /// Checks that the path still names the file, because readers would not find lines in a moved file.
    pub(super) fn check_unmoved(&self) -> std::io::Result<()> {
        let is_there = Identity::at(&self.path).is_ok_and(|there| there == self.file);
        is_there.then_some(()).ok_or_else(|| {
            Error::other(format!("{} was moved or removed; restart `hookbridge serve`", self.path.display()))
        })
    }
}

/// The device and inode number, unique on one machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
}

/// On Linux, `statx` queries the inode number only. After a query of its times, the kernel gives a file a
/// nanosecond-precise time on the next write, which adds a block to the flush.
impl Identity {
    /// The identity of an open file.
    fn of(file: &File) -> std::io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Ok(identity) = Self::alone(file, Path::new(""), AtFlags::EMPTY_PATH) {
            return Ok(identity);
        }
        file.metadata().map(|metadata| Self::in_metadata(&metadata))
    }

    /// The identity of the file that the path names now.
    fn at(path: &Path) -> std::io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Ok(identity) = Self::alone(CWD, path, AtFlags::empty()) {
            return Ok(identity);
        }
        std::fs::metadata(path).map(|metadata| Self::in_metadata(&metadata))
    }

    #[cfg(target_os = "linux")]
    fn alone(from: impl std::os::fd::AsFd, path: &Path, flags: AtFlags) -> rustix::io::Result<Self> {
        let asked = statx(from, path, flags, StatxFlags::INO)?;
        let device = makedev(asked.stx_dev_major, asked.stx_dev_minor);
        Ok(Self { device, number: asked.stx_ino })
    }

    #[cfg(unix)]
    fn in_metadata(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt as _;
        Self { device: metadata.dev(), number: metadata.ino() }
    }

    /// Other systems do not allow moving an open file.
    #[cfg(not(unix))]
    fn in_metadata(_: &Metadata) -> Self {
        Self { device: 0, number: 0 }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_the_same_identity_by_path_and_by_handle() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let file = File::create(&one).unwrap();
        let identity = Identity::of(&file).unwrap();
        assert_eq!(Identity::at(&one).unwrap(), identity);
        assert_eq!(Identity::in_metadata(&file.metadata().unwrap()), identity);
        assert!(Identity::at(&other).is_err());
        std::fs::write(&other, "").unwrap();
        #[cfg(unix)]
        assert_ne!(Identity::at(&other).unwrap(), identity);
    }
}
