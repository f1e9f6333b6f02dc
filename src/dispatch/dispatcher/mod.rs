//! From an event to what its subscribers have received, and what is left to do: what is in hand is tried (`hand`), what is due soon
//! goes into a queue (`sweep`), and what was tried says how subscribers are (`conclude`).
//!
//! A delivery is made before it is tried, held while it is, and recorded with its next time before anything else happens. Who is
//! stopped in between leaves a hold that ends; then somebody else tries again. So an attempt may come twice, and none is lost.

mod conclude;
mod hand;
mod sweep;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout};
use tracing::warn;

use crate::bus::Bus;
use crate::dispatch::attempt::Poster;
use crate::dispatch::key_source::{KeySource, NoKeys};
use crate::dispatch::lanes::{Lanes, Place};
use crate::dispatch::notice::Notice;
use crate::dispatch::queue::{Retry, RetryQueue};
use crate::dispatch::schedule;
use crate::dispatch::store::{Attempted, Claimed, Hold, Made, Message, Owed, Ready, Store};
use crate::dispatch::subscriber::{Receiver, SubscriberId};
use crate::log::{LogError, Position, SqlExecutor};

/// Lease duration; longer than any attempt including recording it.
const IN_HAND: SignedDuration = SignedDuration::from_secs(90);
/// How long that time is.
const REST: SignedDuration = SignedDuration::from_mins(2);
/// Attempts that are recorded together at most.
const TOGETHER: usize = 500;
/// Deliveries that are taken in hand together at most.
const CLAIMED: u32 = 500;
/// How often it is asked for further keys at most, while there is a secret that those there are cannot read.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// How long what comes next waits for room.
const A_MOMENT: Duration = Duration::from_millis(20);

pub use hand::{Finished, Job, Outcome};
pub use sweep::{SweepError, Swept};

/// The time, by whatever clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Creates deliveries, attempts them, and records the results.
pub struct Dispatcher<S, B> {
    store: Store<S>,
    keys: KeySource,
    poster: Poster,
    bus: B,
    clock: Clock,
    queue: Option<RetryQueue>,
    known: Mutex<Known>,
    lanes: Lanes,
    sightings: hand::Sightings,
    more: AtomicBool,
    bus_down_until: std::sync::Mutex<Option<Timestamp>>,
}

/// The subscribers, as they were when they last changed.
#[derive(Default)]
struct Known {
    revision: Option<i64>,
    /// When it was last asked for further keys.
    asked: Option<Instant>,
    receivers: HashMap<SubscriberId, Arc<Receiver>>,
}

/// Why deliveries were not created or claimed.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The database failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The keys that decrypt the subscribers' secrets could not be read.
    #[error(transparent)]
    Keys(#[from] NoKeys),
}

/// An event that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Its id.
    pub id: String,
    /// Its type.
    pub detail_type: String,
    /// All of it, as EventBridge's targets receive it: JSON.
    pub json: String,
}

impl<S: SqlExecutor, B: Bus> Dispatcher<S, B> {
    /// One that sends by `poster` and tells on `bus` how subscribers are.
    pub fn new(store: Store<S>, keys: KeySource, poster: Poster, bus: B, clock: Clock) -> Self {
        let (known, lanes, sightings, more, bus_down_until) = Default::default();
        Self { store, keys, poster, bus, clock, queue: None, known, lanes, sightings, more, bus_down_until }
    }

    /// The same, with a queue that brings back what is to be tried again soon.
    #[must_use]
    pub fn with_queue(self, queue: RetryQueue) -> Self {
        Self { queue: Some(queue), ..self }
    }

    /// Where it is kept.
    pub fn store(&self) -> &Store<S> {
        &self.store
    }

    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Makes what is owed of some events, each once, and returns what is to be tried now. `position` is the position of the first
    /// event behind them, where they come from the log.
    ///
    /// # Errors
    /// [`DispatchError`]: nothing was made.
    pub async fn accept(
        &self,
        events: &[Arrived],
        position: Option<Position>,
    ) -> Result<Vec<Job>, DispatchError> {
        let (read, receivers) = (Instant::now(), self.receivers().await?);
        let (mut messages, mut owed) = (Vec::new(), Vec::new());
        for event in events {
            let wanted = wanted(event, &receivers);
            if !wanted.is_empty() {
                messages.push(Message {
                    event: event.id.clone(),
                    detail_type: event.detail_type.clone(),
                    body: event.json.clone(),
                });
                owed.extend(wanted.into_iter().map(|receiver| (event, receiver)));
            }
        }
        if owed.is_empty() && position.is_none() {
            return Ok(Vec::new());
        }
        let resting = if owed.is_empty() { Vec::new() } else { self.store.resting().await? };
        let mut places: HashMap<(String, SubscriberId), Place> = HashMap::new();
        let owed: Vec<_> = owed
            .into_iter()
            .map(|(event, receiver)| {
                let id = receiver.id;
                let free = if resting.contains(&id) { 0 } else { 1 };
                let mut place = self.lanes.take(id, receiver.settings.limit, free).pop();
                place.iter_mut().for_each(|place| place.weigh(event.json.len()));
                let is_held = place.is_some();
                if !is_held && free > 0 {
                    self.more.store(true, Relaxed);
                }
                places.extend(place.map(|place| ((event.id.clone(), id), place)));
                Owed { event: event.id.as_str(), subscriber: id, is_held }
            })
            .collect();
        let now = self.now();
        let hold = Hold::for_some(IN_HAND, now);
        let made = self.store.make(&messages, &owed, &hold, now, position).await?;
        let messages: HashMap<&str, Arc<Message>> =
            messages.iter().map(|message| (message.event.as_str(), Arc::new(message.clone()))).collect();
        let job = |made: Made| {
            // Deliveries that already existed belong to another worker.
            let message = messages.get(made.event.as_str())?.clone();
            let mut place = places.remove(&(made.event, made.subscriber))?;
            place.hold(made.delivery);
            Some(Job {
                delivery: made.delivery,
                hold: hold.clone(),
                receiver: receivers.get(&made.subscriber)?.clone(),
                message,
                attempts: 0,
                since: now,
                read,
                taken: Instant::now(),
                place: Some(place),
            })
        };
        Ok(made.into_iter().filter_map(job).collect())
    }

    /// Takes in hand what is to be tried by now, of each subscriber as much as it bears.
    ///
    /// # Errors
    /// [`DispatchError`].
    pub async fn due(&self) -> Result<Vec<Job>, DispatchError> {
        self.more.store(false, Relaxed);
        let now = self.now();
        let mut jobs = Vec::new();
        let ready = self.store.ready(now, now).await?;
        if ready.is_empty() {
            return Ok(jobs);
        }
        let (read, receivers) = (Instant::now(), self.receivers().await?);
        for ready in ready {
            let Some(receiver) = receivers.get(&ready.subscriber) else { continue };
            match self.claim((receiver, read), ready, now).await {
                Ok(claimed) => jobs.extend(claimed),
                // What is in hand is tried first.
                Err(error) if jobs.is_empty() => return Err(error.into()),
                Err(error) => {
                    warn!(error = error.to_string(), "failed to claim all due deliveries");
                    break;
                }
            }
        }
        Ok(jobs)
    }

    /// Takes in hand what is due of a subscriber, as much as it bears.
    async fn claim(
        &self,
        (receiver, read): (&Arc<Receiver>, Instant),
        ready: Ready,
        now: Timestamp,
    ) -> Result<Vec<Job>, LogError> {
        let wanted = if ready.needs_probe { 1 } else { CLAIMED };
        let places = self.lanes.take(receiver.id, receiver.settings.limit, wanted);
        if places.is_empty() {
            self.more.store(true, Relaxed);
            return Ok(Vec::new());
        }
        if ready.needs_probe && !self.store.probe(receiver.id, now, REST).await? {
            return Ok(Vec::new());
        }
        let hold = Hold::for_some(IN_HAND, now);
        let claimed = self.store.claim(ready, places.len(), &hold, (now, now)).await?;
        if claimed.len() == places.len() {
            self.more.store(true, Relaxed);
        }
        let job = |(one, place)| self.job((receiver, read), &hold, one, place);
        Ok(claimed.into_iter().zip(places).map(job).collect())
    }

    fn job(
        &self,
        (receiver, read): (&Arc<Receiver>, Instant),
        hold: &Hold,
        claimed: Claimed,
        mut place: Place,
    ) -> Job {
        place.hold(claimed.delivery);
        place.weigh(claimed.message.body.len());
        Job {
            delivery: claimed.delivery,
            hold: hold.clone(),
            receiver: receiver.clone(),
            message: Arc::new(claimed.message),
            attempts: claimed.attempts,
            since: claimed.since,
            read,
            taken: Instant::now(),
            place: Some(place),
        }
    }

    /// Whether more is due, as far as is known, than was taken in hand: because there was no room, or because a subscriber is well
    /// again.
    pub fn knows_of_more(&self) -> bool {
        self.more.load(Relaxed)
    }

    /// Waits until there is room in hand for what comes next, or for a moment: who is slow holds up the others no longer.
    pub async fn room(&self) {
        let _ = timeout(A_MOMENT, self.lanes.room()).await;
    }

    /// Puts attempts on record, with when each delivery is tried again; then draws conclusions about their subscribers.
    ///
    /// # Errors
    /// [`LogError`]: nothing is on record.
    pub async fn record(&self, finished: &mut [Finished]) -> Result<(), LogError> {
        let attempts: Vec<_> = finished.iter().map(|finished| self.attempted(finished)).collect();
        let changed = self.store.record(&attempts).await?;
        for (finished, attempt) in finished.iter_mut().zip(&attempts) {
            drop(finished.job.place.take());
            finished.is_given_up = attempt.is_given_up() && changed.contains(&attempt.delivery);
        }
        if let Some(queue) = &self.queue {
            let soon = attempts.iter().filter_map(Retry::of_attempt).collect();
            if let Err(error) = queue.put(soon, self.now()).await {
                // The sweep finds them when their hold has ended.
                warn!(error = error.to_string(), "failed to enqueue retries; the sweep will pick them up");
            }
        }
        let mut by_subscriber: HashMap<SubscriberId, Vec<&Finished>> = HashMap::new();
        for finished in finished.iter().filter(|finished| !finished.tried.is_ours()) {
            by_subscriber.entry(finished.job.receiver.id).or_default().push(finished);
        }
        for finished in by_subscriber.values() {
            // The attempts are already recorded; health is updated by the next attempt.
            if let Err(error) = self.conclude(finished).await {
                warn!(error = error.to_string(), "failed to update subscriber health");
            }
        }
        Ok(())
    }

    fn attempted(&self, Finished { job, started, tried, .. }: &Finished) -> Attempted {
        let since = if job.attempts == 0 { *started } else { job.since };
        let is_good = tried.is_good();
        let next =
            if is_good { None } else { schedule::next(since, self.now(), tried.away(), fastrand::f64()) };
        let soon = next.filter(|next| self.queue.is_some() && RetryQueue::reaches(*next, self.now()));
        Attempted {
            delivery: job.delivery,
            hold: job.hold.token.clone(),
            subscriber: job.receiver.id,
            event: job.message.event.clone(),
            number: job.attempts + 1,
            started: *started,
            duration: i64::try_from(tried.duration.as_micros()).unwrap_or(i64::MAX),
            status: tried.outcome.as_ref().ok().map(|answered| answered.status),
            error: tried.error(),
            address: tried.address.clone(),
            answer: tried.outcome.as_ref().ok().map(|answered| answered.body.clone()),
            is_good,
            since,
            next,
            next_hold: soon.map(Retry::hold_until),
        }
    }

    /// The subscribers.
    async fn receivers(&self) -> Result<HashMap<SubscriberId, Arc<Receiver>>, DispatchError> {
        Ok(self.known().await?.receivers.clone())
    }

    /// A subscriber, when there still is one of this number.
    async fn receiver(&self, id: SubscriberId) -> Result<Option<Arc<Receiver>>, DispatchError> {
        Ok(self.known().await?.receivers.get(&id).cloned())
    }

    /// What is known of the subscribers, read anew when they have changed.
    async fn known(&self) -> Result<MutexGuard<'_, Known>, DispatchError> {
        let revision = self.store.revision().await?;
        let mut known = self.known.lock().await;
        let is_readable = known.receivers.values().all(|receiver| receiver.is_readable());
        // Somebody may have added a key.
        let asks = !is_readable && known.asked.is_none_or(|asked| asked.elapsed() >= ASKED_EVERY);
        let is_changed = asks && self.keys.read_again().await;
        if asks {
            known.asked = Some(Instant::now());
        }
        if known.revision != Some(revision) || is_changed {
            let keys = self.keys.ring().await?;
            let mut receivers = HashMap::new();
            for subscriber in self.store.subscribers(None).await? {
                match Receiver::of(&subscriber, &keys, self.now()) {
                    Ok(receiver) => {
                        receivers.insert(subscriber.id, Arc::new(receiver));
                    }
                    Err(error) => {
                        let subscriber = subscriber.name;
                        warn!(
                            subscriber,
                            error = error.to_string(),
                            "subscriber skipped: its filter pattern is invalid"
                        );
                    }
                }
            }
            // Nor is anything kept of who is gone.
            let mut sightings = self.sightings.lock().unwrap_or_else(PoisonError::into_inner);
            sightings.retain(|id, _| receivers.contains_key(id));
            (known.revision, known.receivers) = (Some(revision), receivers);
        }
        Ok(known)
    }
}

/// Who wants an event. It is read only for who has a pattern.
fn wanted<'r>(
    event: &Arrived,
    receivers: &'r HashMap<SubscriberId, Arc<Receiver>>,
) -> Vec<&'r Arc<Receiver>> {
    let mut read: Option<Value> = None;
    let mut wanted = Vec::new();
    for receiver in receivers.values() {
        let is_wanted = receiver.wants(&event.detail_type, || {
            read.get_or_insert_with(|| serde_json::from_str(&event.json).unwrap_or_default())
        });
        // Health events go only to subscribers that opt in by type, and never to the subscriber they are about (that would loop).
        let is_meant = !Notice::is_one(&event.detail_type)
            || receiver.settings.types.iter().any(|glob| glob.starts_with("hookbridge."))
                && !Notice::is_about(&event.json, &receiver.name);
        if is_wanted && is_meant {
            wanted.push(receiver);
        }
    }
    wanted
}
