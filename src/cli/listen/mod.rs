//! `hookbridge listen`: forwards the events of a log to a program on this machine.

mod checkpoint;
mod target;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::FalseyValueParser;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::events_client::{EVENTS_PER_PAGE, EventsClient, EventsError, LogSelection, Page, WAIT_SECONDS};
use super::subscriber::escape_control_characters;
use crate::cli::completions;
use crate::providers::{self, Provider, UrlError};
use crate::secrets::Secret;
use crate::serve::config::default_data_folder;
use crate::serve::development_secrets::{self, DevelopmentSecretsError};
use crate::serve::test_webhook::SendError;
use crate::util::output;
use checkpoint::{CheckpointError, CheckpointFile, Position};
use target::{RecordedEvent, RequestFormat, Target};

const MIN_RETRY_PAUSE: Duration = Duration::from_millis(500);
/// Maximum pause before the next attempt to reach the local program.
const MAX_TARGET_PAUSE: Duration = Duration::from_secs(5);
/// Maximum pause before the next request to the log.
const MAX_LOG_PAUSE: Duration = Duration::from_secs(30);

/// Forward events of a log to a program on this machine, as they are recorded
///
/// Posts each event to --forward-to, in log order, and prints a line for each: status, milliseconds, type, id. While the program does
/// not run, the command tries again; no event is lost. With --state, it continues where it stopped, also after days.
#[derive(Args)]
pub struct Listen {
    #[command(flatten)]
    log: LogSelection,
    /// URL of the local program
    #[arg(long, value_name = "URL")]
    forward_to: String,
    /// Forward events after this point: now, start, a cursor, or a time (events recorded since then); ignored if --state has a
    /// checkpoint
    #[arg(long, value_name = "POINT", default_value = "now")]
    after: String,
    /// Send what this provider would have sent, signed with --secret, instead of EventBridge's envelope; forwards only events of this
    /// provider
    #[arg(long, value_name = "PROVIDER", value_parser = providers::find_provider, add = completions::provider_names())]
    sign_as: Option<&'static Provider>,
    /// With --sign-as: the local program's secret of the provider; set it in the environment to hide it from the list of processes
    /// [default: the development secret of `hookbridge serve`]
    #[arg(
        long,
        env = "HOOKBRIDGE_LISTEN_SECRET",
        hide_env_values = true,
        value_name = "SECRET",
        requires = "sign_as"
    )]
    secret: Option<String>,
    /// Without --secret: data folder of a `hookbridge serve` whose development secret is used
    #[arg(long, env = "HOOKBRIDGE_DATA", value_name = "DIR", default_value_os_t = default_data_folder())]
    secret_from: PathBuf,
    /// Checkpoint file; with the same file, the command continues where it stopped
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Print each forwarded event as one line of JSON
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    #[error("--forward-to: '{url}': {error}")]
    ForwardTo { url: String, error: UrlError },
    #[error("cannot read the system's root certificates: {0}")]
    Client(reqwest::Error),
    #[error(transparent)]
    Secret(#[from] DevelopmentSecretsError),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error(transparent)]
    Events(#[from] EventsError),
    #[error(
        "the log no longer has the events after the checkpoint: {message}; delete the file of --state, and start with --after start \
         or a time"
    )]
    CheckpointExpired { message: String },
    #[error("the log contains an event that is not in EventBridge's envelope: {0}")]
    InvalidEvent(serde_json::Error),
}

/// The parts of a running command.
struct Listener {
    client: EventsClient,
    target: Target,
    forward_to: String,
    checkpoint_file: Option<CheckpointFile>,
    position: Position,
    /// Whether the position is of the log: `now` is no position before the log has answered.
    has_position: bool,
    shutdown: watch::Receiver<bool>,
    json: bool,
}

impl Listen {
    /// Forwards events until `shutdown` becomes true.
    pub async fn run(mut self, shutdown: watch::Receiver<bool>) -> Result<(), ListenError> {
        let format = match self.sign_as {
            None => RequestFormat::Envelope,
            Some(provider) => {
                self.log.sources = vec![provider.source.to_owned()];
                let secret = match self.secret.take() {
                    Some(secret) => secret,
                    None => development_secrets::read_signing_secret(&self.secret_from, provider.name)?,
                };
                RequestFormat::Webhook(provider, Secret::new(secret))
            }
        };
        let target = Target::new(&self.forward_to, format)?;
        let client = self.log.client()?;
        let checkpoint_file =
            self.state.as_deref().map(|path| CheckpointFile::new(path, self.log.to_string()));
        let checkpoint = checkpoint_file.as_ref().map(CheckpointFile::read).transpose()?.flatten();
        let has_position = checkpoint.is_some();
        let position = checkpoint.unwrap_or(Position { cursor: self.after, last_event_id: None });
        let mut listener = Listener {
            client,
            target,
            forward_to: self.forward_to,
            checkpoint_file,
            position,
            has_position,
            shutdown,
            json: self.json,
        };
        info!("listening to {}; forwarding to {}", self.log.from, listener.forward_to);
        listener.follow().await?;
        if listener.checkpoint_file.is_none() && listener.has_position {
            info!("to continue, add --after {}", listener.position.cursor);
        }
        Ok(())
    }
}

impl Listener {
    /// Reads page after page, and forwards each, until the command is stopped.
    async fn follow(&mut self) -> Result<(), ListenError> {
        let mut wait = 0;
        let mut pause = MIN_RETRY_PAUSE;
        while !self.is_stopped() {
            let query = [
                ("after", self.position.cursor.clone()),
                ("limit", EVENTS_PER_PAGE.to_string()),
                ("wait", wait.to_string()),
            ];
            let page = tokio::select! {
                page = self.client.page(&query) => page,
                _ = self.shutdown.changed() => break,
            };
            match page {
                Ok(page) => {
                    wait = if page.has_more { 0 } else { WAIT_SECONDS };
                    pause = MIN_RETRY_PAUSE;
                    if !self.forward_page(&page).await? {
                        break;
                    }
                }
                Err(EventsError::Status { status: 410, message, .. }) => {
                    return Err(ListenError::CheckpointExpired { message });
                }
                Err(error) if error.is_transient() => {
                    warn!("{error}; trying again");
                    self.pause(pause).await;
                    pause = (pause * 2).min(MAX_LOG_PAUSE);
                }
                Err(error) => return Err(error.into()),
            }
        }
        if self.has_position { self.save(true) } else { Ok(()) }
    }

    /// Forwards the events of a page that were not forwarded before. Returns false if the command was stopped meanwhile.
    async fn forward_page(&mut self, page: &Page) -> Result<bool, ListenError> {
        let events: Vec<RecordedEvent<'_>> = page
            .data
            .iter()
            .map(|json| serde_json::from_str(json.get()))
            .collect::<Result<_, _>>()
            .map_err(ListenError::InvalidEvent)?;
        let last_id = self.position.last_event_id.as_deref();
        let forwarded = last_id.and_then(|id| events.iter().position(|event| event.id == id));
        let first = forwarded.map_or(0, |index| index + 1);
        for (event, json) in events.iter().zip(&page.data).skip(first) {
            if !self.forward_until_received(event, json.get()).await {
                return Ok(false);
            }
            self.position.last_event_id = Some(event.id.clone());
            self.save(false)?;
        }
        self.position = Position { cursor: page.cursor.clone(), last_event_id: None };
        self.has_position = true;
        self.save(!page.data.is_empty())?;
        Ok(true)
    }

    /// Forwards an event again and again until the local program responds. Returns false if the command was stopped meanwhile.
    async fn forward_until_received(&mut self, event: &RecordedEvent<'_>, json: &str) -> bool {
        let mut pause = MIN_RETRY_PAUSE;
        let mut is_reported = false;
        while !self.is_stopped() {
            let started = Instant::now();
            let problem = match self.target.forward(json, event).await {
                // A proxy in front of a program that starts.
                Ok(status @ (429 | 502 | 503 | 504)) => format!("{} answered {status}", self.forward_to),
                Ok(status) => {
                    self.print(event, status, started.elapsed());
                    return true;
                }
                Err(error @ SendError::NoResponse { .. }) => error.to_string(),
                Err(error) => {
                    warn!("event {} is not forwarded: {error}", event.id);
                    return true;
                }
            };
            if !is_reported {
                warn!("{problem}; trying again until the program responds");
                is_reported = true;
            }
            self.pause(pause).await;
            pause = (pause * 2).min(MAX_TARGET_PAUSE);
        }
        false
    }

    fn print(&self, event: &RecordedEvent<'_>, status: u16, elapsed: Duration) {
        let milliseconds = elapsed.as_secs_f64() * 1000.0;
        if self.json {
            let line = serde_json::json!({
                "type": event.event_type, "id": event.display_id(), "event": event.id,
                "status": status, "milliseconds": milliseconds.round(),
            });
            output::print_line(&line.to_string());
        } else {
            let line =
                format!("{status} {milliseconds:>6.0} ms  {}  {}", event.event_type, event.display_id());
            output::print_line(&escape_control_characters(&line));
        }
    }

    fn is_stopped(&self) -> bool {
        *self.shutdown.borrow()
    }

    /// Waits, or returns at once when the command is stopped.
    async fn pause(&mut self, duration: Duration) {
        tokio::select! {
            () = sleep(duration) => {}
            _ = self.shutdown.changed() => {}
        }
    }

    /// Saves the checkpoint, if there is a file for it. Unless `at_once` is set, skips it if the last save was a moment ago.
    fn save(&mut self, at_once: bool) -> Result<(), ListenError> {
        let Some(file) = &mut self.checkpoint_file else { return Ok(()) };
        let result = if at_once { file.save(&self.position) } else { file.save_if_due(&self.position) };
        result.map_err(Into::into)
    }
}
