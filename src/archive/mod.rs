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
use tokio::time::Instant;

#[cfg(feature = "command")]
pub use folder::{FolderArchive, make_private};
pub use key::key;
pub use overflow::OverflowBucket;
pub use s3::S3Archive;
pub use url::{ArchiveUrl, ArchiveUrlError};

use crate::call::CallError;

/// A verified body, to be kept as it came.
#[derive(Clone)]
pub struct Batch {
    /// Whose it is, the key's first part.
    pub provider: &'static str,
    /// The provider's own id of it; where there is none, its SHA-256 takes the place.
    pub id: Option<Vec<u8>>,
    /// When it came.
    pub received: Timestamp,
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

/// Where batches are kept.
#[derive(Clone)]
pub enum Archive {
    /// A bucket.
    S3(S3Archive),
    /// A folder of this machine.
    #[cfg(feature = "command")]
    Folder(FolderArchive),
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
        }
    }
}
