//! Terminal output of `serve`: one task writes all lines, so that lines do not interleave and never delay a webhook.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};

use super::config::{DEFAULT_LISTEN, GITHUB, ServeSettings, default_data_folder, default_log_file};
use super::development_secrets;
use super::endpoints::WebhookEndpoints;
use crate::api::SEARCH_PATHS;
use crate::bridge::{Outcome, RequestLog};
use crate::db::DatabaseAddress;
use crate::delivery::FinishedAttempt;
use crate::event::strip_line_breaks_field;
use crate::poller::PollSummary;
use crate::poller::redelivery::{Hook, RedeliverySummary};
use crate::providers::Diagnosis;
use crate::recorder::{RecordError, RecordSummary};
use crate::util::output;

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
        tokio::spawn(write_lines(receiver, events.filter(|_| !quiet), json));
        Self { messages, json, quiet }
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
            greeting_text(settings, address, endpoints)
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
        if self.quiet {
            return;
        }
        let text = if self.json {
            serde_json::json!({"turned_away": {"provider": provider, "status": status}}).to_string()
        } else {
            format!("{:<9} {provider:<17} {status}", "refused")
        };
        let _ = self.messages.try_send(TerminalMessage::Text(text));
    }

    /// Prints the outcome of a webhook.
    pub(super) fn print_webhook(&self, record: &RequestLog, diagnosis: Option<&Diagnosis>) {
        if self.quiet {
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
        if self.quiet || has_nothing_new {
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
            Err(error) => format!("{:<9} {key}  not recorded: {error}", "failed"),
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
            format!("{:<9} {provider:<17} poll failed: {error}", "failed")
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
        if self.quiet {
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
            let outcome = if result.is_success() { "delivered" } else { "failed" };
            let detail = result.error_text().unwrap_or_else(|| status.unwrap_or_default().to_string());
            format!("{outcome:<9} {subscriber}  {detail_type}  {event}  {detail} in {milliseconds:.1} ms")
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

async fn write_lines(mut messages: mpsc::Receiver<TerminalMessage>, mut events: EventReceiver, json: bool) {
    while let Some(message) = messages.recv().await {
        // Events that were published so far are printed before `message`: an event is published before the outcome of its webhook
        // is queued.
        while let Some(Ok(event)) = events.as_mut().map(broadcast::Receiver::try_recv) {
            let event = strip_line_breaks_field(&event);
            output::print_line(&if json { format!("{{\"event\":{event}}}") } else { event_text(&event) });
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
        Some((index, _)) => format!("    {}... ({} bytes)", &event[..index], event.len()),
        None => format!("    {event}"),
    }
}

/// The secret that a provider transmitted in a handshake, for the operator to store; `None` if it transmitted none, or if the output
/// is not a terminal but may be a log.
fn transmitted_secret(record: &RequestLog) -> Option<String> {
    let Outcome::Handshake(response) = &record.outcome else { return None };
    let secret = response.transmitted_secret.as_ref().filter(|_| std::io::stdout().is_terminal())?;
    Some(format!("    secret of {}: {}", record.provider.title, String::from_utf8_lossy(secret.expose())))
}

fn webhook_text(record: &RequestLog) -> String {
    let mut line =
        format!("{:<9} {:<17} {}", record.outcome.as_str(), record.provider.name, record.response().status);
    let facts = [
        record.event_type.clone(),
        record.delivery_id.clone(),
        record.outcome.reason().map(str::to_owned),
        record.outcome.error_message().map(|error| format!("({error})")),
    ];
    for fact in facts.into_iter().flatten() {
        let _ = write!(line, "  {fact}");
    }
    if record.event_count > 1 {
        let _ = write!(line, "  {} events", record.event_count);
    }
    let _ = write!(line, "  {} bytes in {:.1} ms", record.body_bytes, record.elapsed_ms());
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

fn greeting_text(settings: &ServeSettings, address: SocketAddr, endpoints: &WebhookEndpoints) -> String {
    let mut text = format!("hookbridge listens on http://{address}\n\n");
    let (with_development_secret, with_own_secret): (Vec<_>, Vec<_>) =
        endpoints.iter().partition(|endpoint| endpoint.has_development_secret);
    for endpoint in with_own_secret {
        let name = endpoint.handler.provider.name;
        let _ = writeln!(text, "  http://{address}/hooks/{name}  (your secret)");
    }
    let _ = writeln!(
        text,
        "  http://{address}/hooks/PROVIDER  (development secret; PROVIDER is a name from `hookbridge providers`)"
    );
    let recorded_events = match endpoints.event_file() {
        Some(file) => {
            let _ = writeln!(text, "\nEvents go to {}", file.display());
            "all events"
        }
        None => {
            let _ = writeln!(text, "\nEvents go to the bus {}, not to the log", settings.bus);
            "their events"
        }
    };
    let _ = writeln!(
        text,
        "Batches go to {}, and {recorded_events} to the log, {}",
        settings.archive, settings.database
    );
    for provider in settings.polls.keys.keys().filter(|provider| **provider != GITHUB) {
        let _ = writeln!(text, "{provider} is polled for missed events every minute");
    }
    for hook in &settings.polls.hooks {
        let _ = writeln!(
            text,
            "GitHub is polled every minute for failed deliveries of {hook}, which are requested again"
        );
    }
    let token = if settings.token.is_some() { "-H 'Authorization: Bearer ...' " } else { "" };
    let _ = writeln!(text, "See them:    http://{address}/ in a browser");
    let _ = writeln!(text, "Read them:   curl {token}'http://{address}/events?after=start&wait=20'");
    let search = SEARCH_PATHS[0];
    let _ = writeln!(text, "Search them: curl {token}'http://{address}{search}?from=2016-01-01T00:00'");
    let database = match &settings.database {
        DatabaseAddress::File(path) if *path == default_log_file() => String::new(),
        DatabaseAddress::File(path) => format!(" --database {}", path.display()),
        DatabaseAddress::Postgres(_) => " --database postgres://...".into(),
    };
    let _ = writeln!(text, "Deliver them: hookbridge subscriber create NAME --url https://...{database}");
    let secrets = development_secrets::secrets_path(&settings.data);
    let _ = writeln!(text, "Development secrets are in {}", secrets.display());
    let program = std::env::args().next().unwrap_or_else(|| "hookbridge".into());
    let github = with_development_secret.iter().find(|endpoint| endpoint.handler.provider.name == "github");
    let development_endpoint = github.or(with_development_secret.first());
    let name = development_endpoint.map_or("github", |endpoint| endpoint.handler.provider.name);
    let _ = write!(text, "\nSend a first webhook from another terminal:\n\n  {program} send {name}");
    if address != DEFAULT_LISTEN {
        let _ = write!(text, " --to http://{address}/hooks/{name}");
    }
    if development_endpoint.is_none() {
        text.push_str(" --secret ...");
    } else if settings.data != default_data_folder() {
        let _ = write!(text, " --secret-from {}", settings.data.display());
    }
    text.push_str("\n\nStop with Ctrl-C.\n");
    text
}
