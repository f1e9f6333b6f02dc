//! `hookbridge log maintain`: creates upcoming partitions and applies retention.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use clap::builder::FalseyValueParser;
use jiff::SignedDuration;

use crate::cli::progress::Progress;
use crate::db::{Database, DatabaseError, OpenDatabaseError};
use crate::log::{EventLog, MaintenanceReport, RetentionPolicy};
use crate::serve::config::default_log_file;
use crate::util::output;

/// Create upcoming weekly partitions and drop those older than --keep (the stack runs this daily).
#[derive(clap::Args)]
pub struct Maintain {
    /// Days to keep events after they were recorded [default: no limit]. PostgreSQL drops whole weeks, once the last
    /// day of a week is that old.
    #[arg(long, env = "HOOKBRIDGE_KEEP", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    keep: Option<u32>,
    /// Maximum bytes of events, indexes included; the oldest events are removed first. PostgreSQL drops whole weeks and
    /// keeps the current one.
    #[arg(long, env = "HOOKBRIDGE_KEEP_BYTES", value_name = "BYTES")]
    keep_bytes: Option<u64>,
    /// The log: `postgres://USER:PASSWORD@HOST/DATABASE`, or an SQLite file.
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log_file())]
    database: PathBuf,
    /// Print the result as one line of JSON.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

/// Finishes the upgrade of a database of an earlier version, and reports its progress.
pub(super) async fn upgrade(log: &EventLog) -> Result<(), DatabaseError> {
    let progress = Mutex::new(Progress::start(None));
    let report = |events: usize| {
        let mut progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.update(events as u64, || format!("upgrading the log: {events} keys are written"));
    };
    log.finish_upgrade(report).await
}

impl Maintain {
    /// Maintains the log and prints the result.
    ///
    /// # Errors
    /// The log cannot be opened, or its maintenance failed.
    pub async fn run(self) -> Result<(), OpenDatabaseError> {
        let (db, log_error) = Database::open_existing(&self.database, 1).await?;
        let log = EventLog::new(db);
        upgrade(&log).await.map_err(&log_error)?;
        let mut policy = RetentionPolicy { max_bytes: self.keep_bytes, ..RetentionPolicy::default() };
        if let Some(days) = self.keep {
            policy = policy.with_max_age(SignedDuration::from_hours(24 * i64::from(days)));
        }
        let progress = Progress::spin("deleting expired events");
        let MaintenanceReport { created_partitions, dropped_partitions, deleted_events } =
            log.maintain(&policy).await.map_err(&log_error)?;
        drop(progress);
        output::print_line(&if self.json {
            serde_json::json!({"made": created_partitions, "dropped": dropped_partitions, "deleted": deleted_events}).to_string()
        } else {
            let list = |tables: &[String]| if tables.is_empty() { "none".into() } else { tables.join(", ") };
            format!(
                "partitions created: {}\npartitions dropped: {}\nevents deleted: {deleted_events}",
                list(&created_partitions),
                list(&dropped_partitions)
            )
        });
        Ok(())
    }
}
