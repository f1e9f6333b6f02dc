//! Entry point of the Lambda function `subscribers`, which serves the HTTP API that manages subscribers and deliveries.

use std::process::ExitCode;
use std::sync::Arc;

use hookbridge::api::{Api, ApiFunction, Authenticator};
use hookbridge::db::Database;
use hookbridge::delivery::{
    DeliveryClient, DeliveryStore, KeySource, SsrfGuard, SubscriberService, SubscribersEnvironment,
};
use hookbridge::secrets::SecretsManager;
use hookbridge::{aws, lambda};
use jiff::Timestamp;
use lambda_runtime::Error;

fn main() -> ExitCode {
    lambda::main(run())
}

async fn run() -> Result<(), Error> {
    let environment = SubscribersEnvironment::from_variables(|name| std::env::var(name).ok())?;
    let config = aws::function_config().await;
    let secret = |arn| SecretsManager::new(&config, arn);
    let authenticator = Authenticator::for_function(environment.tokens_secret_arn.map(secret));
    let credentials = environment.database_secret_arn.map(secret);
    let service = SubscriberService {
        store: DeliveryStore::new(Database::for_function(environment.database_url.as_ref(), credentials)?),
        keys: KeySource::from_secrets_manager(secret(environment.subscriber_key_arn)),
        client: DeliveryClient::new(SsrfGuard::new(environment.allowed_networks))?,
        clock: Arc::new(Timestamp::now),
    };
    let api = Api::new(authenticator).with_subscribers(service);
    let audit_name = Some(std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default());
    ApiFunction { api, is_streaming: false, audit_name }.run().await
}
