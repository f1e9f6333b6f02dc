//! Entry point of the Lambda function `redrive`, which publishes the events of the spill queue.

use std::process::ExitCode;
use std::sync::Arc;

use hookbridge::bridge::RedriveFunction;
use hookbridge::bus::{EventBridge, SpillQueue};
use hookbridge::{aws, lambda};
use lambda_runtime::Error;

fn main() -> ExitCode {
    lambda::main(run())
}

async fn run() -> Result<(), Error> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let bus = variable("EVENT_BUS_NAME").unwrap_or_else(|| "default".into());
    let config = aws::function_config().await;
    let function = Arc::new(RedriveFunction {
        bus: EventBridge::new(&config, bus),
        dead_letter_queue: variable("DEAD_LETTER_QUEUE_URL").map(|url| SpillQueue::new(&config, url)),
        function_name: variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
    });
    lambda::run_function(move |event, request_id, deadline| {
        let function = function.clone();
        async move { function.invoke(event.get(), &request_id, deadline).await }
    })
    .await
}
