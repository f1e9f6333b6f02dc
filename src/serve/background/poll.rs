//! Polls the providers' event lists for events whose webhooks were missed.

use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use crate::archive::Archive;
use crate::poller::redelivery::{Hook, RETENTION, Redeliverer, RedeliverySummary};
use crate::poller::{CheckpointStore, Poller};
use crate::providers;
use crate::secrets::Secret;
use crate::serve::ServeError;
use crate::serve::config::{GITHUB, ServeSettings};
use crate::serve::reporter::Reporter;
use crate::util::files::create_private_folder;

const POLL_INTERVAL: Duration = Duration::from_secs(60);
/// The longest time for one poll. A longer poll is interrupted, and the next poll continues it.
const POLL_TIMEOUT: Duration = Duration::from_secs(600);
const CHECKPOINT_FOLDER: &str = "polls";

/// Creates a poller for each provider that has an API key in the settings. Returns each poller with its API key.
pub(in crate::serve) fn create_pollers(
    settings: &ServeSettings,
    archive: &Archive,
) -> Result<Vec<(Poller, Secret)>, ServeError> {
    let folder = settings.data.join(CHECKPOINT_FOLDER);
    let mut pollers = Vec::new();
    for provider in providers::PROVIDERS {
        let (Some(polling), Some(key)) = (&provider.polling, settings.polls.keys.get(provider.name)) else {
            continue;
        };
        create_private_folder(&folder)
            .map_err(|error| ServeError::DataFolder { path: folder.clone(), error })?;
        let poller = Poller {
            provider,
            polling,
            base_url: settings.polls.urls.get(provider.name).cloned(),
            archive: archive.clone(),
            checkpoint_store: CheckpointStore::File(folder.join(format!("{}.json", provider.name))),
            delay: SignedDuration::from_secs(i64::from(settings.polls.delay_seconds)),
            lookback: SignedDuration::from_hours(24 * i64::from(settings.polls.back_days)),
            event_types: settings.polls.types.get(provider.name).cloned().unwrap_or_default(),
        };
        pollers.push((poller, key.clone()));
    }
    Ok(pollers)
}

/// Polls until `shutdown` becomes true. The next run continues a poll that the shutdown interrupts.
pub(in crate::serve) async fn run(
    poller: Poller,
    api_key: Secret,
    reporter: Reporter,
    mut shutdown: watch::Receiver<bool>,
) {
    let work = async {
        let mut last_poll_succeeded = false;
        loop {
            let result = poller.poll(&api_key, Instant::now() + POLL_TIMEOUT).await;
            match &result {
                // A successful poll is printed only if it is the first poll or follows a failed one.
                Ok(summary) => reporter.polled(poller.provider.name, summary, !last_poll_succeeded),
                Err(error) => reporter.poll_failed(poller.provider.name, error),
            }
            last_poll_succeeded = result.is_ok();
            sleep(POLL_INTERVAL).await;
        }
    };
    tokio::select! {
        () = work => {}
        _ = shutdown.wait_for(|is_requested| *is_requested) => {}
    }
}

/// Creates a redeliverer for each webhook at GitHub in the settings. Returns each with its token.
pub(in crate::serve) fn create_redeliverers(
    settings: &ServeSettings,
) -> Result<Vec<(Redeliverer, Secret)>, ServeError> {
    let Some(token) = settings.polls.keys.get(GITHUB) else { return Ok(Vec::new()) };
    let folder = settings.data.join(CHECKPOINT_FOLDER);
    create_private_folder(&folder).map_err(|error| ServeError::DataFolder { path: folder.clone(), error })?;
    let lookback = SignedDuration::from_hours(24 * i64::from(settings.polls.back_days));
    let redeliverer = |hook: &Hook| Redeliverer {
        hook: hook.clone(),
        base_url: settings.polls.urls.get(GITHUB).cloned(),
        checkpoint_store: CheckpointStore::File(
            folder.join(format!("github-{}.json", hook.to_string().replace('/', "-"))),
        ),
        delay: SignedDuration::from_secs(i64::from(settings.polls.delay_seconds)),
        lookback: lookback.min(RETENTION),
    };
    Ok(settings.polls.hooks.iter().map(|hook| (redeliverer(hook), token.clone())).collect())
}

/// Requests failed deliveries again until `shutdown` becomes true.
pub(in crate::serve) async fn run_redeliverer(
    redeliverer: Redeliverer,
    token: Secret,
    reporter: Reporter,
    mut shutdown: watch::Receiver<bool>,
) {
    let work = async {
        let mut last_poll_succeeded = false;
        loop {
            let (summary, result) = redeliverer.poll(&token, Instant::now() + POLL_TIMEOUT).await;
            let RedeliverySummary { found, requested, recovered, lost, .. } = summary;
            // A poll that found and did nothing is printed only if it is the first poll or follows a failed one.
            if found + requested + recovered + lost > 0 || (result.is_ok() && !last_poll_succeeded) {
                reporter.terminal.print_redelivered(&redeliverer.hook, &summary);
            }
            let error = result.as_ref().err().map(ToString::to_string);
            reporter.report_poll(&redeliverer.hook.to_string(), error.as_deref());
            if let Err(error) = &result {
                reporter.terminal.print_poll_error(GITHUB, error);
            }
            last_poll_succeeded = result.is_ok();
            sleep(POLL_INTERVAL).await;
        }
    };
    tokio::select! {
        () = work => {}
        _ = shutdown.wait_for(|is_requested| *is_requested) => {}
    }
}
