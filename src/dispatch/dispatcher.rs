//! From an event to what its subscribers have received, and what is left to do.
//!
//! A delivery is made before it is tried, held while it is, and recorded with its next time before anything else happens. Who is
//! stopped in between leaves a hold that ends; then somebody else tries again. So an attempt may come twice, and none is lost.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::{Mutex, mpsc};
use tokio::time::Instant;
use tracing::warn;

use super::attempt::{Letter, Poster, Tried};
use super::key_source::KeySource;
use super::lanes::Lanes;
use super::notice::{Notice, Standing};
use super::queue::{Retry, RetryQueue};
use super::schedule;
use super::store::{Attempted, Claimed, Failing, Hold, Message, Owed, Store};
use super::subscriber::{Receiver, SubscriberId};
use crate::bus::Bus;
use crate::call::CallError;
use crate::log::{LogError, Position, Statements};

/// How long somebody has for what is in hand: longer than any attempt takes, and its record.
const IN_HAND: SignedDuration = SignedDuration::from_secs(90);
/// So many failures in a row, and nothing more is tried for some time but one attempt, the probe.
const TOO_MANY: i64 = 10;
/// How long that time is.
const REST: SignedDuration = SignedDuration::from_mins(2);
/// Attempts that are recorded together at most.
const TOGETHER: usize = 500;
/// Deliveries of one subscriber that a sweep puts in the queue at most.
const SWEPT: usize = 500;

/// The time, by whatever clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Makes deliveries, tries them, and keeps account of it.
pub struct Dispatcher<S, B> {
    store: Store<S>,
    keys: KeySource,
    poster: Poster,
    bus: B,
    clock: Clock,
    queue: Option<RetryQueue>,
    known: Mutex<Known>,
    lanes: Lanes,
}

/// The subscribers, as they were when they last changed.
#[derive(Default)]
struct Known {
    revision: Option<i64>,
    receivers: HashMap<SubscriberId, Arc<Receiver>>,
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

/// A delivery in hand.
#[derive(Clone, Debug)]
pub struct Job {
    delivery: i64,
    hold: String,
    receiver: Arc<Receiver>,
    message: Arc<Message>,
    attempts: i64,
    since: Timestamp,
}

/// A job that was tried.
pub struct Finished {
    job: Job,
    started: Timestamp,
    tried: Tried,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Deliveries that were put in the queue.
    pub queued: usize,
    /// Deliveries that were given up.
    pub given_up: usize,
}

/// Why deliveries are not where they should be.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The store.
    #[error(transparent)]
    Store(#[from] LogError),
    /// The queue.
    #[error("the queue: {0}")]
    Queue(#[from] CallError),
}

impl Finished {
    /// What it was about: the event's id, its type, and the subscriber.
    pub fn of(&self) -> (&str, &str, &str) {
        (&self.job.message.event, &self.job.message.detail_type, &self.job.receiver.name)
    }

    /// What it came to.
    pub fn tried(&self) -> &Tried {
        &self.tried
    }
}

impl<S: Statements, B: Bus> Dispatcher<S, B> {
    /// One that sends by `poster` and tells on `bus` how subscribers are.
    pub fn new(store: Store<S>, keys: KeySource, poster: Poster, bus: B, clock: Clock) -> Self {
        let (known, lanes) = (Mutex::default(), Lanes::default());
        Self { store, keys, poster, bus, clock, queue: None, known, lanes }
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
    /// [`LogError`]: nothing was made.
    pub async fn accept(&self, events: &[Arrived], position: Option<Position>) -> Result<Vec<Job>, LogError> {
        let receivers = self.receivers().await?;
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
        let owed: Vec<_> = owed
            .into_iter()
            .map(|(event, receiver)| {
                let id = receiver.id;
                let is_held = !resting.contains(&id) && self.lanes.take(id, receiver.settings.limit, 1) == 1;
                Owed { event: event.id.as_str(), subscriber: id, is_held }
            })
            .collect();
        let now = self.now();
        let hold = Hold::for_some(IN_HAND, now);
        let made = self.store.make(&messages, &owed, &hold, now, position).await;
        let mut taken: HashMap<SubscriberId, u32> = HashMap::new();
        for owed in owed.iter().filter(|owed| owed.is_held) {
            *taken.entry(owed.subscriber).or_default() += 1;
        }
        let made =
            made.inspect_err(|_| taken.iter().for_each(|(id, places)| self.lanes.give(*id, *places)))?;
        let messages: HashMap<String, Arc<Message>> =
            messages.into_iter().map(|message| (message.event.clone(), Arc::new(message))).collect();
        let mut jobs = Vec::with_capacity(made.len());
        for made in made {
            let (Some(receiver), Some(message)) =
                (receivers.get(&made.subscriber), messages.get(&made.event))
            else {
                continue;
            };
            taken.entry(made.subscriber).and_modify(|places| *places -= 1);
            jobs.push(Job {
                delivery: made.delivery,
                hold: hold.token.clone(),
                receiver: receiver.clone(),
                message: message.clone(),
                attempts: 0,
                since: now,
            });
        }
        // What was made before is somebody else's.
        taken.iter().for_each(|(id, places)| self.lanes.give(*id, *places));
        Ok(jobs)
    }

    /// Takes in hand what is to be tried by now, of each subscriber as much as it bears.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn due(&self) -> Result<Vec<Job>, LogError> {
        let now = self.now();
        let mut jobs = Vec::new();
        let ready = self.store.ready(now, now).await?;
        if ready.is_empty() {
            return Ok(jobs);
        }
        let receivers = self.receivers().await?;
        for (id, needs_probe) in ready {
            let Some(receiver) = receivers.get(&id) else { continue };
            let most = receiver.settings.limit;
            let places = self.lanes.take(id, most, if needs_probe { 1 } else { most });
            let claimed = self.claim(receiver, places, needs_probe, now).await;
            let claimed = claimed.inspect_err(|_| self.lanes.give(id, places))?;
            let used = u32::try_from(claimed.len()).unwrap_or(places);
            self.lanes.give(id, places.saturating_sub(used));
            jobs.extend(claimed);
        }
        Ok(jobs)
    }

    /// Takes in hand so many deliveries of a subscriber.
    async fn claim(
        &self,
        receiver: &Arc<Receiver>,
        places: u32,
        needs_probe: bool,
        now: Timestamp,
    ) -> Result<Vec<Job>, LogError> {
        if places == 0 || needs_probe && !self.store.probe(receiver.id, now, REST).await? {
            return Ok(Vec::new());
        }
        let hold = Hold::for_some(IN_HAND, now);
        let claimed = self.store.claim(receiver.id, places as usize, &hold, (now, now)).await?;
        Ok(claimed.into_iter().map(|one| self.job(receiver, &hold, one)).collect())
    }

    /// Puts in the queue what is to be tried soon, and gives up what has waited for too long; says how many each.
    ///
    /// # Errors
    /// [`SweepError`]: what was held and is not in the queue is swept again when its hold has ended.
    pub async fn sweep(&self) -> Result<Swept, SweepError> {
        let mut swept = Swept { queued: 0, given_up: 0 };
        let now = self.now();
        loop {
            let some = self.store.give_up(now).await?;
            swept.given_up += some;
            if some == 0 {
                break;
            }
        }
        let Some(queue) = &self.queue else { return Ok(swept) };
        let until = RetryQueue::horizon(now);
        for (id, needs_probe) in self.store.ready(now, until).await? {
            let (limit, until) = if needs_probe { (1, now) } else { (SWEPT, until) };
            if needs_probe && !self.store.probe(id, now, REST).await? {
                continue;
            }
            let hold = if needs_probe { Retry::probe(now) } else { Retry::hold_until(until) };
            let claimed = self.store.claim(id, limit, &hold, (now, until)).await?;
            swept.queued += claimed.len();
            let retries = claimed.iter().map(|claimed| Retry::of_claimed(claimed, &hold));
            queue.put(retries.collect(), now).await?;
        }
        Ok(swept)
    }

    /// Takes in hand what a message of the queue brings back; puts back what comes too early.
    ///
    /// # Errors
    /// [`SweepError`]: the message should come again.
    pub async fn take_over(&self, retry: Retry) -> Result<Option<Job>, SweepError> {
        let now = self.now();
        if retry.is_early(now) {
            if let Some(queue) = &self.queue {
                queue.put(vec![retry], now).await?;
            }
            return Ok(None);
        }
        let hold = Hold::for_some(IN_HAND, now);
        let Some(claimed) = self.store.take_over(&retry, &hold, now).await? else { return Ok(None) };
        let receivers = self.receivers().await?;
        let Some(receiver) = receivers.get(&claimed.subscriber) else { return Ok(None) };
        if self.lanes.take(receiver.id, receiver.settings.limit, 1) == 0 {
            // It is due: the sweep finds it as soon as there is room.
            self.store.let_go(&hold, &[claimed.delivery]).await?;
            return Ok(None);
        }
        Ok(Some(self.job(receiver, &hold, claimed)))
    }

    fn job(&self, receiver: &Arc<Receiver>, hold: &Hold, claimed: Claimed) -> Job {
        Job {
            delivery: claimed.delivery,
            hold: hold.token.clone(),
            receiver: receiver.clone(),
            message: Arc::new(claimed.message),
            attempts: claimed.attempts,
            since: claimed.since,
        }
    }

    /// Tries one.
    pub async fn attempt(&self, job: Job) -> Finished {
        let started = self.now();
        let letter = Letter { id: &job.message.event, event: &job.message.body, number: job.attempts + 1 };
        let tried = self.poster.post(&job.receiver, letter, started).await;
        Finished { job, started, tried }
    }

    /// Tries all of these, and records each soon after it was tried; returns what was tried.
    ///
    /// # Errors
    /// [`LogError`]: what is not on record is tried again.
    pub async fn deliver(self: &Arc<Self>, jobs: Vec<Job>) -> Result<Vec<Finished>, LogError> {
        let (tell, mut told) = mpsc::unbounded_channel();
        for job in jobs {
            let (this, tell) = (self.clone(), tell.clone());
            tokio::spawn(async move {
                // Nobody is there to be told when the work was stopped.
                let _ = tell.send(this.attempt(job).await);
            });
        }
        drop(tell);
        let (mut all, mut finished) = (Vec::new(), Vec::new());
        while told.recv_many(&mut finished, TOGETHER).await > 0 {
            if let Err(error) = self.record(&finished).await {
                self.give_back(&finished);
                return Err(error);
            }
            all.append(&mut finished);
        }
        Ok(all)
    }

    fn give_back(&self, finished: &[Finished]) {
        finished.iter().for_each(|Finished { job, .. }| self.lanes.give(job.receiver.id, 1));
    }

    /// Puts attempts on record, with when each delivery is tried again; then draws conclusions about their subscribers.
    ///
    /// # Errors
    /// [`LogError`]: nothing is on record.
    pub async fn record(&self, finished: &[Finished]) -> Result<(), LogError> {
        let attempts: Vec<_> = finished.iter().map(|finished| self.attempted(finished)).collect();
        self.store.record(&attempts).await?;
        self.give_back(finished);
        if let Some(queue) = &self.queue {
            let soon = attempts.iter().filter_map(Retry::of_attempt).collect();
            if let Err(error) = queue.put(soon, self.now()).await {
                // The sweep finds them when their hold has ended.
                warn!(error = error.to_string(), "what is to be tried again soon is not in the queue");
            }
        }
        let mut by_subscriber: HashMap<SubscriberId, Vec<&Finished>> = HashMap::new();
        for finished in finished {
            by_subscriber.entry(finished.job.receiver.id).or_default().push(finished);
        }
        for finished in by_subscriber.values() {
            // What is on record stays: a conclusion that is not drawn now is drawn at the next attempt.
            if let Err(error) = self.conclude(finished).await {
                warn!(error = error.to_string(), "how a subscriber is could not be noted");
            }
        }
        Ok(())
    }

    fn attempted(&self, Finished { job, started, tried }: &Finished) -> Attempted {
        let since = if job.attempts == 0 { *started } else { job.since };
        let is_good = tried.is_good();
        let next =
            if is_good { None } else { schedule::next(since, self.now(), tried.away(), fastrand::f64()) };
        let soon = next.filter(|next| self.queue.is_some() && RetryQueue::reaches(*next, self.now()));
        Attempted {
            delivery: job.delivery,
            hold: job.hold.clone(),
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

    /// What some attempts at one subscriber, in their order, say about it.
    async fn conclude(&self, finished: &[&Finished]) -> Result<(), LogError> {
        let Some(last) = finished.last() else { return Ok(()) };
        let (receiver, now) = (&last.job.receiver, self.now());
        let id = receiver.id;
        for finished in finished {
            if finished.tried.is_good() {
                self.lanes.widen(id, receiver.settings.limit);
            } else if finished.tried.is_overload() {
                self.lanes.narrow(id);
            }
        }
        let failed_since_good = finished.iter().rev().take_while(|finished| !finished.tried.is_good());
        let failed: Vec<_> = failed_since_good.collect();
        if failed.len() < finished.len()
            && let Some(told) = self.store.recovered(id, now).await?
            && told != 0
        {
            self.tell(receiver, Standing::Recovered, None).await;
        }
        let Some(first) = failed.last() else { return Ok(()) };
        let open_until = now.checked_add(REST).unwrap_or(now);
        let count = i64::try_from(failed.len()).unwrap_or(i64::MAX);
        let failing = self.store.failed(id, count, first.started, (TOO_MANY, open_until)).await?;
        let Some(failing) = failing else { return Ok(()) };
        if failing.failures >= TOO_MANY {
            self.lanes.close(id);
        }
        if failed.iter().any(|finished| finished.tried.is_gone()) {
            if self.store.pause(id).await? {
                self.tell(receiver, Standing::Paused { why: "it answered 410 Gone" }, Some(failing)).await;
            }
            return Ok(());
        }
        self.tell_budget(receiver, failing, now).await
    }

    /// Tells how much of its failure budget a subscriber has used, once for each of the parts; when all of it is used, it is paused.
    async fn tell_budget(
        &self,
        receiver: &Receiver,
        failing: Failing,
        now: Timestamp,
    ) -> Result<(), LogError> {
        let used = now.duration_since(failing.since).as_secs_f64() / receiver.failure_budget().as_secs_f64();
        let Some(percent) = [100_u8, 90, 50].into_iter().find(|percent| used * 100.0 >= f64::from(*percent))
        else {
            return Ok(());
        };
        if i64::from(percent) <= failing.told {
            return Ok(());
        }
        if percent == 100 {
            self.tell(receiver, Standing::Paused { why: "every attempt failed for too long" }, Some(failing))
                .await;
            self.store.pause(receiver.id).await?;
        } else {
            self.tell(receiver, Standing::Failing { percent }, Some(failing)).await;
        }
        self.store.told(receiver.id, i64::from(percent)).await
    }

    /// Puts on the bus how a subscriber is.
    async fn tell(&self, receiver: &Receiver, standing: Standing, failing: Option<Failing>) {
        let waiting = self.store.waiting(receiver.id).await.unwrap_or_default();
        let notice = Notice { subscriber: &receiver.name, standing, failing, waiting, now: self.now() };
        let Some(event) = notice.event() else { return };
        let deadline = Instant::now() + std::time::Duration::from_secs(5);
        if let Err(error) = self.bus.put(&event, deadline).await {
            warn!(
                subscriber = receiver.name,
                error = error.to_string(),
                "nobody could be told of a subscriber"
            );
        }
    }

    /// The subscribers, read anew when they have changed.
    async fn receivers(&self) -> Result<HashMap<SubscriberId, Arc<Receiver>>, LogError> {
        let revision = self.store.revision().await?;
        let mut known = self.known.lock().await;
        let is_readable = known.receivers.values().all(|receiver| receiver.is_readable());
        // Somebody may have added a key.
        let is_changed = !is_readable && self.keys.read_again().await;
        if known.revision != Some(revision) || is_changed {
            let keys = self.keys.ring().await.map_err(|error| LogError::Unavailable(error.to_string()))?;
            let mut receivers = HashMap::new();
            for subscriber in self.store.subscribers(None).await? {
                match Receiver::of(&subscriber, &keys) {
                    Ok(receiver) => {
                        receivers.insert(subscriber.id, Arc::new(receiver));
                    }
                    Err(error) => {
                        let subscriber = subscriber.name;
                        warn!(subscriber, error = error.to_string(), "nothing can be owed to a subscriber");
                    }
                }
            }
            *known = Known { revision: Some(revision), receivers };
        }
        Ok(known.receivers.clone())
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
        // How a subscriber is, is not told to itself: that would never end.
        if is_wanted && !Notice::is_about(&event.detail_type, &event.json, &receiver.name) {
            wanted.push(receiver);
        }
    }
    wanted
}
