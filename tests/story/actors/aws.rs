//! AWS through the `aws` command, against LocalStack.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// Returns a name that no other test uses.
pub fn name(prefix: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{prefix}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs the `aws` command and returns the JSON it prints, or `null`.
pub fn aws(arguments: &[&str]) -> Value {
    serde_json::from_str(&text(arguments)).unwrap_or(Value::Null)
}

/// Runs the `aws` command and returns its output.
pub fn text(arguments: &[&str]) -> String {
    let mut command = Command::new("aws");
    super::run(command.args(["--endpoint-url", &endpoint(), "--output", "json"]).args(arguments))
}

pub fn endpoint() -> String {
    super::test_environment("HOOKBRIDGE_TEST_AWS")
}

/// Creates a secret and returns its ARN.
pub fn secret(value: &str) -> String {
    let response =
        aws(&["secretsmanager", "create-secret", "--name", &name("secret"), "--secret-string", value]);
    response["ARN"].as_str().unwrap().to_owned()
}

pub fn rotate(arn: &str, value: &str) {
    aws(&["secretsmanager", "put-secret-value", "--secret-id", arn, "--secret-string", value]);
}

pub struct Queue {
    pub url: String,
}

impl Queue {
    pub fn new() -> Self {
        let response = aws(&["sqs", "create-queue", "--queue-name", &name("queue")]);
        Self { url: response["QueueUrl"].as_str().unwrap().to_owned() }
    }

    /// Creates a queue, and a rule with `pattern` on `bus` that targets it.
    pub fn for_rule(bus: &str, pattern: &Value) -> Self {
        let queue = Self::new();
        let name = queue.url.rsplit('/').next().unwrap();
        let pattern = pattern.to_string();
        aws(&["events", "put-rule", "--name", name, "--event-bus-name", bus, "--event-pattern", &pattern]);
        let target = format!("Id=queue,Arn=arn:aws:sqs:us-east-1:000000000000:{name}");
        aws(&["events", "put-targets", "--rule", name, "--event-bus-name", bus, "--targets", &target]);
        queue
    }

    /// Receives and deletes the next message, and returns its body.
    pub fn receive(&self) -> String {
        self.receive_with_reason().0
    }

    /// Receives and deletes the next message, and returns its body and the attribute that says why it is in the queue.
    pub fn receive_with_reason(&self) -> (String, String) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let arguments = ["sqs", "receive-message", "--queue-url", &self.url, "--wait-time-seconds", "2"];
            let response = aws(&[&arguments[..], &["--message-attribute-names", "All"]].concat());
            if let Some(message) = response["Messages"].get(0) {
                let handle = message["ReceiptHandle"].as_str().unwrap();
                aws(&["sqs", "delete-message", "--queue-url", &self.url, "--receipt-handle", handle]);
                let reason = message["MessageAttributes"]["Reason"]["StringValue"].as_str();
                return (message["Body"].as_str().unwrap().to_owned(), reason.unwrap_or_default().to_owned());
            }
        }
        panic!("no message arrived in {}", self.url);
    }

    pub fn is_empty(&self) -> bool {
        let response = aws(&["sqs", "receive-message", "--queue-url", &self.url, "--wait-time-seconds", "1"]);
        response["Messages"].get(0).is_none()
    }
}
