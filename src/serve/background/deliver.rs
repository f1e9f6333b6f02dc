//! The delivery loop of `hookbridge serve`: creates deliveries from the log and attempts them.
//!
//! The loop's position in the log is stored in the log's database, so the next run delivers the events that were recorded while
//! no server ran.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::db::{Database, DatabaseError};
use crate::delivery::{
    ArrivedEvent, AttemptRunner, ClaimedPage, Clock, DeliveryClient, DeliveryStore, DeliveryWorker, KeyRing,
    KeySource, SsrfGuard, SubscriberService, WorkerError,
};
use crate::log::{EventFilter, EventLog, PageLimit, Position};
use crate::serve::ServeError;
use crate::serve::config::ServeSettings;
use crate::serve::endpoints::ServedBus;
use crate::serve::reporter::Reporter;

/// The maximum number of events that one query reads from the log.
const READ_BATCH_EVENTS: usize = 1000;
/// The maximum total size of the `detail` fields that one query reads from the log.
const READ_BATCH_BYTES: usize = 4 << 20;
const ERROR_BACKOFF: Duration = Duration::from_secs(2);
/// The pause between two searches for pages whose worker has stopped.
const TAKE_OVER_INTERVAL: Duration = Duration::from_secs(5);
const MAINTENANCE_INTERVAL: Duration = Duration::from_secs(3600);
/// How long finished deliveries and their attempts are kept.
const RETENTION: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long attempts in flight may take to finish at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

type ServedWorker = DeliveryWorker<Arc<ServedBus>>;

/// Creates the delivery worker and the subscriber service, and the key file if it does not exist.
pub(in crate::serve) fn create_worker(
    settings: &ServeSettings,
    db: Database,
    bus: Arc<ServedBus>,
) -> Result<(Arc<ServedWorker>, SubscriberService), ServeError> {
    let key_file = &settings.delivery.key_file;
    KeyRing::load_or_create(key_file)?;
    let client = DeliveryClient::new(SsrfGuard::new(settings.delivery.allowed_networks.clone()))?;
    let clock: Clock = Arc::new(Timestamp::now);
    let keys = || KeySource::File(key_file.clone());
    let store = DeliveryStore::new(db);
    let worker = DeliveryWorker::new(store.clone(), keys(), client.clone(), bus, clock.clone());
    Ok((Arc::new(worker), SubscriberService { store, keys: keys(), client, clock }))
}

/// Delivers events until `shutdown` becomes true, then waits up to [`SHUTDOWN_TIMEOUT`] for attempts in flight.
pub(in crate::serve) async fn run(
    worker: Arc<ServedWorker>,
    log: EventLog,
    reporter: Reporter,
    mut shutdown: watch::Receiver<bool>,
) {
    // Only one process uses a SQLite log, so a claim that exists at startup belongs to a process that has ended.
    if log.database().is_embedded()
        && let Err(error) = worker.store().release_all().await
    {
        warn!(
            error = error.to_string(),
            "failed to release the claims of the previous run; they expire shortly"
        );
    }
    let attempt_reporter = reporter.clone();
    let runner = AttemptRunner::start(worker.clone(), move |attempt| attempt_reporter.attempt(attempt));
    let work = async {
        tokio::join!(
            claim_pages(&worker, &log, &runner, &reporter),
            take_over_pages(&worker, &log, &runner),
            attempt_due_deliveries(&worker, &runner),
            run_hourly_maintenance(&worker),
        )
    };
    tokio::select! {
        _ = work => {}
        _ = shutdown.wait_for(|is_requested| *is_requested) => {}
    }
    worker.shut_down();
    // The next run repeats an attempt that is not recorded before the timeout.
    let _ = timeout(SHUTDOWN_TIMEOUT, runner.finish()).await;
}

/// Claims the pages of recorded events, in log order, and submits their deliveries to `runner`.
async fn claim_pages(
    worker: &Arc<ServedWorker>,
    log: &EventLog,
    runner: &AttemptRunner<Arc<ServedBus>>,
    reporter: &Reporter,
) {
    let mut position = None;
    loop {
        match claim_next_page(worker, log, &mut position).await {
            Ok(page) => {
                reporter.created_deliveries(None);
                if let Some(page) = page {
                    runner.submit_page(page);
                }
            }
            Err(error) => {
                let error = error.to_string();
                reporter.created_deliveries(Some(&error));
                warn!(error, "failed to create deliveries; retrying");
                sleep(ERROR_BACKOFF).await;
            }
        }
    }
}

/// Waits for the next events and claims a page of them; `None` if there is nothing to deliver. `position` is the position of the
/// next event; `None` before it is loaded from the database.
async fn claim_next_page(
    worker: &Arc<ServedWorker>,
    log: &EventLog,
    position: &mut Option<Position>,
) -> Result<Option<ClaimedPage>, WorkerError> {
    let from = match position.take() {
        Some(position) => position,
        None => match worker.store().position().await? {
            Some(stored) => stored,
            // The first run starts at the end of the log, so it delivers only events that are recorded later.
            None => {
                let end = log.assign_positions().await?;
                worker.store().advance_position(end).await?;
                end
            }
        },
    };
    log.wait_for_position(from).await;
    let end = log.assign_positions().await?;
    let Some((events, next_position)) = read_page(log, from..end).await? else {
        // Retention has deleted the next events: continue with the oldest event that is left.
        worker.store().advance_position(log.bounds().await?.first_position.max(from + 1)).await?;
        return Ok(None);
    };
    worker.wait_for_capacity().await;
    let page = worker.claim_page(events, from..next_position).await?;
    // Without a page, another worker has claimed events, and the next call loads the position again.
    *position = page.as_ref().map(|_| next_position);
    Ok(page)
}

/// Reads events from the start of `positions` on, and returns them with the position after the last one; `None` if some have
/// expired.
async fn read_page(
    log: &EventLog,
    positions: Range<Position>,
) -> Result<Option<(Vec<ArrivedEvent>, Position)>, DatabaseError> {
    let limit =
        PageLimit { max_events: READ_BATCH_EVENTS, max_detail_bytes: READ_BATCH_BYTES, from_end: false };
    let end = positions.end;
    let Some(events) = log.read_events(positions, &EventFilter::default(), limit).await? else {
        return Ok(None);
    };
    let next_position =
        if limit.is_reached(&events) { events.last().map_or(end, |last| last.position + 1) } else { end };
    let events = events.into_iter().map(|positioned| ArrivedEvent::from_stored(positioned.event)).collect();
    Ok(Some((events, next_position)))
}

/// Takes over the pages whose worker has stopped before it stored their deliveries.
async fn take_over_pages(worker: &Arc<ServedWorker>, log: &EventLog, runner: &AttemptRunner<Arc<ServedBus>>) {
    loop {
        match take_over_page(worker, log, runner).await {
            Ok(true) => {}
            Ok(false) => sleep(TAKE_OVER_INTERVAL).await,
            Err(error) => {
                warn!(error = error.to_string(), "failed to take over the deliveries of a stopped worker");
                sleep(ERROR_BACKOFF).await;
            }
        }
    }
}

/// Creates the missing deliveries of a page whose worker has stopped. Returns false if there is no such page.
async fn take_over_page(
    worker: &Arc<ServedWorker>,
    log: &EventLog,
    runner: &AttemptRunner<Arc<ServedBus>>,
) -> Result<bool, WorkerError> {
    let Some(claim) = worker.take_over_page().await? else { return Ok(false) };
    let Range { mut start, end } = claim.positions();
    while start < end {
        // Events that have expired are not delivered.
        let Some((events, next_position)) = read_page(log, start..end).await? else { break };
        runner.submit(worker.create_deliveries(&events).await?);
        start = next_position;
    }
    worker.store().end_page_claim(&claim).await?;
    Ok(true)
}

/// Claims and attempts due deliveries.
async fn attempt_due_deliveries(worker: &Arc<ServedWorker>, runner: &AttemptRunner<Arc<ServedBus>>) {
    loop {
        match worker.claim_due().await {
            Ok(deliveries) => runner.submit(deliveries),
            Err(error) => {
                warn!(error = error.to_string(), "failed to load due deliveries");
                sleep(ERROR_BACKOFF).await;
            }
        }
        runner.wait_for_due().await;
    }
}

/// Once an hour, fails pending deliveries whose seven days are over, publishes pending health events, and deletes finished
/// deliveries and attempts older than [`RETENTION`].
async fn run_hourly_maintenance(worker: &Arc<ServedWorker>) {
    loop {
        if let Err(error) = worker.sweep(Instant::now() + MAINTENANCE_INTERVAL).await {
            warn!(error = error.to_string(), "failed to expire old deliveries");
        }
        let cutoff = worker.now().checked_sub(RETENTION).unwrap_or_default();
        if let Err(error) = worker.store().delete_expired(cutoff).await {
            warn!(error = error.to_string(), "retention cleanup failed; expired rows remain");
        }
        sleep(MAINTENANCE_INTERVAL).await;
    }
}
