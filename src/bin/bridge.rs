//! Entry point of the Lambda function `bridge`, which receives webhooks, verifies them, and publishes or archives
//! them.

use std::process::ExitCode;
use std::sync::Arc;

use hookbridge::archive::{Archive, ClaimCheckStore, S3Archive};
use hookbridge::bridge::{
    BridgeEnvironment, BridgeFunction, RefusalLogLimiter, RepeatWindow, WebhookHandler,
};
use hookbridge::bus::{EventBridge, SpillQueue};
use hookbridge::lambda::Invocation;
use hookbridge::secrets::{CachedSecrets, SecretsManager};
use hookbridge::util::output;
use hookbridge::{aws, lambda};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

fn main() -> ExitCode {
    lambda::main(run())
}

async fn run() -> Result<(), Error> {
    let environment = BridgeEnvironment::load(|name| std::env::var(name).ok())?;
    let config = aws::function_config().await;
    let bus = EventBridge::new(&config, environment.bus);
    let overflow_store = environment.overflow_bucket.map(|bucket| ClaimCheckStore::new(&config, bucket));
    let spill_queue = environment.spill_queue_url.map(|url| SpillQueue::new(&config, url));
    let archive =
        environment.archive.map(|(bucket, prefix)| Archive::S3(S3Archive::new(&config, bucket, prefix)));
    let secrets = |arn| CachedSecrets::new(SecretsManager::new(&config, arn), environment.cache_ttls);
    let handlers = environment.providers.into_iter().map(|(provider, secret_arn)| WebhookHandler {
        provider,
        secrets: secrets(secret_arn),
        next_secrets: environment.next_secret_arn.clone().map(secrets),
        bus: bus.clone(),
        max_entry_bytes: environment.max_entry_bytes,
        overflow_store: overflow_store.clone(),
        archive: archive.clone(),
        spill_queue: spill_queue.clone(),
        repeat_window: RepeatWindow::new(environment.repeat_window),
        event_group: environment.event_group,
    });
    let function = Arc::new(BridgeFunction {
        handlers: handlers.collect(),
        public_url: environment.public_url,
        function_name: std::env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
        refusal_log_limiter: RefusalLogLimiter::new(environment.concurrency),
    });
    let omission_reporter = function.clone();
    tokio::spawn(async move {
        loop {
            omission_reporter.next_omitted_lines().await.iter().for_each(|line| output::print_line(line));
        }
    });
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let function = function.clone();
        Box::pin(async move {
            let context = event.context;
            let invocation = Invocation {
                request_id: &context.request_id,
                trace_header: context.xray_trace_id.as_deref(),
                deadline: context.deadline(),
            };
            let (response, line) = function.invoke(event.payload.get(), &invocation).await;
            line.iter().for_each(|line| output::print_line(line));
            Ok::<_, Error>(response)
        })
    }))
    .await
}
