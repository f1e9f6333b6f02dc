//! Entry point of the Lambda function `poller`, which polls a provider for events whose webhooks were missed, or requests failed
//! deliveries of GitHub again.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

use hookbridge::archive::{Archive, S3Archive, s3_client};
use hookbridge::poller::redelivery::{Redeliverer, RedeliveryEnvironment, RedeliveryFunction};
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
    if std::env::var("PROVIDER").is_ok_and(|provider| provider == "github") {
        return run_redelivery().await;
    }
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
    poll_on_invocation(move |request_id, deadline| {
        let function = function.clone();
        async move { function.invoke(&request_id, deadline).await }
    })
    .await
}

async fn run_redelivery() -> Result<(), Error> {
    let environment = RedeliveryEnvironment::load(|name| std::env::var(name).ok())?;
    let config = aws::function_config().await;
    let (bucket, key) = environment.checkpoint;
    let function = Arc::new(RedeliveryFunction {
        redeliverer: Redeliverer {
            hook: environment.hook,
            base_url: environment.base_url,
            checkpoint_store: CheckpointStore::Object { client: s3_client(&config), bucket, key },
            delay: environment.delay,
            lookback: environment.lookback,
        },
        token: SecretsManager::new(&config, environment.token_arn),
        name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
    });
    poll_on_invocation(move |request_id, deadline| {
        let function = function.clone();
        async move { function.invoke(&request_id, deadline).await }
    })
    .await
}

/// Polls at each invocation, and prints the log line of the poll.
async fn poll_on_invocation<F>(poll: impl Fn(String, SystemTime) -> F) -> Result<(), Error>
where
    F: Future<Output = String> + Send + 'static,
{
    lambda_runtime::run(service_fn(move |event: LambdaEvent<IgnoredAny>| {
        let deadline = event.context.deadline();
        let line = Box::pin(poll(event.context.request_id, deadline));
        async move {
            output::print_line(&line.await);
            Ok::<_, Error>(())
        }
    }))
    .await
}
