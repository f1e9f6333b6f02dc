//! How Lambda calls a function: its environment (`environment`), the time it gives, and the forms in which messages of SQS
//! (`messages`) and requests of a Function URL (`url`) come.

mod environment;
mod messages;
mod url;

use std::time::{Duration, SystemTime};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

pub use environment::{EnvironmentError, Variables};
pub use messages::{BatchAnswer, Message, Messages};
pub use url::{NotARequest, UrlAnswer, UrlRequest};

use crate::output;

/// Time kept back at the end of an invocation, to answer in.
const TO_ANSWER: Duration = Duration::from_millis(400);

/// When work has to end in an invocation that is ended at `deadline`.
pub fn time_to_answer(deadline: SystemTime) -> Instant {
    let left = deadline.duration_since(SystemTime::now()).unwrap_or_default();
    Instant::now() + left.saturating_sub(TO_ANSWER)
}

/// Serves a function that is called with messages: `invoke` is given the call, its id and its deadline, and returns the answer
/// with the lines to log.
///
/// # Errors
/// When the runtime cannot be talked to any more.
pub async fn serve<F, A, E>(invoke: impl Fn(Box<RawValue>, String, SystemTime) -> F) -> Result<(), Error>
where
    F: Future<Output = Result<(A, Vec<String>), E>> + Send + 'static,
    A: Serialize + Send + 'static,
    E: std::error::Error + Send + Sync + 'static,
{
    lambda_runtime::run(service_fn(move |event: LambdaEvent<Box<RawValue>>| {
        let deadline = event.context.deadline();
        let invoked = invoke(event.payload, event.context.request_id, deadline);
        Box::pin(async move {
            let (answer, lines) = invoked.await?;
            lines.iter().for_each(|line| output::line(line));
            Ok::<_, Error>(answer)
        })
    }))
    .await
}
