//! What is kept as it came: batches under their id, and details that are too large for the bus.
//!
//! An [`Archive`] promises that what it has kept is whole, is kept under the key that [`key()`] makes of the batch's id,
//! and is never written over: the same batch, sent again, changes nothing.

#[cfg(feature = "command")]
mod folder;
mod key;
mod overflow;
mod s3;
mod url;

use bytes::Bytes;
use jiff::Timestamp;
#[cfg(feature = "command")]
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

#[cfg(feature = "command")]
pub use folder::FolderArchive;
pub use key::{is_polled, key};
pub use overflow::OverflowBucket;
pub use s3::{S3Archive, client};
pub use url::{ArchiveUrl, ArchiveUrlError, bucket};

use crate::call::CallError;

/// A verified body, or what a provider answered us, to be kept as it came: many events, or one.
#[derive(Clone)]
pub struct Batch {
    /// Whose it is, the key's first part.
    pub provider: &'static str,
    /// The provider's own id of it; where there is none, its SHA-256 takes the place.
    pub id: Option<Vec<u8>>,
    /// Whether we asked the provider for it; else it came by itself.
    pub polled: bool,
    /// When it came.
    pub received: Timestamp,
    /// Headers that say what the body is, by their lower-case names.
    pub headers: Vec<(&'static str, String)>,
    /// The raw body.
    pub body: Bytes,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is there now.
    New,
    /// It was there before.
    Before,
}

/// A batch as it lies in an archive.
pub struct Stored {
    /// When it came.
    pub received: Timestamp,
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
    /// Another archive, and who is told the key of each batch that is new in it.
    #[cfg(feature = "command")]
    Watched(Box<Archive>, UnboundedSender<String>),
}

impl Archive {
    /// Keeps a batch unless it is there already, and answers before `deadline`.
    ///
    /// # Errors
    /// [`CallError`]: it is not kept, or nobody can say that it is.
    pub async fn keep(&self, batch: &Batch, deadline: Instant) -> Result<Kept, CallError> {
        match self {
            Self::S3(bucket) => bucket.keep(batch, deadline).await,
            #[cfg(feature = "command")]
            Self::Folder(folder) => folder.keep(batch, deadline).await,
            #[cfg(feature = "command")]
            Self::Watched(archive, watcher) => {
                let kept = Box::pin(archive.keep(batch, deadline)).await?;
                if kept == Kept::New {
                    // Who has gone away finds it when it comes back.
                    let _ = watcher.send(key(batch));
                }
                Ok(kept)
            }
        }
    }

    /// Reads what lies under `key`, which is as [`key()`] makes it; `None` when nothing does.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn read(&self, key: &str, deadline: Instant) -> Result<Option<Stored>, CallError> {
        match self {
            Self::S3(bucket) => bucket.read(key, deadline).await,
            #[cfg(feature = "command")]
            Self::Folder(folder) => folder.read(key, deadline).await,
            #[cfg(feature = "command")]
            Self::Watched(archive, _) => Box::pin(archive.read(key, deadline)).await,
        }
    }

    /// The keys of a provider's batches that come after `after`, in their order: some of them, or none at the end.
    ///
    /// # Errors
    /// [`CallError`].
    #[cfg(feature = "command")]
    pub async fn list(
        &self,
        provider: &str,
        after: Option<&str>,
        deadline: Instant,
    ) -> Result<Vec<String>, CallError> {
        match self {
            Self::S3(bucket) => bucket.list(provider, after, deadline).await,
            Self::Folder(folder) => folder.list(provider, after),
            Self::Watched(archive, _) => Box::pin(archive.list(provider, after, deadline)).await,
        }
    }

    /// Where a key lies, as a URL.
    pub fn url_of(&self, key: &str) -> String {
        match self {
            Self::S3(bucket) => bucket.url_of(key),
            #[cfg(feature = "command")]
            Self::Folder(folder) => folder.url_of(key),
            #[cfg(feature = "command")]
            Self::Watched(archive, _) => archive.url_of(key),
        }
    }

    /// The key of an object of this bucket; `None` when it is another archive's.
    pub fn key_in<'a>(&self, bucket: &str, object: &'a str) -> Option<&'a str> {
        match self {
            Self::S3(archive) => archive.key_in(bucket, object),
            #[cfg(feature = "command")]
            Self::Folder(_) => None,
            #[cfg(feature = "command")]
            Self::Watched(archive, _) => archive.key_in(bucket, object),
        }
    }
}
