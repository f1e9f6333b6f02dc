//! Who delivers events, and who looks after the subscribers, with a clock that is turned by hand.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookbridge::bus::Bus;
use hookbridge::call::CallError;
use hookbridge::dispatch::{
    ArrivedEvent, Clock, DeliveryClient, DeliveryFilter, DeliveryState, DeliveryStore, DeliveryView,
    Dispatcher, KeyRing, KeySource, SsrfGuard, SubscriberService, SubscriberUpdate,
};
use hookbridge::event::Event;
use hookbridge::log::SqlExecutor;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::time::Instant;

/// A bus that keeps what is put on it, unless it is down.
#[derive(Clone, Default)]
pub struct Told(Arc<Mutex<Vec<Event>>>, Arc<AtomicBool>);

impl Bus for Told {
    async fn publish(&self, event: &Arc<Event>, _: Instant) -> Result<(), CallError> {
        if self.1.load(Ordering::SeqCst) {
            return Err(CallError::Refused("it is down".into()));
        }
        self.0.lock().unwrap().push(Event::clone(event));
        Ok(())
    }
}

impl Told {
    pub fn is_down(&self, down: bool) {
        self.1.store(down, Ordering::SeqCst);
    }

    /// What was told since this was asked last: the type behind `hookbridge.subscriber.`, and the percentage.
    pub fn take(&self) -> Vec<String> {
        let events = std::mem::take(&mut *self.0.lock().unwrap());
        let text = |event: &Event| {
            let detail: Value = serde_json::from_str(event.detail.as_str()).unwrap();
            let percent = detail["percent"].as_i64().map(|percent| format!(" {percent}")).unwrap_or_default();
            format!("{}{percent}", event.detail_type.strip_prefix("hookbridge.subscriber.").unwrap())
        };
        events.iter().map(text).collect()
    }
}

/// A dispatcher, who looks after its subscribers, and its clock.
pub struct Office<S> {
    pub db: S,
    pub dispatcher: Arc<Dispatcher<S, Told>>,
    pub manager: SubscriberService<S>,
    pub told: Told,
    pub clock: Arc<AtomicI64>,
}

/// The time at which its clock begins, in seconds since 1970.
pub const START: i64 = 1_800_000_000;
pub const DAY: i64 = 86_400;

impl<S: SqlExecutor + Clone> Office<S> {
    pub fn open(db: S) -> Self {
        Self::with_clock(db, Arc::new(AtomicI64::new(START * 1_000_000)), Told::default())
    }

    fn with_clock(db: S, clock: Arc<AtomicI64>, told: Told) -> Self {
        let hand = clock.clone();
        let time: Clock = Arc::new(move || Timestamp::from_microsecond(hand.load(Ordering::SeqCst)).unwrap());
        let keys = KeyRing::parse("a key of at least thirty-two characters").unwrap();
        let poster = DeliveryClient::new(SsrfGuard::new(vec!["127.0.0.0/8".parse().unwrap()])).unwrap();
        let dispatcher = Dispatcher::new(
            DeliveryStore::new(db.clone()),
            KeySource::Static(keys.clone()),
            poster.clone(),
            told.clone(),
            time.clone(),
        );
        let manager = SubscriberService {
            store: DeliveryStore::new(db.clone()),
            keys: KeySource::Static(keys),
            client: poster,
            clock: time,
        };
        Self { db, dispatcher: Arc::new(dispatcher), manager, told, clock }
    }

    /// Another one at the same database, with the same clock.
    pub fn another(&self) -> Self {
        Self::with_clock(self.db.clone(), self.clock.clone(), self.told.clone())
    }

    pub fn now(&self) -> Timestamp {
        self.dispatcher.now()
    }

    pub fn seconds(&self) -> i64 {
        self.clock.load(Ordering::SeqCst) / 1_000_000 - START
    }

    pub fn at(&self, seconds: i64) {
        self.clock.store((START + seconds) * 1_000_000, Ordering::SeqCst);
    }

    pub async fn subscriber(&self, name: &str, url: String, more: SubscriberUpdate) {
        self.manager.create(name, SubscriberUpdate { url: Some(url), ..more }, None).await.unwrap();
    }

    /// Events of these ids come, and are delivered as far as can be.
    pub async fn come(&self, ids: impl IntoIterator<Item = String>) {
        let events: Vec<_> = ids.into_iter().map(|id| event(&id, "lead.created", &json!({}))).collect();
        let jobs = self.dispatcher.create_deliveries(&events, None).await.unwrap();
        self.dispatcher.deliver(jobs, &mut Vec::new()).await.unwrap();
    }

    /// What is done once in a while.
    pub async fn sweep(&self) {
        self.dispatcher.sweep(Instant::now() + Duration::from_secs(60)).await.unwrap();
    }

    /// Tries all that is due.
    pub async fn pass(&self) {
        loop {
            let jobs = self.dispatcher.claim_due().await.unwrap();
            if jobs.is_empty() {
                return;
            }
            self.dispatcher.deliver(jobs, &mut Vec::new()).await.unwrap();
        }
    }

    pub async fn deliveries(&self, filter: DeliveryFilter) -> Vec<DeliveryView> {
        self.manager.store.list_deliveries(&filter, 10_000).await.unwrap()
    }

    pub async fn count(&self, state: DeliveryState) -> usize {
        self.deliveries(DeliveryFilter { state: Some(state), ..DeliveryFilter::default() }).await.len()
    }
}

pub fn event(id: &str, detail_type: &str, detail: &Value) -> ArrivedEvent {
    let json = json!({
        "version": "0", "id": id, "detail-type": detail_type, "source": "shop", "account": "1", "time": "2026-11-22T10:00:00Z",
        "region": "r", "resources": [], "detail": detail,
    });
    ArrivedEvent { id: id.to_owned(), detail_type: detail_type.to_owned(), json: json.to_string() }
}

pub fn ids(range: std::ops::Range<i64>) -> impl Iterator<Item = String> {
    range.map(|n| format!("event-{n}"))
}
