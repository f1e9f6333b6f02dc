//! An S3 bucket as an archive.

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use jiff::Timestamp;
use percent_encoding::{percent_decode_str, percent_encode};
use tokio::time::{Instant, timeout_at};

use super::key::{ID_ENCODE_SET, object_key};
use super::{ArchiveEntry, ArchivedPayload, PutOutcome};
use crate::aws::{AttemptFailure, AwsError, retry};
use crate::util::error::error_chain;

/// Prefix of the names of the HTTP headers in an object's metadata.
const METADATA_PREFIX: &str = "header-";

/// Creates an S3 client without the SDK's retries, because the SDK does not know the deadline of the caller. `aws::retry` retries
/// instead.
pub fn s3_client(config: &aws_config::SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
    aws_sdk_s3::Client::from_conf(config)
}

/// An archive in an S3 bucket, under a prefix.
#[derive(Clone)]
pub struct S3Archive {
    client: aws_sdk_s3::Client,
    bucket: String,
    prefix: String,
}

impl S3Archive {
    /// Creates a client of the archive; `prefix` is empty or ends with a slash.
    pub fn new(config: &aws_config::SdkConfig, bucket: String, prefix: String) -> Self {
        Self { client: s3_client(config), bucket, prefix }
    }

    pub(super) async fn put_if_absent(
        &self,
        entry: &ArchiveEntry,
        deadline: Instant,
    ) -> Result<PutOutcome, AwsError> {
        let key = format!("{}{}", self.prefix, object_key(entry));
        // The key contains only the hash of a long id, so the metadata contains the id itself, percent-encoded.
        let id = percent_encode(entry.id.as_deref().unwrap_or_default(), &ID_ENCODE_SET).to_string();
        retry("PutObject", deadline, || async {
            let request = self.client.put_object().bucket(&self.bucket).key(&key).if_none_match("*");
            let request = request.content_type("application/json").body(ByteStream::from(entry.body.clone()));
            let request = request.metadata("received", entry.received_at.to_string()).metadata("id", &id);
            let request = entry.headers.iter().fold(request, |request, (name, value)| {
                let value = percent_encode(value.as_bytes(), &ID_ENCODE_SET).to_string();
                request.metadata(format!("{METADATA_PREFIX}{name}"), value)
            });
            match request.send().await {
                Ok(_) => Ok(PutOutcome::Created),
                Err(error) => match &error {
                    // "Conditional writes", Amazon S3 User Guide: 412 if the object exists, 409 if another request
                    // writes it.
                    SdkError::ServiceError(response) if response.raw().status().as_u16() == 412 => {
                        Ok(PutOutcome::AlreadyExists)
                    }
                    SdkError::ServiceError(response) if response.raw().status().as_u16() == 409 => {
                        Err(AttemptFailure::Transient("another request is writing the same object".into()))
                    }
                    _ => Err(AttemptFailure::from_sdk_error(&error)),
                },
            }
        })
        .await
    }

    pub(super) async fn get(
        &self,
        key: &str,
        deadline: Instant,
    ) -> Result<Option<ArchivedPayload>, AwsError> {
        let key = format!("{}{key}", self.prefix);
        let result = retry("GetObject", deadline, || async {
            let response = match self.client.get_object().bucket(&self.bucket).key(&key).send().await {
                Ok(response) => response,
                Err(error) if error.code() == Some("NoSuchKey") => return Ok(None),
                Err(error) => return Err(AttemptFailure::from_sdk_error(&error)),
            };
            let metadata_time =
                response.metadata().and_then(|metadata| metadata.get("received")?.parse().ok());
            let modified_time =
                response.last_modified().and_then(|time| Timestamp::from_second(time.secs()).ok());
            let received_at = metadata_time.or(modified_time).unwrap_or_else(Timestamp::now);
            let headers = response.metadata().into_iter().flatten().filter_map(|(name, value)| {
                let value = percent_decode_str(value).decode_utf8().ok()?;
                Some((name.strip_prefix(METADATA_PREFIX)?.to_owned(), value.into_owned()))
            });
            let headers: Vec<_> = headers.collect();
            Ok(Some((received_at, headers, response.body)))
        });
        let Some((received_at, headers, body)) = result.await? else { return Ok(None) };
        // Read the body outside of `retry`, because a large body may take longer than `retry` allows one attempt to take.
        let unavailable = |last_error: String| AwsError::Unavailable { attempts: 1, last_error };
        match timeout_at(deadline, body.collect()).await {
            Ok(Ok(body)) => Ok(Some(ArchivedPayload { received_at, headers, body: body.into_bytes() })),
            Ok(Err(error)) => Err(unavailable(error_chain(&error))),
            Err(_) => Err(unavailable("reading the body timed out".into())),
        }
    }

    #[cfg(feature = "command")]
    pub(super) async fn list_keys(
        &self,
        provider: &str,
        after: Option<&str>,
        deadline: Instant,
    ) -> Result<Vec<String>, AwsError> {
        let mut after = after.map(|after| format!("{}{after}", self.prefix));
        let prefix = format!("{}{provider}/", self.prefix);
        loop {
            let page = retry("ListObjectsV2", deadline, || async {
                let request = self.client.list_objects_v2().bucket(&self.bucket).prefix(&prefix);
                let result = request.set_start_after(after.clone()).send().await;
                result.map_err(|error| AttemptFailure::from_sdk_error(&error))
            });
            let page = page.await?;
            // Ignore objects that the archive did not write, such as the empty object that the S3 console creates for a
            // folder.
            let keys = page.contents().iter().filter_map(|object| object.key()?.strip_prefix(&self.prefix));
            let keys: Vec<_> = keys.filter(|key| key.ends_with(".json")).map(str::to_owned).collect();
            let last = page.contents().last().and_then(|object| object.key());
            if !keys.is_empty() || page.is_truncated() != Some(true) || last.is_none() {
                return Ok(keys);
            }
            after = last.map(str::to_owned);
        }
    }

    pub(super) fn object_url(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.bucket, self.prefix)
    }

    pub(super) fn key_for_s3_object<'a>(&self, bucket: &str, object: &'a str) -> Option<&'a str> {
        object.strip_prefix(&self.prefix).filter(|_| bucket == self.bucket)
    }
}
