//! The webhooks of a storm, and the ledger: what became of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Instant;

use hookbridge::providers::{self, Provider};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The providers of the webhooks. SparkPost's batches go through the archive.
pub(super) const PROVIDERS: [&str; 4] = ["github", "stripe", "standard-webhooks", "sparkpost"];
/// The most mistakes that the ledger keeps, and a failure prints.
const MAX_MISTAKES: usize = 20;

/// A webhook of the storm. Its number determines all of it.
#[derive(Clone, Copy)]
pub(super) struct Webhook {
    pub(super) number: usize,
    /// When the storm began.
    time: jiff::Timestamp,
}

impl Webhook {
    pub(super) fn provider(self) -> &'static Provider {
        providers::find_provider(PROVIDERS[self.number % PROVIDERS.len()]).unwrap()
    }

    /// Every tenth webhook is forged.
    pub(super) fn is_forged(self) -> bool {
        self.number % 10 == 7
    }

    /// Whether the webhook is too large for an event, so that the event has a claim check.
    pub(super) fn is_large(self) -> bool {
        self.number % 200 == 1
    }

    pub(super) fn body(self) -> String {
        match self.provider().name {
            "sparkpost" => format!("[{}]", self.detail()),
            _ => self.detail(),
        }
    }

    /// The detail of the webhook's event.
    fn detail(self) -> String {
        let Self { number, time } = self;
        let length = if self.is_large() { 300_000 } else { number % 3000 };
        let text = format!("Gr\u{fc}\u{df}e \u{2713} {}", "x".repeat(length));
        match self.provider().name {
            "stripe" => json!({"id": format!("evt_{number}"), "object": "event", "type": "charge.succeeded",
                "created": time.as_second(), "soak": number, "text": text}),
            "standard-webhooks" => {
                json!({"type": "order.paid", "timestamp": time, "soak": number, "text": text})
            }
            "sparkpost" => {
                json!({"msys": {"message_event": {"type": "delivery", "event_id": number.to_string(),
                "timestamp": time.as_second().to_string(), "soak": number, "text": text}}})
            }
            _ => json!({"soak": number, "text": text}),
        }
        .to_string()
    }

    /// The object to which a claim check of the webhook's event refers.
    pub(super) fn object_key(self) -> String {
        format!("{}/{}.json", self.provider().name, hex::encode(Sha256::digest(self.detail())))
    }
}

/// Where an accepted webhook is found.
#[derive(Clone, Copy)]
pub(super) enum Place {
    Accepted = 1,
    Log = 2,
    Subscriber = 4,
}

pub(super) struct Ledger {
    start: Instant,
    time: jiff::Timestamp,
    /// Whether the JSON of an event is compared byte for byte. LocalStack writes it anew.
    compares_bytes: bool,
    /// For each webhook, the places where it was found.
    places: Vec<AtomicU8>,
    requests: AtomicUsize,
    pub(super) kills: AtomicUsize,
    pub(super) faults: AtomicUsize,
    log_rows: AtomicUsize,
    deliveries: AtomicUsize,
    /// By key: the objects to which claim checks may refer, with the number of the webhook.
    objects: Mutex<BTreeMap<String, usize>>,
    /// Mistakes, such as an accepted forged webhook or an event with another content.
    mistakes: Mutex<Vec<String>>,
    /// By program: the largest resident memory of its processes since the last line of the timeline, in kB.
    memory: Mutex<BTreeMap<&'static str, usize>>,
    timeline: Mutex<Vec<String>>,
    /// The counts in the last line of the timeline.
    last_counts: Mutex<[usize; 3]>,
}

/// An event of a page or of a delivery.
#[derive(Deserialize)]
struct FoundEvent<'a> {
    #[serde(borrow)]
    detail: &'a RawValue,
}

impl Ledger {
    pub(super) fn new(webhooks: usize, compares_bytes: bool) -> Self {
        Self {
            start: Instant::now(),
            time: jiff::Timestamp::now(),
            compares_bytes,
            places: (0..webhooks).map(|_| AtomicU8::new(0)).collect(),
            requests: AtomicUsize::default(),
            kills: AtomicUsize::default(),
            faults: AtomicUsize::default(),
            log_rows: AtomicUsize::default(),
            deliveries: AtomicUsize::default(),
            objects: Mutex::default(),
            mistakes: Mutex::default(),
            memory: Mutex::default(),
            timeline: Mutex::default(),
            last_counts: Mutex::default(),
        }
    }

    pub(super) fn webhook(&self, number: usize) -> Webhook {
        Webhook { number, time: self.time }
    }

    pub(super) fn webhooks(&self) -> impl Iterator<Item = Webhook> {
        (0..self.places.len()).map(|number| self.webhook(number))
    }

    pub(super) fn genuine(&self) -> usize {
        self.webhooks().filter(|webhook| !webhook.is_forged()).count()
    }

    /// Enters that a webhook is about to be sent.
    pub(super) fn send(&self, webhook: Webhook) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if webhook.is_large() {
            self.objects.lock().unwrap().insert(webhook.object_key(), webhook.number);
        }
    }

    /// The objects to which claim checks may refer, with their webhooks.
    pub(super) fn objects(&self) -> Vec<(String, Webhook)> {
        let objects = self.objects.lock().unwrap();
        objects.iter().map(|(key, number)| (key.clone(), self.webhook(*number))).collect()
    }

    pub(super) fn accept(&self, webhook: Webhook) {
        self.enter(webhook, Place::Accepted);
    }

    /// Enters an event of the log, or one that the subscriber received, if its content is the webhook's. Returns the webhook.
    pub(super) fn find(&self, place: Place, event: &str) -> Option<Webhook> {
        let counter = if matches!(place, Place::Log) { &self.log_rows } else { &self.deliveries };
        counter.fetch_add(1, Ordering::Relaxed);
        let detail = serde_json::from_str::<FoundEvent<'_>>(event).unwrap().detail.get();
        let value: Value = serde_json::from_str(detail).unwrap();
        if value["overflow"].is_object() {
            return self.find_claim_check(place, &value["overflow"]);
        }
        let number = value["soak"].as_u64().or_else(|| value["msys"]["message_event"]["soak"].as_u64());
        let number = number.and_then(|number| usize::try_from(number).ok());
        let Some(webhook) = number.filter(|n| *n < self.places.len()).map(|n| self.webhook(n)) else {
            self.add_mistake(format!("an event that no webhook sent: {}", &detail[..detail.len().min(200)]));
            return None;
        };
        let expected = webhook.detail();
        let is_equal = match self.compares_bytes {
            true => detail == expected,
            false => value == serde_json::from_str::<Value>(&expected).unwrap(),
        };
        if !is_equal {
            self.add_mistake(format!("the event of webhook {} has another content", webhook.number));
        }
        self.enter(webhook, place);
        Some(webhook)
    }

    fn find_claim_check(&self, place: Place, claim_check: &Value) -> Option<Webhook> {
        let key = claim_check["key"].as_str().unwrap();
        let number = self.objects.lock().unwrap().get(key).copied();
        let found = number.map(|number| self.webhook(number));
        match found {
            Some(webhook) => self.enter(webhook, place),
            None => self.add_mistake(format!("a claim check that no webhook needs: {key}")),
        }
        found
    }

    fn enter(&self, webhook: Webhook, place: Place) {
        if webhook.is_forged() {
            self.add_mistake(format!("the forged webhook {} was accepted", webhook.number));
        }
        self.places[webhook.number].fetch_or(place as u8, Ordering::Relaxed);
    }

    pub(super) fn add_mistake(&self, mistake: String) {
        let mut mistakes = self.mistakes.lock().unwrap();
        if mistakes.len() < MAX_MISTAKES {
            mistakes.push(mistake);
        }
    }

    /// The number of webhooks found at a place.
    pub(super) fn count(&self, place: Place) -> usize {
        self.places.iter().filter(|places| places.load(Ordering::Relaxed) & place as u8 != 0).count()
    }

    pub(super) fn add_memory(&self, program: &'static str, kilobytes: usize) {
        let mut memory = self.memory.lock().unwrap();
        let largest = memory.entry(program).or_default();
        *largest = kilobytes.max(*largest);
    }

    /// Adds a line to the timeline, unless nothing happened since the last one.
    pub(super) fn add_line(&self) {
        let counts = [Place::Accepted, Place::Log, Place::Subscriber].map(|place| self.count(place));
        if std::mem::replace(&mut *self.last_counts.lock().unwrap(), counts) == counts {
            return;
        }
        let memory = std::mem::take(&mut *self.memory.lock().unwrap());
        let megabytes = |program: &str| memory.get(program).map_or(0, |kilobytes| kilobytes / 1024);
        let minutes = self.start.elapsed().as_secs_f64() / 60.0;
        let [accepted, logged, delivered] = counts;
        let mut line = format!("{minutes:>7.1} {accepted:>9} {logged:>9} {delivered:>9}");
        for program in ["bridge", "redrive", "recorder", "dispatcher", "feed"] {
            write!(line, " {:>10}", megabytes(program)).unwrap();
        }
        self.timeline.lock().unwrap().push(line);
    }

    fn summary(&self) -> String {
        let count = |counter: &AtomicUsize| counter.load(Ordering::Relaxed);
        let forged = self.webhooks().filter(|webhook| webhook.is_forged()).count();
        format!(
            "{} webhooks, {forged} of them forged, in {} requests; {} faults, {} kills
{} accepted
{} in the log, in {} rows
{} delivered, in {} requests

                                         largest process, MB
minutes  accepted    in log delivered     bridge    redrive   recorder dispatcher       feed
{}
",
            self.places.len(),
            count(&self.requests),
            count(&self.faults),
            count(&self.kills),
            self.count(Place::Accepted),
            self.count(Place::Log),
            count(&self.log_rows),
            self.count(Place::Subscriber),
            count(&self.deliveries),
            self.timeline.lock().unwrap().join("\n"),
        )
    }

    /// Writes the summary to the file that `SOAK_LEDGER` names.
    pub(super) fn write(&self) {
        if let Ok(file) = std::env::var("SOAK_LEDGER") {
            std::fs::write(file, self.summary()).unwrap();
        }
    }

    /// Panics unless every genuine webhook was accepted and found everywhere, and no forged one.
    pub(super) fn settle(&self) {
        let summary = self.summary();
        let mistakes = self.mistakes.lock().unwrap();
        assert!(mistakes.is_empty(), "{mistakes:#?}\n{summary}");
        let everywhere = Place::Accepted as u8 | Place::Log as u8 | Place::Subscriber as u8;
        let is_missing = |webhook: &Webhook| {
            !webhook.is_forged() && self.places[webhook.number].load(Ordering::Relaxed) != everywhere
        };
        let missing: BTreeSet<usize> =
            self.webhooks().filter(is_missing).map(|webhook| webhook.number).collect();
        let first: Vec<_> = missing.iter().take(MAX_MISTAKES).collect();
        assert!(missing.is_empty(), "{} webhooks are missing, such as {first:?}\n{summary}", missing.len());
        let (kills, faults) = (self.kills.load(Ordering::Relaxed), self.faults.load(Ordering::Relaxed));
        assert!(kills > 5 && faults > 50, "the storm was one:\n{summary}");
    }
}
