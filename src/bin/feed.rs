//! Entry point of the Lambda function `feed`.
//!
//! It reads the environment, wires the components together and serves invocations.

use std::process::ExitCode;
use std::sync::Arc;

use hookbridge::auth::Authenticator;
use hookbridge::db::Database;
use hookbridge::feed::{Feed, FeedEnvironment, FeedFunction};
use hookbridge::log::EventLog;
use hookbridge::secrets::SecretsManager;
use hookbridge::{aws, output};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    output::init_function_logging();
    output::exit_code(run().await)
}

async fn run() -> Result<(), Error> {
    let environment = FeedEnvironment::from_variables(|name| std::env::var(name).ok())?;
    let config = aws::function_config().await;
    let secret = |arn| SecretsManager::new(&config, arn);
    let authenticator = Authenticator::for_function(environment.tokens_secret_arn.map(secret));
    let credentials = environment.database_secret_arn.map(secret);
    let log = EventLog::new(Database::for_function(environment.database_url.as_ref(), credentials)?);
    let function = Arc::new(FeedFunction {
        feed: Arc::new(Feed::new(log, authenticator)),
        is_streaming: environment.is_streaming,
    });
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let function = function.clone();
        Box::pin(async move {
            Ok::<_, Error>(function.invoke(event.payload.get(), event.context.deadline()).await?)
        })
    }))
    .await
}
