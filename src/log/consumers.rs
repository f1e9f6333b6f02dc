//! Named consumers: readers whose cursor is stored in the log.
//!
//! One reader at a time holds the lease of a consumer. It reads events and acknowledges them before the lease expires;
//! otherwise the next reader receives the same events. So each event is delivered at least once.

use std::time::Duration;

use jiff::Timestamp;

use super::LogError;
use super::order::{Bounds, EventReader, Position};
use super::statements::{Row, SqlExecutor};

/// A named consumer and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The name of the consumer.
    pub name: String,
    /// The position of the first event that it has not acknowledged.
    pub position: Position,
    /// When the current lease expires; `None` without a lease.
    pub leased_until: Option<Timestamp>,
    /// The time of its last acknowledgement.
    pub acknowledged_at: Option<Timestamp>,
}

/// How far a consumer is behind the end of the log.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// The number of stored events that the consumer has not acknowledged.
    pub events: i64,
    /// The age in seconds of the oldest of these events, since it was recorded; 0 without such events.
    pub seconds: f64,
}

impl Consumer {
    /// Computes the lag in a log with these bounds.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    pub async fn lag(&self, log: &impl EventReader, bounds: Bounds) -> Result<Lag, LogError> {
        let Bounds { first_position: first, end_position: end } = bounds;
        let events = (end - self.position.max(first)).max(0);
        let oldest = if events > 0 { log.recorded_at(self.position).await? } else { None };
        let age = oldest.map(|oldest| Timestamp::now().duration_since(oldest).as_secs_f64().max(0.0));
        Ok(Lag { events, seconds: age.unwrap_or(0.0) })
    }
}

/// Result of a lease request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// The lease was acquired; the consumer is at this position.
    Acquired(Position),
    /// Another reader holds the lease, or the consumer does not exist.
    AlreadyLeased,
}

/// The columns of a [`Consumer`] in a `select`.
const COLUMNS: &str = "name, position, case when leased_until > {now} then leased_until end, acknowledged";

/// Stores named consumers.
pub trait ConsumerStore: SqlExecutor {
    /// Creates a consumer at a position, unless the name exists. Returns whether it was created.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn create_consumer(
        &self,
        name: &str,
        position: Position,
    ) -> impl Future<Output = Result<bool, LogError>> + Send {
        async move {
            let sql = "insert into {log}consumers (name, position, created) values ($1, $2, {now})
                on conflict (name) do nothing returning name, position, leased_until, acknowledged";
            let rows = self.query(sql, vec![name.into(), position.into()]).await?;
            Ok(!rows.is_empty())
        }
    }

    /// Returns the consumer with this name, or all consumers without a name.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn find_consumers(
        &self,
        name: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Consumer>, LogError>> + Send {
        async move {
            let (clause, values) = match name {
                Some(name) => ("where name = $1", vec![name.into()]),
                None => ("order by name", vec![]),
            };
            let rows =
                self.query(&format!("select {COLUMNS} from {{log}}consumers {clause}"), values).await?;
            rows.into_iter().map(consumer_from_row).collect()
        }
    }

    /// Deletes a consumer. Returns whether it existed.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn delete_consumer(&self, name: &str) -> impl Future<Output = Result<bool, LogError>> + Send {
        async move {
            let sql = "delete from {log}consumers where name = $1 returning name, position, leased_until, acknowledged";
            Ok(!self.query(sql, vec![name.into()]).await?.is_empty())
        }
    }

    /// Acquires the lease `lease` of a consumer for `duration`, unless another reader holds one.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn acquire_lease(
        &self,
        name: &str,
        lease: &str,
        duration: Duration,
    ) -> impl Future<Output = Result<LeaseOutcome, LogError>> + Send {
        async move {
            let sql = "update {log}consumers set lease = $2, leased_until = {now} + $3
                where name = $1 and (leased_until is null or leased_until <= {now})
                returning name, position, leased_until, acknowledged";
            let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 2);
            let values = vec![name.into(), lease.into(), micros.into()];
            let rows = self.query(sql, values).await?;
            rows.first()
                .map_or(Ok(LeaseOutcome::AlreadyLeased), |row| row.number(1).map(LeaseOutcome::Acquired))
        }
    }

    /// Moves a consumer forward to a position, never back, and releases the lease. Returns false when another
    /// reader has acquired the lease meanwhile.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn acknowledge(
        &self,
        name: &str,
        lease: &str,
        position: Position,
    ) -> impl Future<Output = Result<bool, LogError>> + Send {
        async move {
            // The lease id stays, so a repeated acknowledgement is idempotent.
            let sql = "update {log}consumers set leased_until = null, acknowledged = {now},
                  position = case when position < $3 then $3 else position end
                where name = $1 and lease = $2 returning name, position, leased_until, acknowledged";
            let values = vec![name.into(), lease.into(), position.into()];
            Ok(!self.query(sql, values).await?.is_empty())
        }
    }

    /// Moves a consumer to a position and revokes the current lease. Returns false when the consumer does not exist.
    ///
    /// # Errors
    /// The database failed, see [`LogError`].
    fn seek(&self, name: &str, position: Position) -> impl Future<Output = Result<bool, LogError>> + Send {
        async move {
            let sql =
                "update {log}consumers set position = $2, lease = null, leased_until = null where name = $1
                returning name, position, leased_until, acknowledged";
            let rows = self.query(sql, vec![name.into(), position.into()]).await?;
            Ok(!rows.is_empty())
        }
    }
}

impl<S: SqlExecutor> ConsumerStore for S {}

fn consumer_from_row(mut row: Row) -> Result<Consumer, LogError> {
    Ok(Consumer {
        name: row.text(0)?,
        position: row.number(1)?,
        leased_until: row.optional_time(2)?,
        acknowledged_at: row.optional_time(3)?,
    })
}
