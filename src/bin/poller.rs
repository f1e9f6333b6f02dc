//! Entry point of the Lambda function `poller`, which polls a provider for events whose webhooks were missed.

use std::process::ExitCode;
use std::sync::Arc;

use hookbridge::archive::{Archive, S3Archive, s3_client};
use hookbridge::poller::{CheckpointStore, Poller, PollerEnvironment, PollerFunction};
use hookbridge::secrets::SecretsManager;
use hookbridge::util::output;
use hookbridge::{aws, lambda};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::de::IgnoredAny;

fn main() -> ExitCode {
    lambda::main(run())
}

async fn run() -> Result<(), Error> {
    let environment = PollerEnvironment::load(|name| std::env::var(name).ok())?;
    let config = aws::function_config().await;
    let (archive_bucket, archive_prefix) = environment.archive;
    let (checkpoint_bucket, checkpoint_key) = environment.checkpoint;
    let function = Arc::new(PollerFunction {
        poller: Poller {
            provider: environment.provider,
            polling: environment.polling,
            base_url: environment.base_url,
            archive: Archive::S3(S3Archive::new(&config, archive_bucket, archive_prefix)),
            checkpoint_store: CheckpointStore::Object {
                client: s3_client(&config),
                bucket: checkpoint_bucket,
                key: checkpoint_key,
            },
            delay: environment.delay,
            lookback: environment.lookback,
            event_types: environment.event_types,
        },
        api_key: SecretsManager::new(&config, environment.api_key_arn),
        name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
    });
    lambda_runtime::run(service_fn(move |event: LambdaEvent<IgnoredAny>| {
        let function = function.clone();
        Box::pin(async move {
            let context = event.context;
            output::print_line(&function.invoke(&context.request_id, context.deadline()).await);
            Ok::<_, Error>(())
        })
    }))
    .await
}
