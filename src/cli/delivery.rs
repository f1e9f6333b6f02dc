//! `hookbridge delivery`: lists, shows, retries and cancels deliveries.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::cli::arguments;
use crate::cli::completions;
use crate::cli::subscriber::format_fields;
use crate::cli::table::Table;
use crate::db::{Database, DatabaseError, OpenDatabaseError};
use crate::delivery::{DeliveryFilter, DeliveryState, DeliveryStore, DeliveryView, view};
use crate::serve::config::default_log_file;
use crate::util::output;

const DELIVERIES_PER_QUERY: usize = 500;
const DELIVERY_COLUMNS: [&str; 9] =
    ["ID", "CREATED", "STATUS", "SUBSCRIBER", "TYPE", "EVENT", "ATTEMPTS", "NEXT ATTEMPT", "ERROR"];

/// Inspect, retry and cancel deliveries
#[derive(Subcommand)]
pub enum DeliveryCommand {
    /// List deliveries, newest first
    List(ListArgs),
    /// Show a delivery with its attempts
    Show(DeliveryArgs),
    /// Retry deliveries now
    ///
    /// Makes one delivery, or all that match the filter, due now, with a new window of seven days. Without --status, the filter
    /// selects failed deliveries.
    Retry(SelectionArgs),
    /// Cancel pending deliveries
    Cancel(SelectionArgs),
}

#[derive(Args)]
pub struct StoreArgs {
    /// Database with the deliveries: `postgres://USER:PASSWORD@HOST/DATABASE`, or a file
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log_file())]
    database: PathBuf,
    /// Print JSON lines
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

#[derive(Args)]
struct FilterArgs {
    /// Only deliveries to this subscriber
    #[arg(long, value_name = "NAME", add = completions::subscriber_names())]
    subscriber: Option<String>,
    /// Only deliveries of the event with this id
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Only deliveries with this status
    #[arg(long, value_name = "STATUS")]
    status: Option<DeliveryState>,
    /// Only deliveries created at this time or later: 2026-11-22, or 2026-11-22T10:00:00Z
    #[arg(long, value_name = "TIME", value_parser = arguments::parse_time)]
    since: Option<Timestamp>,
    /// Only deliveries created before this time
    #[arg(long, value_name = "TIME", value_parser = arguments::parse_time)]
    until: Option<Timestamp>,
}

#[derive(Args)]
pub struct ListArgs {
    #[command(flatten)]
    filter_args: FilterArgs,
    /// Maximum number of deliveries to list
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    store_args: StoreArgs,
}

#[derive(Args)]
pub struct DeliveryArgs {
    /// Id of the delivery
    id: i64,
    #[command(flatten)]
    store_args: StoreArgs,
}

#[derive(Args)]
pub struct SelectionArgs {
    /// Id of the delivery; without it, select with --subscriber, --event, --status or --since
    #[arg(conflicts_with_all = ["subscriber", "event", "status", "since", "until"])]
    id: Option<i64>,
    #[command(flatten)]
    filter_args: FilterArgs,
    #[command(flatten)]
    store_args: StoreArgs,
}

#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error(transparent)]
    Log(#[from] OpenDatabaseError),
    #[error(transparent)]
    Store(#[from] DatabaseError),
    #[error("no subscriber {0}; list them with: hookbridge subscriber list")]
    UnknownSubscriber(String),
    #[error("give a delivery's id, or at least one of --subscriber, --event, --status and --since")]
    NoSelection,
    #[error("no delivery {0}")]
    NotFound(i64),
    /// No selected delivery is in a state that allows the operation.
    #[error("no {0} delivery matches")]
    NothingChanged(&'static str),
}

impl StoreArgs {
    async fn open_store(&self) -> Result<DeliveryStore, DeliveryError> {
        Ok(DeliveryStore::new(Database::open_existing(&self.database, 2).await?.0))
    }
}

impl SelectionArgs {
    fn validate(&self) -> Result<(), DeliveryError> {
        let FilterArgs { subscriber, event, status, since, until: _ } = &self.filter_args;
        let has_filter = subscriber.is_some() || event.is_some() || status.is_some() || since.is_some();
        (self.id.is_some() || has_filter).then_some(()).ok_or(DeliveryError::NoSelection)
    }
}

impl FilterArgs {
    async fn into_filter(self, store: &DeliveryStore) -> Result<DeliveryFilter, DeliveryError> {
        let Self { subscriber, event, status, since, until } = self;
        if let Some(name) = &subscriber
            && !store.subscribers.has_name(name).await?
        {
            return Err(DeliveryError::UnknownSubscriber(name.clone()));
        }
        Ok(DeliveryFilter { subscriber, event, state: status, since, until, before_id: None })
    }
}

impl DeliveryCommand {
    /// Runs the command and prints its result.
    pub async fn run(self) -> Result<(), DeliveryError> {
        match self {
            Self::List(ListArgs { filter_args, limit, store_args }) => {
                let store = store_args.open_store().await?;
                let (mut filter, mut remaining) = (filter_args.into_filter(&store).await?, limit as usize);
                let mut table = Table::new(DELIVERY_COLUMNS);
                while remaining > 0 {
                    let page = store.history.list(&filter, remaining.min(DELIVERIES_PER_QUERY)).await?;
                    let Some(last) = page.last() else { break };
                    filter.before_id = Some(last.id);
                    remaining -= page.len();
                    for delivery in &page {
                        if store_args.json {
                            output::print_line(&view::delivery_json(delivery).to_string());
                        } else {
                            table.add_row(delivery_row(delivery));
                        }
                    }
                }
                table.print();
            }
            Self::Show(DeliveryArgs { id, store_args }) => {
                let (delivery, attempts) = store_args
                    .open_store()
                    .await?
                    .history
                    .find(id)
                    .await?
                    .ok_or(DeliveryError::NotFound(id))?;
                let mut object = view::delivery_with_attempts_json(&delivery, &attempts);
                if store_args.json {
                    output::print_line(&object.to_string());
                } else {
                    let attempts = object["tries"].take();
                    output::print_line(format_fields(&object).trim_end());
                    for attempt in attempts.as_array().into_iter().flatten() {
                        output::print_line(&format!("\n{}", format_fields(attempt).trim_end()));
                    }
                }
            }
            Self::Retry(selection) => {
                selection.validate()?;
                let SelectionArgs { id, filter_args, store_args } = selection;
                let store = store_args.open_store().await?;
                let mut filter = filter_args.into_filter(&store).await?;
                filter.state = filter.state.or(Some(DeliveryState::Failed).filter(|_| id.is_none()));
                let count = store.retry_deliveries(&filter, id, Timestamp::now()).await?;
                print_result(store_args.json, count, "are due now", "retryable")?;
            }
            Self::Cancel(selection) => {
                selection.validate()?;
                let SelectionArgs { id, filter_args, store_args } = selection;
                let store = store_args.open_store().await?;
                let count = store.cancel_deliveries(&filter_args.into_filter(&store).await?, id).await?;
                print_result(store_args.json, count, "are cancelled", "pending")?;
            }
        }
        Ok(())
    }
}

/// Prints the number of changed deliveries. Fails if no delivery was changed; the error then says which state
/// (`required_state`) a delivery must have for the operation.
fn print_result(
    as_json: bool,
    count: usize,
    outcome: &str,
    required_state: &'static str,
) -> Result<(), DeliveryError> {
    if count == 0 {
        return Err(DeliveryError::NothingChanged(required_state));
    }
    if as_json {
        output::print_line(&json!({"object": "done", "deliveries": count}).to_string());
    } else {
        output::print_error(&format!("deliveries that {outcome}: {count}"));
    }
    Ok(())
}

/// The texts of [`DELIVERY_COLUMNS`].
fn delivery_row(delivery: &DeliveryView) -> [String; DELIVERY_COLUMNS.len()] {
    let DeliveryView { id, event, detail_type, subscriber, state, attempts, created, .. } = delivery;
    [
        id.to_string(),
        format!("{created:.0}"),
        state.as_str().to_owned(),
        subscriber.clone().unwrap_or_else(|| "(deleted)".into()),
        detail_type.clone(),
        event.clone(),
        attempts.to_string(),
        delivery.next_attempt.map(|time| format!("{time:.0}")).unwrap_or_default(),
        delivery.error.clone().unwrap_or_default(),
    ]
}
