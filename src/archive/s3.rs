//! A bucket, or a part of one, as an archive.

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::primitives::ByteStream;
use percent_encoding::percent_encode;
use tokio::time::Instant;

use super::key::{OF_IDS, key};
use super::{Batch, Kept};
use crate::call::{CallError, Failure, retried};

/// A client whose own retries are off: it does not know how long this invocation has left.
pub(super) fn client(config: &aws_config::SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(config).retry_config(RetryConfig::disabled()).build();
    aws_sdk_s3::Client::from_conf(config)
}

/// A bucket, and a prefix in it.
#[derive(Clone)]
pub struct S3Archive {
    client: aws_sdk_s3::Client,
    bucket: String,
    prefix: String,
}

impl S3Archive {
    /// `prefix` is empty, or ends with a slash.
    pub fn new(config: &aws_config::SdkConfig, bucket: String, prefix: String) -> Self {
        Self { client: client(config), bucket, prefix }
    }
}

impl S3Archive {
    pub(super) async fn keep(&self, batch: &Batch, deadline: Instant) -> Result<Kept, CallError> {
        let key = format!("{}{}", self.prefix, key(batch));
        // Metadata is ASCII; the key does not hold all of an id that is long.
        let id = percent_encode(batch.id.as_deref().unwrap_or_default(), &OF_IDS).to_string();
        retried("PutObject", deadline, || async {
            let put = self.client.put_object().bucket(&self.bucket).key(&key).if_none_match("*");
            let put = put.content_type("application/json").body(ByteStream::from(batch.body.clone()));
            let put = put.metadata("received", batch.received.to_string()).metadata("id", &id);
            match put.send().await {
                Ok(_) => Ok(Kept::New),
                Err(error) => match &error {
                    // "Conditional writes", Amazon S3 User Guide: 412, it is there; 409, somebody is writing it.
                    SdkError::ServiceError(said) if said.raw().status().as_u16() == 412 => Ok(Kept::Before),
                    SdkError::ServiceError(said) if said.raw().status().as_u16() == 409 => {
                        Err(Failure::Passing("the same batch is being written".into()))
                    }
                    _ => Err(Failure::of_request(&error)),
                },
            }
        })
        .await
    }
}
