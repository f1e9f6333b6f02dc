//! The Lambda function `redrive`: reads its environment, wires the parts, runs.

use std::process::ExitCode;
use std::sync::Arc;

use hookbridge::bridge::Redrive;
use hookbridge::bus::EventBridge;
use hookbridge::{aws, output};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde_json::value::RawValue;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    output::for_function();
    output::ended(run().await)
}

async fn run() -> Result<(), Error> {
    let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let bus = variable("EVENT_BUS_NAME").unwrap_or_else(|| "default".into());
    let function = Arc::new(Redrive {
        bus: EventBridge::new(&aws::function_config().await, bus),
        name: variable("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
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
