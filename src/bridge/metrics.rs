//! Webhook log lines in CloudWatch's embedded metric format.
//!
//! One JSON line is both the log record and its metrics: the member `_aws` names the fields that CloudWatch
//! extracts as metrics.
//!
//! Source: "Specification: Embedded metric format", Amazon CloudWatch User Guide.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::RequestLog;

/// CloudWatch namespace of the metrics.
const METRICS_NAMESPACE: &str = "hookbridge";

/// Formats the log line of one webhook. `function` is the function's name, `request_id` the id of the invocation.
///
/// The metrics have the dimension `function`: `Received`, `Published`, `Refused`, `Failed` (counts) and `Latency`
/// (milliseconds). `Refused` also has the dimension `reason`. `Spilled`, `Archived` and `Repeated` are present only
/// when they are 1.
pub fn format_emf_line(record: &RequestLog, function: &str, request_id: &str) -> String {
    let outcome = record.outcome.as_str();
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| line.insert(name.to_owned(), value);
    let count = |yes: bool| Value::from(u8::from(yes));
    put("_aws", description(outcome));
    put("function", function.into());
    put("request_id", request_id.into());
    put("provider", record.provider.name.into());
    put("outcome", outcome.into());
    put("status", record.response().status.into());
    put("bytes", record.body_bytes.into());
    put("Received", count(true));
    put("Published", count(outcome == "published"));
    put("Refused", count(outcome == "refused"));
    put("Failed", count(outcome == "failed"));
    if let Some(name) = now_and_then(outcome) {
        put(name, count(true));
    }
    put("Latency", record.elapsed_ms().into());
    let optional = [
        ("reason", record.outcome.reason().map(str::to_owned)),
        ("error", record.outcome.error_message()),
        ("event_type", record.event_type.clone()),
        ("delivery_id", record.delivery_id.clone()),
    ];
    for (name, value) in optional {
        value.and_then(|value| put(name, value.into()));
    }
    Value::Object(line).to_string()
}

/// The metric that only this outcome emits. CloudWatch charges for each emitted metric, so the line never holds a
/// zero.
fn now_and_then(outcome: &str) -> Option<&'static str> {
    match outcome {
        "spilled" => Some("Spilled"),
        "archived" => Some("Archived"),
        "repeated" => Some("Repeated"),
        _ => None,
    }
}

fn description(outcome: &str) -> Value {
    let count = |name: &str| json!({"Name": name, "Unit": "Count"});
    let mut metrics = vec![
        count("Received"),
        count("Published"),
        count("Refused"),
        count("Failed"),
        json!({"Name": "Latency", "Unit": "Milliseconds"}),
    ];
    metrics.extend(now_and_then(outcome).map(count));
    let mut directives =
        vec![json!({"Namespace": METRICS_NAMESPACE, "Dimensions": [["function"]], "Metrics": metrics})];
    if outcome == "refused" {
        directives.push(json!({
            "Namespace": METRICS_NAMESPACE,
            "Dimensions": [["function", "reason"]],
            "Metrics": [count("Refused")],
        }));
    }
    json!({"Timestamp": Timestamp::now().as_millisecond(), "CloudWatchMetrics": directives})
}
