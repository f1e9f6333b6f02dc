//! AWS Secrets Manager as a [`SecretStore`].

use std::time::Duration;

use aws_sdk_secretsmanager::config::retry::RetryConfig;
use aws_sdk_secretsmanager::config::timeout::TimeoutConfig;
use aws_sdk_secretsmanager::error::{ProvideErrorMetadata, SdkError};
use jiff::Timestamp;

use super::{Secret, SecretError, SecretStore, SecretVersion, VersionStage};
use crate::aws::ErrorClass;
use crate::util::error::error_chain;

/// The idempotency token of the first version. Secrets Manager stores one version for each token, so if two handshakes arrive at
/// once, only one of them stores its secret.
const FIRST_VERSION_TOKEN: &str = "hookbridge-first-version-of-this-secret";

/// A client of one secret in Secrets Manager.
pub struct SecretsManager {
    client: aws_sdk_secretsmanager::Client,
    arn: String,
}

impl SecretsManager {
    /// Creates a client of the secret `arn` (an ARN or a name). Reading the secret takes at most two attempts and 3 s, so that
    /// the webhook that needs the secret still gets its response in time.
    pub fn new(config: &aws_config::SdkConfig, arn: String) -> Self {
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_millis(1400))
            .operation_timeout(Duration::from_secs(3))
            .build();
        let retry_config =
            RetryConfig::standard().with_max_attempts(2).with_initial_backoff(Duration::from_millis(100));
        let config = aws_sdk_secretsmanager::config::Builder::from(config)
            .timeout_config(timeouts)
            .retry_config(retry_config)
            .build();
        Self { client: aws_sdk_secretsmanager::Client::from_conf(config), arn }
    }
}

impl SecretStore for SecretsManager {
    async fn fetch(&self, stage: VersionStage) -> Result<Option<SecretVersion>, SecretError> {
        let stage_name = match stage {
            VersionStage::Current => "AWSCURRENT",
            VersionStage::Previous => "AWSPREVIOUS",
        };
        let request = self.client.get_secret_value().secret_id(&self.arn).version_stage(stage_name);
        match request.send().await {
            Ok(response) => {
                let value = response.secret_string.map(String::into_bytes);
                let value = value.or_else(|| {
                    response.secret_binary.map(aws_sdk_secretsmanager::primitives::Blob::into_inner)
                });
                let secret = value.map(Secret::new).filter(|secret| !secret.is_empty());
                let secret =
                    secret.ok_or_else(|| SecretError::Unreadable(format!("{stage_name} is empty")))?;
                let created_at = response.created_date.and_then(|t| Timestamp::from_second(t.secs()).ok());
                Ok(Some(SecretVersion { id: response.version_id.unwrap_or_default(), created_at, secret }))
            }
            Err(error) => match error.code() {
                // Secrets Manager returns the same code for a missing secret and for a missing version.
                Some("ResourceNotFoundException") => Ok(None),
                code => Err(classify_error(code, &error)),
            },
        }
    }

    async fn store_first_version(&self, secret: &Secret) -> Result<bool, SecretError> {
        let value = String::from_utf8(secret.expose().to_vec())
            .map_err(|_| SecretError::Unreadable("the provider's secret is not UTF-8".into()))?;
        let request = self.client.put_secret_value().secret_id(&self.arn).secret_string(value);
        match request.client_request_token(FIRST_VERSION_TOKEN).send().await {
            Ok(_) => Ok(true),
            Err(error) => match error.code() {
                // Another request stored a different first version.
                Some("ResourceExistsException") => Ok(false),
                code => Err(classify_error(code, &error)),
            },
        }
    }
}

fn classify_error<E>(code: Option<&str>, error: &SdkError<E>) -> SecretError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let SdkError::ServiceError(service) = error else {
        return SecretError::Unavailable(error_chain(error));
    };
    let (code, message) = (code.unwrap_or("no code"), error.message().unwrap_or("no message"));
    let error_text = format!("{code}: {message}");
    match ErrorClass::of_response(service.raw().status().as_u16(), code, message) {
        ErrorClass::Transient => SecretError::Unavailable(error_text),
        ErrorClass::TooLarge | ErrorClass::Permanent => SecretError::Unreadable(error_text),
    }
}
