//! Claim checks for events that are too large for a `PutEvents` entry.
//!
//! An S3 bucket stores the `detail` of such a large event. The published event carries a claim check as its `detail`: the bucket,
//! the object key and the size in bytes.

use aws_sdk_s3::primitives::ByteStream;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::s3;
use crate::aws::{AttemptFailure, AwsError, retry};
use crate::event::{Detail, Event};

/// The S3 bucket that stores the `detail` of events that are too large for a `PutEvents` entry.
#[derive(Clone)]
pub struct ClaimCheckStore {
    client: aws_sdk_s3::Client,
    bucket: String,
}

impl ClaimCheckStore {
    /// Creates a client of the S3 bucket with this name.
    pub fn new(config: &aws_config::SdkConfig, bucket: String) -> Self {
        Self { client: s3::s3_client(config), bucket }
    }

    /// Stores the `detail` of `event` unchanged as the object `<folder>/<SHA-256 of the detail>.json`, so that a retry stores the
    /// same object and no other `detail` can replace it. Returns a copy of the event with the claim check as its `detail`:
    /// `{"overflow":{"bucket":...,"key":...,"size":bytes}}`.
    ///
    /// # Errors
    /// Storing the object failed, or S3 did not confirm it before `deadline`.
    pub async fn store_detail(
        &self,
        folder: &str,
        event: &Event,
        deadline: Instant,
    ) -> Result<Event, AwsError> {
        let detail = event.detail.bytes();
        let key = format!("{folder}/{}.json", hex::encode(Sha256::digest(&detail)));
        let size = detail.len();
        retry("PutObject", deadline, || async {
            let request = self.client.put_object().bucket(&self.bucket).key(&key);
            let request = request.content_type("application/json").body(ByteStream::from(detail.clone()));
            request.send().await.map_err(|error| AttemptFailure::from_sdk_error(&error))?;
            Ok(())
        })
        .await?;
        let claim_check = json!({"overflow": {"bucket": self.bucket, "key": key, "size": size}});
        let detail = Detail::parse(claim_check.to_string().as_bytes())
            .map_err(|e| AwsError::Malformed(e.to_string()))?;
        let (source, detail_type) = (event.source.clone(), event.detail_type.clone());
        Ok(Event { source, detail_type, detail, ..event.clone() })
    }
}
