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
    let mut command = Command::new("aws");
    command.args(["--endpoint-url", &endpoint(), "--output", "json"]).args(arguments);
    let text = super::run(&mut command);
    serde_json::from_str(&text).unwrap_or(Value::Null)
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

/// A queue that a rule on the default bus sends to.
pub struct RuleQueue {
    url: String,
}

impl RuleQueue {
    /// Makes a rule with `pattern` on `bus`, and a queue as its target.
    pub fn on(bus: &str, pattern: &Value) -> Self {
        let name = name("rule");
        let made = aws(&["sqs", "create-queue", "--queue-name", &name]);
        let url = made["QueueUrl"].as_str().unwrap().to_owned();
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{name}");
        let pattern = pattern.to_string();
        aws(&["events", "put-rule", "--name", &name, "--event-bus-name", bus, "--event-pattern", &pattern]);
        let target = format!("Id=queue,Arn={arn}");
        aws(&["events", "put-targets", "--rule", &name, "--event-bus-name", bus, "--targets", &target]);
        Self { url }
    }

    /// The next event that the rule let through, as text.
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
        panic!("no event came to {}", self.url);
    }

    /// Whether nothing (more) waits.
    pub fn is_empty(&self) -> bool {
        let got = aws(&["sqs", "receive-message", "--queue-url", &self.url, "--wait-time-seconds", "1"]);
        got["Messages"].get(0).is_none()
    }
}
