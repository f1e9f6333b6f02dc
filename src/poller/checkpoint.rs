//! The checkpoint of a poller, and its storage in a file or an S3 object.

use std::path::PathBuf;

use aws_sdk_s3::error::ProvideErrorMetadata as _;
use aws_sdk_s3::primitives::ByteStream;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::aws::{AttemptFailure, AwsError, retry};
use crate::util::error::error_chain;
use crate::util::files::replace_file;

/// How far a poller has polled its provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The start of the first range that was polled.
    pub start: Timestamp,
    /// The time up to which every event has been polled.
    pub until: Timestamp,
    /// The range whose pages are being polled; `None` between two ranges.
    #[serde(rename = "span", default, skip_serializing_if = "Option::is_none")]
    pub current_range: Option<TimeRange>,
}

/// A range of event times to poll.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimeRange {
    /// Start of the range (inclusive).
    pub from: Timestamp,
    /// End of the range (exclusive).
    pub until: Timestamp,
    /// The query string that requests the next page of the range; `None` before its first page.
    #[serde(rename = "page", default, skip_serializing_if = "Option::is_none")]
    pub next_query: Option<String>,
}

/// Where a poller stores its checkpoint.
pub enum CheckpointStore {
    /// A local file.
    File(PathBuf),
    /// An object in an S3 bucket.
    Object {
        /// An S3 client without the SDK's retries.
        client: aws_sdk_s3::Client,
        /// The bucket.
        bucket: String,
        /// The object key.
        key: String,
    },
}

impl CheckpointStore {
    /// Loads the stored checkpoint; `None` if there is none.
    ///
    /// # Errors
    /// The checkpoint cannot be read or is not valid.
    pub(super) async fn load<C: DeserializeOwned>(&self, deadline: Instant) -> Result<Option<C>, AwsError> {
        let text = match self {
            Self::File(path) => match std::fs::read(path) {
                Ok(text) => text,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(AwsError::Rejected(error.to_string())),
            },
            Self::Object { client, bucket, key } => {
                let object = retry("GetObject", deadline, || async {
                    let response = match client.get_object().bucket(bucket).key(key).send().await {
                        Ok(response) => response,
                        Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
                        Err(error) => return Err(AttemptFailure::from_sdk_error(&error)),
                    };
                    let body = response
                        .body
                        .collect()
                        .await
                        .map_err(|error| AttemptFailure::Transient(error_chain(&error)))?;
                    Ok(Some(body.into_bytes().to_vec()))
                });
                let Some(text) = object.await? else { return Ok(None) };
                text
            }
        };
        let invalid = || {
            AwsError::Rejected(String::from(
                "invalid checkpoint; delete it to start from now, or from earlier with BACK_DAYS or --poll-back",
            ))
        };
        serde_json::from_slice(&text).map(Some).map_err(|_| invalid())
    }

    /// Replaces the stored checkpoint.
    ///
    /// # Errors
    /// The checkpoint cannot be written.
    pub(super) async fn save<C: Serialize>(&self, checkpoint: &C, deadline: Instant) -> Result<(), AwsError> {
        let text = serde_json::to_vec(checkpoint).map_err(|error| AwsError::Malformed(error.to_string()))?;
        match self {
            Self::File(path) => {
                // Replace the file atomically, because the poller could not load a partly written checkpoint.
                replace_file(path, &text).map_err(|error| AwsError::Rejected(error.to_string()))
            }
            Self::Object { client, bucket, key } => {
                retry("PutObject", deadline, || async {
                    let request = client.put_object().bucket(bucket).key(key);
                    let request =
                        request.content_type("application/json").body(ByteStream::from(text.clone()));
                    request.send().await.map_err(|error| AttemptFailure::from_sdk_error(&error))?;
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
