//! The metrics of `serve`, in the text format of Prometheus.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::log::Lag;

/// The upper bounds of the buckets of the latency histograms, in seconds.
const LATENCY_BUCKETS: [f64; 12] =
    [0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.05, 0.25, 1.0, 5.0, 15.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WebhookLabels {
    provider: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProviderLabel {
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ConsumerLabel {
    consumer: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

pub(super) struct Metrics {
    registry: Registry,
    webhooks: Family<WebhookLabels, Counter>,
    webhook_duration: Family<ProviderLabel, Histogram, fn() -> Histogram>,
    attempts: Family<ResultLabel, Counter>,
    attempt_duration: Histogram,
    recorded_events: Counter,
    polls: Family<ResultLabel, Counter>,
    long_polls: Gauge,
    unrecorded_bytes: Gauge<u64, AtomicU64>,
    bus_flushes: Counter,
    consumer_lag_events: Family<ConsumerLabel, Gauge>,
    consumer_lag: Family<ConsumerLabel, Gauge<f64, AtomicU64>>,
    deliveries: Family<StateLabel, Gauge>,
    ended_deliveries: Family<StateLabel, Counter>,
    connections: Family<StateLabel, Gauge>,
}

/// Values that are measured when the metrics are read; `None` if unknown.
#[derive(Default)]
pub(super) struct MeasuredNow {
    /// The number of bytes in the bus file that are not in the log yet.
    pub(super) unrecorded_bytes: Option<u64>,
    pub(super) bus_flushes: Option<u64>,
    /// By the name of the consumer.
    pub(super) consumer_lags: BTreeMap<String, Lag>,
    pub(super) pending_deliveries: Option<i64>,
    /// The database connections in use, and the idle ones.
    pub(super) connections: Option<(usize, usize)>,
}

/// A request that may wait for events.
pub(super) struct OpenLongPoll(Gauge);

impl Drop for OpenLongPoll {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Metrics {
    pub(super) fn new() -> Self {
        let new_histogram: fn() -> Histogram = || Histogram::new(LATENCY_BUCKETS);
        let mut metrics = Self {
            registry: Registry::with_prefix("hookbridge"),
            webhooks: Family::default(),
            webhook_duration: Family::new_with_constructor(new_histogram),
            attempts: Family::default(),
            attempt_duration: new_histogram(),
            recorded_events: Counter::default(),
            polls: Family::default(),
            long_polls: Gauge::default(),
            unrecorded_bytes: Gauge::default(),
            bus_flushes: Counter::default(),
            consumer_lag_events: Family::default(),
            consumer_lag: Family::default(),
            deliveries: Family::default(),
            ended_deliveries: Family::default(),
            connections: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("webhooks", "Webhooks, by provider and outcome", metrics.webhooks.clone());
        registry.register_with_unit(
            "webhook_duration",
            "Time to answer a webhook after its body arrived",
            Unit::Seconds,
            metrics.webhook_duration.clone(),
        );
        registry.register(
            "delivery_attempts",
            "Attempts to deliver an event, by result",
            metrics.attempts.clone(),
        );
        registry.register_with_unit(
            "delivery_attempt_duration",
            "Time of an attempt to deliver an event",
            Unit::Seconds,
            metrics.attempt_duration.clone(),
        );
        registry.register(
            "recorded_batch_events",
            "New events from batches in the log",
            metrics.recorded_events.clone(),
        );
        registry.register("polls", "Polls of providers, by result", metrics.polls.clone());
        registry.register("long_polls", "Requests that wait for events", metrics.long_polls.clone());
        registry.register_with_unit(
            "unrecorded",
            "Size of the events on the local bus that are not in the log yet",
            Unit::Bytes,
            metrics.unrecorded_bytes.clone(),
        );
        registry.register(
            "bus_flushes",
            "Flushes of the local bus to its disk, each of one event or several",
            metrics.bus_flushes.clone(),
        );
        registry.register(
            "consumer_lag_events",
            "Events that a named consumer has not acknowledged",
            metrics.consumer_lag_events.clone(),
        );
        registry.register_with_unit(
            "consumer_lag",
            "Age of the oldest event that a named consumer has not acknowledged",
            Unit::Seconds,
            metrics.consumer_lag.clone(),
        );
        registry.register("deliveries", "Deliveries, by state", metrics.deliveries.clone());
        registry.register(
            "ended_deliveries",
            "Deliveries that have ended, by state",
            metrics.ended_deliveries.clone(),
        );
        registry.register(
            "database_connections",
            "Connections to the log's database, by state",
            metrics.connections.clone(),
        );
        metrics
    }

    /// Counts a webhook. `duration` is `None` for one that was rejected before its body was read.
    pub(super) fn count_webhook(
        &self,
        provider: &'static str,
        outcome: &'static str,
        duration: Option<Duration>,
    ) {
        self.webhooks.get_or_create(&WebhookLabels { provider, outcome }).inc();
        if let Some(duration) = duration {
            let label = ProviderLabel { provider: provider.to_owned() };
            self.webhook_duration.get_or_create(&label).observe(duration.as_secs_f64());
        }
    }

    /// Counts an attempt. If it was the delivery's last one, also counts the delivery.
    pub(super) fn count_attempt(&self, is_success: bool, is_last: bool, duration: Duration) {
        let result = if is_success { "delivered" } else { "failed" };
        self.attempts.get_or_create(&ResultLabel { result }).inc();
        if is_last {
            self.ended_deliveries.get_or_create(&StateLabel { state: result }).inc();
        }
        self.attempt_duration.observe(duration.as_secs_f64());
    }

    pub(super) fn count_recorded_events(&self, events: usize) {
        self.recorded_events.inc_by(events as u64);
    }

    pub(super) fn count_poll(&self, is_success: bool) {
        let result = if is_success { "succeeded" } else { "failed" };
        self.polls.get_or_create(&ResultLabel { result }).inc();
    }

    /// Counts a request that may wait for events, until the result is dropped; `None` if its query has no `wait`.
    pub(super) fn open_long_poll(&self, query: &str) -> Option<OpenLongPoll> {
        let waits = query.split('&').any(|pair| pair.starts_with("wait=") && pair != "wait=0");
        waits.then(|| {
            self.long_polls.inc();
            OpenLongPoll(self.long_polls.clone())
        })
    }

    /// The metrics as text.
    pub(super) fn to_text(&self, now: &MeasuredNow) -> String {
        if let Some(bytes) = now.unrecorded_bytes {
            self.unrecorded_bytes.set(bytes);
        }
        if let Some(flushes) = now.bus_flushes {
            self.bus_flushes.inner().store(flushes, Ordering::Relaxed);
        }
        // A count that is not known now is left out.
        self.consumer_lag_events.clear();
        self.consumer_lag.clear();
        for (name, lag) in &now.consumer_lags {
            let label = ConsumerLabel { consumer: name.clone() };
            self.consumer_lag_events.get_or_create(&label).set(lag.events);
            self.consumer_lag.get_or_create(&label).set(lag.seconds);
        }
        self.deliveries.clear();
        if let Some(count) = now.pending_deliveries {
            self.deliveries.get_or_create(&StateLabel { state: "pending" }).set(count);
        }
        self.connections.clear();
        if let Some((used, idle)) = now.connections {
            let connections = |state| self.connections.get_or_create(&StateLabel { state });
            connections("used").set(i64::try_from(used).unwrap_or(i64::MAX));
            connections("idle").set(i64::try_from(idle).unwrap_or(i64::MAX));
        }
        let mut text = String::new();
        // Writing to a string never fails.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_dashboard_shows_every_metric_and_no_other() {
        let metrics = Metrics::new();
        metrics.count_webhook("github", "published", Some(Duration::ZERO));
        metrics.count_attempt(true, true, Duration::ZERO);
        metrics.count_poll(true);
        let now = MeasuredNow {
            pending_deliveries: Some(1),
            connections: Some((1, 1)),
            consumer_lags: BTreeMap::from([("billing".into(), Lag { events: 1, seconds: 1.0 })]),
            ..MeasuredNow::default()
        };
        let text = metrics.to_text(&now);
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let mut names: Vec<_> = types.map(|line| line.split(' ').next().unwrap()).collect();
        names.sort_unstable();
        let dashboard: serde_json::Value =
            serde_json::from_str(include_str!("../../docs/grafana/serve.json")).unwrap();
        let panels = dashboard["panels"].as_array().unwrap();
        let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
        let mut shown: Vec<_> = targets
            .flat_map(|target| {
                let is_separator = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                target["expr"].as_str().unwrap().split(is_separator)
            })
            .filter(|word| word.starts_with("hookbridge_"))
            .map(|name| name.trim_end_matches("_total").trim_end_matches("_bucket"))
            .collect();
        shown.sort_unstable();
        shown.dedup();
        assert_eq!(shown, names);
    }
}
