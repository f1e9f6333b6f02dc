//! The delivery loop of `hookbridge serve`: creates deliveries from the log and attempts them.
//!
//! The loop's position in the log is stored in the log's database, so the next run delivers the events that were recorded while
//! no server ran.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::db::Database;
use crate::delivery::{
    ArrivedEvent, AttemptRunner, Clock, DeliveryClient, DeliveryStore, DeliveryWorker, InFlightDelivery,
    KeyRing, KeySource, SsrfGuard, SubscriberService, WorkerError,
};
use crate::log::{EventFilter, EventLog, PageLimit, Position};
use crate::serve::ServeError;
use crate::serve::config::ServeSettings;
use crate::serve::endpoints::ServedBus;
use crate::serve::reporter::Reporter;

/// The maximum number of events that one query reads from the log.
const READ_BATCH_EVENTS: usize = 500;
/// The maximum total size of the `detail` fields that one query reads from the log.
const READ_BATCH_BYTES: usize = 4 << 20;
const ERROR_BACKOFF: Duration = Duration::from_secs(2);
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
            create_deliveries(&worker, &log, &runner, &reporter),
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

/// Creates the deliveries of recorded events, in log order, and submits them to `runner`.
async fn create_deliveries(
    worker: &Arc<ServedWorker>,
    log: &EventLog,
    runner: &AttemptRunner<Arc<ServedBus>>,
    reporter: &Reporter,
) {
    let mut position = None;
    loop {
        match create_from_next_events(worker, log, &mut position).await {
            Ok(deliveries) => {
                reporter.created_deliveries(None);
                runner.submit(deliveries);
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

/// Waits for the next events and creates their deliveries. `position` is the position of the next event; `None` before it is
/// loaded from the database.
async fn create_from_next_events(
    worker: &Arc<ServedWorker>,
    log: &EventLog,
    position: &mut Option<Position>,
) -> Result<Vec<InFlightDelivery>, WorkerError> {
    let from = match *position {
        Some(position) => position,
        None => {
            let from = match worker.store().position().await? {
                Some(stored) => stored,
                // The first run starts at the end of the log, so it delivers only events that are recorded later.
                None => {
                    let end = log.assign_positions().await?;
                    worker.create_deliveries(&[], Some(end)).await?;
                    end
                }
            };
            *position.insert(from)
        }
    };
    log.wait_for_position(from).await;
    worker.wait_for_capacity().await;
    let end = log.assign_positions().await?;
    let page_limit =
        PageLimit { max_events: READ_BATCH_EVENTS, max_detail_bytes: READ_BATCH_BYTES, from_end: false };
    let Some(events) = log.read_events(from..end, &EventFilter::default(), page_limit).await? else {
        // Retention has deleted the next events: continue with the oldest event that is left.
        *position = Some(log.bounds().await?.first_position.max(from + 1));
        return Ok(Vec::new());
    };
    let next_position = if page_limit.is_reached(&events) {
        events.last().map_or(end, |last| last.position + 1)
    } else {
        end
    };
    let events: Vec<_> =
        events.into_iter().map(|positioned| ArrivedEvent::from_stored(positioned.event)).collect();
    let deliveries = worker.create_deliveries(&events, Some(next_position)).await?;
    *position = Some(next_position);
    Ok(deliveries)
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
