//! The log line of a webhook, with its metrics.

use super::{Outcome, RequestLog};
use crate::lambda::MetricLine;

/// The outcome of a handshake.
pub(super) const HANDSHAKE: &str = "handshake";

/// The content of a log line besides the outcome of the webhook.
pub struct LogContext<'a> {
    /// The function's name.
    pub function: &'a str,
    /// The id of the invocation.
    pub request_id: &'a str,
    /// The number of requests with the same outcome and reason that have no line of their own.
    pub omitted: u64,
    /// Whether the line names the provider, because the function has several.
    pub shows_provider: bool,
}

/// Formats the log line of one webhook.
///
/// The line reports `Received`, the count of the outcome, and, unless the request was refused, `Latency` in milliseconds. The metrics
/// of a refused request have the reason as an additional dimension. Each byte of the line costs money, so the line leaves out what
/// other fields imply: the only provider, a single event, and a status that reports success.
pub fn format_emf_line(request_log: &RequestLog, context: &LogContext<'_>) -> String {
    let LogContext { function, request_id, omitted, shows_provider } = *context;
    let outcome = request_log.outcome.as_str();
    let mut line = MetricLine::new(function);
    line.field("request_id", request_id).field("outcome", outcome).field("bytes", request_log.body_bytes);
    let status = request_log.response().status;
    if !(200..300).contains(&status) {
        line.field("status", status);
    }
    if shows_provider && !matches!(request_log.outcome, Outcome::UnknownPath) {
        line.field("provider", request_log.provider.name);
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
    if request_log.event_count > 1 {
        line.field("events", request_log.event_count);
    }
    if omitted > 0 {
        line.field("omitted", omitted);
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

/// Formats the log line that counts `omitted` refused requests or handshakes without a line of their own.
pub(super) fn format_omitted_line(function: &str, reason: &'static str, omitted: u64) -> String {
    let mut line = MetricLine::new(function);
    if reason == HANDSHAKE {
        line.field("outcome", HANDSHAKE).field("omitted", omitted).metric("Received", omitted);
    } else {
        line.field("outcome", "refused").field("omitted", omitted);
        count_refused(&mut line, reason, omitted);
    }
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
        let context =
            LogContext { function: FUNCTION, request_id: REQUEST_ID, omitted: 0, shows_provider: false };
        let line = format_emf_line(&published, &context);
        assert!(line.len() <= 450, "{} bytes: {line}", line.len());
        for reason in [VerificationError::SignatureMismatch, VerificationError::TimestampOutOfTolerance] {
            let refused = RequestLog {
                outcome: Outcome::VerificationFailed(reason),
                ..RequestLog::new(&GITHUB, 17_345)
            };
            let line = format_emf_line(&refused, &LogContext { omitted: 1_000_000, ..context });
            assert!(line.len() <= 450, "{} bytes: {line}", line.len());
        }
    }
}
