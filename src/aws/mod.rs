//! Support for all AWS requests: configures the SDK, classifies errors, and retries within a deadline.

mod error;
mod retry;

use std::sync::{Arc, LazyLock};

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};

pub use error::{AttemptFailure, AwsError};
pub(crate) use error::{ErrorClass, error_text};
pub use retry::retry;
#[cfg(feature = "command")]
pub use retry::retry_with_attempt_timeout;

/// The TLS provider is ring, because AWS-LC gathers entropy at startup. On functions with little memory, that takes up to
/// hundreds of milliseconds.
const TLS_PROVIDER: tls::Provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);

/// The SDK configuration of a Lambda function: region and credentials come from Lambda's environment variables, endpoints
/// from `AWS_ENDPOINT_URL`. The connector has no connect timeout, because the timeout of each request includes connecting.
pub async fn function_config() -> SdkConfig {
    // All clients share one connector. A thread creates the connector during startup, because reading the root certificates
    // takes longer than the rest of the startup. Without a shared connector, the SDK would read the root certificates once
    // per client and again at the first request.
    let connector = Arc::new(LazyLock::new(|| {
        SharedHttpConnector::new(Connector::builder().tls_provider(TLS_PROVIDER).build())
    }));
    let thread_connector = connector.clone();
    // If the thread cannot start, the first request creates the connector.
    let _ = std::thread::Builder::new()
        .name("certificates".into())
        .spawn(move || LazyLock::force(&thread_connector).clone());
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client_fn(move |_, _| LazyLock::force(&connector).clone()))
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .region(EnvironmentVariableRegionProvider::new())
        .load()
        .await
}

/// The SDK configuration of the command `hookbridge`, which finds credentials as the AWS CLI does.
#[cfg(feature = "command")]
pub async fn command_config() -> SdkConfig {
    let http_client = aws_smithy_http_client::Builder::new().tls_provider(TLS_PROVIDER).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http_client).load().await
}
