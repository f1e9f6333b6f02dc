//! The `recorder` Lambda function.
//!
//! SQS invokes the function with bus events, and with S3 notifications of archived batches; the function records the events of
//! both. Schedules invoke the function to maintain the log and to report the lag of named consumers.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::SignedDuration;
use serde::Deserialize;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::notification::Notification;
use super::{AwsOrigin, RecordError, RecordSummary, Recorder, envelope};
use crate::bus::Bus;
use crate::db::DatabaseError;
use crate::lambda::{BatchResponse, MetricLine, SqsEvent, SqsMessage, handling_deadline};
use crate::log::{EventBatch, Lag, MaintenanceReport, RecordOutcome, RetentionPolicy};

/// The `recorder` Lambda function: a recorder, the name of the function and the retention settings of the log.
pub struct RecorderFunction<B> {
    /// The recorder that processes messages.
    pub recorder: Recorder<B>,
    /// The name of the Lambda function, which is a dimension of its metrics.
    pub name: String,
    /// How long the log keeps events; without limit if `None`.
    pub retention: Option<SignedDuration>,
    /// The maximum size of the log in bytes; without limit if `None`.
    pub retention_bytes: Option<u64>,
}

/// The fields of an event from a schedule that invokes the function. Source: "Creating an Amazon EventBridge rule that runs on a
/// schedule", Amazon EventBridge User Guide.
#[derive(Deserialize)]
struct ScheduledEvent<'a> {
    #[serde(rename = "detail-type", borrow)]
    detail_type: Option<Cow<'a, str>>,
    /// `lag` in the event of the schedule that requests the lag report; the event of the maintenance schedule has no task.
    #[serde(borrow)]
    task: Option<Cow<'a, str>>,
}

/// Why a whole invocation failed.
#[derive(Debug, thiserror::Error)]
pub enum RecorderInvocationError {
    /// The event is neither an SQS batch nor a scheduled event.
    #[error("unsupported event: expected SQS records or a scheduled event")]
    UnsupportedEvent,
    /// An operation on the log failed.
    #[error("cannot use the log: {0}")]
    Log(#[from] DatabaseError),
}

/// The result of processing one SQS message.
struct MessageResult {
    message_id: String,
    /// The key of the archived object that the message names; `None` for any other message.
    object: Option<String>,
    result: Result<RecordSummary, String>,
    /// How long processing the message took.
    duration_millis: f64,
}

impl<B: Bus> RecorderFunction<B> {
    /// Processes one batch of SQS messages before `deadline`, and returns the batch response and one log line per message. For a
    /// scheduled event, runs maintenance of the log or the lag report instead, and returns their log lines.
    ///
    /// # Errors
    /// The event is unsupported, or a scheduled task could not use the log. A failed message of a batch is no error: the batch
    /// response names it, and SQS delivers it again.
    pub async fn invoke(
        self: &Arc<Self>,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<(BatchResponse, Vec<String>), RecorderInvocationError> {
        let Ok(sqs_event) = serde_json::from_str::<SqsEvent>(event) else {
            return Ok((BatchResponse::default(), self.run_scheduled_task(event, request_id).await?));
        };
        let deadline = handling_deadline(deadline);
        let mut tasks = JoinSet::new();
        for message in sqs_event.records {
            let (this, request_id) = (self.clone(), request_id.to_owned());
            tasks.spawn(async move {
                let started = Instant::now();
                let (object, result) = this.process_message(&message, deadline).await;
                let duration_millis = started.elapsed().as_secs_f64() * 1000.0;
                let message_result =
                    MessageResult { message_id: message.message_id, object, result, duration_millis };
                (this.log_line(&message_result, &request_id), message_result)
            });
        }
        let results = tasks.join_all().await;
        if let Ok(Err(error)) = timeout_at(deadline, self.recorder.log.assign_positions()).await {
            // The events are recorded, so this is no failure: the next reader or recorder assigns their positions.
            warn!(error = error.to_string(), "recorded, but positions are not assigned yet");
        }
        let mut response = BatchResponse::default();
        let mut lines = Vec::new();
        for (line, message_result) in results {
            lines.push(line);
            if message_result.result.is_err() {
                response.add_failure(message_result.message_id);
            }
        }
        Ok((response, lines))
    }

    /// Runs the task of a scheduled event: the report of the consumers' lag, or maintenance of the log.
    async fn run_scheduled_task(
        &self,
        event: &str,
        request_id: &str,
    ) -> Result<Vec<String>, RecorderInvocationError> {
        let scheduled_event: ScheduledEvent<'_> =
            serde_json::from_str(event).map_err(|_| RecorderInvocationError::UnsupportedEvent)?;
        if scheduled_event.task.as_deref() == Some("lag") {
            return Ok(self.report_lag(request_id).await?);
        }
        if scheduled_event.detail_type.as_deref() != Some("Scheduled Event") {
            return Err(RecorderInvocationError::UnsupportedEvent);
        }
        let mut retention = RetentionPolicy { max_bytes: self.retention_bytes, ..RetentionPolicy::default() };
        if let Some(age) = self.retention {
            retention = retention.with_max_age(age);
        }
        let MaintenanceReport { created_partitions, dropped_partitions, deleted_events } =
            self.recorder.log.maintain(&retention).await?;
        let line = json!({
            "function": self.name,
            "request_id": request_id,
            "outcome": "maintained",
            "made": created_partitions,
            "dropped": dropped_partitions,
            "deleted": deleted_events,
        });
        Ok(vec![line.to_string()])
    }

    /// Returns one log line per named consumer. Each line is also a CloudWatch metric record of `ConsumerLagEvents`,
    /// `ConsumerLagSeconds` and `ConsumersExpired` (1 if retention removed events that the consumer has not acknowledged). Each
    /// metric is recorded twice: with the dimension `function`, and with the dimensions `function` and `consumer`.
    async fn report_lag(&self, request_id: &str) -> Result<Vec<String>, DatabaseError> {
        let bounds = self.recorder.log.bounds().await?;
        let mut lines = Vec::new();
        for consumer in self.recorder.log.find_consumers(None).await? {
            let Lag { events, seconds } = consumer.lag(&self.recorder.log, bounds).await?;
            let mut line = MetricLine::new(&self.name);
            line.field("request_id", request_id);
            line.field("outcome", "lag")
                .dimension("consumer", &consumer.name)
                .count_if("ConsumersExpired", consumer.position < bounds.first_position)
                .count("ConsumerLagEvents", events)
                .seconds("ConsumerLagSeconds", seconds);
            lines.push(line.into());
        }
        Ok(lines)
    }

    /// Processes one SQS message. Returns the key of the S3 object that the message names, if any, and the result.
    async fn process_message(
        &self,
        message: &SqsMessage,
        deadline: Instant,
    ) -> (Option<String>, Result<RecordSummary, String>) {
        let error_text = |error: RecordError| error.to_string();
        let aws_origin = AwsOrigin::from_arn(&message.queue_arn);
        match Notification::parse(&message.body) {
            None => (None, Err("the message is neither an S3 notification nor an EventBridge event".into())),
            Some(Notification::Ignored) => (None, Ok(RecordSummary::default())),
            Some(Notification::Event(event)) => {
                (None, self.record_event(event, deadline).await.map_err(error_text))
            }
            Some(Notification::ObjectsCreated(objects)) => {
                let mut total = RecordSummary::default();
                // S3 sends one record per message, although the message format allows more.
                for object in &objects {
                    let Some(key) = self.recorder.archive.key_for_s3_object(&object.bucket, &object.key)
                    else {
                        let error = format!("s3://{}/{} is not in this archive", object.bucket, object.key);
                        return (Some(object.key.clone()), Err(error));
                    };
                    match self.recorder.record_archived(key, &aws_origin, deadline).await {
                        Ok(summary) => total = total.merge(summary),
                        Err(error) => return (Some(object.key.clone()), Err(error_text(error))),
                    }
                }
                (objects.into_iter().next_back().map(|object| object.key), Ok(total))
            }
        }
    }

    /// Records one bus event.
    async fn record_event(&self, json: &str, deadline: Instant) -> Result<RecordSummary, RecordError> {
        let Some(event) = envelope::parse_event(json) else { return Err(RecordError::InvalidEvent) };
        let batch = EventBatch { origin: None, events: vec![event], unrecognized_count: 0 };
        let outcome = timeout_at(deadline, self.recorder.log.record(&batch)).await;
        match outcome.map_err(|_| RecordError::TimedOut)?? {
            RecordOutcome::Inserted { events, duplicates, .. } => Ok(RecordSummary {
                new_events: events,
                duplicates,
                bytes: json.len(),
                ..RecordSummary::default()
            }),
            RecordOutcome::AlreadyRecorded { .. } => {
                Ok(RecordSummary { is_already_recorded: true, bytes: json.len(), ..RecordSummary::default() })
            }
        }
    }

    /// Returns the JSON log line of a message. The line is also a CloudWatch metric record with the dimension `function`:
    /// `Recorded`, `Repeats`, `Unrecognized`, `Failed` (counts), `RecordLatency` (milliseconds), and, only for a polled page,
    /// `Missed`, the number of events that the log did not have.
    fn log_line(&self, message_result: &MessageResult, request_id: &str) -> String {
        let (summary, error) = match &message_result.result {
            Ok(summary) => (*summary, None),
            Err(error) => (RecordSummary::default(), Some(error)),
        };
        let outcome = match error {
            Some(_) => "kept",
            None if summary.is_already_recorded => "repeated",
            None => "recorded",
        };
        let mut line = MetricLine::new(&self.name);
        line.field("request_id", request_id);
        line.field("message_id", message_result.message_id.as_str())
            .field("outcome", outcome)
            .field("object", message_result.object.as_deref())
            .field("bytes", summary.bytes)
            .count("Recorded", summary.new_events)
            .count("Repeats", summary.duplicates)
            .count("Unrecognized", if summary.is_already_recorded { 0 } else { summary.unrecognized_events })
            .count_if("Failed", error.is_some())
            .milliseconds("RecordLatency", message_result.duration_millis);
        // Report `Missed` only for polled pages, because each metric costs money.
        if let Some(missed) = summary.missed_events {
            line.count("Missed", missed);
        }
        if self.recorder.bus.is_some() {
            line.field("published", summary.published_events)
                .field("unpublishable", summary.unpublishable_events);
        }
        if let Some(error) = error {
            line.field("error", error.as_str());
        }
        line.into()
    }
}
