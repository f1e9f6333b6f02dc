//! A local folder as an archive.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use tokio::time::{Instant, timeout_at};

use super::{ArchiveEntry, ArchivedPayload, PutOutcome, object_key};
use crate::aws::AwsError;
use crate::util::files::create_private_folder;

/// Subfolder for partial files, which are still being written.
const PARTIAL_FOLDER: &str = ".partial";
/// Subfolder for the archived headers of entries.
const HEADERS_FOLDER: &str = ".headers";
/// Age after which a partial file is considered left behind by a crash.
const STALE_PARTIAL_AGE: Duration = Duration::from_secs(3600);

/// An archive in a local folder.
#[derive(Clone)]
pub struct FolderArchive {
    folder: PathBuf,
}

impl FolderArchive {
    /// Opens the archive for writing. Creates the folder if it does not exist, and removes partial files that a crash left
    /// behind.
    ///
    /// # Errors
    /// The folder cannot be created or written to.
    pub fn open(folder: PathBuf) -> std::io::Result<Self> {
        let partial_folder = folder.join(PARTIAL_FOLDER);
        create_private_folder(&partial_folder)?;
        for file in std::fs::read_dir(&partial_folder)? {
            let file = file?;
            // Skip the file if it is gone: another process has finished writing it and has renamed it.
            let Ok(modified) = file.metadata().and_then(|metadata| metadata.modified()) else { continue };
            if modified.elapsed().is_ok_and(|age| age > STALE_PARTIAL_AGE) {
                std::fs::remove_file(file.path())?;
            }
        }
        tempfile::NamedTempFile::new_in(&partial_folder)?;
        Ok(Self::new(folder))
    }

    /// Opens the archive for reading; changes nothing in the folder.
    pub fn new(folder: PathBuf) -> Self {
        // Canonicalize the path, because it is part of the URL by which the log identifies an entry.
        Self { folder: folder.canonicalize().unwrap_or(folder) }
    }

    pub(super) async fn put_if_absent(
        &self,
        entry: &ArchiveEntry,
        deadline: Instant,
    ) -> Result<PutOutcome, AwsError> {
        let (path, partial_folder) = (self.folder.join(object_key(entry)), self.folder.join(PARTIAL_FOLDER));
        let (entry, headers_file) = (entry.clone(), self.folder.join(headers_path(&object_key(entry))));
        let unavailable = |last_error: String| AwsError::Unavailable { attempts: 1, last_error };
        let path_text = path.display().to_string();
        match timeout_at(
            deadline,
            tokio::task::spawn_blocking(move || write_entry(&path, &headers_file, &partial_folder, &entry)),
        )
        .await
        {
            Ok(Ok(Ok(outcome))) => Ok(outcome),
            Ok(Ok(Err(error))) => Err(unavailable(format!("{path_text}: {error}"))),
            Ok(Err(error)) => Err(unavailable(error.to_string())),
            Err(_) => Err(unavailable("the disk did not respond in time".into())),
        }
    }

    pub(super) async fn get(
        &self,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<ArchivedPayload>, AwsError> {
        let (path, headers_file) = (self.folder.join(key), self.folder.join(headers_path(key)));
        let path_text = path.display().to_string();
        let read_task = tokio::task::spawn_blocking(move || {
            let modified = std::fs::metadata(&path)?.modified()?;
            let headers: BTreeMap<String, String> = match std::fs::read(&headers_file) {
                Ok(json) => serde_json::from_slice(&json).unwrap_or_default(),
                // Entries that another program put into the folder have no headers.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
                Err(error) => return Err(error),
            };
            Ok((std::fs::read(&path)?, modified, headers))
        });
        let unavailable = |last_error: String| AwsError::Unavailable { attempts: 1, last_error };
        match timeout_at(deadline, read_task).await {
            Ok(Ok(Ok((body, modified, headers)))) => Ok(Some(ArchivedPayload {
                received_at: modified.try_into().unwrap_or_else(|_| Timestamp::now()),
                headers: headers.into_iter().collect(),
                body: body.into(),
            })),
            Ok(Ok(Err(error))) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Ok(Ok(Err(error))) => Err(AwsError::Rejected(format!("{path_text}: {error}"))),
            Ok(Err(error)) => Err(unavailable(error.to_string())),
            Err(_) => Err(unavailable("the disk did not respond in time".into())),
        }
    }

    /// Lists all keys of a provider that sort after `after`. An S3 bucket lists keys page by page, a folder lists them in one
    /// page.
    pub(super) fn list_keys(&self, provider: &str, after: Option<&str>) -> Result<Vec<String>, AwsError> {
        let folder = self.folder.join(provider);
        let list_error = |error: std::io::Error| AwsError::Rejected(format!("{}: {error}", folder.display()));
        let mut keys = Vec::new();
        let files = match std::fs::read_dir(&folder) {
            Ok(files) => files,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(keys),
            Err(error) => return Err(list_error(error)),
        };
        for file in files {
            let file = file.map_err(list_error)?;
            let key = format!("{provider}/{}", file.file_name().to_string_lossy());
            let is_file = file.file_type().is_ok_and(|kind| kind.is_file());
            // Ignore folders and files that are not archive entries.
            if !is_file || !key.ends_with(".json") {
                continue;
            }
            if after.is_none_or(|after| key.as_str() > after) {
                keys.push(key);
            }
        }
        keys.sort_unstable();
        Ok(keys)
    }

    pub(super) fn object_url(&self, key: &str) -> String {
        format!("file://{}", self.folder.join(key).display())
    }
}

/// Writes the headers of an entry before its body, so that a reader that finds the body also finds the headers.
fn write_entry(
    path: &Path,
    headers_file: &Path,
    partial_folder: &Path,
    entry: &ArchiveEntry,
) -> std::io::Result<PutOutcome> {
    let received_at = entry.received_at.into();
    if !entry.headers.is_empty() && !path.exists() {
        let map: BTreeMap<_, _> = entry.headers.iter().map(|(name, value)| (*name, value)).collect();
        write_file(headers_file, partial_folder, &serde_json::to_vec(&map)?, received_at)?;
    }
    write_file(path, partial_folder, &entry.body, received_at)
}

/// Returns the path of an entry's headers. This path lies outside the provider's folder, which contains only bodies.
fn headers_path(key: &str) -> String {
    format!("{HEADERS_FOLDER}/{key}")
}

/// Writes and flushes a partial file, then renames it to `path` unless that file exists. So a file at `path` is always complete.
/// The file's modification time is the time of arrival, `received_at`.
fn write_file(
    path: &Path,
    partial_folder: &Path,
    body: &[u8],
    received_at: SystemTime,
) -> std::io::Result<PutOutcome> {
    let folder = path.parent().unwrap_or(path);
    if !folder.exists() {
        create_private_folder(folder)?;
        sync_folder(folder.parent().unwrap_or(folder))?;
    }
    let outcome = if path.exists() {
        PutOutcome::AlreadyExists
    } else {
        let mut file = tempfile::NamedTempFile::new_in(partial_folder)?;
        file.write_all(body)?;
        file.as_file().set_modified(received_at)?;
        file.as_file().sync_all()?;
        match file.persist_noclobber(path) {
            Ok(_) => PutOutcome::Created,
            Err(error) if error.error.kind() == std::io::ErrorKind::AlreadyExists => {
                PutOutcome::AlreadyExists
            }
            Err(error) => return Err(error.error),
        }
    };
    // Sync the folder, so that the new directory entry is durable, even if another process has just created it.
    sync_folder(folder)?;
    Ok(outcome)
}

/// Flushes a folder, so that the names of its files are durable.
fn sync_folder(folder: &Path) -> std::io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn concurrent_writes_keep_the_first_and_leave_no_partial_file() {
        let folder = tempfile::tempdir().unwrap();
        let archive = std::sync::Arc::new(FolderArchive::open(folder.path().join("raw")).unwrap());
        let tasks: Vec<_> = (0..20)
            .map(|n| {
                let archive = archive.clone();
                tokio::spawn(async move {
                    let received_at = Timestamp::now();
                    let entry = ArchiveEntry {
                        provider: "sparkpost",
                        id: Some(b"one".to_vec()),
                        is_polled: false,
                        received_at,
                        headers: vec![("content-type", format!("application/json; n={n}"))],
                        body: format!("[{n}]").into(),
                    };
                    archive.put_if_absent(&entry, Instant::now() + Duration::from_secs(20)).await.unwrap()
                })
            })
            .collect();
        let mut created_count = 0;
        for task in tasks {
            created_count += usize::from(task.await.unwrap() == PutOutcome::Created);
        }
        assert_eq!(created_count, 1);
        let files = |path: &str| std::fs::read_dir(folder.path().join(path)).unwrap().count();
        assert_eq!((files("raw/sparkpost"), files("raw/.partial")), (1, 0));
        let deadline = Instant::now() + Duration::from_secs(20);
        assert_eq!(archive.list_keys("sparkpost", None).unwrap(), ["sparkpost/one.json"]);
        let payload = archive.get("sparkpost/one.json", deadline).await.unwrap().unwrap();
        assert!(payload.headers[0].1.starts_with("application/json; n="), "{:?}", payload.headers);
        assert!(archive.get("sparkpost/two.json", deadline).await.unwrap().is_none());
    }

    #[test]
    fn old_partial_files_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        FolderArchive::open(folder.path().to_owned()).unwrap();
        let create_file = |name: &str, age: Duration| {
            let file = std::fs::File::create(folder.path().join(PARTIAL_FOLDER).join(name)).unwrap();
            file.set_modified(SystemTime::now() - age).unwrap();
        };
        create_file("old", STALE_PARTIAL_AGE * 2);
        create_file("being-written", Duration::ZERO);
        FolderArchive::open(folder.path().to_owned()).unwrap();
        let remaining = std::fs::read_dir(folder.path().join(PARTIAL_FOLDER)).unwrap();
        let remaining: Vec<_> = remaining.map(|file| file.unwrap().file_name()).collect();
        assert_eq!(remaining, ["being-written"]);
    }
}
