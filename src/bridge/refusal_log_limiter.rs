//! Limits the log lines of refused requests, so that a flood of forged requests does not cost more in logs than in requests.
//!
//! A later line counts the omitted ones, so the metrics count every refusal.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep};

/// Maximum number of lines of refused requests per second, of all instances of the function together.
const LINES_PER_SECOND: u32 = 10;

/// Decides which refused requests of this instance of the function have a log line.
pub struct RefusalLogLimiter {
    /// In each window of this duration, `max_lines` lines are written.
    window: Duration,
    max_lines: u32,
    state: Mutex<State>,
    /// Notified when a line is omitted.
    omission: Notify,
}

struct State {
    window_start: Instant,
    lines_in_window: u32,
    /// The number of omitted lines, by reason of the refusal.
    omitted: BTreeMap<&'static str, u64>,
}

impl RefusalLogLimiter {
    /// Creates the limiter of one instance. At most `concurrency` instances share the limit.
    pub fn new(concurrency: u32) -> Self {
        let concurrency = concurrency.max(1);
        let state = State { window_start: Instant::now(), lines_in_window: 0, omitted: BTreeMap::new() };
        Self {
            window: Duration::from_secs(1) * concurrency.div_ceil(LINES_PER_SECOND),
            max_lines: (LINES_PER_SECOND / concurrency).max(1),
            state: Mutex::new(state),
            omission: Notify::new(),
        }
    }

    /// Returns how many omitted lines the line of this refused request counts in addition, or `None` if its line is omitted, too.
    pub(super) fn admit_line(&self, reason: &'static str) -> Option<u64> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(state.window_start) >= self.window {
            state.window_start = now;
            state.lines_in_window = 0;
        }
        if state.lines_in_window < self.max_lines {
            state.lines_in_window += 1;
            return Some(state.omitted.remove(reason).unwrap_or_default());
        }
        *state.omitted.entry(reason).or_default() += 1;
        self.omission.notify_one();
        None
    }

    /// Waits until lines were omitted and no refused request has arrived for a window. Returns, by reason, the number of omitted lines
    /// that no other line has counted.
    pub(super) async fn next_omitted(&self) -> BTreeMap<&'static str, u64> {
        self.omission.notified().await;
        loop {
            sleep(self.window).await;
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let now = Instant::now();
            if now.duration_since(state.window_start) >= self.window {
                state.window_start = now;
                let omitted = std::mem::take(&mut state.omitted);
                // The next refused request has a line of its own.
                let lines = u32::try_from(omitted.len()).unwrap_or(u32::MAX);
                state.lines_in_window = lines.min(self.max_lines - 1);
                return omitted;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_has_ten_lines_a_second_which_count_all_refusals() {
        for (concurrency, instances) in [(1, 1), (10, 10), (3, 3), (100, 100)] {
            let logs: Vec<_> = (0..instances).map(|_| RefusalLogLimiter::new(concurrency)).collect();
            let (mut lines, mut counted) = (0, 0);
            for _ in 0..10_000 {
                for log in &logs {
                    if let Some(omitted) = log.admit_line("wrong-signature") {
                        lines += 1;
                        counted += 1 + omitted;
                    }
                }
                tokio::time::advance(Duration::from_millis(3)).await;
            }
            assert!((200..=310).contains(&lines), "{lines} lines in 30 s");
            for log in &logs {
                counted += log.next_omitted().await.values().sum::<u64>();
            }
            assert_eq!(counted, 10_000 * instances);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn omitted_refusals_are_counted_by_reason() {
        let log = RefusalLogLimiter::new(10);
        assert_eq!(log.admit_line("no-signature"), Some(0));
        assert_eq!(log.admit_line("no-signature"), None);
        assert_eq!(log.admit_line("wrong-signature"), None);
        tokio::time::advance(Duration::from_millis(1001)).await;
        assert_eq!(log.admit_line("no-signature"), Some(1));
        assert_eq!(log.admit_line("no-signature"), None);
        let omitted = log.next_omitted().await;
        assert_eq!(omitted, BTreeMap::from([("no-signature", 1), ("wrong-signature", 1)]));
    }
}
