//! The recent activity of `serve`: the last webhooks, the last hour by the minute, and the last failure of each part.
//!
//! All of it is in memory, begins anew with the process, and contains no body and no secret.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::bridge::{Outcome, RequestLog};
use crate::log::Lag;
use crate::providers::Diagnosis;

/// The number of webhooks that are kept.
pub(super) const MAX_WEBHOOKS: usize = 1000;
/// The number of minutes for which counts are kept.
const MAX_MINUTES: usize = 60;
pub(super) const LAG_SAMPLE_INTERVAL: Duration = Duration::from_secs(15);
/// The number of samples of an hour.
const MAX_LAG_SAMPLES: usize = 240;
/// The upper bounds of the buckets in which durations are counted, in milliseconds. Longer durations have a bucket of their own.
const BUCKET_BOUNDS: [f64; 12] = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1000.0, 10_000.0];

/// A webhook and what became of it.
#[derive(Clone, Serialize)]
pub(super) struct WebhookEntry {
    /// Greater than that of every earlier webhook, also of an earlier process.
    number: u64,
    received: Timestamp,
    provider: &'static str,
    outcome: &'static str,
    status: u16,
    reason: Option<&'static str>,
    error: Option<String>,
    event_type: Option<String>,
    delivery_id: Option<String>,
    events: usize,
    bytes: Option<usize>,
    milliseconds: Option<f64>,
    /// For a refused webhook with a development secret: the mistakes of its sender.
    mistakes: Vec<String>,
}

/// The webhooks of one minute.
#[derive(Clone, Default)]
struct Minute {
    /// Minutes since 1970.
    number: i64,
    /// By provider and outcome.
    counts: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    /// How many webhooks took at most the time of each of [`BUCKET_BOUNDS`], and longer.
    durations: [u64; BUCKET_BOUNDS.len() + 1],
}

/// How far the named consumers were behind at one time.
#[derive(Clone, Serialize)]
pub(super) struct LagSample {
    time: Timestamp,
    /// By the name of the consumer.
    consumers: BTreeMap<String, Lag>,
}

struct History {
    last_number: u64,
    webhooks: VecDeque<WebhookEntry>,
    minutes: VecDeque<Minute>,
}

/// The last failure of a part of `serve`, such as a poller.
#[derive(Clone)]
pub(super) struct Failure {
    pub(super) time: Timestamp,
    pub(super) error: String,
    /// Whether the part has not succeeded since.
    pub(super) is_current: bool,
}

pub(super) struct Activity {
    pub(super) started: Timestamp,
    history: Mutex<History>,
    /// The number of the newest webhook.
    newest: watch::Sender<u64>,
    /// By the name of the part.
    failures: Mutex<BTreeMap<String, Failure>>,
    /// The lags of the last hour, oldest first.
    lags: Mutex<VecDeque<LagSample>>,
    /// Whether the last event could not be published.
    is_bus_failing: AtomicBool,
}

/// The name of the bus among the parts.
pub(super) const BUS: &str = "bus";

impl Activity {
    pub(super) fn new() -> Self {
        let started = Timestamp::now();
        // No process gets a webhook each microsecond, so the numbers of a later process are greater.
        let last_number = u64::try_from(started.as_microsecond()).unwrap_or_default();
        let history = History { last_number, webhooks: VecDeque::new(), minutes: VecDeque::new() };
        Self {
            started,
            history: Mutex::new(history),
            newest: watch::Sender::new(last_number),
            failures: Mutex::default(),
            lags: Mutex::default(),
            is_bus_failing: AtomicBool::new(false),
        }
    }

    pub(super) fn record_webhook(&self, log: &RequestLog, diagnosis: Option<&Diagnosis>) {
        self.record_bus(&log.outcome);
        let mistakes = diagnosis.into_iter().flat_map(|diagnosis| &diagnosis.mistakes);
        self.add(WebhookEntry {
            number: 0,
            received: Timestamp::now(),
            provider: log.provider.name,
            outcome: log.outcome.as_str(),
            status: log.response().status,
            reason: log.outcome.reason(),
            error: log.outcome.error_message(),
            event_type: log.event_type.clone(),
            delivery_id: log.delivery_id.clone(),
            events: log.event_count,
            bytes: Some(log.body_bytes),
            milliseconds: Some(log.elapsed_ms()),
            mistakes: mistakes.map(ToString::to_string).collect(),
        });
    }

    /// Records a webhook that admission control rejected, before its body was read.
    pub(super) fn record_rejected(&self, provider: &'static str, status: u16, reason: &'static str) {
        self.add(WebhookEntry {
            number: 0,
            received: Timestamp::now(),
            provider,
            outcome: "refused",
            status,
            reason: Some(reason),
            error: None,
            event_type: None,
            delivery_id: None,
            events: 0,
            bytes: None,
            milliseconds: None,
            mistakes: Vec::new(),
        });
    }

    fn add(&self, mut entry: WebhookEntry) {
        let mut history = lock(&self.history);
        history.last_number += 1;
        entry.number = history.last_number;
        // Under the lock, so that the webhooks are in the order of their times.
        entry.received = Timestamp::now();
        let number = entry.received.as_second().div_euclid(60);
        if history.minutes.back().is_none_or(|minute| minute.number != number) {
            if history.minutes.len() == MAX_MINUTES {
                history.minutes.pop_front();
            }
            history.minutes.push_back(Minute { number, ..Minute::default() });
        }
        if let Some(minute) = history.minutes.back_mut() {
            *minute.counts.entry(entry.provider).or_default().entry(entry.outcome).or_default() += 1;
            if let Some(milliseconds) = entry.milliseconds {
                let bucket = BUCKET_BOUNDS.iter().position(|bound| milliseconds <= *bound);
                minute.durations[bucket.unwrap_or(BUCKET_BOUNDS.len())] += 1;
            }
        }
        if history.webhooks.len() == MAX_WEBHOOKS {
            history.webhooks.pop_front();
        }
        self.newest.send_replace(entry.number);
        history.webhooks.push_back(entry);
    }

    /// The webhooks after this number, oldest first; at most the newest `limit`. Also returns the number of the newest one.
    pub(super) fn webhooks_after(&self, number: u64, limit: usize) -> (Vec<WebhookEntry>, u64) {
        let history = lock(&self.history);
        let newer = history.webhooks.iter().rev().take_while(|entry| entry.number > number);
        let mut entries: Vec<_> = newer.take(limit).cloned().collect();
        entries.reverse();
        (entries, history.last_number)
    }

    /// Waits for a webhook after this number.
    pub(super) async fn wait_for_webhook_after(&self, number: u64) {
        // The sender lives as long as `self`, so this never fails.
        let _ = self.newest.subscribe().wait_for(|newest| *newest > number).await;
    }

    /// The counts of the last hour's minutes in which webhooks arrived.
    pub(super) fn minutes(&self) -> Vec<Value> {
        let oldest = Timestamp::now().as_second().div_euclid(60) - MAX_MINUTES as i64;
        let history = lock(&self.history);
        let minutes = history.minutes.iter().filter(|minute| minute.number > oldest);
        minutes.map(Minute::to_json).collect()
    }

    pub(super) fn record_failure(&self, part: &str, error: String) {
        let failure = Failure { time: Timestamp::now(), error, is_current: true };
        lock(&self.failures).insert(part.to_owned(), failure);
    }

    pub(super) fn record_success(&self, part: &str) {
        if let Some(failure) = lock(&self.failures).get_mut(part) {
            failure.is_current = false;
        }
    }

    /// The last failure of each part that has failed.
    pub(super) fn failures(&self) -> BTreeMap<String, Failure> {
        lock(&self.failures).clone()
    }

    pub(super) fn record_lags(&self, consumers: BTreeMap<String, Lag>) {
        let mut lags = lock(&self.lags);
        if lags.len() == MAX_LAG_SAMPLES {
            lags.pop_front();
        }
        lags.push_back(LagSample { time: Timestamp::now(), consumers });
    }

    /// The lags of the last hour, oldest first.
    pub(super) fn lags(&self) -> Vec<LagSample> {
        lock(&self.lags).iter().cloned().collect()
    }

    fn record_bus(&self, outcome: &Outcome) {
        match outcome {
            // A final error is that of one event.
            Outcome::PublishFailed(error) if !error.is_final() => {
                self.record_failure(BUS, error.to_string());
                self.is_bus_failing.store(true, Ordering::Relaxed);
            }
            Outcome::Published if self.is_bus_failing.swap(false, Ordering::Relaxed) => {
                self.record_success(BUS);
            }
            _ => {}
        }
    }
}

impl Minute {
    fn to_json(&self) -> Value {
        json!({
            "minute": Timestamp::from_second(self.number * 60).unwrap_or_default(),
            "providers": self.counts,
            "milliseconds": {"p50": self.percentile(50), "p95": self.percentile(95)},
        })
    }

    /// The upper bound of the bucket with this percentile of the durations; `None` without durations, and for the longest ones.
    fn percentile(&self, percent: u64) -> Option<f64> {
        let total: u64 = self.durations.iter().sum();
        let mut remaining = (total * percent).div_ceil(100);
        if total == 0 {
            return None;
        }
        for (count, bound) in self.durations.iter().zip(BUCKET_BOUNDS) {
            if *count >= remaining {
                return Some(bound);
            }
            remaining -= count;
        }
        None
    }
}

/// Locks a mutex whose holders never panic while they hold it.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_last_thousand_webhooks_are_kept_and_all_are_counted() {
        let activity = Activity::new();
        let first = activity.webhooks_after(0, 1).1 + 1;
        (0..1200).for_each(|_| activity.record_rejected("github", 429, "too-many-in-flight"));
        let numbers = |after, limit| -> Vec<u64> {
            activity.webhooks_after(after, limit).0.iter().map(|entry| entry.number - first).collect()
        };
        assert_eq!(numbers(0, 5000), (200..1200).collect::<Vec<_>>());
        assert_eq!(numbers(first + 1189, 5), [1195, 1196, 1197, 1198, 1199]);
        assert_eq!((numbers(first + 1199, 5).len(), activity.webhooks_after(0, 1).1), (0, first + 1199));
        let counted: u64 =
            activity.minutes().iter().map(|m| m["providers"]["github"]["refused"].as_u64().unwrap()).sum();
        assert_eq!(counted, 1200);
    }

    #[test]
    fn a_percentile_is_the_bound_of_its_bucket() {
        let mut minute = Minute::default();
        assert_eq!(minute.percentile(50), None);
        minute.durations[3] = 90;
        minute.durations[7] = 10;
        assert_eq!((minute.percentile(50), minute.percentile(95)), (Some(1.0), Some(20.0)));
        minute.durations[12] = 1000;
        assert_eq!(minute.percentile(95), None);
    }

    #[test]
    fn a_part_that_succeeds_again_keeps_its_last_failure() {
        let activity = Activity::new();
        activity.record_success("poll stripe");
        assert!(activity.failures().is_empty());
        activity.record_failure("poll stripe", "no answer".into());
        assert!(activity.failures()["poll stripe"].is_current);
        activity.record_success("poll stripe");
        assert!(!activity.failures()["poll stripe"].is_current);
    }
}
