//! The Lambda function `recorder`: reads its environment, wires the parts, runs.

use std::process::ExitCode;
use std::sync::Arc;

use hookbridge::archive::{Archive, S3Archive};
use hookbridge::bus::EventBridge;
use hookbridge::database::Database;
use hookbridge::recorder::{Environment, Recorder, RecorderFunction};
use hookbridge::secrets::SecretsManager;
use hookbridge::{aws, output};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    output::for_function();
    output::ended(run().await)
}

async fn run() -> Result<(), Error> {
    let environment = Environment::read(|name| std::env::var(name).ok())?;
    let config = aws::function_config().await;
    let secret = environment.database_secret_arn.map(|arn| SecretsManager::new(&config, arn));
    let (bucket, prefix) = environment.archive;
    let function = Arc::new(RecorderFunction {
        recorder: Recorder {
            archive: Archive::S3(S3Archive::new(&config, bucket, prefix)),
            log: Database::new(environment.database_url.as_ref(), secret)?,
            publish: environment.publish.map(|bus| Arc::new(EventBridge::new(&config, bus))),
        },
        name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        retention: environment.retention,
        keep_bytes: environment.keep_bytes,
    });
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let function = function.clone();
        Box::pin(async move {
            let context = event.context;
            let (answer, lines) =
                function.invoke(event.payload.get(), &context.request_id, context.deadline()).await?;
            lines.iter().for_each(|line| output::line(line));
            Ok::<_, Error>(answer)
        })
    }))
    .await
}
