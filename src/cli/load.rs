//! `hookbridge load`: imports archived batches into the log.
//!
//! An interrupted load can be restarted: the new load skips recorded batches without reading them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::builder::FalseyValueParser;
use tokio::task::{JoinError, JoinSet};

use crate::archive::{Archive, ArchiveUrl, FolderArchive, S3Archive};
use crate::aws;
use crate::bus::EventBridge;
use crate::cli::maintain::upgrade;
use crate::cli::progress::Progress;
use crate::db::{Database, DatabaseAddress, DatabaseError, DatabaseUrlError};
use crate::log::EventLog;
use crate::providers;
use crate::recorder::{ArchivePage, AwsOrigin, RecordError, RecordSummary, Recorder};
use crate::serve::config::default_log_file;
use crate::util::output;

/// The number of batches that are recorded concurrently.
const CONCURRENT_BATCHES: usize = 8;
/// The timeout for recording one batch, and for listing one page of the archive.
const BATCH_TIMEOUT: Duration = Duration::from_secs(60);
/// The maximum number of failed batches that the error message names.
const MAX_NAMED_FAILURES: usize = 10;

/// Load archived batches into the log. Batches already recorded are skipped, so a load can be interrupted and
/// restarted, and a database can be rebuilt from the archive.
#[derive(clap::Args)]
pub struct Load {
    /// The archive: `s3://BUCKET/PREFIX`, or a folder.
    #[arg(value_name = "ARCHIVE")]
    archive: ArchiveUrl,
    /// The log: `postgres://USER:PASSWORD@HOST/DATABASE`, or an SQLite file.
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log_file())]
    database: PathBuf,
    /// Print the summary as one line of JSON.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

/// Failure of a load.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The address of the log is not valid.
    #[error("invalid --database")]
    Database(#[from] DatabaseUrlError),
    /// The archive does not exist or cannot be read.
    #[error("cannot read {archive}: {error}")]
    Archive {
        /// The address of the archive.
        archive: String,
        /// The cause.
        error: RecordError,
    },
    /// The archive contains no batches.
    #[error("{archive} contains no batches; expected them in {folders}")]
    Empty {
        /// The address of the archive.
        archive: String,
        /// The folders that may contain batches.
        folders: String,
    },
    /// An operation on the log failed.
    #[error("cannot use the log {log}: {error}; loaded batches are kept, and the same command resumes")]
    Log {
        /// The address of the log.
        log: String,
        /// The cause.
        error: DatabaseError,
    },
    /// Some batches failed.
    #[error("cannot load {count} batches; the first: {first}")]
    Batches {
        /// The number of failed batches.
        count: usize,
        /// The keys and errors of the first failed batches.
        first: String,
    },
}

/// The batches of a load, and what became of them.
#[derive(Default)]
struct LoadReport {
    summary: RecordSummary,
    listed_batches: usize,
    already_recorded_batches: usize,
    /// The keys and errors of the first failed batches.
    first_failures: Vec<String>,
    failed_batches: usize,
}

impl Load {
    /// Loads the batches, reports progress and prints a summary.
    ///
    /// # Errors
    /// The log or the archive cannot be opened, the archive is empty, or some batches failed.
    pub async fn run(self) -> Result<(), LoadError> {
        let address: DatabaseAddress = self.database.to_string_lossy().parse()?;
        let log_error = |error| LoadError::Log { log: address.to_string(), error };
        let connections = u32::try_from(CONCURRENT_BATCHES).unwrap_or(u32::MAX);
        let log = EventLog::new(Database::open(&address, connections).await.map_err(log_error)?);
        upgrade(&log).await.map_err(log_error)?;
        let archive = match &self.archive {
            ArchiveUrl::Folder(folder) => Archive::Folder(FolderArchive::new(folder.clone())),
            ArchiveUrl::S3 { bucket, prefix } => {
                Archive::S3(S3Archive::new(&aws::command_config().await, bucket.clone(), prefix.clone()))
            }
        };
        let recorder: Recorder<EventBridge> = Recorder { archive, log, bus: None };
        let started = Instant::now();
        let report = load(Arc::new(recorder), &self.archive, &log_error).await?;
        report.print_summary(started.elapsed(), self.json);
        match report.failed_batches {
            0 => Ok(()),
            count => Err(LoadError::Batches { count, first: report.first_failures.join("; ") }),
        }
    }
}

async fn load(
    recorder: Arc<Recorder<EventBridge>>,
    url: &ArchiveUrl,
    log_error: &impl Fn(DatabaseError) -> LoadError,
) -> Result<LoadReport, LoadError> {
    let (mut report, mut progress) = (LoadReport::default(), Progress::start(None));
    let mut tasks = JoinSet::new();
    for provider in providers::PROVIDERS {
        let mut after_key: Option<String> = None;
        loop {
            let deadline = tokio::time::Instant::now() + BATCH_TIMEOUT;
            let page = recorder.list_unrecorded(provider, after_key.as_deref(), deadline).await;
            let page = page.map_err(|error| match error {
                RecordError::Log(error) => log_error(error),
                error => LoadError::Archive { archive: url.to_string(), error },
            })?;
            let Some(ArchivePage { last_key, batch_count, unrecorded_keys }) = page else { break };
            report.listed_batches += batch_count;
            report.already_recorded_batches += batch_count - unrecorded_keys.len();
            for key in unrecorded_keys {
                if tasks.len() == CONCURRENT_BATCHES {
                    report.add_result(tasks.join_next().await, log_error)?;
                }
                let loaded = report.listed_batches - tasks.len();
                progress.update(loaded as u64, || format!("{}; at {key}", report.text()));
                let recorder = recorder.clone();
                tasks.spawn(async move {
                    let deadline = tokio::time::Instant::now() + BATCH_TIMEOUT;
                    let result = recorder.record_archived(&key, &AwsOrigin::default(), deadline).await;
                    (key, result)
                });
            }
            after_key = Some(last_key);
        }
    }
    while !tasks.is_empty() {
        report.add_result(tasks.join_next().await, log_error)?;
    }
    recorder.log.assign_positions().await.map_err(log_error)?;
    if report.listed_batches == 0 {
        let folders = providers::PROVIDERS.map(|provider| format!("{}/", provider.name));
        return Err(LoadError::Empty { archive: url.to_string(), folders: folders.join(", ") });
    }
    Ok(report)
}

/// The key of a batch and the result of recording it.
type BatchResult = (String, Result<RecordSummary, RecordError>);

impl LoadReport {
    /// Adds the result of a finished batch. Fails, and so ends the load, if the log is unavailable or rejects the credentials;
    /// after any other failure of a batch, the load continues with the other batches.
    fn add_result(
        &mut self,
        result: Option<Result<BatchResult, JoinError>>,
        log_error: &impl Fn(DatabaseError) -> LoadError,
    ) -> Result<(), LoadError> {
        match result {
            Some(Ok((_, Ok(summary)))) => {
                self.summary = self.summary.merge(summary);
                return Ok(());
            }
            Some(Ok((
                _,
                Err(RecordError::Log(
                    error @ (DatabaseError::Unavailable(_) | DatabaseError::InvalidCredentials(_)),
                )),
            ))) => {
                return Err(log_error(error));
            }
            Some(Ok((key, Err(error)))) => self.first_failures.push(format!("{key}: {error}")),
            Some(Err(error)) => self.first_failures.push(error.to_string()),
            None => return Ok(()),
        }
        self.failed_batches += 1;
        self.first_failures.truncate(MAX_NAMED_FAILURES);
        Ok(())
    }

    fn text(&self) -> String {
        let RecordSummary { new_events, duplicates, unrecognized_events: unrecognized, .. } = self.summary;
        format!(
            "{} batches, {} already recorded; {new_events} new events, {duplicates} duplicates, {unrecognized} unrecognized and recorded unchanged",
            self.listed_batches, self.already_recorded_batches
        )
    }

    fn print_summary(&self, elapsed: Duration, json: bool) {
        let RecordSummary { new_events, duplicates, unrecognized_events: unrecognized, .. } = self.summary;
        output::print_line(&if json {
            serde_json::json!({
                "batches": self.listed_batches,
                "before": self.already_recorded_batches,
                "failed": self.failed_batches,
                "events": new_events,
                "repeats": duplicates,
                "unrecognized": unrecognized,
                "seconds": elapsed.as_secs_f64(),
            })
            .to_string()
        } else {
            format!("{}; {:.1} s", self.text(), elapsed.as_secs_f64())
        });
    }
}
