//! Shared by every use of AWS: SDK configuration, errors and their classes, retries.

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
pub use retry::retry_with_attempt_limit;

/// ring and not AWS-LC: AWS-LC gathers entropy at start, for up to hundreds of milliseconds on small functions.
const TLS_PROVIDER: tls::Provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);

/// The SDK configuration of a function: region and credentials from Lambda's environment, endpoints from
/// `AWS_ENDPOINT_URL`.
///
/// All clients share one connector. A thread creates it during startup, because reading the root certificates takes
/// longer than the rest of the startup. The SDK's default reads them once per client and again at the first request.
/// Connections have no timeout; every request has one.
pub async fn function_config() -> SdkConfig {
    let connector = Arc::new(LazyLock::new(|| {
        SharedHttpConnector::new(Connector::builder().tls_provider(TLS_PROVIDER).build())
    }));
    let thread_connector = connector.clone();
    // Without a thread, the first request creates the connector.
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

/// The SDK configuration of the command: credentials as the AWS CLI finds them.
#[cfg(feature = "command")]
pub async fn command_config() -> SdkConfig {
    let http_client = aws_smithy_http_client::Builder::new().tls_provider(TLS_PROVIDER).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http_client).load().await
}
