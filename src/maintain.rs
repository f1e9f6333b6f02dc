//! `hookbridge log maintain`: tables ahead of need, and an end for what is too old.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use jiff::SignedDuration;

use crate::log::{AnyLog, EventStore as _, MaintenanceReport, OpenLogError, RetentionPolicy};
use crate::output;
use crate::serve::settings::default_log;

/// Create upcoming weekly partitions and drop those older than --keep (the stack runs this daily).
#[derive(clap::Args)]
pub struct Maintain {
    /// How many days events are kept after they were recorded; without it, for ever. In PostgreSQL whole weeks go, when the
    /// last day of a week is that old.
    #[arg(long, env = "HOOKBRIDGE_KEEP", value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    keep: Option<u32>,
    /// How many bytes of events are kept, with their indexes; what is oldest goes first. In PostgreSQL whole weeks go, and this
    /// week stays.
    #[arg(long, env = "HOOKBRIDGE_KEEP_BYTES", value_name = "BYTES")]
    keep_bytes: Option<u64>,
    /// The log: `postgres://USER:PASSWORD@HOST/DATABASE`, or a file.
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log())]
    database: PathBuf,
    /// Print what was done as a line of JSON.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

impl Maintain {
    /// Does it, and says what was done.
    ///
    /// # Errors
    /// [`OpenLogError`].
    pub async fn run(self) -> Result<(), OpenLogError> {
        let (log, failed) = AnyLog::open_existing(&self.database, 1).await?;
        let mut keep = RetentionPolicy { max_bytes: self.keep_bytes, ..RetentionPolicy::default() };
        if let Some(days) = self.keep {
            keep = keep.with_max_age(SignedDuration::from_hours(24 * i64::from(days)));
        }
        let MaintenanceReport {
            created_partitions: made,
            dropped_partitions: dropped,
            deleted_events: deleted,
        } = log.maintain(&keep).await.map_err(&failed)?;
        output::line(&if self.json {
            serde_json::json!({"made": made, "dropped": dropped, "deleted": deleted}).to_string()
        } else {
            let list = |tables: &[String]| if tables.is_empty() { "none".into() } else { tables.join(", ") };
            format!(
                "tables made: {}\ntables dropped: {}\nevents deleted: {deleted}",
                list(&made),
                list(&dropped)
            )
        });
        Ok(())
    }
}
