//! `hookbridge redrive`: shows what waits in a spill queue and in its dead-letter queue, and puts dead letters back.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::ProvideErrorMetadata;
use aws_sdk_sqs::types::{Message, MessageSystemAttributeName, QueueAttributeName};
use clap::Args;
use clap::builder::FalseyValueParser;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::progress::Progress;
use super::subscriber::escape_control_characters;
use crate::aws;
use crate::bus::REASON_ATTRIBUTE;
use crate::event::Event;
use crate::util::error::error_chain;
use crate::util::output;

/// How often a running move is queried.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Show what waits in a spill queue, and put dead letters back
///
/// The spill queue of a provider's stack holds the events that the bus did not accept. An event that waited there for a day or more,
/// or that the bus never accepts, is a dead letter. The ages and the reasons are those of up to ten messages of each queue.
#[derive(Args)]
pub struct Redrive {
    /// URL of the spill queue, which is the stack's output SpillQueueUrl
    #[arg(long, value_name = "URL")]
    queue: String,
    /// Show this number of messages of each queue, too, at most 10
    #[arg(long, value_name = "NUMBER", default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=10))]
    peek: u8,
    /// Move all dead letters back to the spill queue; the function redrive then publishes them
    #[arg(long)]
    dead_letters: bool,
    /// Print the result as one line of JSON, with the whole content of the shown messages
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum RedriveError {
    #[error(
        "--queue: '{0}' is not the URL of an SQS queue; the format is https://sqs.REGION.amazonaws.com/ACCOUNT/NAME"
    )]
    Url(String),
    #[error("{operation} failed for {queue}: {error}")]
    Sqs { operation: &'static str, queue: String, error: String },
    #[error("{0} has no dead-letter queue; name the spill queue of a provider's stack")]
    NoDeadLetterQueue(String),
    #[error("the move of the dead letters ended as {status} after {moved} messages: {reason}")]
    MoveFailed { status: String, moved: i64, reason: String },
}

/// The `RedrivePolicy` of a queue.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RedrivePolicy {
    dead_letter_target_arn: String,
}

/// A queue, with the approximate numbers of its messages.
struct QueueState {
    url: String,
    arn: String,
    waiting: u64,
    in_flight: u64,
    /// `None` if the queue has no dead-letter queue.
    dead_letter_arn: Option<String>,
}

impl Redrive {
    /// Shows both queues, or moves the dead letters.
    pub async fn run(self) -> Result<(), RedriveError> {
        if !["https://", "http://"].iter().any(|scheme| self.queue.starts_with(scheme)) {
            return Err(RedriveError::Url(self.queue));
        }
        let client = Client::new(&aws::command_config().await);
        let spill_queue = queue_state(&client, &self.queue).await?;
        let dead_letter_arn = spill_queue.dead_letter_arn.clone();
        let dead_letter_arn =
            dead_letter_arn.ok_or_else(|| RedriveError::NoDeadLetterQueue(self.queue.clone()))?;
        if self.dead_letters {
            return self.move_dead_letters(&client, &dead_letter_arn, &spill_queue.arn).await;
        }
        let dead_letter_queue = queue_state(&client, &queue_url(&client, &dead_letter_arn).await?).await?;
        let mut result = serde_json::Map::new();
        for (name, queue) in [("spill_queue", &spill_queue), ("dead_letter_queue", &dead_letter_queue)] {
            let sample = if queue.waiting == 0 { Vec::new() } else { sample(&client, &queue.url).await? };
            let shown = sample.iter().take(self.peek.into());
            let oldest = sample.iter().filter_map(sent_at).min();
            let reasons = count_reasons(&sample);
            if self.json {
                let messages: Vec<Value> = shown.map(message_json).collect();
                let state = json!({
                    "url": queue.url, "waiting": queue.waiting, "in_flight": queue.in_flight, "sample": sample.len(),
                    "oldest": oldest.map(|time| time.to_string()), "reasons": reasons, "messages": messages,
                });
                result.insert(name.to_owned(), state);
                continue;
            }
            let title = name.replace('_', " ");
            let age = oldest.map(|time| format!(", since {time:.0} ({} ago)", age(time, Timestamp::now())));
            let (waiting, in_flight, age) = (queue.waiting, queue.in_flight, age.unwrap_or_default());
            output::print_line(&format!("{title:<18} {waiting} waiting, {in_flight} in flight{age}"));
            if queue.waiting == 0 && queue.in_flight > 0 {
                output::print_line(
                    "  messages in flight cannot be read; the log of the function redrive has their errors",
                );
            }
            for (reason, count) in &reasons {
                let line = format!("  {count} of {}: {reason}", sample.len());
                output::print_line(&escape_control_characters(&line));
            }
            for message in shown {
                output::print_line(&format!("  {}", message_text(message)));
            }
        }
        if self.json {
            output::print_line(&Value::from(result).to_string());
        }
        Ok(())
    }

    /// Moves all dead letters to the spill queue, and reports the progress until the move ends.
    async fn move_dead_letters(
        &self,
        client: &Client,
        source_arn: &str,
        destination_arn: &str,
    ) -> Result<(), RedriveError> {
        let request =
            client.start_message_move_task().source_arn(source_arn).destination_arn(destination_arn);
        request.send().await.map_err(|error| sqs_error("StartMessageMoveTask", source_arn, &error))?;
        let mut progress = Progress::start(None);
        loop {
            let tasks = client.list_message_move_tasks().source_arn(source_arn).max_results(1).send().await;
            let tasks = tasks.map_err(|error| sqs_error("ListMessageMoveTasks", source_arn, &error))?;
            let Some(task) = tasks.results().first() else {
                sleep(PROGRESS_INTERVAL).await;
                continue;
            };
            let (status, moved) =
                (task.status().unwrap_or_default(), task.approximate_number_of_messages_moved());
            match status {
                "RUNNING" | "CANCELLING" => {
                    let total = task.approximate_number_of_messages_to_move().unwrap_or(moved);
                    let moved = u64::try_from(moved).unwrap_or_default();
                    progress.update(moved, || format!("moved {moved} of about {total} dead letters"));
                    sleep(PROGRESS_INTERVAL).await;
                }
                "COMPLETED" if self.json => {
                    output::print_line(&json!({ "moved": moved }).to_string());
                    return Ok(());
                }
                "COMPLETED" => {
                    output::print_line(&format!("moved {moved} dead letters to {}", self.queue));
                    return Ok(());
                }
                status => {
                    return Err(RedriveError::MoveFailed {
                        status: status.to_owned(),
                        moved,
                        reason: task.failure_reason().unwrap_or("no reason").to_owned(),
                    });
                }
            }
        }
    }
}

async fn queue_state(client: &Client, url: &str) -> Result<QueueState, RedriveError> {
    let request = client.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
    let response = request.send().await.map_err(|error| sqs_error("GetQueueAttributes", url, &error))?;
    let attribute = |name| response.attributes()?.get(&name).map(String::as_str);
    let count = |name| attribute(name).and_then(|text| text.parse().ok()).unwrap_or(0);
    let policy = attribute(QueueAttributeName::RedrivePolicy);
    let policy = policy.and_then(|json| serde_json::from_str::<RedrivePolicy>(json).ok());
    Ok(QueueState {
        url: url.to_owned(),
        arn: attribute(QueueAttributeName::QueueArn).unwrap_or_default().to_owned(),
        waiting: count(QueueAttributeName::ApproximateNumberOfMessages),
        in_flight: count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible),
        dead_letter_arn: policy.map(|policy| policy.dead_letter_target_arn),
    })
}

/// The URL of the queue with this ARN, in the region and the account of the ARN.
async fn queue_url(client: &Client, arn: &str) -> Result<String, RedriveError> {
    let mut parts = arn.rsplit(':');
    let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let request = client.get_queue_url().queue_name(name).queue_owner_aws_account_id(account);
    let response = request.send().await.map_err(|error| sqs_error("GetQueueUrl", arn, &error))?;
    Ok(response.queue_url.unwrap_or_default())
}

/// Reads up to ten messages, the oldest first, without hiding them from other readers.
async fn sample(client: &Client, url: &str) -> Result<Vec<Message>, RedriveError> {
    let request = client.receive_message().queue_url(url).max_number_of_messages(10).visibility_timeout(0);
    // Without a wait, SQS looks at a part of its servers only.
    let request = request.wait_time_seconds(2);
    let request = request.message_system_attribute_names(MessageSystemAttributeName::All);
    let request = request.message_attribute_names(REASON_ATTRIBUTE);
    let response = request.send().await.map_err(|error| sqs_error("ReceiveMessage", url, &error))?;
    let mut messages = response.messages.unwrap_or_default();
    messages.sort_by_key(sent_at);
    Ok(messages)
}

/// Why the event of the message was not published.
fn reason(message: &Message) -> Option<&str> {
    message.message_attributes()?.get(REASON_ATTRIBUTE)?.string_value()
}

/// The number of messages with each reason.
fn count_reasons(messages: &[Message]) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for message in messages {
        *counts.entry(reason(message).unwrap_or("no reason")).or_default() += 1;
    }
    counts
}

/// The time from `start` to `now` in one unit: `3 days`, `20 min`.
fn age(start: Timestamp, now: Timestamp) -> String {
    let seconds = now.duration_since(start).as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn sent_at(message: &Message) -> Option<Timestamp> {
    let milliseconds = message.attributes()?.get(&MessageSystemAttributeName::SentTimestamp)?;
    Timestamp::from_millisecond(milliseconds.parse().ok()?).ok()
}

/// How often the message was received.
fn receives(message: &Message) -> u64 {
    let count = message
        .attributes()
        .and_then(|attributes| attributes.get(&MessageSystemAttributeName::ApproximateReceiveCount));
    count.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn message_json(message: &Message) -> Value {
    let body = message.body().unwrap_or_default();
    json!({
        "id": message.message_id(),
        "sent": sent_at(message).map(|time| time.to_string()),
        "receives": receives(message),
        "reason": reason(message),
        "entry": serde_json::from_str::<Value>(body).unwrap_or_else(|_| body.into()),
    })
}

fn message_text(message: &Message) -> String {
    let body = message.body().unwrap_or_default();
    let event = match Event::from_entry(body) {
        Ok(event) => format!("{}  {}  {}", event.source, event.detail_type, event.resources.join(" ")),
        Err(_) => "not an entry of PutEvents".to_owned(),
    };
    let sent = sent_at(message).map_or_else(String::new, |time| time.to_string());
    let reason = reason(message).unwrap_or("no reason");
    let text = format!("{sent}  {event}  {} bytes  receives: {}  {reason}", body.len(), receives(message));
    escape_control_characters(&text)
}

fn sqs_error<E>(operation: &'static str, queue: &str, error: &aws_sdk_sqs::error::SdkError<E>) -> RedriveError
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let text = match (error.code(), error.message()) {
        (Some(code), message) => format!("{code}: {}", message.unwrap_or("no message")),
        (None, _) => error_chain(error),
    };
    RedriveError::Sqs { operation, queue: queue.to_owned(), error: text }
}
