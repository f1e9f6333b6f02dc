//! The baseline of `scripts/bench` for the function `bridge`: the minimum that fetches a secret and publishes an event, with the
//! same SDK, cryptography and build profile. It does not verify signatures and has no other use.

#![allow(clippy::print_stdout, reason = "this function prints nothing")]

use aws_config::BehaviorVersion;
use aws_config::environment::{EnvironmentVariableCredentialsProvider, EnvironmentVariableRegionProvider};
use aws_smithy_http_client::tls;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::{Value, json};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    let http = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring))
        .build_https();
    let config = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .credentials_provider(EnvironmentVariableCredentialsProvider::new())
        .region(EnvironmentVariableRegionProvider::new())
        .load()
        .await;
    let secrets = &aws_sdk_secretsmanager::Client::new(&config);
    let events = &aws_sdk_eventbridge::Client::new(&config);
    let secret = &tokio::sync::OnceCell::new();
    let arn = &std::env::var("WEBHOOK_SECRET_ARN")?;
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Value>| {
        Box::pin(async move {
            let fetch = || async { secrets.get_secret_value().secret_id(arn).send().await };
            secret.get_or_try_init(fetch).await?;
            let body = event.payload["body"].as_str().unwrap_or_default();
            let entry = aws_sdk_eventbridge::types::PutEventsRequestEntry::builder()
                .event_bus_name("default")
                .source("github.com")
                .detail_type("push")
                .detail(body)
                .build();
            events.put_events().entries(entry).send().await?;
            Ok::<_, Error>(json!({"statusCode": 202, "body": "Message forwarded to Amazon EventBridge"}))
        })
    }))
    .await
}
