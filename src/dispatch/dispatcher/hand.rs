//! In-flight deliveries: from lease to attempt.
//!
//! A delivery can wait in hand for its turn. In the meantime it may be cancelled, or its subscriber paused, removed or changed: so
//! what has not been looked at for a moment is looked at again before it is sent.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::warn;

use super::{DispatchError, Dispatcher, TOGETHER};
use crate::bus::Bus;
use crate::dispatch::attempt::{Letter, Tried};
use crate::dispatch::lanes::Place;
use crate::dispatch::store::{Hold, Message};
use crate::dispatch::subscriber::{Receiver, SubscriberId};
use crate::log::{LogError, SqlExecutor};

/// How long a lease check stays valid.
const FRESH: Duration = Duration::from_millis(100);
/// Time that is left after the longest attempt to put it on record.
const TO_RECORD: SignedDuration = SignedDuration::from_secs(10);

/// A delivery in hand.
#[derive(Debug)]
pub struct Job {
    pub(super) delivery: i64,
    pub(super) hold: Hold,
    pub(super) receiver: Arc<Receiver>,
    pub(super) message: Arc<Message>,
    pub(super) attempts: i64,
    pub(super) since: Timestamp,
    /// When what is known of its subscriber was not read yet.
    pub(super) read: Instant,
    /// When it was in hand: what is looked at after that finds it.
    pub(super) taken: Instant,
    /// Given back when it is on record.
    pub(super) place: Option<Place>,
}

/// A delivery that was tried.
pub struct Finished {
    pub(super) job: Job,
    pub(super) started: Timestamp,
    pub(super) tried: Tried,
    /// Whether it failed, and is not tried again; known when it is on record.
    pub(super) is_given_up: bool,
}

/// What became of a delivery in hand.
pub enum Outcome {
    /// It was tried.
    Tried(Finished),
    /// It was not: it is not in hand any more, or better tried later.
    NotTried(Job),
}

/// Cached lease check for one subscriber.
#[derive(Default)]
pub(super) struct Seen {
    when: Option<Instant>,
    /// The subscriber; `None` when nothing is sent to it.
    receiver: Option<Arc<Receiver>>,
    /// The deliveries, with the holds on them.
    held: HashSet<(i64, String)>,
}

/// What was last seen, by subscriber.
pub(super) type Sightings = std::sync::Mutex<HashMap<SubscriberId, Arc<Mutex<Seen>>>>;

impl Finished {
    /// Whether it failed, and is not tried again.
    pub fn is_given_up(&self) -> bool {
        self.is_given_up
    }

    /// What it was about: the event's id, its type, and the subscriber.
    pub fn of(&self) -> (&str, &str, &str) {
        (&self.job.message.event, &self.job.message.detail_type, &self.job.receiver.name)
    }

    /// What it came to.
    pub fn tried(&self) -> &Tried {
        &self.tried
    }
}

impl<S: SqlExecutor, B: Bus> Dispatcher<S, B> {
    /// Tries one when it is its turn; or not, when it is not in hand any more, when too much has failed since it was taken, or
    /// when it would not be in hand until the end of the attempt.
    pub async fn attempt(&self, mut job: Job) -> Outcome {
        let turn = match &job.place {
            Some(place) => place.turn().await,
            None => None,
        };
        let Some(turn) = turn else { return Outcome::NotTried(job) };
        match self.is_in_hand(&mut job).await {
            Ok(true) => {}
            Ok(false) => return Outcome::NotTried(job),
            Err(error) => {
                warn!(error = error.to_string(), "delivery postponed: its claim could not be checked");
                return Outcome::NotTried(job);
            }
        }
        let (receiver, started) = (job.receiver.clone(), self.now());
        let longest = SignedDuration::from_secs(receiver.settings.timeout.into()) + TO_RECORD;
        if started.checked_add(longest).is_ok_and(|end| end > job.hold.until) {
            return Outcome::NotTried(job);
        }
        let Message { event: id, detail_type, body: event } = &*job.message;
        let letter = Letter { id, detail_type, event, number: job.attempts + 1 };
        let tried = self.poster.post(&receiver, letter, started).await;
        drop(turn);
        Outcome::Tried(Finished { job, started, tried, is_given_up: false })
    }

    /// Whether a delivery is in hand still, and for whom it is now. One look is for all that is in hand for a subscriber.
    async fn is_in_hand(&self, job: &mut Job) -> Result<bool, DispatchError> {
        if job.read.elapsed() < FRESH {
            return Ok(true);
        }
        let id = job.receiver.id;
        let seen =
            self.sightings.lock().unwrap_or_else(PoisonError::into_inner).entry(id).or_default().clone();
        let mut seen = seen.lock().await;
        if seen.when.is_none_or(|when| when.elapsed() >= FRESH || when < job.taken) {
            let when = Instant::now();
            let receiver = self.receiver(id).await?.filter(|receiver| !receiver.is_paused);
            let held = self.store.held(&self.lanes.deliveries(id)).await?;
            *seen = Seen { when: Some(when), receiver, held };
        }
        let Some(receiver) = &seen.receiver else { return Ok(false) };
        job.receiver = receiver.clone();
        Ok(seen.held.contains(&(job.delivery, job.hold.token.clone())))
    }

    /// Tries all of these, and records each soon after it was tried. What is on record is added to `recorded`, which has it also
    /// when this fails later or is stopped.
    ///
    /// # Errors
    /// [`LogError`]: what is not on record is tried again.
    pub async fn deliver(
        self: &Arc<Self>,
        jobs: Vec<Job>,
        recorded: &mut Vec<Finished>,
    ) -> Result<(), LogError> {
        // What is stopped is stopped with its attempts.
        let mut tasks = JoinSet::new();
        for job in jobs {
            let this = self.clone();
            tasks.spawn(async move { this.attempt(job).await });
        }
        while let Some(first) = tasks.join_next().await {
            let mut outcomes: Vec<_> = first.into_iter().collect();
            while outcomes.len() < TOGETHER
                && let Some(next) = tasks.try_join_next()
            {
                outcomes.extend(next);
            }
            let (mut finished, untried) = Outcome::parted(outcomes);
            self.record(&mut finished).await?;
            recorded.append(&mut finished);
            self.let_go(untried).await;
        }
        Ok(())
    }

    /// Releases the leases of deliveries that were not attempted.
    pub async fn let_go(&self, jobs: Vec<Job>) {
        let mut by_hold: HashMap<String, (Hold, Vec<i64>)> = HashMap::new();
        for job in jobs {
            by_hold.entry(job.hold.token.clone()).or_insert((job.hold, Vec::new())).1.push(job.delivery);
        }
        for (hold, deliveries) in by_hold.into_values() {
            if let Err(error) = self.store.let_go(&hold, &deliveries).await {
                warn!(
                    error = error.to_string(),
                    "failed to release claims; their deliveries wait until they expire"
                );
            }
        }
    }

    /// Has nothing be tried any more but what is being tried.
    pub fn end(&self) {
        self.lanes.end();
    }
}

impl Outcome {
    /// What was tried, and what was not.
    pub fn parted(outcomes: Vec<Self>) -> (Vec<Finished>, Vec<Job>) {
        let (mut finished, mut untried) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                Self::Tried(one) => finished.push(one),
                Self::NotTried(job) => untried.push(job),
            }
        }
        (finished, untried)
    }
}
