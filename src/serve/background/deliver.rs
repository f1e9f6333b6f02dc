//! The delivery loop of `hookbridge serve`: creates deliveries from the log and attempts them.
//!
//! Its position is stored in the log's database, so events that were recorded while no server ran are delivered by the next one.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::db::Database;
use crate::delivery::{
    ArrivedEvent, AttemptOutcome, Clock, DeliveryClient, DeliveryStore, DispatchError, Dispatcher,
    InFlightDelivery, KeyRing, KeySource, SsrfGuard, SubscriberService,
};
use crate::log::{EventFilter, EventLog, PageLimit, Position, PositionedEvent};
use crate::serve::ServeError;
use crate::serve::config::ServeSettings;
use crate::serve::endpoints::ServedBus;
use crate::serve::terminal::Terminal;

/// The most events that one query reads from the log.
const READ_BATCH_EVENTS: usize = 500;
/// The most bytes of details that one query reads from the log.
const READ_BATCH_BYTES: usize = 4 << 20;
/// The most attempts that are recorded in one transaction.
const RECORD_BATCH_SIZE: usize = 500;
const DUE_POLL_INTERVAL: Duration = Duration::from_secs(1);
const ERROR_BACKOFF: Duration = Duration::from_secs(2);
const RETENTION_INTERVAL: Duration = Duration::from_secs(3600);
/// How long finished deliveries and attempts are kept.
const RETENTION: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long attempts in flight may take at shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);

type ServedDispatcher = Dispatcher<Arc<ServedBus>>;

/// The dispatcher and the subscriber service for these settings.
pub(in crate::serve) fn dispatcher(
    settings: &ServeSettings,
    db: Database,
    bus: Arc<ServedBus>,
) -> Result<(Arc<ServedDispatcher>, SubscriberService), ServeError> {
    let key_file = &settings.delivery.key_file;
    KeyRing::load_or_create(key_file)?;
    let client = DeliveryClient::new(SsrfGuard::new(settings.delivery.allowed_networks.clone()))?;
    let clock: Clock = Arc::new(Timestamp::now);
    let keys = || KeySource::File(key_file.clone());
    let store = DeliveryStore::new(db);
    let dispatcher = Dispatcher::new(store.clone(), keys(), client.clone(), bus, clock.clone());
    Ok((Arc::new(dispatcher), SubscriberService { store, keys: keys(), client, clock }))
}

/// Delivers until `shutdown` becomes true, then waits for attempts in flight.
pub(in crate::serve) async fn run(
    dispatcher: Arc<ServedDispatcher>,
    log: EventLog,
    terminal: Terminal,
    mut shutdown: watch::Receiver<bool>,
) {
    // A SQLite log has one process, so claims of the previous run have no owner.
    if log.database().is_embedded()
        && let Err(error) = dispatcher.store().release_all().await
    {
        warn!(
            error = error.to_string(),
            "failed to release the claims of the previous run; they expire shortly"
        );
    }
    let (outcome_sender, outcomes) = mpsc::unbounded_channel();
    let poll_now = Arc::new(Notify::new());
    let work = async {
        tokio::join!(
            create_deliveries(&dispatcher, &log, &outcome_sender),
            retry_due(&dispatcher, &poll_now, &outcome_sender),
            apply_retention(&dispatcher),
        )
    };
    let recorder = tokio::spawn(record_attempts(dispatcher.clone(), outcomes, poll_now.clone(), terminal));
    tokio::select! {
        _ = work => {}
        _ = shutdown.wait_for(|is_requested| *is_requested) => {}
    }
    dispatcher.shut_down();
    drop(outcome_sender);
    // The next run repeats attempts that are not recorded by then.
    let _ = timeout(SHUTDOWN_TIMEOUT, recorder).await;
}

/// Creates the deliveries of recorded events, in log order.
async fn create_deliveries(
    dispatcher: &Arc<ServedDispatcher>,
    log: &EventLog,
    outcome_sender: &mpsc::UnboundedSender<AttemptOutcome>,
) {
    let mut position = None;
    loop {
        match create_from_next_events(dispatcher, log, &mut position).await {
            Ok(deliveries) => spawn_attempts(dispatcher, deliveries, outcome_sender),
            Err(error) => {
                warn!(error = error.to_string(), "failed to create deliveries; retrying");
                sleep(ERROR_BACKOFF).await;
            }
        }
    }
}

/// Waits for the next events and creates their deliveries.
async fn create_from_next_events(
    dispatcher: &Arc<ServedDispatcher>,
    log: &EventLog,
    position: &mut Option<Position>,
) -> Result<Vec<InFlightDelivery>, DispatchError> {
    let from = match *position {
        Some(position) => position,
        None => {
            let from = match dispatcher.store().position().await? {
                Some(stored) => stored,
                // The first run starts at the end of the log.
                None => {
                    let end = log.assign_positions().await?;
                    dispatcher.create_deliveries(&[], Some(end)).await?;
                    end
                }
            };
            *position.insert(from)
        }
    };
    log.wait_for_position(from).await;
    dispatcher.wait_for_capacity().await;
    let end = log.assign_positions().await?;
    let page_limit =
        PageLimit { max_events: READ_BATCH_EVENTS, max_detail_bytes: READ_BATCH_BYTES, from_end: false };
    let Some(events) = log.read_events(from..end, &EventFilter::default(), page_limit).await? else {
        // Retention has deleted the next events.
        *position = Some(log.bounds().await?.first_position.max(from + 1));
        return Ok(Vec::new());
    };
    let next_position = if page_limit.is_reached(&events) {
        events.last().map_or(end, |last| last.position + 1)
    } else {
        end
    };
    let events: Vec<_> = events.into_iter().map(arrived_event).collect();
    let deliveries = dispatcher.create_deliveries(&events, Some(next_position)).await?;
    *position = Some(next_position);
    Ok(deliveries)
}

fn arrived_event(PositionedEvent { event, .. }: PositionedEvent) -> ArrivedEvent {
    let mut json = Vec::new();
    event.write_json(&mut json);
    let json = String::from_utf8_lossy(&json).into_owned();
    ArrivedEvent { id: event.key.id, detail_type: event.detail_type, json }
}

/// Claims and attempts due deliveries.
async fn retry_due(
    dispatcher: &Arc<ServedDispatcher>,
    poll_now: &Arc<Notify>,
    outcome_sender: &mpsc::UnboundedSender<AttemptOutcome>,
) {
    loop {
        match dispatcher.claim_due().await {
            Ok(deliveries) => spawn_attempts(dispatcher, deliveries, outcome_sender),
            Err(error) => {
                warn!(error = error.to_string(), "failed to load due deliveries");
                sleep(ERROR_BACKOFF).await;
            }
        }
        let _ = timeout(DUE_POLL_INTERVAL, poll_now.notified()).await;
    }
}

/// Fails expired deliveries and deletes old records.
async fn apply_retention(dispatcher: &Arc<ServedDispatcher>) {
    loop {
        if let Err(error) = dispatcher.sweep(Instant::now() + RETENTION_INTERVAL).await {
            warn!(error = error.to_string(), "failed to expire old deliveries");
        }
        let cutoff = dispatcher.now().checked_sub(RETENTION).unwrap_or_default();
        if let Err(error) = dispatcher.store().delete_expired(cutoff).await {
            warn!(error = error.to_string(), "retention cleanup failed; expired rows remain");
        }
        sleep(RETENTION_INTERVAL).await;
    }
}

fn spawn_attempts(
    dispatcher: &Arc<ServedDispatcher>,
    deliveries: Vec<InFlightDelivery>,
    outcome_sender: &mpsc::UnboundedSender<AttemptOutcome>,
) {
    for delivery in deliveries {
        let (dispatcher, outcome_sender) = (dispatcher.clone(), outcome_sender.clone());
        tokio::spawn(async move {
            // The receiver is dropped when the server exits.
            let _ = outcome_sender.send(dispatcher.attempt(delivery).await);
        });
    }
}

/// Records attempts in batches and releases skipped deliveries, until all senders are dropped.
async fn record_attempts(
    dispatcher: Arc<ServedDispatcher>,
    mut receiver: mpsc::UnboundedReceiver<AttemptOutcome>,
    poll_now: Arc<Notify>,
    terminal: Terminal,
) {
    let mut outcomes = Vec::new();
    while receiver.recv_many(&mut outcomes, RECORD_BATCH_SIZE).await > 0 {
        let (mut attempts, skipped) = AttemptOutcome::partition(std::mem::take(&mut outcomes));
        for attempt in &attempts {
            terminal.print_attempt(attempt);
        }
        while let Err(error) = dispatcher.record(&mut attempts).await {
            warn!(error = error.to_string(), "failed to record attempts; retrying");
            sleep(ERROR_BACKOFF).await;
        }
        let has_skipped = !skipped.is_empty();
        dispatcher.release(skipped).await;
        // Otherwise the next poll is soon enough.
        if has_skipped || dispatcher.has_more_due() {
            poll_now.notify_one();
        }
    }
}
