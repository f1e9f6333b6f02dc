//! Runs the Lambda functions of hookbridge, and computes when their work must end so that the response is still in time.
//!
//! The submodules read environment variables (`environment`), parse SQS batches (`messages`) and HTTP requests (`http`),
//! and format log lines with metrics (`metrics`).

mod environment;
mod http;
mod messages;
mod metrics;

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::error;

pub use environment::{EnvironmentError, Variables};
pub use http::{HttpEventError, HttpRequest, HttpResponse, PayloadFormat, ReceivedQuery, ReceivedUrl};
pub use messages::{BatchResponse, SqsEvent, SqsMessage};
pub use metrics::MetricLine;

use crate::util::error::error_chain;
use crate::util::output;

/// Time reserved at the end of an invocation for its response.
const RESPONSE_MARGIN: Duration = Duration::from_millis(400);

/// The metadata of an invocation, which Lambda sends with the event.
pub struct Invocation<'a> {
    pub request_id: &'a str,
    /// The X-Ray header; `None` if Lambda sends none.
    pub trace_header: Option<&'a str>,
    /// The time by which the response must be sent.
    pub deadline: SystemTime,
}

/// The time at which the handling of an event must have ended: `RESPONSE_MARGIN` before the `deadline` of the invocation.
pub fn handling_deadline(deadline: SystemTime) -> Instant {
    let remaining = deadline.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + remaining.saturating_sub(RESPONSE_MARGIN)
}

/// The `main` of every Lambda function: sets up logging in JSON lines, runs `run`, and logs the error with which `run` ends,
/// for example because the function could not start.
pub fn main(run: impl Future<Output = Result<(), Error>>) -> ExitCode {
    output::init_function_logging();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.map_err(Error::from).and_then(|runtime| runtime.block_on(run)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!("{}", error_chain(&*error));
            ExitCode::FAILURE
        }
    }
}

/// Serves the invocations of a Lambda function. `invoke` receives the event, the request id and the deadline, and returns
/// the response and the lines to log.
///
/// # Errors
/// The Runtime API is unreachable.
pub async fn run_function<F, R, E>(
    invoke: impl Fn(Box<RawValue>, String, SystemTime) -> F,
) -> Result<(), Error>
where
    F: Future<Output = Result<(R, Vec<String>), E>> + Send + 'static,
    R: Serialize + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let deadline = event.context.deadline();
        let invocation = invoke(event.payload, event.context.request_id, deadline);
        Box::pin(async move {
            let (response, lines) = invocation.await?;
            lines.iter().for_each(|line| output::print_line(line));
            Ok::<_, Error>(response)
        })
    }))
    .await
}
