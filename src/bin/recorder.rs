//! Entry point of the Lambda function `recorder`, which records archived batches and bus events in the log.

use std::process::ExitCode;
use std::sync::Arc;

use hookbridge::archive::{Archive, S3Archive};
use hookbridge::bus::EventBridge;
use hookbridge::db::Database;
use hookbridge::log::EventLog;
use hookbridge::recorder::{Recorder, RecorderEnvironment, RecorderFunction};
use hookbridge::secrets::SecretsManager;
use hookbridge::{aws, lambda};
use lambda_runtime::Error;

fn main() -> ExitCode {
    lambda::main(run())
}

async fn run() -> Result<(), Error> {
    let environment = RecorderEnvironment::load(|name| std::env::var(name).ok())?;
    let config = aws::function_config().await;
    let secret = environment.database_secret_arn.map(|arn| SecretsManager::new(&config, arn));
    let (bucket, prefix) = environment.archive;
    let function = Arc::new(RecorderFunction {
        recorder: Recorder {
            archive: Archive::S3(S3Archive::new(&config, bucket, prefix)),
            log: EventLog::new(Database::for_function(environment.database_url.as_ref(), secret)?),
            bus: environment.event_bus.map(|bus| Arc::new(EventBridge::new(&config, bus))),
        },
        name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        retention: environment.retention,
        retention_bytes: environment.retention_bytes,
    });
    lambda::run_function(move |event, request_id, deadline| {
        let function = function.clone();
        async move { function.invoke(event.get(), &request_id, deadline).await }
    })
    .await
}
