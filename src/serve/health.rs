//! Whether `serve` can do its work: its parts, and what failed last.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::timeout;

use super::activity::{BUS, Failure};
use super::config::{BusSetting, ServeSettings};
use super::endpoints::ServedBus;
use super::metrics::MeasuredNow;
use super::reporter::Reporter;
use crate::bus::LocalBus;
use crate::delivery::DeliveryStore;
use crate::log::EventLog;
use crate::util::error::error_chain;

/// How long a check of the log may take.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
const LOG: &str = "log";

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
    bus: Arc<ServedBus>,
    /// The folder of the local bus; `None` if the bus is EventBridge.
    bus_folder: Option<PathBuf>,
    log_place: String,
    bus_place: String,
    /// The providers that are polled.
    polled: Vec<String>,
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
        Self {
            reporter,
            log: log.with_acquire_timeout(CHECK_TIMEOUT),
            deliveries: deliveries.with_acquire_timeout(CHECK_TIMEOUT),
            bus,
            bus_folder: is_local.then(|| settings.data.clone()),
            log_place: settings.database.to_string(),
            bus_place: if is_local { settings.data.display().to_string() } else { settings.bus.to_string() },
            polled: settings.polls.keys.keys().map(ToString::to_string).collect(),
        }
    }

    /// The parts without which webhooks are not accepted or not recorded: the bus and the log.
    pub(super) async fn check_required(&self) -> [PartStatus; 2] {
        let failures = self.reporter.activity.failures();
        let (bus_error, log_error) = tokio::join!(self.bus_error(failures.get(BUS)), self.log_error());
        [
            part(BUS, Some(self.bus_place.clone()), bus_error, failures.get(BUS)),
            part(LOG, Some(self.log_place.clone()), log_error, failures.get(LOG)),
        ]
    }

    /// All parts.
    pub(super) async fn check(&self) -> Vec<PartStatus> {
        let failures = self.reporter.activity.failures();
        let mut parts = Vec::from(self.check_required().await);
        let optional = ["recorder", "deliveries"].map(str::to_owned).into_iter();
        for name in optional.chain(self.polled.iter().map(|provider| format!("poll {provider}"))) {
            let failure = failures.get(&name);
            let error = failure.filter(|failure| failure.is_current).map(|failure| failure.error.clone());
            parts.push(part(&name, None, error, failure));
        }
        parts
    }

    /// Why the bus cannot be written; `None` if it can. A file on the disk of the local bus is written; the other bus is as its
    /// last event was.
    async fn bus_error(&self, failure: Option<&Failure>) -> Option<String> {
        if let Some(failure) = failure.filter(|failure| failure.is_current) {
            return Some(failure.error.clone());
        }
        let folder = self.bus_folder.clone()?;
        let written = tokio::task::spawn_blocking(move || {
            let mut file = tempfile::tempfile_in(&folder)?;
            std::io::Write::write_all(&mut file, &[0; 4096])
        });
        match written.await {
            Ok(result) => result.err().map(|error| format!("{}: {error}", self.bus_place)),
            Err(error) => Some(error.to_string()),
        }
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
            ServedBus::Local(bus) => Some(LocalBus::watch_length(bus)),
            ServedBus::EventBridge(_) => None,
        };
        let recorded = self.reporter.recorded_length();
        let pending = timeout(CHECK_TIMEOUT, self.deliveries.count_all_pending()).await;
        MeasuredNow {
            unrecorded_bytes: local_bus.map(|length| length.borrow().saturating_sub(recorded)),
            pending_deliveries: pending.ok().and_then(Result::ok),
            connections: self.log.database().connections(),
        }
    }
}

fn part(name: &str, place: Option<String>, error: Option<String>, failure: Option<&Failure>) -> PartStatus {
    let last_failure =
        failure.map(|failure| LastFailure { time: failure.time, error: failure.error.clone() });
    PartStatus { name: name.to_owned(), ok: error.is_none(), place, error, last_failure }
}
