//! Whether `serve` can do its work: its parts, and what failed last.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::activity::BUS;
use super::config::{BusSetting, GITHUB, ServeSettings};
use super::endpoints::ServedBus;
use super::metrics::MeasuredNow;
use super::reporter::{DELIVERIES, LOG, RECORDER, Reporter, poll_part};
use crate::bus::LocalBus;
use crate::delivery::DeliveryStore;
use crate::log::EventLog;
use crate::util::error::error_chain;

/// How long a check of the log may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the answer to whether the server is ready is kept.
const CHECK_TTL: Duration = Duration::from_secs(1);
/// How long the bus counts as failing after its last failure.
const FAILURE_TTL: SignedDuration = SignedDuration::from_secs(60);

/// A part of `serve`, for example the log.
#[derive(Serialize)]
pub(super) struct PartStatus {
    pub(super) name: String,
    pub(super) ok: bool,
    /// Where the part is: the address of the database, the folder or name of the bus.
    place: Option<String>,
    /// Why the part is not ok.
    error: Option<String>,
    last_failure: Option<LastFailure>,
}

#[derive(Serialize)]
struct LastFailure {
    time: Timestamp,
    error: String,
}

/// The health of a running server.
pub(super) struct Health {
    pub(super) reporter: Reporter,
    log: EventLog,
    deliveries: DeliveryStore,
    pub(super) bus: Arc<ServedBus>,
    /// The folder of the local bus; `None` if the bus is EventBridge.
    bus_folder: Option<PathBuf>,
    log_place: String,
    bus_place: String,
    /// The providers, and the webhooks at GitHub, that are polled.
    polled: Vec<String>,
    /// When the required parts were checked last, and which failed.
    last_check: Mutex<Option<(Instant, Vec<&'static str>)>>,
}

impl Health {
    pub(super) fn new(
        settings: &ServeSettings,
        reporter: Reporter,
        log: EventLog,
        deliveries: &DeliveryStore,
        bus: Arc<ServedBus>,
    ) -> Self {
        let is_local = matches!(settings.bus, BusSetting::Local);
        let providers = settings.polls.keys.keys().filter(|provider| **provider != GITHUB);
        let hooks = settings.polls.hooks.iter().map(ToString::to_string);
        Self {
            reporter,
            log: log.with_acquire_timeout(CHECK_TIMEOUT),
            deliveries: deliveries.with_acquire_timeout(CHECK_TIMEOUT),
            bus,
            bus_folder: is_local.then(|| settings.data.clone()),
            log_place: settings.database.to_string(),
            bus_place: if is_local { settings.data.display().to_string() } else { settings.bus.to_string() },
            polled: providers.map(ToString::to_string).chain(hooks).collect(),
            last_check: Mutex::default(),
        }
    }

    /// The names of the parts that fail without which webhooks are not accepted, or events not read. Anybody may ask, so the answer
    /// is up to a second old.
    pub(super) async fn failing_required(&self) -> Vec<&'static str> {
        let mut last = self.last_check.lock().await;
        if last.as_ref().is_none_or(|(time, _)| time.elapsed() > CHECK_TTL) {
            let (bus_error, log_error) = tokio::join!(self.bus_error(), self.log_error());
            let failing = [(BUS, bus_error), (LOG, log_error)].into_iter();
            let failing = failing.filter_map(|(name, error)| error.map(|_| name)).collect();
            *last = Some((Instant::now(), failing));
        }
        last.as_ref().map(|(_, failing)| failing.clone()).unwrap_or_default()
    }

    /// All parts.
    pub(super) async fn check(&self) -> Vec<PartStatus> {
        let (bus_error, log_error) = tokio::join!(self.bus_error(), self.log_error());
        let failures = self.reporter.activity.failures();
        let part = |name: &str, place: Option<&String>, error: Option<String>| {
            let failure = failures.get(name);
            let current = failure.filter(|failure| failure.is_current).map(|failure| failure.error.clone());
            let error = error.or_else(|| current.filter(|_| name != BUS));
            let last_failure =
                failure.map(|failure| LastFailure { time: failure.time, error: failure.error.clone() });
            PartStatus {
                name: name.to_owned(),
                ok: error.is_none(),
                place: place.cloned(),
                error,
                last_failure,
            }
        };
        let mut parts = vec![
            part(BUS, Some(&self.bus_place), bus_error),
            // The log may be readable although recording fails.
            part(LOG, Some(&self.log_place), log_error),
            part(RECORDER, None, None),
            part(DELIVERIES, None, None),
        ];
        parts.extend(self.polled.iter().map(|polled| part(&poll_part(polled), None, None)));
        parts
    }

    /// Why the bus cannot be written; `None` if it can. A failure counts for a minute, unless an event is published meanwhile. For the
    /// local bus, also writes a file on its disk.
    async fn bus_error(&self) -> Option<String> {
        let failure = self.reporter.activity.failures().remove(BUS).filter(|failure| failure.is_current);
        let is_recent = |time: Timestamp| Timestamp::now().duration_since(time) < FAILURE_TTL;
        if let Some(failure) = failure.filter(|failure| is_recent(failure.time)) {
            return Some(failure.error);
        }
        let folder = self.bus_folder.clone()?;
        let written = tokio::task::spawn_blocking(move || {
            let mut file = tempfile::tempfile_in(&folder)?;
            std::io::Write::write_all(&mut file, &[0; 4096])
        });
        let error = match timeout(CHECK_TIMEOUT, written).await {
            Ok(Ok(Ok(()))) => return None,
            Ok(Ok(Err(error))) => error.to_string(),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer within 2 s".into(),
        };
        Some(format!("{}: {error}", self.bus_place))
    }

    /// Why the log cannot be read; `None` if it can.
    async fn log_error(&self) -> Option<String> {
        match timeout(CHECK_TIMEOUT, self.log.bounds()).await {
            Ok(Ok(_)) => None,
            Ok(Err(error)) => Some(error_chain(&error)),
            Err(_) => Some("no answer within 2 s".into()),
        }
    }

    /// The values of the metrics that are measured when they are read.
    pub(super) async fn measure(&self) -> MeasuredNow {
        let local_bus = match &*self.bus {
            ServedBus::Local(bus) => Some(bus),
            ServedBus::EventBridge(_) => None,
        };
        let recorded = self.reporter.recorded_length();
        let (pending, lags) = tokio::join!(
            timeout(CHECK_TIMEOUT, self.deliveries.count_all_pending()),
            timeout(CHECK_TIMEOUT, self.log.consumer_lags()),
        );
        let unrecorded = |bus: &LocalBus| bus.watch_length().borrow().saturating_sub(recorded);
        MeasuredNow {
            unrecorded_bytes: local_bus.map(unrecorded),
            bus_flushes: local_bus.map(LocalBus::flush_count),
            consumer_lags: lags.ok().and_then(Result::ok).unwrap_or_default(),
            pending_deliveries: pending.ok().and_then(Result::ok),
            connections: self.log.database().connections(),
        }
    }
}
