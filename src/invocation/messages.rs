//! The batches of messages that SQS sends through Lambda.
//!
//! SQS hands over some messages at a time and takes back those that are named in the answer
//! (`ReportBatchItemFailures`): they come again later, and after too many times go to the dead-letter queue.

use serde::{Deserialize, Serialize};

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
