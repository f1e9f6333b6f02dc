//! The log line of a webhook, with its metrics.

use super::RequestLog;
use crate::lambda::MetricLine;

/// Formats the log line of one webhook. `function` is the function's name, `request_id` the id of the invocation.
///
/// The counts are `Received`, `Published`, `Refused`, `Failed` and, only when they are 1, `Spilled`, `Archived`,
/// `Repeated`. `Latency` is in milliseconds. All have the dimension `function`; `Refused` is also counted by `reason`.
pub fn format_emf_line(record: &RequestLog, function: &str, request_id: &str) -> String {
    let outcome = record.outcome.as_str();
    let mut line = MetricLine::new(function, request_id);
    line.field("provider", record.provider.name)
        .field("outcome", outcome)
        .field("status", record.response().status)
        .field("bytes", record.body_bytes)
        .flag("Received", true)
        .flag("Published", outcome == "published")
        .flag("Refused", outcome == "refused")
        .flag("Failed", outcome == "failed")
        .milliseconds("Latency", record.elapsed_ms());
    match outcome {
        "spilled" => line.flag("Spilled", true),
        "archived" => line.flag("Archived", true),
        "repeated" => line.flag("Repeated", true),
        "refused" => line.also_count_by("reason", "Refused"),
        _ => &mut line,
    };
    let optional = [
        ("reason", record.outcome.reason().map(str::to_owned)),
        ("error", record.outcome.error_message()),
        ("event_type", record.event_type.clone()),
        ("delivery_id", record.delivery_id.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            line.field(name, value);
        }
    }
    line.into()
}
