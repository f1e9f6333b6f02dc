//! Wakes readers that wait for new events.
//!
//! A recorder in the same process wakes these readers immediately. So that appends by other processes are noticed, one of the
//! waiting readers polls the database for all readers.

use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use tracing::warn;

use super::order::Position;
use crate::db::DatabaseError;

/// The pause between two polls of the database.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// The pause after a failed poll.
const POLL_RETRY_INTERVAL: Duration = Duration::from_secs(2);

/// The last known end of a log: the position that the next event gets. Waiting readers watch the end for a change.
pub(super) struct AppendWatch {
    end: watch::Sender<Position>,
    /// Held by the reader that polls the database, so that only one polls at a time.
    poll_lock: Mutex<()>,
}

impl Default for AppendWatch {
    fn default() -> Self {
        Self { end: watch::Sender::new(0), poll_lock: Mutex::default() }
    }
}

impl AppendWatch {
    /// Reports that the log ends at `end` or later, and wakes the waiting readers if the log has grown.
    pub(super) fn advance_to(&self, end: Position) {
        self.end.send_if_modified(|known| {
            let has_grown = end > *known;
            *known = end.max(*known);
            has_grown
        });
    }

    /// Waits until the log ends after `position`. `query_end` queries the database for the end of the log.
    pub(super) async fn wait_beyond<F>(&self, position: Position, query_end: impl Fn() -> F)
    where
        F: Future<Output = Result<Position, DatabaseError>>,
    {
        let mut known_end = self.end.subscribe();
        let mut poll_delay = POLL_INTERVAL;
        while *known_end.borrow_and_update() <= position {
            let poll = async {
                let _poll_guard = self.poll_lock.lock().await;
                sleep(poll_delay).await;
                query_end().await
            };
            tokio::select! {
                // `self` owns the sender, so waiting for a change never fails.
                _ = known_end.changed() => {}
                result = poll => match result {
                    Ok(end) => {
                        poll_delay = POLL_INTERVAL;
                        self.advance_to(end);
                    }
                    Err(error) => {
                        warn!(error = error.to_string(), "cannot query the end of the log; readers keep waiting");
                        poll_delay = POLL_RETRY_INTERVAL;
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_waiters_share_one_query() {
        let (append_watch, query_count) = (Arc::new(AppendWatch::default()), Arc::new(AtomicI64::new(0)));
        let mut waiters = tokio::task::JoinSet::new();
        for position in [7; 500] {
            let (append_watch, query_count) = (append_watch.clone(), query_count.clone());
            waiters.spawn(async move {
                append_watch
                    .wait_beyond(position, || {
                        std::future::ready(match query_count.fetch_add(1, Ordering::Relaxed) {
                            10 => Err(DatabaseError::Unavailable("simulated failure".into())),
                            20 => Ok(8),
                            _ => Ok(7),
                        })
                    })
                    .await;
            });
        }
        let start = Instant::now();
        waiters.join_all().await;
        assert_eq!(query_count.load(Ordering::Relaxed), 21);
        assert!(start.elapsed() <= 21 * POLL_INTERVAL + POLL_RETRY_INTERVAL, "{:?}", start.elapsed());
        append_watch.wait_beyond(3, std::future::pending).await;
    }
}
