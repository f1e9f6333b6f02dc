//! Entry point of the Lambda function `feed`, which serves the events of the log over HTTP.

use std::process::ExitCode;

use hookbridge::api::{Api, ApiFunction, Authenticator, FeedEnvironment};
use hookbridge::db::Database;
use hookbridge::log::EventLog;
use hookbridge::secrets::SecretsManager;
use hookbridge::{aws, lambda};
use lambda_runtime::Error;

fn main() -> ExitCode {
    lambda::main(run())
}

async fn run() -> Result<(), Error> {
    let environment = FeedEnvironment::from_variables(|name| std::env::var(name).ok())?;
    let config = aws::function_config().await;
    let secret = |arn| SecretsManager::new(&config, arn);
    let authenticator = Authenticator::for_function(environment.tokens_secret_arn.map(secret));
    let credentials = environment.database_secret_arn.map(secret);
    let log = EventLog::new(Database::for_function(environment.database_url.as_ref(), credentials)?);
    let api = Api::new(authenticator).with_log(log);
    ApiFunction { api, is_streaming: environment.is_streaming, audit_name: None }.run().await
}
