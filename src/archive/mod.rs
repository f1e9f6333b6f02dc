//! Raw payload archive (S3 or local folder), and the claim-check bucket for oversized events.
//!
//! An [`Archive`] promises that what it has kept is whole, is kept under the key that [`object_key`] makes of the batch's id,
//! and is never written over: the same batch, sent again, changes nothing.

mod claim_check;
#[cfg(feature = "command")]
mod folder;
mod key;
mod s3;
mod url;

use bytes::Bytes;
use jiff::Timestamp;
#[cfg(feature = "command")]
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

pub use claim_check::ClaimCheckStore;
#[cfg(feature = "command")]
pub use folder::FolderArchive;
pub use key::{is_polled, object_key};
pub use s3::{S3Archive, s3_client};
pub use url::{ArchiveUrl, ArchiveUrlError, parse_s3_location};

use crate::call::CallError;

/// A verified body, or what a provider answered us, to be kept as it came: many events, or one.
#[derive(Clone)]
pub struct ArchiveEntry {
    /// Whose it is, the key's first part.
    pub provider: &'static str,
    /// The provider's own id of it; where there is none, its SHA-256 takes the place.
    pub id: Option<Vec<u8>>,
    /// Whether we asked the provider for it; else it came by itself.
    pub is_polled: bool,
    /// When it came.
    pub received_at: Timestamp,
    /// Headers that say what the body is, by their lower-case names.
    pub headers: Vec<(&'static str, String)>,
    /// The raw body.
    pub body: Bytes,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// It is there now.
    Created,
    /// It was there before.
    AlreadyExists,
}

/// A batch as it lies in an archive.
pub struct ArchivedPayload {
    /// When it came.
    pub received_at: Timestamp,
    /// The headers that were kept with it.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Bytes,
}

/// Where batches are kept.
#[derive(Clone)]
pub enum Archive {
    /// A bucket.
    S3(S3Archive),
    /// A folder of this machine.
    #[cfg(feature = "command")]
    Folder(FolderArchive),
    /// Wraps an archive and reports the key of every new batch.
    #[cfg(feature = "command")]
    Notifying(Box<Archive>, UnboundedSender<String>),
}

impl Archive {
    /// Keeps a batch unless it is there already, and answers before `deadline`.
    ///
    /// # Errors
    /// [`CallError`]: it is not kept, or nobody can say that it is.
    pub async fn put_if_absent(
        &self,
        batch: &ArchiveEntry,
        deadline: Instant,
    ) -> Result<PutOutcome, CallError> {
        match self {
            Self::S3(bucket) => bucket.put_if_absent(batch, deadline).await,
            #[cfg(feature = "command")]
            Self::Folder(folder) => folder.put_if_absent(batch, deadline).await,
            #[cfg(feature = "command")]
            Self::Notifying(archive, watcher) => {
                let kept = Box::pin(archive.put_if_absent(batch, deadline)).await?;
                if kept == PutOutcome::Created {
                    // A closed receiver is fine: the next run rescans the archive.
                    let _ = watcher.send(object_key(batch));
                }
                Ok(kept)
            }
        }
    }

    /// Reads what lies under `key`, which is as [`object_key`] makes it; `None` when nothing does.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn get(&self, key: &str, deadline: Instant) -> Result<Option<ArchivedPayload>, CallError> {
        match self {
            Self::S3(bucket) => bucket.get(key, deadline).await,
            #[cfg(feature = "command")]
            Self::Folder(folder) => folder.get(key, deadline).await,
            #[cfg(feature = "command")]
            Self::Notifying(archive, _) => Box::pin(archive.get(key, deadline)).await,
        }
    }

    /// The keys of a provider's batches that come after `after`, in their order: some of them, or none at the end.
    ///
    /// # Errors
    /// [`CallError`].
    #[cfg(feature = "command")]
    pub async fn list_keys(
        &self,
        provider: &str,
        after: Option<&str>,
        deadline: Instant,
    ) -> Result<Vec<String>, CallError> {
        match self {
            Self::S3(bucket) => bucket.list_keys(provider, after, deadline).await,
            Self::Folder(folder) => folder.list_keys(provider, after),
            Self::Notifying(archive, _) => Box::pin(archive.list_keys(provider, after, deadline)).await,
        }
    }

    /// Where a key lies, as a URL.
    pub fn object_url(&self, key: &str) -> String {
        match self {
            Self::S3(bucket) => bucket.object_url(key),
            #[cfg(feature = "command")]
            Self::Folder(folder) => folder.object_url(key),
            #[cfg(feature = "command")]
            Self::Notifying(archive, _) => archive.object_url(key),
        }
    }

    /// The key of an object of this bucket; `None` when it is another archive's.
    pub fn key_for_s3_object<'a>(&self, bucket: &str, object: &'a str) -> Option<&'a str> {
        match self {
            Self::S3(archive) => archive.key_for_s3_object(bucket, object),
            #[cfg(feature = "command")]
            Self::Folder(_) => None,
            #[cfg(feature = "command")]
            Self::Notifying(archive, _) => archive.key_for_s3_object(bucket, object),
        }
    }
}
