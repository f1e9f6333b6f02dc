//! A folder of this machine as an archive.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use tokio::time::{Instant, timeout_at};

use super::{Batch, Kept, key};
use crate::call::CallError;

/// A folder.
#[derive(Clone)]
pub struct FolderArchive {
    folder: PathBuf,
}

impl FolderArchive {
    /// It is made when the first batch comes.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }
}

impl FolderArchive {
    pub(super) async fn keep(&self, batch: &Batch, deadline: Instant) -> Result<Kept, CallError> {
        let path = self.folder.join(key(batch));
        let body = batch.body.clone();
        let unavailable = |last: String| CallError::Unavailable { attempts: 1, last };
        let shown = path.display().to_string();
        match timeout_at(deadline, tokio::task::spawn_blocking(move || write(&path, &body))).await {
            Ok(Ok(Ok(kept))) => Ok(kept),
            Ok(Ok(Err(error))) => Err(unavailable(format!("{shown}: {error}"))),
            Ok(Err(error)) => Err(unavailable(error.to_string())),
            Err(_) => Err(unavailable("the disk did not answer in time".into())),
        }
    }
}

/// Writes a whole file to disk, and then gives it its name unless that is taken: nobody ever sees half of it.
fn write(path: &Path, body: &[u8]) -> std::io::Result<Kept> {
    let folder = path.parent().unwrap_or(path);
    if path.exists() {
        return Ok(Kept::Before);
    }
    make_private(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(body)?;
    file.as_file().sync_all()?;
    let kept = match file.persist_noclobber(path) {
        Ok(_) => Kept::New,
        Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => Kept::Before,
        Err(error) => return Err(error.error),
    };
    // Its name has to be on disk, too.
    std::fs::File::open(folder)?.sync_all()?;
    Ok(kept)
}

/// Makes a folder that only its owner can read, unless it is there.
///
/// # Errors
/// What the system said.
pub fn make_private(folder: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(folder)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn the_first_of_many_at_once_is_kept_and_nothing_else_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let archive = std::sync::Arc::new(FolderArchive::new(folder.path().join("raw")));
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                let archive = archive.clone();
                tokio::spawn(async move {
                    let batch = Batch {
                        provider: "sparkpost",
                        id: Some("one".into()),
                        body: format!("[{n}]").into(),
                    };
                    archive.keep(&batch, Instant::now() + Duration::from_secs(20)).await.unwrap()
                })
            })
            .collect();
        let mut new = 0;
        for task in tasks {
            new += usize::from(task.await.unwrap() == Kept::New);
        }
        assert_eq!(new, 1);
        let files: Vec<_> = std::fs::read_dir(folder.path().join("raw/sparkpost")).unwrap().collect();
        assert_eq!(files.len(), 1);
    }
}
