//! Providers are asked for what their webhooks may have missed, while the server runs.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::ServeError;
use super::settings::Settings;
use super::terminal::Terminal;
use crate::archive::Archive;
use crate::files::make_private;
use crate::poller::{CheckpointStore, Poller};
use crate::providers;
use crate::secrets::Secret;

/// How often a provider is asked.
const EVERY: Duration = Duration::from_secs(60);
/// How long one poll may take; a longer one goes on with the next.
const A_POLL: Duration = Duration::from_secs(600);
/// The folder of the marks, in the data folder.
const MARKS: &str = "polls";

/// The pollers that the settings ask for, each with its key.
pub(super) fn pollers(settings: &Settings, archive: &Archive) -> Result<Vec<(Poller, Secret)>, ServeError> {
    let folder = settings.data.join(MARKS);
    let mut pollers = Vec::new();
    for provider in providers::ALL {
        let (Some(polling), Some(key)) = (&provider.polling, settings.polls.keys.get(provider.name)) else {
            continue;
        };
        make_private(&folder).map_err(|error| ServeError::Data { path: folder.clone(), error })?;
        let poller = Poller {
            provider,
            polling,
            base_url: settings.polls.urls.get(provider.name).cloned(),
            archive: archive.clone(),
            checkpoint_store: CheckpointStore::File(folder.join(format!("{}.json", provider.name))),
            delay: SignedDuration::from_secs(i64::from(settings.polls.delay)),
            lookback: SignedDuration::from_hours(24 * i64::from(settings.polls.back)),
            event_types: settings.polls.types.get(provider.name).cloned().unwrap_or_default(),
        };
        pollers.push((poller, key.clone()));
    }
    Ok(pollers)
}

/// Asks until `end` becomes true. A poll that is stopped in the middle goes on with the next run.
pub(super) async fn run(poller: Poller, key: Secret, terminal: Terminal, mut end: watch::Receiver<bool>) {
    let work = async {
        let mut goes = false;
        loop {
            let polled = poller.poll(&key, Instant::now() + A_POLL).await;
            match &polled {
                Ok(polled) if !goes => terminal.polled(poller.provider.name, polled),
                Ok(_) => {}
                Err(error) => terminal.not_polled(poller.provider.name, error),
            }
            goes = polled.is_ok();
            sleep(EVERY).await;
        }
    };
    tokio::select! {
        () = work => {}
        _ = end.wait_for(|ended| *ended) => {}
    }
}
