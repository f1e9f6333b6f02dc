//! `hookbridge delivery`: what subscribers have received, and what they have not.

use std::path::PathBuf;

use clap::builder::FalseyValueParser;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::json;

use crate::dispatch::{DeliveryFilter, DeliveryView, State, Store, view};
use crate::input;
use crate::log::{AnyLog, LogError, OpenLogError};
use crate::output;
use crate::serve::settings::default_log;
use crate::subscriber::text;

/// Deliveries that are read at once.
const AT_ONCE: usize = 500;

/// Look at what was delivered, and what was not.
#[derive(Subcommand)]
pub enum DeliveryCommand {
    /// List deliveries, the newest first.
    List(List),
    /// Show one, with every attempt at it.
    Show(One),
    /// Try one at once and for seven days more, whatever became of it; or those of a range: those that failed, unless --status
    /// says otherwise.
    Retry(OneOrSome),
    /// Cancel one, or those of a range, that wait.
    Cancel(OneOrSome),
}

/// Where deliveries are kept.
#[derive(Args)]
pub struct Place {
    /// The log's database, where deliveries are kept too: `postgres://USER:PASSWORD@HOST/DATABASE`, or a file.
    #[arg(long, env = "HOOKBRIDGE_DATABASE", hide_env_values = true, value_name = "URL", default_value_os_t = default_log())]
    database: PathBuf,
    /// Print JSON lines.
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

/// Which deliveries.
#[derive(Args)]
struct Which {
    /// Of this subscriber.
    #[arg(long, value_name = "NAME")]
    subscriber: Option<String>,
    /// Of this event, by its id.
    #[arg(long, value_name = "ID")]
    event: Option<String>,
    /// Only with this status.
    #[arg(long, value_name = "STATUS")]
    status: Option<State>,
    /// Made at this time or later: 2026-11-22, or 2026-11-22T10:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = input::time)]
    since: Option<Timestamp>,
    /// Made before this time.
    #[arg(long, value_name = "TIME", value_parser = input::time)]
    until: Option<Timestamp>,
}

/// A list of deliveries.
#[derive(Args)]
pub struct List {
    #[command(flatten)]
    which: Which,
    /// Maximum number of deliveries to list.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    place: Place,
}

/// One delivery.
#[derive(Args)]
pub struct One {
    /// Its number.
    id: i64,
    #[command(flatten)]
    place: Place,
}

/// One delivery, or some.
#[derive(Args)]
pub struct OneOrSome {
    /// Its number; without it, a range is meant: --subscriber, --event, --status or --since.
    #[arg(conflicts_with_all = ["subscriber", "event", "status", "since", "until"])]
    id: Option<i64>,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    place: Place,
}

/// Why a command about deliveries came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// There is no database.
    #[error(transparent)]
    Log(#[from] OpenLogError),
    /// The database.
    #[error(transparent)]
    Store(#[from] LogError),
    /// There is no such subscriber.
    #[error("there is no subscriber {0}: hookbridge subscriber list shows them")]
    NoSubscriber(String),
    /// Neither a number nor a range.
    #[error("say which: a delivery's number, or at least one of --subscriber, --event, --status and --since")]
    Which,
    /// There is no such delivery.
    #[error("there is no delivery {0}")]
    Unknown(i64),
    /// None of those that are meant is one for which it can be done.
    #[error("there is no such delivery{0}")]
    None(&'static str),
}

impl Place {
    async fn store(&self) -> Result<Store<AnyLog>, DeliveryError> {
        Ok(Store::new(AnyLog::open_existing(&self.database, 2).await?.0))
    }
}

impl OneOrSome {
    /// Checks that it is said which.
    fn check(&self) -> Result<(), DeliveryError> {
        let Which { subscriber, event, status, since, until: _ } = &self.which;
        let is_range = subscriber.is_some() || event.is_some() || status.is_some() || since.is_some();
        (self.id.is_some() || is_range).then_some(()).ok_or(DeliveryError::Which)
    }
}

impl Which {
    async fn filter(self, store: &Store<AnyLog>) -> Result<DeliveryFilter, DeliveryError> {
        let Self { subscriber, event, status, since, until } = self;
        if let Some(name) = &subscriber
            && !store.is_known(name).await?
        {
            return Err(DeliveryError::NoSubscriber(name.clone()));
        }
        Ok(DeliveryFilter { subscriber, event, state: status, since, until, before: None })
    }
}

impl DeliveryCommand {
    /// Does it, and shows what came of it.
    ///
    /// # Errors
    /// [`DeliveryError`].
    pub async fn run(self) -> Result<(), DeliveryError> {
        match self {
            Self::List(List { which, limit, place }) => {
                let store = place.store().await?;
                let (mut filter, mut left) = (which.filter(&store).await?, limit as usize);
                while left > 0 {
                    let page = store.deliveries(&filter, left.min(AT_ONCE)).await?;
                    let Some(last) = page.last() else { break };
                    filter.before = Some(last.id);
                    left -= page.len();
                    for delivery in &page {
                        let shown = view::delivery(delivery);
                        output::line(&if place.json { shown.to_string() } else { line(delivery) });
                    }
                }
            }
            Self::Show(One { id, place }) => {
                let (delivery, attempts) =
                    place.store().await?.delivery(id).await?.ok_or(DeliveryError::Unknown(id))?;
                let mut shown = view::audited(&delivery, &attempts);
                if place.json {
                    output::line(&shown.to_string());
                } else {
                    let tries = shown["tries"].take();
                    output::line(text(&shown).trim_end());
                    for tried in tries.as_array().into_iter().flatten() {
                        output::line(&format!("\n{}", text(tried).trim_end()));
                    }
                }
            }
            Self::Retry(some) => {
                some.check()?;
                let OneOrSome { id, which, place } = some;
                let store = place.store().await?;
                let mut filter = which.filter(&store).await?;
                filter.state = filter.state.or(Some(State::Failed).filter(|_| id.is_none()));
                let done = store.retry(&filter, id, Timestamp::now()).await?;
                said(place.json, done, "are tried again at once", ", but for what is being tried")?;
            }
            Self::Cancel(some) => {
                some.check()?;
                let OneOrSome { id, which, place } = some;
                let store = place.store().await?;
                let done = store.cancel(&which.filter(&store).await?, id).await?;
                said(place.json, done, "are cancelled", " that waits")?;
            }
        }
        Ok(())
    }
}

fn said(as_json: bool, done: usize, what: &str, why_not: &'static str) -> Result<(), DeliveryError> {
    if done == 0 {
        return Err(DeliveryError::None(why_not));
    }
    if as_json {
        output::line(&json!({"object": "done", "deliveries": done}).to_string());
    } else {
        output::complain(&format!("deliveries that {what}: {done}"));
    }
    Ok(())
}

/// A delivery in one line, for a person.
fn line(delivery: &DeliveryView) -> String {
    let DeliveryView { id, event, detail_type, subscriber, state, attempts, created, .. } = delivery;
    let subscriber = subscriber.as_deref().unwrap_or("(gone)");
    let next = delivery.next.map(|next| format!(", next at {next:.0}")).unwrap_or_default();
    let why = delivery.error.as_ref().map(|error| format!("  {error}")).unwrap_or_default();
    format!(
        "{id:>8}  {created:.0}  {:<9} {subscriber}  {detail_type}  {event}  attempts: {attempts}{next}{why}",
        state.as_str()
    )
}
