//! Poll checkpoint, and where it is stored.

use std::io::Write as _;
use std::path::PathBuf;

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::call::{CallError, Failure, retried};
use crate::output::chain;

/// How far a poller is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Where the first poll began.
    pub start: Timestamp,
    /// Up to when everything was asked for.
    pub until: Timestamp,
    /// What it is in the middle of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub span: Option<TimeRange>,
}

/// A range of time that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    /// The first time that is in.
    pub from: Timestamp,
    /// The first time that is not.
    pub until: Timestamp,
    /// The query of the page that comes next; none before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
}

/// Where a mark stands.
pub enum CheckpointStore {
    /// In a file of this machine.
    File(PathBuf),
    /// In an object of a bucket.
    Object {
        /// A client that does not retry.
        client: aws_sdk_s3::Client,
        /// The bucket.
        bucket: String,
        /// The object's key.
        key: String,
    },
}

impl CheckpointStore {
    /// The mark; `None` when there is none yet.
    ///
    /// # Errors
    /// [`CallError`]: it cannot be read, or what stands there is none.
    pub(super) async fn load(&self, deadline: Instant) -> Result<Option<Checkpoint>, CallError> {
        let text = match self {
            Self::File(path) => match std::fs::read(path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(CallError::Refused(error.to_string())),
            },
            Self::Object { client, bucket, key } => {
                let got = retried("GetObject", deadline, || async {
                    let got = match client.get_object().bucket(bucket).key(key).send().await {
                        Ok(got) => got,
                        Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
                        Err(error) => return Err(Failure::of_request(&error)),
                    };
                    let body = got.body.collect().await.map_err(|error| Failure::Passing(chain(&error)))?;
                    Ok(Some(body.into_bytes().to_vec()))
                });
                let Some(text) = got.await? else { return Ok(None) };
                text
            }
        };
        let garbled = || {
            CallError::Refused(String::from(
                "it is not what a poller writes; to begin anew from now, remove it (with BACK_DAYS or --poll-back from earlier)",
            ))
        };
        serde_json::from_slice(&text).map(Some).map_err(|_| garbled())
    }

    /// Writes the mark in the place of the one that is there.
    ///
    /// # Errors
    /// [`CallError`].
    pub(super) async fn save(&self, mark: &Checkpoint, deadline: Instant) -> Result<(), CallError> {
        let text = serde_json::to_vec(mark).map_err(|error| CallError::Malformed(error.to_string()))?;
        match self {
            Self::File(path) => {
                let failed = |error: std::io::Error| CallError::Refused(error.to_string());
                let new = path.with_extension("new");
                let written = std::fs::File::create(&new).and_then(|mut file| {
                    file.write_all(&text)?;
                    // On disk before it has its name: a mark that is half there would stop the poller.
                    file.sync_all()
                });
                written.and_then(|()| std::fs::rename(&new, path)).map_err(failed)
            }
            Self::Object { client, bucket, key } => {
                retried("PutObject", deadline, || async {
                    let put = client.put_object().bucket(bucket).key(key);
                    let put = put.content_type("application/json").body(ByteStream::from(text.clone()));
                    put.send().await.map_err(|error| Failure::of_request(&error))?;
                    Ok(())
                })
                .await
            }
        }
    }
}

impl std::fmt::Display for CheckpointStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Object { bucket, key, .. } => write!(f, "s3://{bucket}/{key}"),
        }
    }
}
