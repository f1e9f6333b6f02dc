//! AWS, played by LocalStack, as a person meets it: through the `aws` command.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A name that no other test uses.
pub fn name(of: &str) -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    format!("{of}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Runs the `aws` command and returns the JSON it prints; `null` when it prints none.
pub fn aws(arguments: &[&str]) -> Value {
    serde_json::from_str(&text(arguments)).unwrap_or(Value::Null)
}

/// Runs the `aws` command and returns what it prints.
pub fn text(arguments: &[&str]) -> String {
    let mut command = Command::new("aws");
    super::run(command.args(["--endpoint-url", &endpoint(), "--output", "json"]).args(arguments))
}

/// LocalStack's URL.
pub fn endpoint() -> String {
    super::set_up("HOOKBRIDGE_TEST_AWS")
}

/// Makes a secret and returns its ARN.
pub fn secret(value: &str) -> String {
    let made = aws(&["secretsmanager", "create-secret", "--name", &name("secret"), "--secret-string", value]);
    made["ARN"].as_str().unwrap().to_owned()
}

/// Gives a secret a new version.
pub fn rotate(arn: &str, value: &str) {
    aws(&["secretsmanager", "put-secret-value", "--secret-id", arn, "--secret-string", value]);
}

/// An SQS queue.
pub struct Queue {
    pub url: String,
}

impl Queue {
    /// Makes one.
    pub fn new() -> Self {
        let made = aws(&["sqs", "create-queue", "--queue-name", &name("queue")]);
        Self { url: made["QueueUrl"].as_str().unwrap().to_owned() }
    }

    /// Makes one, and a rule with `pattern` on `bus` that sends to it.
    pub fn of_rule(bus: &str, pattern: &Value) -> Self {
        let queue = Self::new();
        let name = queue.url.rsplit('/').next().unwrap();
        let pattern = pattern.to_string();
        aws(&["events", "put-rule", "--name", name, "--event-bus-name", bus, "--event-pattern", &pattern]);
        let target = format!("Id=queue,Arn=arn:aws:sqs:us-east-1:000000000000:{name}");
        aws(&["events", "put-targets", "--rule", name, "--event-bus-name", bus, "--targets", &target]);
        queue
    }

    /// The next message's text, which is then gone.
    pub fn receive(&self) -> String {
        let end = Instant::now() + Duration::from_secs(30);
        while Instant::now() < end {
            let got = aws(&["sqs", "receive-message", "--queue-url", &self.url, "--wait-time-seconds", "2"]);
            if let Some(message) = got["Messages"].get(0) {
                let handle = message["ReceiptHandle"].as_str().unwrap();
                aws(&["sqs", "delete-message", "--queue-url", &self.url, "--receipt-handle", handle]);
                return message["Body"].as_str().unwrap().to_owned();
            }
        }
        panic!("no message came to {}", self.url);
    }

    /// Whether nothing (more) waits.
    pub fn is_empty(&self) -> bool {
        let got = aws(&["sqs", "receive-message", "--queue-url", &self.url, "--wait-time-seconds", "1"]);
        got["Messages"].get(0).is_none()
    }
}
