//! Terminal reporter.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, mpsc, oneshot};

use super::development;
use super::endpoints::Endpoints;
use super::settings::{DEFAULT_LISTEN, Settings, default_data, default_log};
use crate::bridge::RequestLog;
use crate::dispatch::FinishedAttempt;
use crate::event::strip_line_breaks_field;
use crate::feed;
use crate::log::LogAddress;
use crate::output;
use crate::poller::{PollError, PollSummary};
use crate::recorder::{RecordError, RecordSummary};

/// An event longer than this is cut on the terminal, in characters; the file has all of it.
const SHOWN: usize = 1000;
/// Lines that may wait to be shown; more are dropped, so that a slow terminal never holds up a webhook.
const WAITING: usize = 4096;

/// Shows what happens, in the order in which it happens.
#[derive(Clone)]
pub(super) struct Terminal {
    lines: mpsc::Sender<Line>,
    json: bool,
    quiet: bool,
}

enum Line {
    Text(String),
    Flush(oneshot::Sender<()>),
}

type Events = Option<broadcast::Receiver<Arc<str>>>;

impl Terminal {
    /// Shows `events` as they come, before the records of their webhooks.
    pub(super) fn start(json: bool, quiet: bool, events: Events) -> Self {
        let (lines, waiting) = mpsc::channel(WAITING);
        tokio::spawn(show(waiting, events.filter(|_| !quiet), json));
        Self { lines, json, quiet }
    }

    /// Says where it listens and what to do there.
    pub(super) fn greet(&self, settings: &Settings, address: SocketAddr, endpoints: &Endpoints) {
        let text = if self.json {
            serde_json::json!({"listening": format!("http://{address}")}).to_string()
        } else {
            greeting(settings, address, endpoints)
        };
        let _ = self.lines.try_send(Line::Text(text));
    }

    /// A text for people; nothing where JSON lines are wanted.
    pub(super) fn say(&self, text: &str) {
        if !self.json {
            // When too much waits, a line less is shown.
            let _ = self.lines.try_send(Line::Text(text.to_owned()));
        }
    }

    /// A request that was turned away before it was a webhook.
    pub(super) fn turned_away(&self, provider: &str, status: u16) {
        if self.quiet {
            return;
        }
        let text = if self.json {
            serde_json::json!({"turned_away": {"provider": provider, "status": status}}).to_string()
        } else {
            format!("{:<9} {provider:<9} {status}", "refused")
        };
        let _ = self.lines.try_send(Line::Text(text));
    }

    /// What became of a webhook.
    pub(super) fn record(&self, record: &RequestLog) {
        if self.quiet {
            return;
        }
        let text = if self.json { json_record(record) } else { text_record(record) };
        let _ = self.lines.try_send(Line::Text(text));
    }

    /// What became of a batch on its way into the log.
    pub(super) fn recorded(&self, key: &str, done: &Result<RecordSummary, RecordError>, time: Duration) {
        // What was asked for is nearly always known.
        let is_nothing =
            done.as_ref().is_ok_and(|summary| summary.is_already_recorded || summary.missed == Some(0));
        if self.quiet || is_nothing {
            return;
        }
        let milliseconds = time.as_secs_f64() * 1000.0;
        let text = match done {
            Ok(done) if self.json => serde_json::json!({"recorded": {
                "batch": key,
                "events": done.new_events,
                "repeats": done.duplicates,
                "unrecognized": done.unrecognized,
                "missed": done.missed,
                "milliseconds": milliseconds,
            }})
            .to_string(),
            Ok(RecordSummary { missed: Some(missed), .. }) => {
                format!("{:<9} {key}  events that no webhook had brought: {missed}", "missed")
            }
            Ok(RecordSummary { new_events: events, duplicates: repeats, unrecognized, .. }) => format!(
                "{:<9} {key}  {events} events, {repeats} repeats, {unrecognized} not understood in {milliseconds:.1} ms",
                "recorded"
            ),
            Err(error) if self.json => {
                serde_json::json!({"not_recorded": {"batch": key, "error": error.to_string()}}).to_string()
            }
            Err(error) => format!("{:<9} {key}  not recorded: {error}", "failed"),
        };
        let _ = self.lines.try_send(Line::Text(text));
    }

    /// A provider that says what events it has had, for the first time or again.
    pub(super) fn polled(&self, provider: &str, polled: &PollSummary) {
        let PollSummary { polled_until: until, events, .. } = polled;
        let text = if self.json {
            let until = until.to_string();
            serde_json::json!({"polled": {"provider": provider, "until": until, "events": events}})
                .to_string()
        } else {
            format!("{:<9} {provider:<9} asked for its events up to {until}: {events}", "polled")
        };
        let _ = self.lines.try_send(Line::Text(text));
    }

    /// A provider that did not say what events it has had.
    pub(super) fn not_polled(&self, provider: &str, error: &PollError) {
        let text = if self.json {
            serde_json::json!({"not_polled": {"provider": provider, "error": error.to_string()}}).to_string()
        } else {
            format!("{:<9} {provider:<9} not asked for its events: {error}", "failed")
        };
        let _ = self.lines.try_send(Line::Text(text));
    }

    /// An attempt at a delivery.
    pub(super) fn tried(&self, finished: &FinishedAttempt) {
        if self.quiet {
            return;
        }
        let ((event, detail_type, subscriber), tried) = (finished.labels(), finished.result());
        let status = tried.outcome.as_ref().ok().map(|answered| answered.status);
        let milliseconds = tried.duration.as_secs_f64() * 1000.0;
        let text = if self.json {
            serde_json::json!({"tried": {
                "event": event,
                "event_type": detail_type,
                "subscriber": subscriber,
                "delivered": tried.is_success(),
                "status": status,
                "error": tried.error_text(),
                "milliseconds": milliseconds,
            }})
            .to_string()
        } else {
            let word = if tried.is_success() { "delivered" } else { "failed" };
            let what = tried.error_text().unwrap_or_else(|| status.unwrap_or_default().to_string());
            format!("{word:<9} {subscriber}  {detail_type}  {event}  {what} in {milliseconds:.1} ms")
        };
        let _ = self.lines.try_send(Line::Text(text));
    }

    /// Waits until all that was said before is shown.
    pub(super) async fn finish(&self) {
        let (shown, all_shown) = oneshot::channel();
        if self.lines.send(Line::Flush(shown)).await.is_ok() {
            let _ = all_shown.await;
        }
    }
}

async fn show(mut waiting: mpsc::Receiver<Line>, mut events: Events, json: bool) {
    while let Some(line) = waiting.recv().await {
        // An event is on the bus before its webhook's record is written: it is shown first.
        while let Some(Ok(event)) = events.as_mut().map(broadcast::Receiver::try_recv) {
            let event = strip_line_breaks_field(&event);
            output::line(&if json { format!("{{\"event\":{event}}}") } else { text_event(&event) });
        }
        match line {
            Line::Text(text) => output::line(&text),
            Line::Flush(shown) => {
                let _ = shown.send(());
            }
        }
    }
}

fn text_event(event: &str) -> String {
    match event.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("    {}... ({} bytes)", &event[..at], event.len()),
        None => format!("    {event}"),
    }
}

fn text_record(record: &RequestLog) -> String {
    let mut line =
        format!("{:<9} {:<9} {}", record.outcome.as_str(), record.provider.name, record.response().status);
    let facts = [
        record.event_type.clone(),
        record.delivery_id.clone(),
        record.outcome.reason().map(str::to_owned),
        record.outcome.error_message().map(|error| format!("({error})")),
    ];
    for fact in facts.into_iter().flatten() {
        let _ = write!(line, "  {fact}");
    }
    let _ = write!(line, "  {} bytes in {:.1} ms", record.body_bytes, record.elapsed_ms());
    line
}

fn json_record(record: &RequestLog) -> String {
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

/// What a newcomer reads first.
fn greeting(settings: &Settings, address: SocketAddr, endpoints: &Endpoints) -> String {
    let mut text = format!("hookbridge listens on http://{address}\n\n");
    for endpoint in endpoints.iter() {
        let name = endpoint.bridge.provider.name;
        let secret = if endpoint.development { "development secret" } else { "your secret" };
        let _ = writeln!(text, "  {name:<10} http://{address}/hooks/{name}  ({secret})");
    }
    let recorded = match endpoints.file() {
        Some(file) => {
            let _ = writeln!(text, "\nEvents go to {}", file.display());
            "all events"
        }
        None => {
            let _ = writeln!(text, "\nEvents go to the bus {}, and not to the log", settings.bus);
            "their events"
        }
    };
    let _ = writeln!(
        text,
        "Batches go to {}, and {recorded} to the log, {}",
        settings.archive, settings.database
    );
    for provider in settings.polls.keys.keys() {
        let _ = writeln!(text, "{provider} is asked for its events every minute");
    }
    let token = if settings.token.is_some() { "-H 'Authorization: Bearer ...' " } else { "" };
    let _ = writeln!(text, "Read them:   curl {token}'http://{address}/events?after=start&wait=20'");
    let search = feed::SEARCH_PATHS[0];
    let _ = writeln!(text, "Search them: curl {token}'http://{address}{search}?from=2016-01-01T00:00'");
    let database = match &settings.database {
        LogAddress::File(path) if *path == default_log() => String::new(),
        LogAddress::File(path) => format!(" --database {}", path.display()),
        LogAddress::Postgres(_) => " --database postgres://...".into(),
    };
    let _ = writeln!(text, "Deliver them: hookbridge subscriber create NAME --url https://...{database}");
    let secrets = development::path(&settings.data);
    let _ = writeln!(text, "Development secrets are in {}", secrets.display());
    let program = std::env::args().next().unwrap_or_else(|| "hookbridge".into());
    let development = endpoints.iter().find(|endpoint| endpoint.development);
    let name = development.or(endpoints.iter().next()).map_or("github", |first| first.bridge.provider.name);
    let _ = write!(text, "\nSend a first webhook from another terminal:\n\n  {program} send {name}");
    if address != DEFAULT_LISTEN {
        let _ = write!(text, " --to http://{address}/hooks/{name}");
    }
    if development.is_none() {
        text.push_str(" --secret ...");
    } else if settings.data != default_data() {
        let _ = write!(text, " --secret-from {}", settings.data.display());
    }
    text.push_str("\n\nStop with Ctrl-C.\n");
    text
}
