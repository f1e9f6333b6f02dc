//! Long polling: a read that waits for the next events.

use tokio::time::{Duration, Instant, sleep, timeout_at};

use super::query::EventQuery;
use super::reader::{EventPage, LogReader};
use crate::api::error::ApiError;
use crate::db::DatabaseError;
use crate::log::Position;

/// The longest time that a long poll may wait: less than 30 s, after which many proxies close an idle connection.
pub const MAX_WAIT: Duration = Duration::from_secs(25);
/// The pause after the database was unavailable, before the log is queried again.
const UNAVAILABLE_PAUSE: Duration = Duration::from_secs(1);
/// The pause after a spurious wake-up, before the log is queried again.
const SPURIOUS_WAKEUP_PAUSE: Duration = Duration::from_millis(250);

/// Runs `operation` again until `deadline` while the database is unavailable, so that a client that waits for events does not notice
/// a short outage.
pub(in crate::api) async fn retry_while_unavailable<T, F>(
    deadline: Instant,
    operation: impl Fn() -> F,
) -> Result<T, ApiError>
where
    F: Future<Output = Result<T, ApiError>>,
{
    loop {
        match operation().await {
            Err(ApiError::Log(DatabaseError::Unavailable(_)))
                if Instant::now() + UNAVAILABLE_PAUSE < deadline =>
            {
                sleep(UNAVAILABLE_PAUSE).await;
            }
            result => return result,
        }
    }
}

impl LogReader {
    /// Reads the page of events from the position `from` on. If none of these events matches the query, waits until `deadline` for
    /// new events.
    pub(in crate::api) async fn page_after(
        &self,
        from: Position,
        query: &EventQuery,
        deadline: Instant,
    ) -> Result<EventPage, ApiError> {
        let mut from = from;
        loop {
            let page = retry_while_unavailable(deadline, || self.scan_forward(from, query)).await?;
            let can_return_now = !page.events.is_empty() || page.has_more;
            if can_return_now
                || timeout_at(deadline, self.log.wait_for_position(page.next_position)).await.is_err()
            {
                return Ok(page);
            }
            if page.next_position == from
                && self.log.assign_positions().await.is_ok_and(|end_position| end_position <= from)
            {
                // The wake-up was spurious: the log has no event at `from`, for example because an older backup of the log was
                // restored.
                sleep(SPURIOUS_WAKEUP_PAUSE).await;
            }
            from = page.next_position;
        }
    }
}
