//! Shared AWS SDK configuration.

use std::sync::{Arc, LazyLock};

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};

/// ring and not AWS-LC: AWS-LC gathers entropy at start, for up to hundreds of milliseconds on small functions.
const RING: tls::Provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);

/// What a function needs: region and credentials from the environment that Lambda makes, endpoints from
/// `AWS_ENDPOINT_URL` and its per-service forms.
///
/// All its clients have one connector, made on a thread of its own while the rest of the program starts: reading the
/// root certificates takes longer than all of that. The SDK's own way reads them for each client, and once more while
/// the first request waits. There is no limit to the time of a connection: every call has one of its own.
pub async fn function_config() -> SdkConfig {
    let connector =
        Arc::new(LazyLock::new(|| SharedHttpConnector::new(Connector::builder().tls_provider(RING).build())));
    let early = connector.clone();
    // Where there is no thread to be had, the first request makes it.
    let _ = std::thread::Builder::new()
        .name("certificates".into())
        .spawn(move || LazyLock::force(&early).clone());
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client_fn(move |_, _| LazyLock::force(&connector).clone()))
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .region(EnvironmentVariableRegionProvider::new())
        .load()
        .await
}

/// What a person at a terminal has: the environment, profiles, IAM Identity Center, and so on, as in `aws`.
#[cfg(feature = "command")]
pub async fn command_config() -> SdkConfig {
    let http = aws_smithy_http_client::Builder::new().tls_provider(RING).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http).load().await
}
