//! Archives of raw payloads, and the claim-check store.
//!
//! An [`Archive`] stores only complete entries, each under the key that [`object_key`] derives from the entry's id, and never
//! overwrites an entry. Storing an entry again therefore changes nothing.

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

use crate::aws::AwsError;

/// A raw payload to archive: the body of a verified webhook, or a response of a provider's event-list API.
#[derive(Clone)]
pub struct ArchiveEntry {
    /// The provider's name, which is the first part of the entry's key.
    pub provider: &'static str,
    /// The id that the provider gave the payload. If it is `None`, the entry's key contains the SHA-256 of the body instead.
    pub id: Option<Vec<u8>>,
    /// Whether the poller fetched the payload; otherwise the provider sent it as a webhook.
    pub is_polled: bool,
    /// When the payload arrived.
    pub received_at: Timestamp,
    /// The HTTP headers that describe the body, with lower-case names.
    pub headers: Vec<(&'static str, String)>,
    /// The raw body.
    pub body: Bytes,
}

/// The result of storing an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOutcome {
    /// The archive stored the entry.
    Created,
    /// The archive already held an entry with this key.
    AlreadyExists,
}

/// An entry as read from an archive.
pub struct ArchivedPayload {
    /// When the payload arrived.
    pub received_at: Timestamp,
    /// The HTTP headers that were archived with the body.
    pub headers: Vec<(String, String)>,
    /// The raw body.
    pub body: Bytes,
}

/// An archive of raw payloads.
#[derive(Clone)]
pub enum Archive {
    /// An S3 bucket.
    S3(S3Archive),
    /// A local folder.
    #[cfg(feature = "command")]
    Folder(FolderArchive),
    /// Wraps an archive and sends the key of every new entry to a channel.
    #[cfg(feature = "command")]
    Notifying(Box<Archive>, UnboundedSender<String>),
}

impl Archive {
    /// Stores an entry unless its key exists, and returns before `deadline`.
    ///
    /// # Errors
    /// Storing the entry failed, or was not confirmed before `deadline`. An unconfirmed entry may still be stored.
    pub async fn put_if_absent(
        &self,
        entry: &ArchiveEntry,
        deadline: Instant,
    ) -> Result<PutOutcome, AwsError> {
        match self {
            Self::S3(bucket) => bucket.put_if_absent(entry, deadline).await,
            #[cfg(feature = "command")]
            Self::Folder(folder) => folder.put_if_absent(entry, deadline).await,
            #[cfg(feature = "command")]
            Self::Notifying(archive, sender) => {
                let outcome = Box::pin(archive.put_if_absent(entry, deadline)).await?;
                if outcome == PutOutcome::Created {
                    // `send` fails only if the receiver is closed. The next run of `hookbridge serve` finds the entry, because it
                    // lists the archive at startup.
                    let _ = sender.send(object_key(entry));
                }
                Ok(outcome)
            }
        }
    }

    /// Reads the entry with this [`object_key`]; `None` if the archive has no such entry.
    ///
    /// # Errors
    /// The archive cannot be read before `deadline`.
    pub async fn get(&self, key: &str, deadline: Instant) -> Result<Option<ArchivedPayload>, AwsError> {
        match self {
            Self::S3(bucket) => bucket.get(key, deadline).await,
            #[cfg(feature = "command")]
            Self::Folder(folder) => folder.get(key, deadline).await,
            #[cfg(feature = "command")]
            Self::Notifying(archive, _) => Box::pin(archive.get(key, deadline)).await,
        }
    }

    /// Lists one page of the keys of a provider's entries: the keys that sort after `after`, in ascending order. An
    /// empty page means that no more keys follow.
    ///
    /// # Errors
    /// The archive cannot be read before `deadline`.
    #[cfg(feature = "command")]
    pub async fn list_keys(
        &self,
        provider: &str,
        after: Option<&str>,
        deadline: Instant,
    ) -> Result<Vec<String>, AwsError> {
        match self {
            Self::S3(bucket) => bucket.list_keys(provider, after, deadline).await,
            Self::Folder(folder) => folder.list_keys(provider, after),
            Self::Notifying(archive, _) => Box::pin(archive.list_keys(provider, after, deadline)).await,
        }
    }

    /// Returns the URL of the entry with this key.
    pub fn object_url(&self, key: &str) -> String {
        match self {
            Self::S3(bucket) => bucket.object_url(key),
            #[cfg(feature = "command")]
            Self::Folder(folder) => folder.object_url(key),
            #[cfg(feature = "command")]
            Self::Notifying(archive, _) => archive.object_url(key),
        }
    }

    /// Returns the [`object_key`] of an S3 object, which is the key of the object without the archive's prefix; `None`
    /// if the object does not belong to this archive.
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
