//! Support for all AWS requests: configures the SDK, classifies errors, and retries within a deadline.

mod error;
mod retry;

use std::sync::{Arc, LazyLock};

use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_config::meta::region::ProvideRegion;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::{Connector, tls};
use aws_smithy_runtime_api::client::http::{SharedHttpConnector, http_client_fn};
use aws_types::sdk_config::SharedCredentialsProvider;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};

pub use error::{AttemptFailure, AwsError};
pub(crate) use error::{ErrorClass, error_text};
pub use retry::retry;
#[cfg(feature = "command")]
pub use retry::retry_with_attempt_timeout;

/// The TLS provider is ring, because AWS-LC gathers entropy at startup. On functions with little memory, that takes up to
/// hundreds of milliseconds.
const TLS_PROVIDER: tls::Provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);

/// The SDK configuration of a Lambda function: region, credentials and endpoints come from environment variables only. The loader
/// of `aws_config` would also read profiles, and link every other credential provider. The connector has no connect timeout,
/// because the timeout of each request includes connecting.
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
    let mut config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client_fn(move |_, _| LazyLock::force(&connector).clone()))
        .credentials_provider(SharedCredentialsProvider::new(EnvironmentVariableCredentialsProvider::new()))
        .region(EnvironmentVariableRegionProvider::new().region().await)
        .service_config(EndpointVariables);
    config.set_endpoint_url(variable("AWS_ENDPOINT_URL"));
    config.set_use_fips(variable("AWS_USE_FIPS_ENDPOINT").map(|value| value == "true"));
    config.set_use_dual_stack(variable("AWS_USE_DUALSTACK_ENDPOINT").map(|value| value == "true"));
    config.build()
}

/// The environment variables with the endpoint of one service: `AWS_ENDPOINT_URL_SECRETS_MANAGER`.
#[derive(Debug)]
struct EndpointVariables;

impl LoadServiceConfig for EndpointVariables {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        let service = key.service_id().to_ascii_uppercase().replace(' ', "_");
        variable(&format!("{}_{service}", key.env()))
    }
}

/// An environment variable that is not empty.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The SDK configuration of the command `hookbridge`, which finds credentials as the AWS CLI does.
#[cfg(feature = "command")]
pub async fn command_config() -> SdkConfig {
    let http_client = aws_smithy_http_client::Builder::new().tls_provider(TLS_PROVIDER).build_https();
    aws_config::defaults(BehaviorVersion::latest()).http_client(http_client).load().await
}
