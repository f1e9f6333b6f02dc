//! The function `recorder`: SQS calls it with notifications of the archive and with events of a bus, and a schedule to
//! put the log in order.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::SystemTime;

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::notification::Notification;
use super::{AwsOrigin, RecordError, RecordSummary, Recorder, envelope};
use crate::bus::Bus;
use crate::invocation::{BatchAnswer, Message, Messages, time_to_answer};
use crate::log::{
    ConsumerStore, EventBatch, EventReader, Lag, LogError, MaintenanceReport, RecordOutcome, RetentionPolicy,
};

/// The metrics' namespace.
const NAMESPACE: &str = "hookbridge";

/// The function: a recorder, and its name for the metrics.
pub struct RecorderFunction<L, B> {
    /// What it does.
    pub recorder: Recorder<L, B>,
    /// Its name.
    pub name: String,
    /// How long events are kept; for ever when it is not said.
    pub retention: Option<SignedDuration>,
    /// How many bytes of events are kept; all, when it is not said.
    pub retention_bytes: Option<u64>,
}

/// The parts of a schedule's event that are used. Source: "Creating an Amazon EventBridge rule that runs on a schedule",
/// Amazon EventBridge User Guide.
#[derive(Deserialize)]
struct Scheduled<'a> {
    #[serde(rename = "detail-type", borrow)]
    detail_type: Option<Cow<'a, str>>,
    /// What a schedule of ours asks for: `lag`.
    #[serde(borrow)]
    task: Option<Cow<'a, str>>,
}

/// Why an invocation failed as a whole.
#[derive(Debug, thiserror::Error)]
pub enum InvocationError {
    /// Neither SQS nor a schedule called.
    #[error("neither messages of SQS nor a scheduled event")]
    UnsupportedEvent,
    /// The log is not in order.
    #[error("the log: {0}")]
    Log(#[from] LogError),
}

/// What became of a message.
struct Done {
    message_id: String,
    object: Option<String>,
    result: Result<RecordSummary, String>,
    milliseconds: f64,
}

impl<L: EventReader + ConsumerStore, B: Bus> RecorderFunction<L, B> {
    /// Takes one batch of messages to its end before `deadline`, and returns the answer with a line to log for each
    /// message; or puts the log in order, when a schedule calls.
    ///
    /// # Errors
    /// [`InvocationError`]: then nothing is taken, and every message comes again.
    pub async fn invoke(
        self: &Arc<Self>,
        event: &str,
        request_id: &str,
        deadline: SystemTime,
    ) -> Result<(BatchAnswer, Vec<String>), InvocationError> {
        let Ok(messages) = serde_json::from_str::<Messages>(event) else {
            return Ok((BatchAnswer::default(), self.scheduled(event, request_id).await?));
        };
        let deadline = time_to_answer(deadline);
        let mut tasks = JoinSet::new();
        for message in messages.records {
            let (this, request_id) = (self.clone(), request_id.to_owned());
            tasks.spawn(async move {
                let started = Instant::now();
                let (object, result) = this.message(&message, deadline).await;
                let milliseconds = started.elapsed().as_secs_f64() * 1000.0;
                let done = Done { message_id: message.message_id, object, result, milliseconds };
                (this.line(&done, &request_id), done)
            });
        }
        let all_done = tasks.join_all().await;
        if let Ok(Err(error)) = timeout_at(deadline, self.recorder.log.assign_positions()).await {
            // It is recorded all the same: whoever reads gives it its place.
            warn!(error = error.to_string(), "recorded, but positions are not assigned yet");
        }
        let mut answer = BatchAnswer::default();
        let mut lines = Vec::new();
        for (line, done) in all_done {
            lines.push(line);
            if done.result.is_err() {
                answer.keep(done.message_id);
            }
        }
        Ok((answer, lines))
    }

    /// Puts the log in order, and says what was done; or says how far consumers are behind.
    async fn scheduled(&self, event: &str, request_id: &str) -> Result<Vec<String>, InvocationError> {
        let scheduled: Scheduled<'_> =
            serde_json::from_str(event).map_err(|_| InvocationError::UnsupportedEvent)?;
        if scheduled.task.as_deref() == Some("lag") {
            return Ok(self.lag(request_id).await?);
        }
        if scheduled.detail_type.as_deref() != Some("Scheduled Event") {
            return Err(InvocationError::UnsupportedEvent);
        }
        let mut keep = RetentionPolicy { max_bytes: self.retention_bytes, ..RetentionPolicy::default() };
        if let Some(age) = self.retention {
            keep = keep.with_max_age(age);
        }
        let MaintenanceReport {
            created_partitions: made,
            dropped_partitions: dropped,
            deleted_events: deleted,
        } = self.recorder.log.maintain(&keep).await?;
        let line = json!({
            "function": self.name,
            "request_id": request_id,
            "outcome": "maintained",
            "made": made,
            "dropped": dropped,
            "deleted": deleted,
        });
        Ok(vec![line.to_string()])
    }

    /// A line for each named consumer, which is also its metrics: `ConsumerLagEvents`, `ConsumerLagSeconds` and
    /// `ConsumersExpired` (it has lost events to retention), by function and by consumer.
    async fn lag(&self, request_id: &str) -> Result<Vec<String>, LogError> {
        let bounds = self.recorder.log.bounds().await?;
        let mut lines = Vec::new();
        for consumer in self.recorder.log.find_consumers(None).await? {
            let Lag { events, seconds } = consumer.lag(&self.recorder.log, bounds).await?;
            let directive = json!({
                "Namespace": NAMESPACE,
                "Dimensions": [["function"], ["function", "consumer"]],
                "Metrics": [
                    {"Name": "ConsumerLagEvents", "Unit": "Count"},
                    {"Name": "ConsumerLagSeconds", "Unit": "Seconds"},
                    {"Name": "ConsumersExpired", "Unit": "Count"},
                ],
            });
            let line = json!({
                "_aws": {"Timestamp": Timestamp::now().as_millisecond(), "CloudWatchMetrics": [directive]},
                "function": self.name,
                "request_id": request_id,
                "outcome": "lag",
                "consumer": consumer.name,
                "ConsumersExpired": u8::from(consumer.position < bounds.first),
                "ConsumerLagEvents": events,
                "ConsumerLagSeconds": seconds,
            });
            lines.push(line.to_string());
        }
        Ok(lines)
    }

    async fn message(
        &self,
        message: &Message,
        deadline: Instant,
    ) -> (Option<String>, Result<RecordSummary, String>) {
        let said = |error: RecordError| error.to_string();
        let place = AwsOrigin::from_arn(&message.queue_arn);
        match Notification::parse(&message.body) {
            None => (None, Err("neither a notification of S3 nor an event of EventBridge".into())),
            Some(Notification::Ignored) => (None, Ok(RecordSummary::default())),
            Some(Notification::Event(event)) => (None, self.event(event, deadline).await.map_err(said)),
            Some(Notification::ObjectsCreated(objects)) => {
                let mut all = RecordSummary::default();
                // S3 sends one at a time, though its form has room for more.
                for object in &objects {
                    let Some(key) = self.recorder.archive.key_for_s3_object(&object.bucket, &object.key)
                    else {
                        let why = format!("s3://{}/{} is not in this archive", object.bucket, object.key);
                        return (Some(object.key.clone()), Err(why));
                    };
                    match self.recorder.record_archived(key, &place, deadline).await {
                        Ok(summary) => all = all.merge(summary),
                        Err(error) => return (Some(object.key.clone()), Err(said(error))),
                    }
                }
                (objects.into_iter().next_back().map(|object| object.key), Ok(all))
            }
        }
    }

    /// Records one event of a bus.
    async fn event(&self, json: &str, deadline: Instant) -> Result<RecordSummary, RecordError> {
        let Some(record) = envelope::parse_event(json) else { return Err(RecordError::InvalidEvent) };
        let batch = EventBatch { origin: None, events: vec![record], unrecognized: 0 };
        let recorded = timeout_at(deadline, self.recorder.log.record(&batch)).await;
        match recorded.map_err(|_| RecordError::TimedOut)?? {
            RecordOutcome::Inserted { events, repeats, .. } => Ok(RecordSummary {
                new_events: events,
                duplicates: repeats,
                bytes: json.len(),
                ..RecordSummary::default()
            }),
            RecordOutcome::AlreadyRecorded { .. } => {
                Ok(RecordSummary { is_already_recorded: true, bytes: json.len(), ..RecordSummary::default() })
            }
        }
    }

    /// One line of JSON about a message, which is also its metrics: `Recorded`, `Repeats`, `Unrecognized`, `Failed`
    /// (counts) and `RecordLatency` (milliseconds), by function; `Missed` where a provider was asked for its events: those that
    /// came by no webhook.
    fn line(&self, done: &Done, request_id: &str) -> String {
        let (summary, error) = match &done.result {
            Ok(summary) => (*summary, None),
            Err(error) => (RecordSummary::default(), Some(error)),
        };
        let outcome = match error {
            Some(_) => "kept",
            None if summary.is_already_recorded => "repeated",
            None => "recorded",
        };
        // What is never asked for has no metric of it, which would cost as much as any other.
        let missed = summary.missed.map(|_| "Missed");
        let metrics: Vec<_> = ["Recorded", "Repeats", "Unrecognized", "Failed"]
            .into_iter()
            .chain(missed)
            .map(|name| json!({"Name": name, "Unit": "Count"}))
            .chain([json!({"Name": "RecordLatency", "Unit": "Milliseconds"})])
            .collect();
        let directive = json!({"Namespace": NAMESPACE, "Dimensions": [["function"]], "Metrics": metrics});
        let mut line = Map::new();
        let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
        put(
            "_aws",
            json!({"Timestamp": Timestamp::now().as_millisecond(), "CloudWatchMetrics": [directive]}),
        );
        put("function", self.name.as_str().into());
        put("request_id", request_id.into());
        put("message_id", done.message_id.as_str().into());
        put("outcome", outcome.into());
        put("object", done.object.as_deref().into());
        put("bytes", summary.bytes.into());
        put("Recorded", summary.new_events.into());
        put("Repeats", summary.duplicates.into());
        put("Unrecognized", if summary.is_already_recorded { 0.into() } else { summary.unrecognized.into() });
        put("Failed", u8::from(error.is_some()).into());
        if let Some(missed) = summary.missed {
            put("Missed", missed.into());
        }
        put("RecordLatency", done.milliseconds.into());
        if self.recorder.bus.is_some() {
            put("published", summary.published.into());
            put("unpublishable", summary.unpublishable.into());
        }
        if let Some(error) = error {
            put("error", error.as_str().into());
        }
        Value::Object(line).to_string()
    }
}
