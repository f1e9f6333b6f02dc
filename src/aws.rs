//! The way to AWS: one HTTP client for every service.

use std::sync::{Arc, LazyLock};

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};

/// One connector for all clients, made on a thread of its own while the rest of the program starts: reading the root
/// certificates takes longer than all of that. The SDK's own way reads them for each client, and once more while the
/// first request waits.
fn loader() -> ConfigLoader {
    let connector = Arc::new(LazyLock::new(connector));
    let early = connector.clone();
    // Where there is no thread to be had, the first request makes it.
    let _ = std::thread::Builder::new()
        .name("certificates".into())
        .spawn(move || LazyLock::force(&early).clone());
    let http = http_client_fn(move |_, _| LazyLock::force(&connector).clone());
    aws_config::defaults(BehaviorVersion::latest()).http_client(http)
}

/// ring and not AWS-LC: AWS-LC gathers entropy at start, for up to hundreds of milliseconds on small functions.
fn connector() -> SharedHttpConnector {
    let ring = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    SharedHttpConnector::new(Connector::builder().tls_provider(ring).build())
}

/// What a function needs: region and credentials from the environment that Lambda makes, endpoints from
/// `AWS_ENDPOINT_URL` and its per-service forms.
pub async fn function_config() -> SdkConfig {
    loader()
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .region(EnvironmentVariableRegionProvider::new())
        .load()
        .await
}

/// What a person at a terminal has: the environment, profiles, IAM Identity Center, and so on, as in `aws`.
#[cfg(feature = "command")]
pub async fn command_config() -> SdkConfig {
    loader().load().await
}
