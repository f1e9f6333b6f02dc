//! Wake-up of readers that wait for new events.
//!
//! The recorder of the same process wakes them immediately. For appends by other processes, one of the waiting readers
//! polls the database on behalf of all.

use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::time::sleep;
use tracing::warn;

use super::{LogError, order::Position};

/// The pause between two polls of the database.
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// The pause after a failed poll.
const MAX_BACKOFF: Duration = Duration::from_secs(2);

/// The last known end of a log, which readers watch.
pub(super) struct AppendWatch {
    end: watch::Sender<Position>,
    /// Only one waiter polls at a time.
    turn: Mutex<()>,
}

impl Default for AppendWatch {
    fn default() -> Self {
        Self { end: watch::Sender::new(0), turn: Mutex::default() }
    }
}

impl AppendWatch {
    /// Reports that the log ends at `end` or later, and wakes the waiting readers if that is new.
    pub(super) fn advance_to(&self, end: Position) {
        self.end.send_if_modified(|known| {
            let grows = end > *known;
            *known = end.max(*known);
            grows
        });
    }

    /// Waits until the log ends after `position`. `ask` queries the database for the end of the log.
    pub(super) async fn wait_beyond<F>(&self, position: Position, ask: impl Fn() -> F)
    where
        F: Future<Output = Result<Position, LogError>>,
    {
        let mut end = self.end.subscribe();
        let mut pause = MIN_BACKOFF;
        while *end.borrow_and_update() <= position {
            let asked = async {
                let _turn = self.turn.lock().await;
                sleep(pause).await;
                ask().await
            };
            tokio::select! {
                // `self` owns the sender, so this never fails.
                _ = end.changed() => {}
                asked = asked => match asked {
                    Ok(end) => {
                        pause = MIN_BACKOFF;
                        self.advance_to(end);
                    }
                    Err(error) => {
                        warn!(error = error.to_string(), "cannot query the end of the log; readers keep waiting");
                        pause = MAX_BACKOFF;
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
        let (growth, asked) = (Arc::new(AppendWatch::default()), Arc::new(AtomicI64::new(0)));
        let mut waiting = tokio::task::JoinSet::new();
        for position in [7; 500] {
            let (growth, asked) = (growth.clone(), asked.clone());
            waiting.spawn(async move {
                growth
                    .wait_beyond(position, || {
                        std::future::ready(match asked.fetch_add(1, Ordering::Relaxed) {
                            10 => Err(LogError::Unavailable("for once".into())),
                            20 => Ok(8),
                            _ => Ok(7),
                        })
                    })
                    .await;
            });
        }
        let start = Instant::now();
        waiting.join_all().await;
        assert_eq!(asked.load(Ordering::Relaxed), 21);
        assert!(start.elapsed() <= 21 * MIN_BACKOFF + MAX_BACKOFF, "{:?}", start.elapsed());
        growth.wait_beyond(3, std::future::pending).await;
    }
}
