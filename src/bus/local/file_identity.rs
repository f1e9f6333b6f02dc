//! Detects that an open file was moved or deleted.

use std::fs::{File, Metadata};
use std::io::Error;
use std::path::{Path, PathBuf};

#[cfg(target_os = "linux")]
use rustix::fs::{AtFlags, CWD, StatxFlags, makedev, statx};

/// The path of a file that is open.
pub(super) struct FileIdentity {
    path: PathBuf,
    file: Identity,
}

impl FileIdentity {
    pub(super) fn new(path: PathBuf, file: &File) -> std::io::Result<Self> {
        Ok(Self { path, file: Identity::of(file)? })
    }

    /// Checks that the path still names the file: what is written to one that somebody has put away nobody would find.
    pub(super) fn check_unmoved(&self) -> std::io::Result<()> {
        let is_there = Identity::at(&self.path).is_ok_and(|there| there == self.file);
        is_there.then_some(()).ok_or_else(|| {
            Error::other(format!("{} was moved or removed: start hookbridge serve anew", self.path.display()))
        })
    }
}

/// What tells a file from every other one of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    number: u64,
}

/// Where Linux can be asked for nothing else, it is: a file that was asked for its times gets a new time, to the nanosecond, when
/// it is next written, and with that one more block to flush.
impl Identity {
    /// Of a file that is open.
    fn of(file: &File) -> std::io::Result<Self> {
        #[cfg(target_os = "linux")]
        if let Ok(identity) = Self::alone(file, Path::new(""), AtFlags::EMPTY_PATH) {
            return Ok(identity);
        }
        file.metadata().map(|metadata| Self::in_metadata(&metadata))
    }

    /// Of the file that has this path now.
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

    /// Elsewhere nobody can move a file that is open.
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
    fn a_file_is_itself_however_it_is_asked() {
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
