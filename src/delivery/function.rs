//! The Lambda function `dispatcher`. SQS invokes it with bus events and retry messages; schedules invoke it for the sweep and for
//! retention.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::SignedDuration;
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::dispatcher::{ArrivedEvent, DispatchError, Dispatcher, FinishedAttempt, SweepError, SweepReport};
use super::queue::RetryMessage;
use crate::bus::Bus;
use crate::db::DatabaseError;
use crate::lambda::{BatchResponse, MetricLine, SqsEvent, SqsMessage, handling_deadline};

pub struct DispatcherFunction<B> {
    pub dispatcher: Arc<Dispatcher<B>>,
    /// The function's name, a dimension of its metrics.
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
    Sweep(#[from] SweepError),
    #[error("the database: {0}")]
    Store(#[from] DatabaseError),
}

/// The payload of this stack's schedules.
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
    /// Handles one batch of messages before `deadline`, or a scheduled task. Returns the response and a log line for each
    /// attempt.
    ///
    /// # Errors
    /// Nothing was acknowledged: SQS delivers every message again.
    pub async fn invoke(
        self: &Arc<Self>,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<(BatchResponse, Vec<String>), DispatcherInvocationError> {
        let deadline = handling_deadline(deadline);
        let Ok(messages) = serde_json::from_str::<SqsEvent>(event) else {
            return Ok((
                BatchResponse::default(),
                self.run_scheduled_task(event, request_id, deadline).await?,
            ));
        };
        let ids: Vec<_> = messages.records.iter().map(|message| message.message_id.clone()).collect();
        let mut recorded = Vec::new();
        let handling = self.handle_messages(messages.records, &mut recorded);
        // Deliveries that were interrupted stay leased until the sweep finds them; their messages return to the queue.
        let response = timeout_at(deadline, handling).await.unwrap_or_else(|_| {
            warn!(request_id, "deadline reached before the batch was finished");
            let mut response = BatchResponse::default();
            ids.into_iter().for_each(|id| response.add_failure(id));
            response
        });
        Ok((response, recorded.iter().map(|attempt| self.attempt_log_line(attempt, request_id)).collect()))
    }

    async fn handle_messages(
        &self,
        messages: Vec<SqsMessage>,
        recorded: &mut Vec<FinishedAttempt>,
    ) -> BatchResponse {
        let mut response = BatchResponse::default();
        let (mut events, mut event_message_ids, mut deliveries, mut accepted_message_ids) =
            (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for message in messages {
            if let Ok(retry) = serde_json::from_str::<RetryMessage>(&message.body) {
                match self.dispatcher.claim_from_queue(retry).await {
                    Ok(delivery) => {
                        deliveries.extend(delivery);
                        accepted_message_ids.push(message.message_id);
                    }
                    Err(error) => self.fail_message(&mut response, message.message_id, &error.to_string()),
                }
            } else if let Ok(EventEnvelope { id, detail_type }) = serde_json::from_str(&message.body) {
                let (id, detail_type) = (id.into_owned(), detail_type.into_owned());
                event_message_ids.push(message.message_id);
                events.push(ArrivedEvent { id, detail_type, json: message.body });
            } else {
                self.fail_message(
                    &mut response,
                    message.message_id,
                    "neither a bus event nor a retry message",
                );
            }
        }
        match self.dispatcher.create_deliveries(&events, None).await {
            Ok(created) => {
                deliveries.extend(created);
                accepted_message_ids.append(&mut event_message_ids);
            }
            Err(DispatchError::Log(DatabaseError::Rejected(_))) => {
                // The database may reject only one of the events, so the deliveries of each are created alone.
                for (event, message_id) in events.iter().zip(event_message_ids) {
                    match self.dispatcher.create_deliveries(std::slice::from_ref(event), None).await {
                        Ok(created) => {
                            deliveries.extend(created);
                            accepted_message_ids.push(message_id);
                        }
                        Err(error) => self.fail_message(&mut response, message_id, &error.to_string()),
                    }
                }
            }
            Err(error) => {
                event_message_ids
                    .into_iter()
                    .for_each(|id| self.fail_message(&mut response, id, &error.to_string()));
            }
        }
        if let Err(error) = self.dispatcher.deliver(deliveries, recorded).await {
            // Attempts that were not recorded stay leased until the sweep finds them.
            accepted_message_ids
                .into_iter()
                .for_each(|id| self.fail_message(&mut response, id, &error.to_string()));
        }
        response
    }

    fn fail_message(&self, response: &mut BatchResponse, message_id: String, error: &str) {
        warn!(message_id, error, "message returned to the queue");
        response.add_failure(message_id);
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
                let SweepReport { queued, given_up } = self.dispatcher.sweep(deadline).await?;
                let metrics = [("DeliveriesQueued", queued), ("DeliveriesGivenUp", given_up)];
                Ok(vec![self.count_metrics_line(&metrics, request_id, "swept")])
            }
            "maintain" => {
                let oldest = self.dispatcher.now().checked_sub(self.retention);
                self.dispatcher.store().delete_expired(oldest.unwrap_or_default()).await?;
                Ok(vec![self.count_metrics_line(&[], request_id, "maintained")])
            }
            _ => Err(DispatcherInvocationError::UnknownEvent),
        }
    }

    /// A log line that carries counts as metrics.
    fn count_metrics_line(
        &self,
        counts: &[(&'static str, usize)],
        request_id: &str,
        outcome: &'static str,
    ) -> String {
        let mut line = MetricLine::new(&self.name, request_id);
        line.field("outcome", outcome);
        for (name, count) in counts {
            line.count(name, *count);
        }
        line.into()
    }

    /// The log line of an attempt with its metrics: `Delivered`, `DeliveryFailed` (counts), `DeliveryLatency` (milliseconds) and, for
    /// the last attempt of a failed delivery, `DeliveriesGivenUp`.
    fn attempt_log_line(&self, attempt: &FinishedAttempt, request_id: &str) -> String {
        let ((event, detail_type, subscriber), result) = (attempt.labels(), attempt.result());
        let mut line = MetricLine::new(&self.name, request_id);
        line.field("outcome", if result.is_success() { "delivered" } else { "failed" })
            .field("subscriber", subscriber)
            .field("event", event)
            .field("event_type", detail_type)
            .field("status", result.outcome.as_ref().ok().map(|response| response.status))
            .field("error", result.error_text())
            .flag("Delivered", result.is_success())
            .flag("DeliveryFailed", !result.is_success())
            .milliseconds("DeliveryLatency", result.duration.as_secs_f64() * 1000.0);
        if attempt.is_given_up() {
            line.flag("DeliveriesGivenUp", true);
        }
        line.into()
    }
}
