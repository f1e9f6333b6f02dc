//! How Lambda calls a function: its environment, the time it gives, and the batches of messages that SQS sends through it.
//!
//! SQS hands over some messages at a time and takes back those that are named in the answer
//! (`ReportBatchItemFailures`): they come again later, and after too many times go to the dead-letter queue.

use std::ops::RangeInclusive;
use std::time::{Duration, SystemTime};

use lambda_runtime::{Error, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::time::Instant;

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

/// A variable of a function's environment that is missing or says something that cannot be. It shows no secret.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("environment variable {name}: {problem}")]
pub struct EnvironmentError {
    /// The variable.
    pub name: &'static str,
    /// What is wrong with it, and what it should be.
    pub problem: String,
}

impl EnvironmentError {
    /// What is wrong with this variable.
    pub fn new(name: &'static str, problem: impl Into<String>) -> Self {
        Self { name, problem: problem.into() }
    }
}

/// A function's environment. A variable that is empty is not set.
pub struct Variables<F>(pub F);

impl<F: Fn(&'static str) -> Option<String>> Variables<F> {
    /// What a variable says.
    pub fn get(&self, name: &'static str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }

    /// What a variable says that has to be set; `what` is what it names.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn needed(&self, name: &'static str, what: &str) -> Result<String, EnvironmentError> {
        self.get(name).ok_or_else(|| EnvironmentError::new(name, format!("not set; it names {what}")))
    }

    /// A whole number of something, within bounds.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn number(
        &self,
        name: &'static str,
        default: i64,
        bounds: RangeInclusive<i64>,
        of: &str,
    ) -> Result<i64, EnvironmentError> {
        let Some(text) = self.get(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| bounds.contains(number));
        let (least, most) = bounds.into_inner();
        number.ok_or_else(|| {
            let problem = format!("'{text}' is not a whole number of {of} from {least} to {most}");
            EnvironmentError::new(name, problem)
        })
    }

    /// Whether something is to be; it is not, when it is not set.
    ///
    /// # Errors
    /// [`EnvironmentError`].
    pub fn flag(&self, name: &'static str) -> Result<bool, EnvironmentError> {
        match self.get(name).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(other) => Err(EnvironmentError::new(name, format!("'{other}' is neither true nor false"))),
        }
    }
}

/// The parts of an SQS event that are used.
#[derive(Deserialize)]
pub struct Messages {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<Message>,
}

/// A message.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its id, which stays when it comes again.
    pub message_id: String,
    /// What it says.
    pub body: String,
    /// The queue that it comes from.
    #[serde(default, rename = "eventSourceARN")]
    pub queue_arn: String,
}

/// The messages that SQS shall keep.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    batch_item_failures: Vec<Kept>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    item_identifier: String,
}

impl BatchAnswer {
    /// Has a message come again.
    pub fn keep(&mut self, message_id: String) {
        self.batch_item_failures.push(Kept { item_identifier: message_id });
    }

    /// Whether every message is done with.
    pub fn is_all_done(&self) -> bool {
        self.batch_item_failures.is_empty()
    }
}
