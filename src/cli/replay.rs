//! `hookbridge replay`: sends recorded events again.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::builder::FalseyValueParser;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use crate::api::cursor;
use crate::aws::AwsError;
use crate::bus::EventBridge;
use crate::cli::arguments;
use crate::cli::progress::Progress;
use crate::db::{Database, OpenDatabaseError};
use crate::log::{Bounds, CursorSigningKey, EventFilter, EventLog, PageLimit, Position, TypePattern};
use crate::replay::{RejectedEvent, ReplayReport, ReplayTarget, TargetError, replay_urn, send_group};
use crate::serve::config::default_log_file;
use crate::util::files::replace_file;
use crate::util::output;

/// The timeout for one event, retries included.
const EVENT_TIMEOUT: Duration = Duration::from_secs(60);
/// The number of log positions that one read covers.
const READ_WINDOW: i64 = 1000;
/// The maximum timer delay that the rate limiter makes up for by sending later events earlier.
const MAX_TIMER_SLACK: Duration = Duration::from_millis(20);

/// Resend the events of a range to a bus, a URL or a queue, in log order.
///
/// Each event gets the resource urn:hookbridge:replay:TIME, where TIME is the start of the replay. A replay can be
/// interrupted; with --state the same command resumes it. Events are sent at least once.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["to_bus", "to_url", "to_queue"]))]
pub struct Replay {
    /// Start of the range (inclusive): 2026-11-22, or 2026-11-22T10:00:00Z [default: the beginning].
    #[arg(long, value_name = "TIME", value_parser = arguments::parse_time)]
    from: Option<Timestamp>,
    /// End of the range (exclusive)
    #[arg(long, value_name = "TIME", value_parser = arguments::parse_time)]
    to: Option<Timestamp>,
    /// Send only events of this type, or of this prefix if it ends in *; repeatable.
    #[arg(long = "type", value_name = "TYPE", value_parser = arguments::parse_type_pattern)]
    types: Vec<TypePattern>,
    /// Send only events of this source; repeatable.
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<String>,
    /// Send only events after this cursor of GET /events.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// Publish to this EventBridge bus, by name or ARN.
    #[arg(long, value_name = "NAME")]
    to_bus: Option<String>,
    /// POST each event to this URL in the EventBridge envelope; any status but 2xx is a failure.
    #[arg(long, value_name = "URL")]
    to_url: Option<String>,
    /// With --to-url, sign each request with this secret, whsec_..., by the Standard Webhooks specification.
    // The secret is parsed when it is used and not by clap, because clap would print an invalid secret in its error message.
    #[arg(long, env = "HOOKBRIDGE_REPLAY_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
    /// Send each event to the SQS queue with this URL, in the EventBridge envelope.
    #[arg(long, value_name = "URL")]
    to_queue: Option<String>,
    /// Maximum number of events per second.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Maximum concurrent requests; 1 preserves order.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,
    /// Checkpoint file; rerun with it to resume.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The log: `postgres://USER:PASSWORD@HOST/DATABASE`, or an SQLite file.
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log_file())]
    database: PathBuf,
    /// Print the summary as one line of JSON.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be opened or read.
    #[error(transparent)]
    Log(#[from] OpenDatabaseError),
    /// The start cursor does not belong to this log.
    #[error(
        "{0} is not a cursor of this log: malformed, truncated or of another log; to start at a time, use --from"
    )]
    InvalidCursor(&'static str),
    /// Events after the start cursor have expired.
    #[error("events after the cursor have expired; omit --after and --state to start with the oldest event")]
    EventsExpired,
    /// The time range is reversed.
    #[error("--from is later than --to")]
    ReversedRange,
    /// The checkpoint file belongs to another replay.
    #[error("--state {0} belongs to a replay of other events or to another target; use another file")]
    StateMismatch(PathBuf),
    /// The cursor is after the end of the log.
    #[error(
        "the cursor is after the end of the log: an older backup may have been restored; omit --after and --state"
    )]
    CursorPastEnd,
    /// The target is not valid.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The target did not accept an event.
    #[error(
        "event {id} was not delivered: {error}; {sent} events were delivered; resume with --after {cursor}"
    )]
    EventRejected {
        /// The event id.
        id: String,
        /// The cause.
        error: AwsError,
        /// The number of events that the target accepted.
        sent: u64,
        /// The cursor to resume from.
        cursor: String,
    },
    /// The checkpoint file cannot be read or written.
    #[error("cannot read or write --state {path}: {error}")]
    State {
        /// The path of the file.
        path: PathBuf,
        /// The cause.
        error: std::io::Error,
    },
}

/// Limits the number of events that the replay sends per second.
struct RateLimiter {
    /// The interval between two events; `None` without a limit.
    interval: Option<Duration>,
    /// The time at which the next event may be sent.
    next_due: Instant,
}

impl RateLimiter {
    /// Waits until the next event may be sent.
    async fn wait(&mut self) {
        let Some(interval) = self.interval else { return };
        tokio::time::sleep_until(self.next_due.into()).await;
        // Make up for at most `MAX_TIMER_SLACK` of a delay, because making up for more would send a burst of events.
        let earliest = Instant::now().checked_sub(MAX_TIMER_SLACK).unwrap_or(self.next_due);
        self.next_due = (self.next_due + interval).max(earliest);
    }
}

fn print_report(report: ReplayReport, as_json: bool, cursor: &str, replay_urn: &str, duration: Duration) {
    let (ReplayReport { sent, skipped }, seconds) = (report, duration.as_secs_f64());
    output::print_line(&if as_json {
        serde_json::json!({"events": sent, "left_out": skipped, "cursor": cursor, "seconds": seconds, "mark": replay_urn})
            .to_string()
    } else {
        let skipped = match skipped {
            0 => String::new(),
            count => format!("; {count} skipped: unrecognized, too large or not a JSON object"),
        };
        format!("{sent} events sent, marked {replay_urn}{skipped}; {seconds:.1} s")
    });
}

impl Replay {
    /// Sends the events, reports progress and prints a summary.
    ///
    /// # Errors
    /// The log cannot be read, an argument is not valid, or the target did not accept an event.
    pub async fn run(self) -> Result<(), ReplayError> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            return Err(ReplayError::ReversedRange);
        }
        let (db, log_error) = Database::open_existing(&self.database, 1).await?;
        let log = EventLog::new(db);
        let target = Arc::new(self.open_target().await?);
        let key = log.cursor_signing_key().await.map_err(&log_error)?;
        let filter = EventFilter {
            sources: self.sources.clone(),
            types: self.types.clone(),
            from: self.from,
            to: self.to,
            id_part: None,
        };
        // Fix the end of the range before the replay starts, because the replay itself may add events to the log.
        let Bounds { first_position: first, end_position: log_end } =
            log.bounds().await.map_err(&log_error)?;
        let (next, end) = self.start_and_end(&key)?;
        let (mut next, end) = (next.unwrap_or(first), end.unwrap_or(log_end));
        if next > log_end || end > log_end {
            return Err(ReplayError::CursorPastEnd);
        }
        let end_cursor = cursor::encode_cursor(end, &key);
        let replay_urn = replay_urn(Timestamp::now());
        let (started, start, mut report) = (Instant::now(), next, ReplayReport::default());
        let mut progress = Progress::start(u64::try_from(end - start).ok());
        let mut rate_limiter = RateLimiter {
            interval: self.rate.map(|rate| Duration::from_secs(1) / rate),
            next_due: Instant::now(),
        };
        while next < end {
            let window = next..end.min(next + READ_WINDOW);
            let events =
                log.read_events(window.clone(), &filter, PageLimit::UNLIMITED).await.map_err(&log_error)?;
            let events = events.ok_or(ReplayError::EventsExpired)?;
            // Start the next group only when every event of the previous group is sent, so that the cursor never passes an unsent
            // event.
            for group in events.chunks(usize::from(self.at_once)) {
                let stored = group.iter().map(|positioned| positioned.event.clone());
                let wait = async || rate_limiter.wait().await;
                let sent = send_group(&target, stored, &replay_urn, EVENT_TIMEOUT, wait, &mut report).await;
                if let Err(RejectedEvent { id, error }) = sent {
                    let cursor = cursor::encode_cursor(next, &key);
                    self.save_checkpoint(&cursor, &end_cursor)?;
                    return Err(ReplayError::EventRejected { id, error, sent: report.sent, cursor });
                }
                next = group.last().map_or(next, |last| last.position + 1);
                let text = || {
                    let time = group.last().map(|last| last.event.key.time.to_string()).unwrap_or_default();
                    let cursor = cursor::encode_cursor(next, &key);
                    format!("{} events, up to {time}, cursor {cursor}", report.sent)
                };
                if progress.update(u64::try_from(next - start).unwrap_or_default(), text) {
                    self.save_checkpoint(&cursor::encode_cursor(next, &key), &end_cursor)?;
                }
            }
            next = window.end;
        }
        drop(progress);
        let cursor = cursor::encode_cursor(next, &key);
        self.save_checkpoint(&cursor, &end_cursor)?;
        print_report(report, self.json, &cursor, &replay_urn, started.elapsed());
        Ok(())
    }

    async fn open_target(&self) -> Result<ReplayTarget<EventBridge>, TargetError> {
        match (&self.to_bus, &self.to_queue, &self.to_url) {
            (Some(bus), ..) => Ok(ReplayTarget::event_bridge(bus).await),
            (_, Some(queue), _) => ReplayTarget::queue(queue).await,
            (.., url) => ReplayTarget::url(url.as_deref().unwrap_or_default(), self.secret.as_deref()),
        }
    }

    /// Returns the start and end positions from --state or --after. `None` as the start means the start of the log, and as the
    /// end the end of the log.
    fn start_and_end(
        &self,
        key: &CursorSigningKey,
    ) -> Result<(Option<Position>, Option<Position>), ReplayError> {
        let decode = |text: &str, origin| {
            cursor::decode_cursor(text, key).map(Some).ok_or(ReplayError::InvalidCursor(origin))
        };
        if let Some(path) = &self.state {
            match std::fs::read_to_string(path) {
                Ok(text) => {
                    let origin = "the content of --state";
                    let mut parts = text.split_whitespace();
                    let mut part = || parts.next().ok_or(ReplayError::InvalidCursor(origin));
                    let (next, end) = (decode(part()?, origin)?, decode(part()?, origin)?);
                    if part()? != self.fingerprint() {
                        return Err(ReplayError::StateMismatch(path.clone()));
                    }
                    return Ok((next, end));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(ReplayError::State { path: path.clone(), error }),
            }
        }
        Ok((self.after.as_deref().map_or(Ok(None), |after| decode(after, "--after"))?, None))
    }

    /// A hash of the options that select the events and of those that name the target. A checkpoint file is valid only for
    /// replays with the same hash.
    fn fingerprint(&self) -> String {
        let selection = format!("{:?} {:?} {:?} {:?}", self.from, self.to, self.types, self.sources);
        let target = format!("{:?} {:?} {:?}", self.to_bus, self.to_url, self.to_queue);
        hex::encode(&Sha256::digest(selection + &target)[..8])
    }

    /// Saves the cursor, the end of the range and the fingerprint of the replay in the checkpoint file, if --state names one.
    fn save_checkpoint(&self, cursor: &str, end_cursor: &str) -> Result<(), ReplayError> {
        let Some(path) = &self.state else { return Ok(()) };
        let state_error = |error| ReplayError::State { path: path.clone(), error };
        let text = format!("{cursor} {end_cursor} {}\n", self.fingerprint());
        replace_file(path, text.as_bytes()).map_err(state_error)
    }
}
