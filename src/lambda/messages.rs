//! Events and responses of functions that SQS invokes with batches of messages.
//!
//! A function returns the ids of the messages that failed (`ReportBatchItemFailures`). SQS delivers these messages
//! again, and moves them to the dead-letter queue after the maximum number of receives.

use serde::{Deserialize, Serialize};

/// The fields of an SQS event that the functions use.
#[derive(Deserialize)]
pub struct SqsEvent {
    #[serde(rename = "Records")]
    pub records: Vec<SqsMessage>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SqsMessage {
    /// The id of the message, which is the same at every delivery.
    pub message_id: String,
    pub body: String,
    #[serde(default, rename = "eventSourceARN")]
    pub queue_arn: String,
}

/// The response to an SQS batch: the ids of the messages that failed.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    batch_item_failures: Vec<FailedItem>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FailedItem {
    item_identifier: String,
}

impl BatchResponse {
    /// Reports a message as failed, so that SQS delivers it again.
    pub fn add_failure(&mut self, message_id: String) {
        self.batch_item_failures.push(FailedItem { item_identifier: message_id });
    }

    pub fn has_no_failures(&self) -> bool {
        self.batch_item_failures.is_empty()
    }
}
