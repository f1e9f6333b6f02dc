//! `hookbridge load`: from an archive into a log.
//!
//! It can be stopped anywhere and started again: what was recorded is passed over without being read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::builder::FalseyValueParser;
use tokio::task::{JoinError, JoinSet};

use crate::archive::{Archive, ArchiveUrl, FolderArchive, S3Archive};
use crate::aws;
use crate::bus::EventBridge;
use crate::log::{AnyLog, EventReader as _, LogAddress, LogError};
use crate::output;
use crate::providers;
use crate::recorder::{ArchivePage, AwsOrigin, RecordError, RecordSummary, Recorder};
use crate::serve::settings::default_log;

/// Batches that are recorded at once.
const AT_ONCE: usize = 8;
/// How long one batch may take.
const A_BATCH: Duration = Duration::from_secs(60);
/// How often a person hears how far it is.
const EVERY: Duration = Duration::from_secs(1);
/// Failed batches that are named.
const NAMED: usize = 10;

/// Load the batches of an archive into the log; what is in the log already is passed over, so that it can be stopped and
/// started again, and a database can be rebuilt.
#[derive(clap::Args)]
pub struct Load {
    /// The archive: `s3://BUCKET/PREFIX`, or a folder.
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveUrl,
    /// The log: `postgres://USER:PASSWORD@HOST/DATABASE`, or a file.
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log())]
    database: PathBuf,
    /// Print the summary as a line of JSON.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

/// Why not everything was loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The address of the log is none.
    #[error("--database")]
    Database(#[from] crate::log::postgres::DatabaseUrlError),
    /// The archive is not there or cannot be read.
    #[error("{archive}: {error}")]
    Archive {
        /// Its address.
        archive: String,
        /// What happened.
        error: RecordError,
    },
    /// There is nothing in it.
    #[error("{archive} holds no batches; they are looked for in {folders}")]
    Empty {
        /// Its address.
        archive: String,
        /// Where batches would be.
        folders: String,
    },
    /// The log does not work.
    #[error(
        "the log {log}: {error}; what was loaded until then is in it, and the same command goes on from there"
    )]
    Log {
        /// Its address.
        log: String,
        /// What happened.
        error: LogError,
    },
    /// Some batches could not be loaded.
    #[error("{count} batches could not be loaded, the first of them: {first}")]
    Batches {
        /// How many.
        count: usize,
        /// Their keys and what happened.
        first: String,
    },
}

/// How far it is.
#[derive(Default)]
struct Progress {
    all: RecordSummary,
    batches: usize,
    before: usize,
    failed: Vec<String>,
    failures: usize,
}

impl Load {
    /// Loads, shows how far it is, and prints a summary.
    ///
    /// # Errors
    /// [`LoadError`].
    pub async fn run(self) -> Result<(), LoadError> {
        let address: LogAddress = self.database.to_string_lossy().parse()?;
        let failed = |error| LoadError::Log { log: address.to_string(), error };
        let log = AnyLog::open(&address, u32::try_from(AT_ONCE).unwrap_or(u32::MAX)).await.map_err(failed)?;
        let archive = match &self.archive {
            ArchiveUrl::Folder(folder) => Archive::Folder(FolderArchive::new(folder.clone())),
            ArchiveUrl::S3 { bucket, prefix } => {
                Archive::S3(S3Archive::new(&aws::command_config().await, bucket.clone(), prefix.clone()))
            }
        };
        let recorder: Recorder<AnyLog, EventBridge> = Recorder { archive, log, bus: None };
        let started = Instant::now();
        let progress = load(Arc::new(recorder), &self.archive, &failed).await?;
        progress.tell(started.elapsed(), self.json);
        match progress.failures {
            0 => Ok(()),
            count => Err(LoadError::Batches { count, first: progress.failed.join("; ") }),
        }
    }
}

async fn load(
    recorder: Arc<Recorder<AnyLog, EventBridge>>,
    url: &ArchiveUrl,
    failed: &impl Fn(LogError) -> LoadError,
) -> Result<Progress, LoadError> {
    let mut progress = Progress::default();
    let mut told = Instant::now();
    let mut tasks = JoinSet::new();
    for provider in providers::ALL {
        let mut after: Option<String> = None;
        loop {
            let deadline = tokio::time::Instant::now() + A_BATCH;
            let listed = recorder.list_unrecorded(provider, after.as_deref(), deadline).await;
            let listed = listed.map_err(|error| match error {
                RecordError::Log(error) => failed(error),
                error => LoadError::Archive { archive: url.to_string(), error },
            })?;
            let Some(ArchivePage { last_key: last, batch_count: batches, unrecorded_keys: new }) = listed
            else {
                break;
            };
            progress.batches += batches;
            progress.before += batches - new.len();
            for key in new {
                if tasks.len() == AT_ONCE {
                    progress.count(tasks.join_next().await, failed)?;
                }
                if told.elapsed() >= EVERY {
                    told = Instant::now();
                    output::complain(&format!("{}; at {key}", progress.text()));
                }
                let recorder = recorder.clone();
                tasks.spawn(async move {
                    let deadline = tokio::time::Instant::now() + A_BATCH;
                    let done = recorder.record_archived(&key, &AwsOrigin::default(), deadline).await;
                    (key, done)
                });
            }
            after = Some(last);
        }
    }
    while !tasks.is_empty() {
        progress.count(tasks.join_next().await, failed)?;
    }
    recorder.log.assign_positions().await.map_err(failed)?;
    if progress.batches == 0 {
        let folders = providers::ALL.map(|provider| format!("{}/", provider.name));
        return Err(LoadError::Empty { archive: url.to_string(), folders: folders.join(", ") });
    }
    Ok(progress)
}

type Done = (String, Result<RecordSummary, RecordError>);

impl Progress {
    /// Counts a batch that is done with. A log that does not work ends the work.
    fn count(
        &mut self,
        done: Option<Result<Done, JoinError>>,
        failed: &impl Fn(LogError) -> LoadError,
    ) -> Result<(), LoadError> {
        match done {
            Some(Ok((_, Ok(summary)))) => {
                self.all = self.all.merge(summary);
                return Ok(());
            }
            Some(Ok((
                _,
                Err(RecordError::Log(error @ (LogError::Unavailable(_) | LogError::InvalidCredentials(_)))),
            ))) => {
                return Err(failed(error));
            }
            Some(Ok((key, Err(error)))) => self.failed.push(format!("{key}: {error}")),
            Some(Err(error)) => self.failed.push(error.to_string()),
            None => return Ok(()),
        }
        self.failures += 1;
        self.failed.truncate(NAMED);
        Ok(())
    }

    fn text(&self) -> String {
        let RecordSummary { new_events: events, duplicates: repeats, unrecognized, .. } = self.all;
        format!(
            "{} batches, {} of them recorded before; {events} events are new, {repeats} were in the log, {unrecognized} were not understood and are kept as they came",
            self.batches, self.before
        )
    }

    fn tell(&self, time: Duration, json: bool) {
        let RecordSummary { new_events: events, duplicates: repeats, unrecognized, .. } = self.all;
        output::line(&if json {
            serde_json::json!({
                "batches": self.batches,
                "before": self.before,
                "failed": self.failures,
                "events": events,
                "repeats": repeats,
                "unrecognized": unrecognized,
                "seconds": time.as_secs_f64(),
            })
            .to_string()
        } else {
            format!("{}; {:.1} s", self.text(), time.as_secs_f64())
        });
    }
}
