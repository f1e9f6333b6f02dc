//! `hookbridge replay`: redelivery of recorded events.

mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::builder::FalseyValueParser;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use crate::aws::AwsError;
use crate::feed::cursor;
use crate::input;
use crate::log::{
    AnyLog, Bounds, CursorKey, EventFilter, EventReader as _, OpenLogError, PageLimit, Position, TypePattern,
};
use crate::output;
use crate::serve::settings::default_log_file;
use target::{Target, TargetError};

/// Positions per read.
const READ_WINDOW: i64 = 1000;
/// Timer slack tolerated by the rate limiter.
const LATE_ARRIVALS: Duration = Duration::from_millis(20);
/// The interval of progress messages.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Resend the events of a range to a bus, a URL or a queue, in log order.
///
/// Each event gets the resource urn:hookbridge:replay:TIME, where TIME is the start of the replay. A replay can be
/// interrupted; with --state the same command resumes it. Events are sent at least once.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["to_bus", "to_url", "to_queue"]))]
pub struct Replay {
    /// Start of the range (inclusive): 2026-11-22, or 2026-11-22T10:00:00Z [default: the beginning].
    #[arg(long, value_name = "TIME", value_parser = input::parse_time)]
    from: Option<Timestamp>,
    /// End of the range (exclusive)
    #[arg(long, value_name = "TIME", value_parser = input::parse_time)]
    to: Option<Timestamp>,
    /// Send only events of this type, or of this prefix if it ends in *; repeatable.
    #[arg(long = "type", value_name = "TYPE", value_parser = input::parse_type_pattern)]
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
    // A string until it is used, because clap would print an invalid value in its error message.
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

/// Failure of a replay.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The log cannot be opened or read.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// The start cursor does not belong to this log.
    #[error(
        "{0} is not a cursor of this log: malformed, truncated or of another log; to start at a time, use --from"
    )]
    Cursor(&'static str),
    /// Events after the start cursor have expired.
    #[error("events after the cursor have expired; omit --after and --state to start with the oldest event")]
    Expired,
    /// The time range is reversed.
    #[error("--from is later than --to")]
    Range,
    /// The checkpoint file belongs to another replay.
    #[error("--state {0} belongs to a replay of other events or to another target; use another file")]
    StateMismatch(PathBuf),
    /// The cursor is after the end of the log.
    #[error(
        "the cursor is after the end of the log: an older backup may have been restored; omit --after and --state"
    )]
    Ahead,
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

/// Counts of the replayed events.
#[derive(Default)]
struct ReplayReport {
    events: u64,
    /// Events that the target type cannot carry: too large, or with a detail that is not a JSON object.
    left_out: u64,
}

/// Limits the rate of events.
struct Pace {
    /// The interval between two events; `None` without a limit.
    between: Option<Duration>,
    due: Instant,
}

impl Pace {
    async fn next(&mut self) {
        let Some(between) = self.between else { return };
        tokio::time::sleep_until(self.due.into()).await;
        // Do not burst to catch up.
        self.due = (self.due + between).max(Instant::now().checked_sub(LATE_ARRIVALS).unwrap_or(self.due));
    }
}

impl Replay {
    /// Sends the events, reports progress and prints a summary.
    ///
    /// # Errors
    /// The log cannot be read, an argument is not valid, or the target did not accept an event.
    pub async fn run(self) -> Result<(), ReplayError> {
        if self.from.zip(self.to).is_some_and(|(from, to)| from > to) {
            return Err(ReplayError::Range);
        }
        let (log, failed) = AnyLog::open_existing(&self.database, 1).await?;
        let target = Arc::new(self.target().await?);
        let key = log.cursor_key().await.map_err(&failed)?;
        let filter = EventFilter {
            sources: self.sources.clone(),
            types: self.types.clone(),
            from: self.from,
            to: self.to,
        };
        // The end is fixed now, because the replay itself may add events to the log.
        let Bounds { first, end: now } = log.bounds().await.map_err(&failed)?;
        let (next, end) = self.start(&key)?;
        let (mut next, end) = (next.unwrap_or(first), end.unwrap_or(now));
        if next > now || end > now {
            return Err(ReplayError::Ahead);
        }
        let until = cursor::encode_cursor(end, &key);
        let mark = format!("urn:hookbridge:replay:{:.0}", Timestamp::now());
        let (started, mut told, mut sent) = (Instant::now(), Instant::now(), ReplayReport::default());
        let mut pace =
            Pace { between: self.rate.map(|rate| Duration::from_secs(1) / rate), due: Instant::now() };
        while next < end {
            let window = next..end.min(next + READ_WINDOW);
            let events =
                log.read_events(window.clone(), &filter, PageLimit::UNLIMITED).await.map_err(&failed)?;
            let events = events.ok_or(ReplayError::Expired)?;
            // The next group starts when the whole group is sent, so that the cursor never passes an unsent event.
            for some in events.chunks(usize::from(self.at_once)) {
                let mut tasks = JoinSet::new();
                for positioned in some {
                    pace.next().await;
                    let (target, event, mark) = (target.clone(), positioned.event.clone(), mark.clone());
                    tasks.spawn(async move { (event.key.id.clone(), target.put(event, &mark).await) });
                }
                for (id, done) in tasks.join_all().await {
                    match done {
                        Ok(()) => sent.events += 1,
                        Err(AwsError::Malformed(_) | AwsError::TooLarge) => sent.left_out += 1,
                        Err(error) => {
                            let cursor = cursor::encode_cursor(next, &key);
                            self.save_checkpoint(&cursor, &until)?;
                            return Err(ReplayError::EventRejected { id, error, sent: sent.events, cursor });
                        }
                    }
                }
                next = some.last().map_or(next, |last| last.position + 1);
                if told.elapsed() >= PROGRESS_INTERVAL {
                    told = Instant::now();
                    let time = some.last().map(|last| last.event.key.time.to_string()).unwrap_or_default();
                    let cursor = cursor::encode_cursor(next, &key);
                    output::print_error(&format!("{} events, up to {time}, cursor {cursor}", sent.events));
                    self.save_checkpoint(&cursor, &until)?;
                }
            }
            next = window.end;
        }
        let cursor = cursor::encode_cursor(next, &key);
        self.save_checkpoint(&cursor, &until)?;
        let (ReplayReport { events, left_out }, seconds) = (sent, started.elapsed().as_secs_f64());
        output::print_line(&if self.json {
            serde_json::json!({"events": events, "left_out": left_out, "cursor": cursor, "seconds": seconds, "mark": mark})
                .to_string()
        } else {
            let left_out = match left_out {
                0 => String::new(),
                some => format!("; {some} skipped: unrecognized, too large or not a JSON object"),
            };
            format!("{events} events sent, marked {mark}{left_out}; {seconds:.1} s")
        });
        Ok(())
    }

    async fn target(&self) -> Result<Target, TargetError> {
        match (&self.to_bus, &self.to_queue, &self.to_url) {
            (Some(bus), ..) => Ok(Target::bus(bus).await),
            (_, Some(queue), _) => Ok(Target::queue(queue).await?),
            (.., url) => Target::url(url.as_deref().unwrap_or_default(), self.secret.as_deref()),
        }
    }

    /// Returns the start and end positions from --state or --after; `None` means the default.
    fn start(&self, key: &CursorKey) -> Result<(Option<Position>, Option<Position>), ReplayError> {
        let read = |text: &str, of| cursor::decode_cursor(text, key).map(Some).ok_or(ReplayError::Cursor(of));
        if let Some(path) = &self.state {
            match std::fs::read_to_string(path) {
                Ok(text) => {
                    let of = "the content of --state";
                    let mut parts = text.split_whitespace();
                    let mut part = || parts.next().ok_or(ReplayError::Cursor(of));
                    let (next, end) = (read(part()?, of)?, read(part()?, of)?);
                    if part()? != self.fingerprint() {
                        return Err(ReplayError::StateMismatch(path.clone()));
                    }
                    return Ok((next, end));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(ReplayError::State { path: path.clone(), error }),
            }
        }
        Ok((self.after.as_deref().map_or(Ok(None), |after| read(after, "--after"))?, None))
    }

    /// A hash of the selected events and the target, which identifies the replay.
    fn fingerprint(&self) -> String {
        let what = format!("{:?} {:?} {:?} {:?}", self.from, self.to, self.types, self.sources);
        let to = format!("{:?} {:?} {:?}", self.to_bus, self.to_url, self.to_queue);
        hex::encode(&Sha256::digest(what + &to)[..8])
    }

    /// Saves the cursor and the end in the checkpoint file.
    fn save_checkpoint(&self, cursor: &str, until: &str) -> Result<(), ReplayError> {
        let Some(path) = &self.state else { return Ok(()) };
        let failed = |error| ReplayError::State { path: path.clone(), error };
        let mut new = path.clone().into_os_string();
        new.push(".new");
        std::fs::write(&new, format!("{cursor} {until} {}\n", self.fingerprint())).map_err(&failed)?;
        std::fs::rename(&new, path).map_err(failed)
    }
}
