//! `hookbridge events`: prints events of a running server's log, or of the function `feed` on AWS, and follows the log.

use std::time::Duration;

use clap::Args;
use clap::builder::FalseyValueParser;
use serde::Deserialize;
use tokio::time::sleep;
use tracing::warn;

use super::events_client::{EVENTS_PER_PAGE, EventsError, LogSelection, Page, WAIT_SECONDS};
use super::subscriber::escape_control_characters;
use crate::util::output;

const MIN_RETRY_PAUSE: Duration = Duration::from_secs(1);
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(30);

/// Print the events of a log, and follow new ones
///
/// Reads /events of a running `hookbridge serve`, or of the event log's stack on AWS.
#[derive(Args)]
pub struct Events {
    #[command(flatten)]
    log: LogSelection,
    /// Print all events after this point: a cursor, start, now, or a time (events recorded since then) [default: print only the newest
    /// events, see --limit]
    #[arg(long, value_name = "POINT")]
    after: Option<String>,
    /// Print this number of newest events, if --after is not set
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    /// Wait for further events, and print them as they are recorded
    #[arg(long)]
    follow: bool,
    /// Print each event as one line of JSON (EventBridge envelope)
    #[arg(long, env = "HOOKBRIDGE_JSON", value_parser = FalseyValueParser::new())]
    json: bool,
}

/// The fields of an event in the human-readable output.
#[derive(Deserialize)]
struct EventSummary {
    time: String,
    source: String,
    #[serde(rename = "detail-type")]
    detail_type: String,
    id: String,
}

impl Events {
    /// Prints the events, and with `--follow` those that are recorded from then on.
    pub async fn run(self) -> Result<(), EventsError> {
        let client = self.log.client()?;
        let mut cursor = match self.after.clone() {
            Some(after) => after,
            None => {
                let end = client.page(&[("after", "now".into()), ("limit", "1".into())]).await?.cursor;
                let newest = [("before", end.clone()), ("limit", self.limit.to_string())];
                self.print(&client.page(&newest).await?);
                end
            }
        };
        let mut has_more = self.after.is_some();
        let mut pause = MIN_RETRY_PAUSE;
        while has_more || self.follow {
            let wait = if has_more || !self.follow { 0 } else { WAIT_SECONDS };
            let query = [
                ("after", cursor.clone()),
                ("limit", EVENTS_PER_PAGE.to_string()),
                ("wait", wait.to_string()),
            ];
            match client.page(&query).await {
                Ok(page) => {
                    self.print(&page);
                    (cursor, has_more, pause) = (page.cursor, page.has_more, MIN_RETRY_PAUSE);
                }
                Err(error) if self.follow && error.is_transient() => {
                    warn!("{error}; trying again in {} s", pause.as_secs());
                    sleep(pause).await;
                    pause = (pause * 2).min(MAX_RETRY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn print(&self, page: &Page) {
        for event in &page.data {
            match serde_json::from_str::<EventSummary>(event.get()) {
                Ok(EventSummary { time, source, detail_type, id }) if !self.json => {
                    let line = format!("{time}  {source}  {detail_type}  {id}");
                    output::print_line(&escape_control_characters(&line));
                }
                // In JSON, a raw line break occurs only between tokens.
                _ => output::print_line(&event.get().replace(['\r', '\n'], "")),
            }
        }
    }
}
