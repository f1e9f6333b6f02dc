//! `hookbridge replay`: a range of the log, sent again.

mod target;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::builder::FalseyValueParser;
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use crate::call::CallError;
use crate::feed::cursor;
use crate::input;
use crate::log::{
    AnyLog, Bounds, CursorKey, EventFilter, EventReader as _, OpenLogError, PageLimit, Position, TypePattern,
};
use crate::output;
use crate::serve::settings::default_log;
use target::{Target, TargetError};

/// Positions that are looked at at once.
const WINDOW: i64 = 1000;
/// Timer slack tolerated by the rate limiter.
const LATE: Duration = Duration::from_millis(20);
/// How often a person hears how far it is.
const EVERY: Duration = Duration::from_secs(1);

/// Send the events of a range again, to a bus, a URL or a queue, in the order of the log.
///
/// Each is marked: its resources hold urn:hookbridge:replay:TIME, the time at which the replay began. It can be stopped
/// anywhere; with --state the same command goes on where it was. Events are sent at least once.
#[derive(clap::Args)]
#[command(group = clap::ArgGroup::new("target").required(true).args(["to_bus", "to_url", "to_queue"]))]
pub struct Replay {
    /// The first time of an event that is in: 2026-11-22, or 2026-11-22T10:00:00Z [default: the beginning].
    #[arg(long, value_name = "TIME", value_parser = input::time)]
    from: Option<Timestamp>,
    /// End of the range (exclusive)
    #[arg(long, value_name = "TIME", value_parser = input::time)]
    to: Option<Timestamp>,
    /// Only events of this type, or with * at its end of all that begin so; may be given several times.
    #[arg(long = "type", value_name = "TYPE", value_parser = input::type_pattern)]
    types: Vec<TypePattern>,
    /// Only events of this source; may be given several times.
    #[arg(long = "source", value_name = "SOURCE")]
    sources: Vec<String>,
    /// Only what comes after this cursor of GET /events.
    #[arg(long, value_name = "CURSOR")]
    after: Option<String>,
    /// The EventBridge bus, by name or ARN, that they are put on.
    #[arg(long, value_name = "NAME")]
    to_bus: Option<String>,
    /// The URL that they are posted to, each as EventBridge's envelope; every answer but 2xx is a failure.
    #[arg(long, value_name = "URL")]
    to_url: Option<String>,
    /// With --to-url, sign each with this secret, whsec_..., as Standard Webhooks has it.
    // A text until it is used: what is wrong with an argument is said with its value.
    #[arg(long, env = "HOOKBRIDGE_REPLAY_SECRET", hide_env_values = true, value_name = "SECRET")]
    secret: Option<String>,
    /// The URL of the SQS queue that they are sent to, each as EventBridge's envelope.
    #[arg(long, value_name = "URL")]
    to_queue: Option<String>,
    /// The most events in a second.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Maximum concurrent requests; 1 preserves order.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    at_once: u8,
    /// Checkpoint file; rerun with it to resume.
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// The log: `postgres://USER:PASSWORD@HOST/DATABASE`, or a file.
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log())]
    database: PathBuf,
    /// Print the summary as a line of JSON.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

/// Why not everything was sent.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// There is no log.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// The place to begin at is none of this log.
    #[error("{0} is no cursor of this log: garbled, cut short, or of another log; a time is given by --from")]
    Cursor(&'static str),
    /// What comes after that place is no longer kept.
    #[error(
        "events from there on are no longer kept; leave --after and --state out to begin with the oldest that is"
    )]
    Expired,
    /// Nothing is between the two times.
    #[error("--from is later than --to")]
    Range,
    /// The file is of another replay.
    #[error(
        "--state {0} is of a replay of other events, or to somewhere else: give this one a file of its own"
    )]
    OtherState(PathBuf),
    /// The place is behind the end of the log.
    #[error(
        "the log ends before that place: it was set back, for example to an older backup; leave --after and --state out"
    )]
    Ahead,
    /// The target cannot be.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The target did not take an event.
    #[error("event {id} was not taken: {error}; {sent} were sent before; go on with --after {cursor}")]
    NotTaken {
        /// The event's id.
        id: String,
        /// What happened.
        error: CallError,
        /// How many were sent.
        sent: u64,
        /// Where to go on.
        cursor: String,
    },
    /// The file cannot be used.
    #[error("--state {path}: {error}")]
    State {
        /// Its path.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
}

/// What has been sent.
#[derive(Default)]
struct Sent {
    events: u64,
    /// Events that no bus takes: too large, or with a detail that is no JSON object.
    left_out: u64,
}

/// When the next event is due.
struct Pace {
    /// The time between two events.
    between: Option<Duration>,
    due: Instant,
}

impl Pace {
    async fn next(&mut self) {
        let Some(between) = self.between else { return };
        tokio::time::sleep_until(self.due.into()).await;
        // Do not burst to catch up.
        self.due = (self.due + between).max(Instant::now().checked_sub(LATE).unwrap_or(self.due));
    }
}

impl Replay {
    /// Sends it all, shows how far it is, and prints a summary.
    ///
    /// # Errors
    /// [`ReplayError`].
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
        // What comes in meanwhile, perhaps because of this, is not sent again.
        let Bounds { first, end: now } = log.bounds().await.map_err(&failed)?;
        let (next, end) = self.start(&key)?;
        let (mut next, end) = (next.unwrap_or(first), end.unwrap_or(now));
        if next > now || end > now {
            return Err(ReplayError::Ahead);
        }
        let until = cursor::write(end, &key);
        let mark = format!("urn:hookbridge:replay:{:.0}", Timestamp::now());
        let (started, mut told, mut sent) = (Instant::now(), Instant::now(), Sent::default());
        let mut pace =
            Pace { between: self.rate.map(|rate| Duration::from_secs(1) / rate), due: Instant::now() };
        while next < end {
            let window = next..end.min(next + WINDOW);
            let events =
                log.read_events(window.clone(), &filter, PageLimit::UNLIMITED).await.map_err(&failed)?;
            let events = events.ok_or(ReplayError::Expired)?;
            // So many at once; what is behind the last of them is begun when all of them are done.
            for some in events.chunks(usize::from(self.at_once)) {
                let mut tasks = JoinSet::new();
                for placed in some {
                    pace.next().await;
                    let (target, event, mark) = (target.clone(), placed.event.clone(), mark.clone());
                    tasks.spawn(async move { (event.key.id.clone(), target.put(event, &mark).await) });
                }
                for (id, done) in tasks.join_all().await {
                    match done {
                        Ok(()) => sent.events += 1,
                        Err(CallError::Malformed(_) | CallError::TooLarge) => sent.left_out += 1,
                        Err(error) => {
                            let cursor = cursor::write(next, &key);
                            self.keep(&cursor, &until)?;
                            return Err(ReplayError::NotTaken { id, error, sent: sent.events, cursor });
                        }
                    }
                }
                next = some.last().map_or(next, |last| last.position + 1);
                if told.elapsed() >= EVERY {
                    told = Instant::now();
                    let time = some.last().map(|last| last.event.key.time.to_string()).unwrap_or_default();
                    let cursor = cursor::write(next, &key);
                    output::complain(&format!("{} events, up to {time}, cursor {cursor}", sent.events));
                    self.keep(&cursor, &until)?;
                }
            }
            next = window.end;
        }
        let cursor = cursor::write(next, &key);
        self.keep(&cursor, &until)?;
        let (Sent { events, left_out }, seconds) = (sent, started.elapsed().as_secs_f64());
        output::line(&if self.json {
            serde_json::json!({"events": events, "left_out": left_out, "cursor": cursor, "seconds": seconds, "mark": mark})
                .to_string()
        } else {
            let left_out = match left_out {
                0 => String::new(),
                some => format!("; {some} are not for a bus and were left out"),
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

    /// Where it begins and where it ends, when it is not at the start and at the end.
    fn start(&self, key: &CursorKey) -> Result<(Option<Position>, Option<Position>), ReplayError> {
        let read = |text: &str, of| cursor::read(text, key).map(Some).ok_or(ReplayError::Cursor(of));
        if let Some(path) = &self.state {
            match std::fs::read_to_string(path) {
                Ok(text) => {
                    let of = "what --state holds";
                    let mut parts = text.split_whitespace();
                    let mut part = || parts.next().ok_or(ReplayError::Cursor(of));
                    let (next, end) = (read(part()?, of)?, read(part()?, of)?);
                    if part()? != self.fingerprint() {
                        return Err(ReplayError::OtherState(path.clone()));
                    }
                    return Ok((next, end));
                }
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(ReplayError::State { path: path.clone(), error }),
            }
        }
        Ok((self.after.as_deref().map_or(Ok(None), |after| read(after, "--after"))?, None))
    }

    /// What is replayed, and where to: the same for the same command.
    fn fingerprint(&self) -> String {
        let what = format!("{:?} {:?} {:?} {:?}", self.from, self.to, self.types, self.sources);
        let to = format!("{:?} {:?} {:?}", self.to_bus, self.to_url, self.to_queue);
        hex::encode(&Sha256::digest(what + &to)[..8])
    }

    /// Writes down how far it is, and where it ends.
    fn keep(&self, cursor: &str, until: &str) -> Result<(), ReplayError> {
        let Some(path) = &self.state else { return Ok(()) };
        let failed = |error| ReplayError::State { path: path.clone(), error };
        let mut new = path.clone().into_os_string();
        new.push(".new");
        std::fs::write(&new, format!("{cursor} {until} {}\n", self.fingerprint())).map_err(&failed)?;
        std::fs::rename(&new, path).map_err(failed)
    }
}
