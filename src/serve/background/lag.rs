//! Samples how far each named consumer is behind the end of the log.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::interval;

use crate::log::EventLog;
use crate::serve::activity::LAG_SAMPLE_INTERVAL;
use crate::serve::reporter::Reporter;

/// How long a sample waits for a database connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(2);

/// Samples until `shutdown` becomes true. A sample that fails is left out; the health of the log reports why.
pub(in crate::serve) async fn run(log: EventLog, reporter: Reporter, mut shutdown: watch::Receiver<bool>) {
    let log = log.with_acquire_timeout(ACQUIRE_TIMEOUT);
    let sample = async {
        let mut interval = interval(LAG_SAMPLE_INTERVAL);
        loop {
            interval.tick().await;
            if let Ok(lags) = log.consumer_lags().await {
                reporter.activity.record_lags(lags);
            }
        }
    };
    tokio::select! {
        () = sample => {}
        _ = shutdown.wait_for(|is_requested| *is_requested) => {}
    }
}
