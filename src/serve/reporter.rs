//! Where the parts of `serve` report what happens: to the terminal, to the recent activity, to the metrics and to the spans.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::activity::Activity;
use super::metrics::Metrics;
use super::spans::Spans;
use super::terminal::Terminal;
use crate::bridge::RequestLog;
use crate::delivery::FinishedAttempt;
use crate::poller::PollSummary;
use crate::providers::Diagnosis;
use crate::recorder::{RecordError, RecordSummary};

#[derive(Clone)]
pub(super) struct Reporter {
    pub(super) terminal: Terminal,
    pub(super) activity: Arc<Activity>,
    pub(super) metrics: Arc<Metrics>,
    /// `None` if spans are not exported.
    pub(super) spans: Option<Arc<Spans>>,
    /// The number of bytes at the start of the local bus file that are in the log.
    recorded_length: Arc<AtomicU64>,
}

/// The names of parts that can fail.
pub(super) const LOG: &str = "log";
pub(super) const RECORDER: &str = "recorder";
pub(super) const DELIVERIES: &str = "deliveries";

/// The name of a poller among the parts. `polled` is a provider, or a webhook at GitHub.
pub(super) fn poll_part(polled: &str) -> String {
    format!("poll {polled}")
}

impl Reporter {
    pub(super) fn new(terminal: Terminal, spans: Option<Spans>) -> Self {
        let (activity, metrics) = (Arc::new(Activity::new()), Arc::new(Metrics::new()));
        Self { terminal, activity, metrics, spans: spans.map(Arc::new), recorded_length: Arc::default() }
    }

    pub(super) fn webhook(&self, log: &RequestLog, diagnosis: Option<&Diagnosis>) {
        self.metrics.count_webhook(log.provider.name, log.outcome.as_str(), Some(log.elapsed));
        self.activity.record_webhook(log, diagnosis);
        if let Some(spans) = &self.spans {
            spans.webhook(log);
        }
        self.terminal.print_webhook(log, diagnosis);
    }

    /// Reports that admission control rejected a webhook.
    pub(super) fn rejected(&self, provider: &'static str, status: u16, reason: &'static str) {
        self.metrics.count_webhook(provider, "refused", None);
        self.activity.record_rejected(provider, status, reason);
        self.terminal.print_rejected(provider, status);
    }

    /// Reports the result of recording a batch.
    pub(super) fn recorded(
        &self,
        key: &str,
        result: &Result<RecordSummary, RecordError>,
        duration: Duration,
    ) {
        match result {
            Ok(summary) => {
                self.metrics.count_recorded_events(summary.new_events);
                self.activity.record_success(RECORDER);
            }
            Err(error) => self.activity.record_failure(RECORDER, format!("{key}: {error}")),
        }
        self.terminal.print_recorded(key, result, duration);
    }

    /// Reports a successful poll. `is_news` is false for a poll that follows another successful one.
    pub(super) fn polled(&self, provider: &str, summary: &PollSummary, is_news: bool) {
        self.report_poll(provider, None);
        if is_news {
            self.terminal.print_polled(provider, summary);
        }
    }

    pub(super) fn poll_failed(&self, provider: &str, error: &dyn std::error::Error) {
        self.report_poll(provider, Some(&error.to_string()));
        self.terminal.print_poll_error(provider, error);
    }

    /// Reports whether a poll succeeded, without a line on the terminal.
    pub(super) fn report_poll(&self, polled: &str, error: Option<&str>) {
        self.metrics.count_poll(error.is_none());
        self.report_part(&poll_part(polled), error);
    }

    /// Reports the result of a delivery attempt.
    pub(super) fn attempt(&self, finished: &FinishedAttempt) {
        let result = finished.result();
        let is_last = result.is_success() || finished.is_given_up();
        self.metrics.count_attempt(result.is_success(), is_last, result.duration);
        if let Some(spans) = &self.spans {
            spans.attempt(finished);
        }
        self.terminal.print_attempt(finished);
    }

    /// Reports whether the deliveries of new events could be created.
    pub(super) fn created_deliveries(&self, error: Option<&str>) {
        self.report_part(DELIVERIES, error);
    }

    /// Reports that the log has the events in the first `length` bytes of the local bus file, or why it has not.
    pub(super) fn tailed(&self, length: Result<u64, &str>) {
        match length {
            Ok(length) => self.recorded_length.store(length, Ordering::Relaxed),
            Err(error) => return self.report_part(LOG, Some(error)),
        }
        self.report_part(LOG, None);
    }

    pub(super) fn recorded_length(&self) -> u64 {
        self.recorded_length.load(Ordering::Relaxed)
    }

    fn report_part(&self, part: &str, error: Option<&str>) {
        match error {
            Some(error) => self.activity.record_failure(part, error.to_owned()),
            None => self.activity.record_success(part),
        }
    }
}
