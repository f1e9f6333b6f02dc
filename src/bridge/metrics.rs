//! The log line of a webhook, with its metrics.

use super::RequestLog;
use crate::lambda::MetricLine;

/// Formats the log line of one webhook. `function` is the function's name, `request_id` the id of the invocation.
///
/// The counts are `Received`, `Published`, `Refused`, `Failed` and, only when they are 1, `Spilled`, `Archived`,
/// `Repeated`. `Latency` is in milliseconds. All metrics have the dimension `function`. The line of a refused
/// webhook reports `Refused` a second time, with `reason` as an additional dimension.
pub fn format_emf_line(request_log: &RequestLog, function: &str, request_id: &str) -> String {
    let outcome = request_log.outcome.as_str();
    let mut line = MetricLine::new(function, request_id);
    line.field("provider", request_log.provider.name)
        .field("outcome", outcome)
        .field("status", request_log.response().status)
        .field("bytes", request_log.body_bytes)
        .count_if("Received", true)
        .count_if("Published", outcome == "published")
        .count_if("Refused", outcome == "refused")
        .count_if("Failed", outcome == "failed")
        .milliseconds("Latency", request_log.elapsed_ms());
    match outcome {
        "spilled" => line.count_if("Spilled", true),
        "archived" => line.count_if("Archived", true),
        "repeated" => line.count_if("Repeated", true),
        "refused" => line.also_count_by("reason", "Refused"),
        _ => &mut line,
    };
    let optional = [
        ("reason", request_log.outcome.reason().map(str::to_owned)),
        ("error", request_log.outcome.error_message()),
        ("event_type", request_log.event_type.clone()),
        ("delivery_id", request_log.delivery_id.clone()),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            line.field(name, value);
        }
    }
    line.into()
}
