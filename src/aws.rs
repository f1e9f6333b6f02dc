//! The way to AWS: one HTTP client for every service.

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::{BehaviorVersion, ConfigLoader, SdkConfig};
use aws_smithy_http_client::tls;

fn loader() -> ConfigLoader {
    // ring and not AWS-LC: AWS-LC gathers entropy at start, for up to hundreds of milliseconds on small functions.
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http)
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
