//! A dispatcher with its subscriber service, a recording bus and a clock that tests set.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookbridge::aws::AwsError;
use hookbridge::bus::Bus;
use hookbridge::db::Database;
use hookbridge::delivery::{
    ArrivedEvent, AttemptRunner, Clock, DeliveryClient, DeliveryFilter, DeliveryState, DeliveryStore,
    DeliveryView, DeliveryWorker, InFlightDelivery, KeyRing, KeySource, SsrfGuard, SubscriberService,
    SubscriberUpdate,
};
use hookbridge::event::Event;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A bus that records published events, or fails.
#[derive(Clone, Default)]
pub struct RecordingBus {
    events: Arc<Mutex<Vec<Event>>>,
    is_down: Arc<AtomicBool>,
}

impl Bus for RecordingBus {
    async fn publish(&self, event: &Arc<Event>, _: Instant) -> Result<(), AwsError> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(AwsError::Rejected("the bus is down".into()));
        }
        self.events.lock().unwrap().push(Event::clone(event));
        Ok(())
    }
}

impl RecordingBus {
    pub fn set_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    /// The events since the last call.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *self.events.lock().unwrap())
    }

    /// The health events since the last call: the type without `hookbridge.subscriber.`, and the percentage.
    pub fn take(&self) -> Vec<String> {
        let events = self.take_events();
        let text = |event: &Event| {
            let detail: Value = serde_json::from_str(event.detail.as_str()).unwrap();
            let percent = detail["percent"].as_i64().map(|percent| format!(" {percent}")).unwrap_or_default();
            format!("{}{percent}", event.detail_type.strip_prefix("hookbridge.subscriber.").unwrap())
        };
        events.iter().map(text).collect()
    }
}

pub struct DispatchHarness {
    pub db: Database,
    pub worker: Arc<DeliveryWorker<RecordingBus>>,
    pub service: SubscriberService,
    pub bus: RecordingBus,
    pub clock: Arc<AtomicI64>,
}

/// The clock's start, in seconds since 1970.
pub const CLOCK_START: i64 = 1_800_000_000;
pub const DAY: i64 = 86_400;

impl DispatchHarness {
    pub fn open(db: Database) -> Self {
        Self::with_clock(db, Arc::new(AtomicI64::new(CLOCK_START * 1_000_000)), RecordingBus::default())
    }

    fn with_clock(db: Database, clock: Arc<AtomicI64>, bus: RecordingBus) -> Self {
        let shared_clock = clock.clone();
        let now: Clock =
            Arc::new(move || Timestamp::from_microsecond(shared_clock.load(Ordering::SeqCst)).unwrap());
        let keys = KeyRing::parse("a key of at least thirty-two characters").unwrap();
        let client = DeliveryClient::new(SsrfGuard::new(vec!["127.0.0.0/8".parse().unwrap()])).unwrap();
        let worker = DeliveryWorker::new(
            DeliveryStore::new(db.clone()),
            KeySource::Static(keys.clone()),
            client.clone(),
            bus.clone(),
            now.clone(),
        );
        let service = SubscriberService {
            store: DeliveryStore::new(db.clone()),
            keys: KeySource::Static(keys),
            client,
            clock: now,
        };
        Self { db, worker: Arc::new(worker), service, bus, clock }
    }

    /// A second dispatcher on the same database, with the same clock.
    pub fn another_worker(&self) -> Self {
        Self::with_clock(self.db.clone(), self.clock.clone(), self.bus.clone())
    }

    pub fn now(&self) -> Timestamp {
        self.worker.now()
    }

    pub fn seconds(&self) -> i64 {
        self.clock.load(Ordering::SeqCst) / 1_000_000 - CLOCK_START
    }

    pub fn set_clock(&self, seconds: i64) {
        self.clock.store((CLOCK_START + seconds) * 1_000_000, Ordering::SeqCst);
    }

    pub async fn subscriber(&self, name: &str, url: String, update: SubscriberUpdate) {
        self.service.create(name, SubscriberUpdate { url: Some(url), ..update }, None).await.unwrap();
    }

    /// Creates the deliveries of events with these ids and attempts them.
    pub async fn receive_events(&self, ids: impl IntoIterator<Item = String>) {
        let events: Vec<_> =
            ids.into_iter().map(|id| arrived_event(&id, "lead.created", &json!({}))).collect();
        let jobs = self.worker.create_deliveries(&events).await.unwrap();
        self.deliver(jobs).await;
    }

    /// Attempts deliveries and returns the number of recorded attempts.
    pub async fn deliver(&self, jobs: Vec<InFlightDelivery>) -> usize {
        deliver(&self.worker, jobs).await
    }

    pub async fn sweep(&self) {
        self.worker.sweep(Instant::now() + Duration::from_secs(60)).await.unwrap();
    }

    /// Attempts all due deliveries.
    pub async fn deliver_due(&self) {
        loop {
            let jobs = self.worker.claim_due().await.unwrap();
            if jobs.is_empty() {
                return;
            }
            self.deliver(jobs).await;
        }
    }

    pub async fn deliveries(&self, filter: DeliveryFilter) -> Vec<DeliveryView> {
        self.service.store.history.list(&filter, 10_000).await.unwrap()
    }

    pub async fn count(&self, state: DeliveryState) -> usize {
        self.deliveries(DeliveryFilter { state: Some(state), ..DeliveryFilter::default() }).await.len()
    }
}

/// Attempts deliveries and returns the number of recorded attempts.
pub async fn deliver(worker: &Arc<DeliveryWorker<RecordingBus>>, jobs: Vec<InFlightDelivery>) -> usize {
    let recorded = Arc::new(AtomicI64::new(0));
    let counter = recorded.clone();
    let runner = AttemptRunner::start(worker.clone(), move |_| {
        counter.fetch_add(1, Ordering::SeqCst);
    });
    runner.submit(jobs);
    runner.finish().await;
    usize::try_from(recorded.load(Ordering::SeqCst)).unwrap()
}

pub fn arrived_event(id: &str, detail_type: &str, detail: &Value) -> ArrivedEvent {
    let json = json!({
        "version": "0", "id": id, "detail-type": detail_type, "source": "shop", "account": "1", "time": "2026-11-22T10:00:00Z",
        "region": "r", "resources": [], "detail": detail,
    });
    ArrivedEvent { id: id.to_owned(), detail_type: detail_type.to_owned(), json: json.to_string() }
}

pub fn event_ids(range: std::ops::Range<i64>) -> impl Iterator<Item = String> {
    range.map(|n| format!("event-{n}"))
}
