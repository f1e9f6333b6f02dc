//! The log line of a webhook, with its metrics.

use super::RequestLog;
use crate::lambda::MetricLine;

/// Formats the log line of one webhook. `function` is the function's name, `request_id` the id of the invocation. `omitted` is the
/// number of requests that were refused for the same reason and have no line of their own.
///
/// The line reports `Received`, the count of the outcome, and, unless the request was refused, `Latency` in milliseconds. The metrics
/// of a refused request have the reason as an additional dimension. Each byte of the line costs money, so the line leaves out what
/// other fields imply: the provider, and a status that reports success.
pub fn format_emf_line(request_log: &RequestLog, function: &str, request_id: &str, omitted: u64) -> String {
    let outcome = request_log.outcome.as_str();
    let mut line = MetricLine::new(function);
    line.field("request_id", request_id).field("outcome", outcome).field("bytes", request_log.body_bytes);
    let status = request_log.response().status;
    if !(200..300).contains(&status) {
        line.field("status", status);
    }
    if outcome == "refused" {
        count_refused(&mut line, request_log.outcome.reason().unwrap_or_default(), 1 + omitted);
        if omitted > 0 {
            line.field("omitted", omitted);
        }
        return line.into();
    }
    line.metric("Received", 1).metric("Latency", request_log.elapsed_ms());
    if let Some(metric) = outcome_metric(outcome) {
        line.metric(metric, 1);
    }
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

/// Formats the log line that counts `omitted` refused requests without a line of their own.
pub(super) fn format_omitted_line(function: &str, reason: &'static str, omitted: u64) -> String {
    let mut line = MetricLine::new(function);
    line.field("outcome", "refused").field("omitted", omitted);
    count_refused(&mut line, reason, omitted);
    line.into()
}

fn count_refused(line: &mut MetricLine, reason: &'static str, count: u64) {
    line.dimension("reason", reason).metric("Received", count).metric("Refused", count);
}

fn outcome_metric(outcome: &str) -> Option<&'static str> {
    match outcome {
        "published" => Some("Published"),
        "spilled" => Some("Spilled"),
        "archived" => Some("Archived"),
        "repeated" => Some("Repeated"),
        "failed" => Some("Failed"),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::bridge::Outcome;
    use crate::providers::{VerificationError, code::github::GITHUB};

    const FUNCTION: &str = "hookbridge-github-Function-4Nq1yDQ0Xw3E";
    const REQUEST_ID: &str = "8476a536-e9f4-11e8-9739-2dfe598c3fcd";

    #[test]
    fn a_line_has_at_most_450_bytes() {
        let published = RequestLog {
            outcome: Outcome::Published,
            event_type: Some("push".into()),
            delivery_id: Some("72d3162e-cc78-11e3-81ab-4c9367dc0958".into()),
            elapsed: Duration::from_micros(12_345),
            ..RequestLog::new(&GITHUB, 17_345)
        };
        let line = format_emf_line(&published, FUNCTION, REQUEST_ID, 0);
        assert!(line.len() <= 450, "{} bytes: {line}", line.len());
        for reason in [VerificationError::SignatureMismatch, VerificationError::TimestampOutOfTolerance] {
            let refused = RequestLog {
                outcome: Outcome::VerificationFailed(reason),
                ..RequestLog::new(&GITHUB, 17_345)
            };
            let line = format_emf_line(&refused, FUNCTION, REQUEST_ID, 1_000_000);
            assert!(line.len() <= 450, "{} bytes: {line}", line.len());
        }
    }
}
