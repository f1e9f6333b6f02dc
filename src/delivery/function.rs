//! The Lambda function `dispatcher`. SQS invokes the function with bus events and wake messages. The stack's schedules invoke it
//! with the task `sweep`, and with the task `maintain`, which deletes finished deliveries and attempts older than the retention
//! period.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use jiff::SignedDuration;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::wake_queue::WakeMessage;
use super::worker::{ArrivedEvent, AttemptRunner, DeliveryWorker, FinishedAttempt, SweepReport, WorkerError};
use crate::bus::Bus;
use crate::db::DatabaseError;
use crate::lambda::{BatchResponse, MetricLine, SqsEvent, SqsMessage, handling_deadline};

/// The function stops claiming deliveries this long before its deadline. The longest attempt can be made and recorded within
/// this time.
const CLAIM_MARGIN: Duration = Duration::from_secs(40);

pub struct DispatcherFunction<B> {
    pub worker: Arc<DeliveryWorker<B>>,
    /// The function's name, which is a dimension of its metrics.
    pub name: String,
    /// How long finished deliveries and attempts are kept.
    pub retention: SignedDuration,
}

/// Why an invocation failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum DispatcherInvocationError {
    #[error("unknown event: expected SQS records or a scheduled task (sweep, maintain)")]
    UnknownEvent,
    #[error("sweep failed: {0}")]
    Sweep(#[from] WorkerError),
    #[error("the database: {0}")]
    Store(#[from] DatabaseError),
}

/// The payload with which the stack's schedules invoke the function.
#[derive(Deserialize)]
struct ScheduledEvent<'a> {
    #[serde(borrow)]
    task: Cow<'a, str>,
}

/// The fields of a bus event that deliveries need.
#[derive(Deserialize)]
struct EventEnvelope<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(rename = "detail-type", borrow)]
    detail_type: Cow<'a, str>,
}

impl<B: Bus> DispatcherFunction<B> {
    /// Handles one batch of SQS messages or one scheduled task, before `deadline`. Returns the response to SQS and the log lines:
    /// one for each attempt, or one for the task.
    ///
    /// # Errors
    /// The scheduled task failed, or `event` is neither a batch nor a scheduled task. If a message of a batch fails, the response
    /// names the message, and SQS delivers the message again.
    pub async fn invoke(
        self: &Arc<Self>,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<(BatchResponse, Vec<String>), DispatcherInvocationError> {
        let deadline = handling_deadline(deadline);
        let Ok(batch) = serde_json::from_str::<SqsEvent>(event) else {
            return Ok((
                BatchResponse::default(),
                self.run_scheduled_task(event, request_id, deadline).await?,
            ));
        };
        let message_ids: Vec<_> = batch.records.iter().map(|message| message.message_id.clone()).collect();
        let log_lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (function, line_sink, invocation_id) = (self.clone(), log_lines.clone(), request_id.to_owned());
        let runner = AttemptRunner::start(self.worker.clone(), move |attempt| {
            let line = function.attempt_log_line(attempt, &invocation_id);
            line_sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        });
        // At the deadline, running attempts are aborted and all messages return to the queue. The deliveries of aborted attempts
        // stay leased; when the leases have expired, the sweep finds these deliveries.
        let handling = self.handle_messages(batch.records, runner, deadline);
        let response = timeout_at(deadline, handling).await.unwrap_or_else(|_| {
            warn!(request_id, "deadline reached before the batch was finished");
            let mut response = BatchResponse::default();
            message_ids.into_iter().for_each(|id| response.add_failure(id));
            response
        });
        let log_lines = std::mem::take(&mut *log_lines.lock().unwrap_or_else(PoisonError::into_inner));
        Ok((response, log_lines))
    }

    /// Creates and attempts the deliveries of the bus events in the batch. If the batch contains a wake message, also claims and
    /// attempts due deliveries.
    async fn handle_messages(
        &self,
        messages: Vec<SqsMessage>,
        runner: AttemptRunner<B>,
        deadline: Instant,
    ) -> BatchResponse {
        let mut response = BatchResponse::default();
        let (mut events, mut event_message_ids, mut wake_message_ids) = (Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            if serde_json::from_str::<WakeMessage>(&message.body).is_ok() {
                wake_message_ids.push(message.message_id);
            } else if let Ok(EventEnvelope { id, detail_type }) = serde_json::from_str(&message.body) {
                let (id, detail_type) = (id.into_owned(), detail_type.into_owned());
                event_message_ids.push(message.message_id);
                events.push(ArrivedEvent { id, detail_type, json: message.body });
            } else {
                fail_message(&mut response, message.message_id, "neither a bus event nor a wake message");
            }
        }
        self.create_deliveries(&events, event_message_ids, &runner, &mut response).await;
        if !wake_message_ids.is_empty() {
            let claim_deadline = deadline.checked_sub(CLAIM_MARGIN).unwrap_or(deadline);
            if let Err(error) = runner.attempt_due(claim_deadline).await {
                let error = error.to_string();
                wake_message_ids.into_iter().for_each(|id| fail_message(&mut response, id, &error));
            }
        }
        runner.finish().await;
        if self.worker.has_more_due()
            && let Err(error) = self.worker.wake().await
        {
            warn!(error = error.to_string(), "failed to wake a worker; the sweep will");
        }
        response
    }

    async fn create_deliveries(
        &self,
        events: &[ArrivedEvent],
        message_ids: Vec<String>,
        runner: &AttemptRunner<B>,
        response: &mut BatchResponse,
    ) {
        match self.worker.create_deliveries(events).await {
            Ok(created) => runner.submit(created),
            Err(WorkerError::Database(DatabaseError::Rejected(_))) => {
                // The database may have rejected only one event, so the deliveries of each event are created in a transaction of
                // their own.
                for (event, message_id) in events.iter().zip(message_ids) {
                    match self.worker.create_deliveries(std::slice::from_ref(event)).await {
                        Ok(created) => runner.submit(created),
                        Err(error) => fail_message(response, message_id, &error.to_string()),
                    }
                }
            }
            Err(error) => {
                let error = error.to_string();
                message_ids.into_iter().for_each(|id| fail_message(response, id, &error));
            }
        }
    }

    async fn run_scheduled_task(
        &self,
        event: &str,
        request_id: &str,
        deadline: Instant,
    ) -> Result<Vec<String>, DispatcherInvocationError> {
        let scheduled: ScheduledEvent<'_> =
            serde_json::from_str(event).map_err(|_| DispatcherInvocationError::UnknownEvent)?;
        match &*scheduled.task {
            "sweep" => {
                let SweepReport { due_count, given_up_count } = self.worker.sweep(deadline).await?;
                let metrics = [("DeliveriesQueued", due_count), ("DeliveriesGivenUp", given_up_count)];
                Ok(vec![self.scheduled_task_log_line(&metrics, request_id, "swept")])
            }
            "maintain" => {
                let keep_from = self.worker.now().checked_sub(self.retention);
                self.worker.store().delete_expired(keep_from.unwrap_or_default()).await?;
                Ok(vec![self.scheduled_task_log_line(&[], request_id, "maintained")])
            }
            _ => Err(DispatcherInvocationError::UnknownEvent),
        }
    }

    /// Returns the log line of a scheduled task, which carries `counts` as metrics.
    fn scheduled_task_log_line(
        &self,
        counts: &[(&'static str, usize)],
        request_id: &str,
        outcome: &'static str,
    ) -> String {
        let mut line = MetricLine::new(&self.name);
        line.field("request_id", request_id);
        line.field("outcome", outcome);
        for (name, count) in counts {
            line.count(name, *count);
        }
        line.into()
    }

    /// Returns the log line of an attempt, which carries the attempt's metrics: `Delivered`, `DeliveryFailed` (counts),
    /// `DeliveryLatency` (milliseconds) and, for the last attempt of a failed delivery, `DeliveriesGivenUp`.
    fn attempt_log_line(&self, attempt: &FinishedAttempt, request_id: &str) -> String {
        let ((event, detail_type, subscriber), result) = (attempt.labels(), attempt.result());
        let mut line = MetricLine::new(&self.name);
        line.field("request_id", request_id);
        line.field("outcome", if result.is_success() { "delivered" } else { "failed" })
            .field("subscriber", subscriber)
            .field("event", event)
            .field("event_type", detail_type)
            .field("status", result.outcome.as_ref().ok().map(|response| response.status))
            .field("error", result.error_text())
            .count_if("Delivered", result.is_success())
            .count_if("DeliveryFailed", !result.is_success())
            .milliseconds("DeliveryLatency", result.duration.as_secs_f64() * 1000.0);
        if attempt.is_given_up() {
            line.count_if("DeliveriesGivenUp", true);
        }
        line.into()
    }
}

fn fail_message(response: &mut BatchResponse, message_id: String, error: &str) {
    warn!(message_id, error, "message returned to the queue");
    response.add_failure(message_id);
}
