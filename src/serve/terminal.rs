//! Terminal output of `serve`: one task writes all lines, so that lines do not interleave and never delay a webhook.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};

use super::config::ServeSettings;
use super::endpoints::WebhookEndpoints;
use super::greeting::Greeting;
use crate::bridge::{Outcome, RequestLog};
use crate::delivery::FinishedAttempt;
use crate::event::strip_line_breaks_field;
use crate::poller::PollSummary;
use crate::poller::redelivery::{Hook, RedeliverySummary};
use crate::providers::Diagnosis;
use crate::recorder::{RecordError, RecordSummary};
use crate::util::output;
use crate::util::style::{Tone, paint};

/// The maximum number of characters of an event that are printed; the bus file contains the whole event.
const MAX_SHOWN_EVENT_CHARS: usize = 1000;
/// The capacity of the queue of lines to print. While the queue is full, new lines are dropped, so that a slow terminal never
/// delays a webhook.
const MAX_QUEUED_LINES: usize = 4096;

#[derive(Clone)]
pub(super) struct Terminal {
    messages: mpsc::Sender<TerminalMessage>,
    json: bool,
    quiet: bool,
    /// While true, what happens is not printed, except with `json`.
    is_muted: Arc<AtomicBool>,
}

enum TerminalMessage {
    Text(String),
    /// Requests a reply when all lines that were queued before this message are printed.
    Flush(oneshot::Sender<()>),
}

type EventReceiver = Option<broadcast::Receiver<Arc<str>>>;

impl Terminal {
    /// Starts the task that prints all lines. The task prints each of `events` before the outcome of its webhook.
    pub(super) fn start(json: bool, quiet: bool, events: EventReceiver) -> Self {
        let (messages, receiver) = mpsc::channel(MAX_QUEUED_LINES);
        let is_muted = Arc::new(AtomicBool::new(false));
        tokio::spawn(write_lines(receiver, events.filter(|_| !quiet), json, is_muted.clone()));
        Self { messages, json, quiet, is_muted }
    }

    /// Prints nothing of what happens until [`unmute`](Self::unmute), only lines of [`print_line`](Self::print_line).
    pub(super) fn mute(&self) {
        self.is_muted.store(!self.json, Ordering::Relaxed);
    }

    /// Ends the effect of [`mute`](Self::mute), after all lines that were queued meanwhile.
    pub(super) async fn unmute(&self) {
        self.flush().await;
        self.is_muted.store(false, Ordering::Relaxed);
    }

    fn is_silent(&self) -> bool {
        self.quiet || self.is_muted.load(Ordering::Relaxed)
    }

    pub(super) fn print_greeting(
        &self,
        settings: &ServeSettings,
        address: SocketAddr,
        endpoints: &WebhookEndpoints,
    ) {
        let text = if self.json {
            serde_json::json!({"listening": format!("http://{address}")}).to_string()
        } else {
            Greeting { settings, address, endpoints }.text()
        };
        let _ = self.messages.try_send(TerminalMessage::Text(text));
    }

    /// Prints a line of text, or nothing with `--json`.
    pub(super) fn print_line(&self, text: &str) {
        if !self.json {
            let _ = self.messages.try_send(TerminalMessage::Text(text.to_owned()));
        }
    }

    /// Prints that admission control rejected a webhook.
    pub(super) fn print_rejected(&self, provider: &str, status: u16) {
        if self.is_silent() {
            return;
        }
        let text = if self.json {
            serde_json::json!({"turned_away": {"provider": provider, "status": status}}).to_string()
        } else {
            format!("{} {provider:<17} {status}", paint("refused  ", tone(status)))
        };
        let _ = self.messages.try_send(TerminalMessage::Text(text));
    }

    /// Prints the outcome of a webhook.
    pub(super) fn print_webhook(&self, record: &RequestLog, diagnosis: Option<&Diagnosis>) {
        if self.is_silent() {
            return;
        }
        let text = if self.json {
            webhook_json(record)
        } else {
            let mistakes = diagnosis.into_iter().flat_map(|diagnosis| &diagnosis.mistakes);
            [webhook_text(record)]
                .into_iter()
                .chain(transmitted_secret(record))
                .chain(mistakes.map(|mistake| format!("    {mistake}")))
                .collect::<Vec<_>>()
                .join("\n")
        };
        let _ = self.messages.try_send(TerminalMessage::Text(text));
    }

    /// Prints the result of recording a batch.
    pub(super) fn print_recorded(
        &self,
        key: &str,
        result: &Result<RecordSummary, RecordError>,
        duration: Duration,
    ) {
        // A batch that was recorded before is not printed. A polled page without missed events is not printed either.
        let has_nothing_new = result
            .as_ref()
            .is_ok_and(|summary| summary.is_already_recorded || summary.missed_events == Some(0));
        if self.is_silent() || has_nothing_new {
            return;
        }
        let milliseconds = duration.as_secs_f64() * 1000.0;
        let text = match result {
            Ok(summary) if self.json => serde_json::json!({"recorded": {
                "batch": key,
                "events": summary.new_events,
                "repeats": summary.duplicates,
                "unrecognized": summary.unrecognized_events,
                "missed": summary.missed_events,
                "milliseconds": milliseconds,
            }})
            .to_string(),
            Ok(RecordSummary { missed_events: Some(missed), .. }) => {
                format!("{:<9} {key}  events whose webhooks were missed: {missed}", "missed")
            }
            Ok(RecordSummary {
                new_events: events, duplicates, unrecognized_events: unrecognized, ..
            }) => format!(
                "{:<9} {key}  {events} events, {duplicates} duplicates, {unrecognized} unrecognized in {milliseconds:.1} ms",
                "recorded"
            ),
            Err(error) if self.json => {
                serde_json::json!({"not_recorded": {"batch": key, "error": error.to_string()}}).to_string()
            }
            Err(error) => format!("{} {key}  not recorded: {error}", paint("failed   ", Tone::Bad)),
        };
        let _ = self.messages.try_send(TerminalMessage::Text(text));
    }

    /// Prints the result of a successful poll.
    pub(super) fn print_polled(&self, provider: &str, summary: &PollSummary) {
        let PollSummary { polled_until: until, events, .. } = summary;
        let text = if self.json {
            let until = until.to_string();
            serde_json::json!({"polled": {"provider": provider, "until": until, "events": events}})
                .to_string()
        } else {
            format!("{:<9} {provider:<17} polled up to {until}: {events}", "polled")
        };
        let _ = self.messages.try_send(TerminalMessage::Text(text));
    }

    pub(super) fn print_poll_error(&self, provider: &str, error: &dyn std::error::Error) {
        let text = if self.json {
            serde_json::json!({"not_polled": {"provider": provider, "error": error.to_string()}}).to_string()
        } else {
            format!("{} {provider:<17} poll failed: {error}", paint("failed   ", Tone::Bad))
        };
        let _ = self.messages.try_send(TerminalMessage::Text(text));
    }

    /// Prints what a poll of GitHub's deliveries found and did.
    pub(super) fn print_redelivered(&self, hook: &Hook, summary: &RedeliverySummary) {
        let RedeliverySummary { found, requested, recovered, lost, waiting, .. } = summary;
        let text = if self.json {
            serde_json::json!({"redelivered": {
                "hook": hook.to_string(), "found": found, "requested": requested, "recovered": recovered, "lost": lost,
                "waiting": waiting,
            }})
            .to_string()
        } else {
            format!(
                "{:<9} {:<17} {hook}: {found} failed deliveries found, {requested} requested, {recovered} recovered, {lost} lost, {waiting} waiting",
                "polled", "github"
            )
        };
        let _ = self.messages.try_send(TerminalMessage::Text(text));
    }

    /// Prints the result of a delivery attempt.
    pub(super) fn print_attempt(&self, finished: &FinishedAttempt) {
        if self.is_silent() {
            return;
        }
        let ((event, detail_type, subscriber), result) = (finished.labels(), finished.result());
        let status = result.outcome.as_ref().ok().map(|response| response.status);
        let milliseconds = result.duration.as_secs_f64() * 1000.0;
        let text = if self.json {
            serde_json::json!({"tried": {
                "event": event,
                "event_type": detail_type,
                "subscriber": subscriber,
                "delivered": result.is_success(),
                "status": status,
                "error": result.error_text(),
                "milliseconds": milliseconds,
            }})
            .to_string()
        } else {
            let outcome = match result.is_success() {
                true => paint("delivered", Tone::Good),
                false => paint("failed   ", Tone::Bad),
            };
            let error = result.error_text().map_or_else(String::new, |error| format!("{error} "));
            format!(
                "{outcome} {subscriber:<17} {:<3}  {detail_type:<22}  {event:<36}  {error}in {milliseconds:.1} ms",
                status.map(|status| status.to_string()).unwrap_or_default()
            )
        };
        let _ = self.messages.try_send(TerminalMessage::Text(text));
    }

    /// Waits until all queued lines are printed.
    pub(super) async fn flush(&self) {
        let (sender, flushed) = oneshot::channel();
        if self.messages.send(TerminalMessage::Flush(sender)).await.is_ok() {
            let _ = flushed.await;
        }
    }
}

async fn write_lines(
    mut messages: mpsc::Receiver<TerminalMessage>,
    mut events: EventReceiver,
    json: bool,
    is_muted: Arc<AtomicBool>,
) {
    while let Some(message) = messages.recv().await {
        // Events that were published so far are printed before `message`: an event is published before the outcome of its webhook
        // is queued.
        while let Some(Ok(event)) = events.as_mut().map(broadcast::Receiver::try_recv) {
            let event = strip_line_breaks_field(&event);
            if !is_muted.load(Ordering::Relaxed) {
                output::print_line(&if json { format!("{{\"event\":{event}}}") } else { event_text(&event) });
            }
        }
        match message {
            TerminalMessage::Text(text) => output::print_line(&text),
            TerminalMessage::Flush(sender) => {
                let _ = sender.send(());
            }
        }
    }
}

fn event_text(event: &str) -> String {
    match event.char_indices().nth(MAX_SHOWN_EVENT_CHARS) {
        Some((index, _)) => {
            paint(&format!("    {}... ({} bytes)", &event[..index], event.len()), Tone::Faint)
        }
        None => paint(&format!("    {event}"), Tone::Faint),
    }
}

/// The secret that a provider transmitted in a handshake, for the operator to store; `None` if it transmitted none, or if the output
/// is not a terminal but may be a log.
fn transmitted_secret(record: &RequestLog) -> Option<String> {
    let Outcome::Handshake(response) = &record.outcome else { return None };
    let secret = response.transmitted_secret.as_ref().filter(|_| std::io::stdout().is_terminal())?;
    Some(format!("    secret of {}: {}", record.provider.title, String::from_utf8_lossy(secret.expose())))
}

/// The colour of an answer to a webhook.
fn tone(status: u16) -> Tone {
    match status {
        200..300 => Tone::Good,
        500.. => Tone::Bad,
        _ => Tone::Warning,
    }
}

fn webhook_text(record: &RequestLog) -> String {
    let status = record.response().status;
    let outcome = paint(&format!("{:<9}", record.outcome.as_str()), tone(status));
    // A refused webhook has no type.
    let reason = record.outcome.reason();
    let event_type = record.event_type.as_deref().or(reason).unwrap_or_default();
    let delivery_id = record.delivery_id.as_deref().unwrap_or_default();
    let mut line =
        format!("{outcome} {:<17} {status}  {event_type:<22}  {delivery_id:<36}", record.provider.name);
    if let Some(reason) = reason.filter(|_| record.event_type.is_some()) {
        let _ = write!(line, "  {reason}");
    }
    if let Some(error) = record.outcome.error_message() {
        let _ = write!(line, "  ({error})");
    }
    if record.event_count > 1 {
        let _ = write!(line, "  {} events", record.event_count);
    }
    let _ = write!(line, "  {:>6} bytes in {:.1} ms", record.body_bytes, record.elapsed_ms());
    line
}

fn webhook_json(record: &RequestLog) -> String {
    serde_json::json!({"webhook": {
        "provider": record.provider.name,
        "outcome": record.outcome.as_str(),
        "status": record.response().status,
        "reason": record.outcome.reason(),
        "error": record.outcome.error_message(),
        "event_type": record.event_type,
        "delivery_id": record.delivery_id,
        "bytes": record.body_bytes,
        "milliseconds": record.elapsed_ms(),
    }})
    .to_string()
}
