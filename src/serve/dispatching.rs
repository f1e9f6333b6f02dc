//! Events go from the log to subscribers while the server runs. How far it got stands in the log's database: what is recorded
//! while nobody serves is delivered by the next run.

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::ServeError;
use super::endpoints::ServedBus;
use super::settings::Settings;
use super::terminal::Terminal;
use crate::dispatch::{
    ArrivedEvent, AttemptOutcome, Clock, DeliveryClient, DeliveryStore, DispatchError, Dispatcher,
    InFlightDelivery, KeyRing, KeySource, SsrfGuard, SubscriberService,
};
use crate::log::{AnyLog, EventFilter, EventReader as _, PageLimit, Position, PositionedEvent};

/// Events that are taken from the log at once: so many, or so many bytes.
const AT_ONCE: (usize, usize) = (500, 4 << 20);
/// Attempts that are recorded together at most.
const TOGETHER: usize = 500;
/// How often is looked for what has become due.
const LOOK: Duration = Duration::from_secs(1);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(2);
/// How often the record is put in order.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// How long what is done with is on record.
const ON_RECORD: SignedDuration = SignedDuration::from_hours(90 * 24);
/// How long attempts in hand have when the server ends.
const TO_END: Duration = Duration::from_secs(5);

type ServedDispatcher = Dispatcher<AnyLog, Arc<ServedBus>>;

/// The dispatcher that the settings ask for, and who looks after its subscribers.
pub(super) fn dispatcher(
    settings: &Settings,
    log: AnyLog,
    bus: Arc<ServedBus>,
) -> Result<(Arc<ServedDispatcher>, SubscriberService<AnyLog>), ServeError> {
    let key = &settings.subscribing.key;
    KeyRing::create_in_file(key)?;
    let poster = DeliveryClient::new(SsrfGuard::new(settings.subscribing.allowed.clone()))?;
    let clock: Clock = Arc::new(Timestamp::now);
    let keys = || KeySource::File(key.clone());
    let store = DeliveryStore::new(log);
    let dispatcher = Dispatcher::new(store.clone(), keys(), poster.clone(), bus, clock.clone());
    Ok((Arc::new(dispatcher), SubscriberService { store, keys: keys(), client: poster, clock }))
}

/// Delivers until `end` becomes true, and then what is in hand.
pub(super) async fn run(
    dispatcher: Arc<ServedDispatcher>,
    log: AnyLog,
    terminal: Terminal,
    mut end: watch::Receiver<bool>,
) {
    // A file is nobody else's: what an earlier run had in hand, nobody has.
    if let AnyLog::Sqlite(_) = &log
        && let Err(error) = dispatcher.store().release_all().await
    {
        warn!(
            error = error.to_string(),
            "failed to release the claims of the previous run; they expire shortly"
        );
    }
    let (finish, finished) = mpsc::unbounded_channel();
    let look = Arc::new(Notify::new());
    let work = async {
        tokio::join!(feed(&dispatcher, &log, &finish), retry(&dispatcher, &look, &finish), tidy(&dispatcher),)
    };
    let recording = tokio::spawn(record(dispatcher.clone(), finished, look.clone(), terminal));
    tokio::select! {
        _ = work => {}
        _ = end.wait_for(|ended| *ended) => {}
    }
    dispatcher.shut_down();
    drop(finish);
    // What is not on record by then is tried again by the next run.
    let _ = timeout(TO_END, recording).await;
}

/// Takes what is recorded, in its order.
async fn feed(
    dispatcher: &Arc<ServedDispatcher>,
    log: &AnyLog,
    finish: &mpsc::UnboundedSender<AttemptOutcome>,
) {
    let mut position = None;
    loop {
        match step(dispatcher, log, &mut position).await {
            Ok(jobs) => start(dispatcher, jobs, finish),
            Err(error) => {
                warn!(error = error.to_string(), "failed to create deliveries; retrying");
                sleep(PAUSE).await;
            }
        }
    }
}

/// Makes the deliveries of what comes next, once there is something.
async fn step(
    dispatcher: &Arc<ServedDispatcher>,
    log: &AnyLog,
    position: &mut Option<Position>,
) -> Result<Vec<InFlightDelivery>, DispatchError> {
    let from = match *position {
        Some(position) => position,
        None => {
            let from = match dispatcher.store().position().await? {
                Some(kept) => kept,
                // The first time: from now on.
                None => {
                    let end = log.assign_positions().await?;
                    dispatcher.create_deliveries(&[], Some(end)).await?;
                    end
                }
            };
            *position.insert(from)
        }
    };
    log.wait_for_position(from).await?;
    dispatcher.wait_for_room().await;
    let end = log.assign_positions().await?;
    let most = PageLimit { max_events: AT_ONCE.0, max_detail_bytes: AT_ONCE.1, from_end: false };
    let Some(events) = log.read_events(from..end, &EventFilter::default(), most).await? else {
        // Retention was faster.
        *position = Some(log.bounds().await?.first.max(from + 1));
        return Ok(Vec::new());
    };
    let behind =
        if most.is_reached(&events) { events.last().map_or(end, |last| last.position + 1) } else { end };
    let events: Vec<_> = events.into_iter().map(arrived).collect();
    let jobs = dispatcher.create_deliveries(&events, Some(behind)).await?;
    *position = Some(behind);
    Ok(jobs)
}

fn arrived(PositionedEvent { event, .. }: PositionedEvent) -> ArrivedEvent {
    let mut json = Vec::new();
    event.write_json(&mut json);
    let json = String::from_utf8_lossy(&json).into_owned();
    ArrivedEvent { id: event.key.id, detail_type: event.detail_type, json }
}

/// Tries what has become due.
async fn retry(
    dispatcher: &Arc<ServedDispatcher>,
    look: &Arc<Notify>,
    finish: &mpsc::UnboundedSender<AttemptOutcome>,
) {
    loop {
        match dispatcher.claim_due().await {
            Ok(jobs) => start(dispatcher, jobs, finish),
            Err(error) => {
                warn!(error = error.to_string(), "failed to load due deliveries");
                sleep(PAUSE).await;
            }
        }
        let _ = timeout(LOOK, look.notified()).await;
    }
}

/// Gives up what has waited for too long, and keeps the record in order.
async fn tidy(dispatcher: &Arc<ServedDispatcher>) {
    loop {
        if let Err(error) = dispatcher.sweep(Instant::now() + TIDY_EVERY).await {
            warn!(error = error.to_string(), "failed to expire old deliveries");
        }
        let oldest = dispatcher.now().checked_sub(ON_RECORD).unwrap_or_default();
        if let Err(error) = dispatcher.store().delete_expired(oldest).await {
            warn!(error = error.to_string(), "retention cleanup failed; expired rows remain");
        }
        sleep(TIDY_EVERY).await;
    }
}

fn start(
    dispatcher: &Arc<ServedDispatcher>,
    jobs: Vec<InFlightDelivery>,
    finish: &mpsc::UnboundedSender<AttemptOutcome>,
) {
    for job in jobs {
        let (dispatcher, finish) = (dispatcher.clone(), finish.clone());
        tokio::spawn(async move {
            // When the server has ended, nobody is there to be told.
            let _ = finish.send(dispatcher.attempt(job).await);
        });
    }
}

/// Records what was tried, many together, and lets go of what was not, until nobody is left who tries.
async fn record(
    dispatcher: Arc<ServedDispatcher>,
    mut outcomes: mpsc::UnboundedReceiver<AttemptOutcome>,
    look: Arc<Notify>,
    terminal: Terminal,
) {
    let mut some = Vec::new();
    while outcomes.recv_many(&mut some, TOGETHER).await > 0 {
        let (mut finished, untried) = AttemptOutcome::partition(std::mem::take(&mut some));
        for finished in &finished {
            terminal.tried(finished);
        }
        while let Err(error) = dispatcher.record(&mut finished).await {
            warn!(error = error.to_string(), "failed to record attempts; retrying");
            sleep(PAUSE).await;
        }
        let is_left = !untried.is_empty();
        dispatcher.release(untried).await;
        // Otherwise the next look is soon enough.
        if is_left || dispatcher.has_more_due() {
            look.notify_one();
        }
    }
}
