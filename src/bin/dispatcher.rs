//! Entry point of the Lambda function `dispatcher`, which delivers events to subscribers as signed webhooks.

use std::process::ExitCode;
use std::sync::Arc;

use hookbridge::bus::EventBridge;
use hookbridge::db::Database;
use hookbridge::delivery::{
    DeliveryClient, DeliveryStore, DeliveryWorker, DispatcherEnvironment, DispatcherFunction, KeySource,
    SsrfGuard, WakeQueue,
};
use hookbridge::secrets::SecretsManager;
use hookbridge::{aws, lambda};
use jiff::Timestamp;
use lambda_runtime::Error;

fn main() -> ExitCode {
    lambda::main(run())
}

async fn run() -> Result<(), Error> {
    let environment = DispatcherEnvironment::from_variables(|name| std::env::var(name).ok())?;
    let config = aws::function_config().await;
    let secret = environment.database_secret_arn.map(|arn| SecretsManager::new(&config, arn));
    let store = DeliveryStore::new(Database::for_function(environment.database_url.as_ref(), secret)?);
    let keys = KeySource::from_secrets_manager(SecretsManager::new(&config, environment.subscriber_key_arn));
    let client = DeliveryClient::new(SsrfGuard::new(environment.allowed_networks))?;
    let bus = EventBridge::new(&config, environment.bus);
    let worker = DeliveryWorker::new(store, keys, client, bus, Arc::new(Timestamp::now))
        .with_wake_queue(WakeQueue::new(&config, environment.queue_url));
    let function = Arc::new(DispatcherFunction {
        worker: Arc::new(worker),
        name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        retention: environment.retention,
    });
    lambda::run_function(move |event, request_id, deadline| {
        let function = function.clone();
        async move { function.invoke(event.get(), &request_id, deadline).await }
    })
    .await
}
