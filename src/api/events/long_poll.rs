//! Long polling: a read that waits for the next events.

use tokio::time::{Duration, Instant, sleep, timeout_at};

use super::query::EventQuery;
use super::reader::{EventPage, LogReader};
use crate::api::error::ApiError;
use crate::log::Position;

/// The longest long poll. Below the idle timeout of 30 s that many proxies have.
pub const MAX_WAIT: Duration = Duration::from_secs(25);
/// The pause after a spurious wake-up, before the next query.
const DATABASE_POLL_INTERVAL: Duration = Duration::from_millis(250);

impl LogReader {
    /// The page after a position; if it is empty, waits for events up to `query.wait`.
    pub(in crate::api) async fn page_after(
        &self,
        from: Position,
        query: &EventQuery,
    ) -> Result<EventPage, ApiError> {
        let deadline = Instant::now() + query.wait;
        let mut from = from;
        loop {
            let page = self.scan_forward(from, query).await?;
            let is_complete = !page.events.is_empty() || page.has_more;
            if is_complete
                || timeout_at(deadline, self.log.wait_for_position(page.next_position)).await.is_err()
            {
                return Ok(page);
            }
            if page.next_position == from && self.log.assign_positions().await? <= from {
                // Spurious wake-up; the log may have been restored from a backup.
                sleep(DATABASE_POLL_INTERVAL).await;
            }
            from = page.next_position;
        }
    }
}
