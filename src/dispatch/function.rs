//! The function `dispatcher`: SQS calls it with events of a bus and with deliveries that are to be tried again, and schedules to
//! put in the queue what will be due, and to put the record in order.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::dispatcher::{Arrived, DispatchError, Dispatcher, Finished, SweepError, Swept};
use super::queue::Retry;
use crate::bus::Bus;
use crate::invocation::{BatchAnswer, Message, Messages, time_to_answer};
use crate::log::{LogError, SqlExecutor};

/// The metrics' namespace.
const NAMESPACE: &str = "hookbridge";

/// The function: a dispatcher, and its name for the metrics.
pub struct DispatcherFunction<S, B> {
    /// What it does.
    pub dispatcher: Arc<Dispatcher<S, B>>,
    /// Its name.
    pub name: String,
    /// How long what is done with is on record.
    pub retention: SignedDuration,
}

/// Why an invocation failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// Neither SQS nor a schedule of ours called.
    #[error("unknown event: expected SQS records or a scheduled task (sweep, maintain)")]
    Unknown,
    /// What is due is not in the queue.
    #[error("the sweep: {0}")]
    Sweep(#[from] SweepError),
    /// The record is not in order.
    #[error("the database: {0}")]
    Store(#[from] LogError),
}

/// What a schedule of ours asks for.
#[derive(Deserialize)]
struct Scheduled<'a> {
    #[serde(borrow)]
    task: Cow<'a, str>,
}

/// The parts of an event that are used here.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "detail-type", borrow)]
    detail_type: Cow<'a, str>,
}

impl<S: SqlExecutor, B: Bus> DispatcherFunction<S, B> {
    /// Takes one batch of messages to its end before `deadline`, and returns the answer with a line to log for each attempt; or
    /// does what a schedule asks for.
    ///
    /// # Errors
    /// [`InvocationError`]: then nothing is taken, and every message comes again.
    pub async fn invoke(
        self: &Arc<Self>,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<(BatchAnswer, Vec<String>), InvocationError> {
        let deadline = time_to_answer(deadline);
        let Ok(messages) = serde_json::from_str::<Messages>(event) else {
            return Ok((BatchAnswer::default(), self.scheduled(event, request_id, deadline).await?));
        };
        let ids: Vec<_> = messages.records.iter().map(|message| message.message_id.clone()).collect();
        let mut recorded = Vec::new();
        let work = self.messages(messages.records, &mut recorded);
        // What is stopped in the middle is held for a while and then found by the sweep; the messages come again.
        let answer = timeout_at(deadline, work).await.unwrap_or_else(|_| {
            warn!(request_id, "deadline reached before the batch was finished");
            let mut answer = BatchAnswer::default();
            ids.into_iter().for_each(|id| answer.keep(id));
            answer
        });
        Ok((answer, recorded.iter().map(|finished| self.line(finished, request_id)).collect()))
    }

    async fn messages(&self, messages: Vec<Message>, recorded: &mut Vec<Finished>) -> BatchAnswer {
        let mut answer = BatchAnswer::default();
        let (mut events, mut of_events, mut jobs, mut taken) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            if let Ok(retry) = serde_json::from_str::<Retry>(&message.body) {
                match self.dispatcher.take_over(retry).await {
                    Ok(job) => {
                        jobs.extend(job);
                        taken.push(message.message_id);
                    }
                    Err(error) => self.keep(&mut answer, message.message_id, &error.to_string()),
                }
            } else if let Ok(Envelope { id, detail_type }) = serde_json::from_str(&message.body) {
                let (id, detail_type) = (id.into_owned(), detail_type.into_owned());
                of_events.push(message.message_id);
                events.push(Arrived { id, detail_type, json: message.body });
            } else {
                self.keep(
                    &mut answer,
                    message.message_id,
                    "neither an event nor a delivery to be tried again",
                );
            }
        }
        match self.dispatcher.accept(&events, None).await {
            Ok(made) => {
                jobs.extend(made);
                taken.append(&mut of_events);
            }
            Err(DispatchError::Log(LogError::Rejected(_))) => {
                // One of them may be what is refused.
                for (event, message_id) in events.iter().zip(of_events) {
                    match self.dispatcher.accept(std::slice::from_ref(event), None).await {
                        Ok(made) => {
                            jobs.extend(made);
                            taken.push(message_id);
                        }
                        Err(error) => self.keep(&mut answer, message_id, &error.to_string()),
                    }
                }
            }
            Err(error) => of_events.into_iter().for_each(|id| self.keep(&mut answer, id, &error.to_string())),
        }
        if let Err(error) = self.dispatcher.deliver(jobs, recorded).await {
            // What is not on record is held for a while, and then found by the sweep.
            taken.into_iter().for_each(|id| self.keep(&mut answer, id, &error.to_string()));
        }
        answer
    }

    fn keep(&self, answer: &mut BatchAnswer, message_id: String, error: &str) {
        warn!(message_id, error, "message returned to the queue");
        answer.keep(message_id);
    }

    async fn scheduled(
        &self,
        event: &str,
        request_id: &str,
        deadline: Instant,
    ) -> Result<Vec<String>, InvocationError> {
        let scheduled: Scheduled<'_> = serde_json::from_str(event).map_err(|_| InvocationError::Unknown)?;
        match &*scheduled.task {
            "sweep" => {
                let Swept { queued, given_up } = self.dispatcher.sweep(deadline).await?;
                let metrics = [("DeliveriesQueued", queued), ("DeliveriesGivenUp", given_up)];
                Ok(vec![self.counted(&metrics, request_id, "swept")])
            }
            "maintain" => {
                let oldest = self.dispatcher.now().checked_sub(self.retention);
                self.dispatcher.store().maintain(oldest.unwrap_or_default()).await?;
                Ok(vec![self.counted(&[], request_id, "maintained")])
            }
            _ => Err(InvocationError::Unknown),
        }
    }

    /// A line with counts, which are its metrics by function.
    fn counted(&self, counts: &[(&str, usize)], request_id: &str, outcome: &str) -> String {
        let names: Vec<_> = counts.iter().map(|(name, _)| json!({"Name": name, "Unit": "Count"})).collect();
        let mut line = json!({"function": self.name, "request_id": request_id, "outcome": outcome});
        if !names.is_empty() {
            line["_aws"] = emf(&names);
        }
        for (name, count) in counts {
            line[name] = (*count).into();
        }
        line.to_string()
    }

    /// A line about an attempt, which is also its metrics: `Delivered`, `DeliveryFailed` (counts) and `DeliveryLatency`
    /// (milliseconds), by function; and `DeliveriesGivenUp`, where it was the last.
    fn line(&self, finished: &Finished, request_id: &str) -> String {
        let ((event, detail_type, subscriber), tried) = (finished.of(), finished.tried());
        let mut metrics = vec![
            json!({"Name": "Delivered", "Unit": "Count"}),
            json!({"Name": "DeliveryFailed", "Unit": "Count"}),
            json!({"Name": "DeliveryLatency", "Unit": "Milliseconds"}),
        ];
        if finished.is_given_up() {
            metrics.push(json!({"Name": "DeliveriesGivenUp", "Unit": "Count"}));
        }
        let mut line = json!({
            "_aws": emf(&metrics),
            "function": self.name,
            "request_id": request_id,
            "outcome": if tried.is_good() { "delivered" } else { "failed" },
            "subscriber": subscriber,
            "event": event,
            "event_type": detail_type,
            "status": tried.outcome.as_ref().ok().map(|answered| answered.status),
            "error": tried.error(),
            "Delivered": u8::from(tried.is_good()),
            "DeliveryFailed": u8::from(!tried.is_good()),
            "DeliveryLatency": tried.duration.as_secs_f64() * 1000.0,
        });
        if finished.is_given_up() {
            line["DeliveriesGivenUp"] = 1.into();
        }
        line.to_string()
    }
}

/// CloudWatch's embedded metric format: these metrics, by function.
fn emf(metrics: &[Value]) -> Value {
    let directive = json!({"Namespace": NAMESPACE, "Dimensions": [["function"]], "Metrics": metrics});
    json!({"Timestamp": Timestamp::now().as_millisecond(), "CloudWatchMetrics": [directive]})
}
