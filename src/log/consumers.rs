//! Named consumers: readers whose cursor is stored in the log.
//!
//! One reader at a time holds the lease of a consumer. A reader that does not acknowledge its events before its lease expires
//! leaves them to the next reader, which receives the same events. So each event is delivered at least once.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::EventLog;
use super::order::{Bounds, Position};
use crate::db::{DatabaseError, Row, SqlDialect};

/// A named consumer and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// The name of the consumer.
    pub name: String,
    /// The position of the first event that the consumer has not acknowledged.
    pub position: Position,
    /// When the current lease expires; `None` without a lease.
    pub leased_until: Option<Timestamp>,
    /// The time of the consumer's last acknowledgement; `None` before the first one.
    pub acknowledged_at: Option<Timestamp>,
}

/// How far a consumer has fallen behind the end of the log.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Lag {
    /// The number of stored events that the consumer has not acknowledged.
    pub events: i64,
    /// The seconds since the oldest unacknowledged event was recorded; 0 if every event is acknowledged.
    pub seconds: f64,
}

impl Consumer {
    /// Computes how far the consumer is behind the end of `log`, whose bounds the caller has read.
    ///
    /// # Errors
    /// The database failed, see [`DatabaseError`].
    pub async fn lag(&self, log: &EventLog, bounds: Bounds) -> Result<Lag, DatabaseError> {
        let Bounds { first_position, end_position } = bounds;
        let events = (end_position - self.position.max(first_position)).max(0);
        let recorded_at = if events > 0 { log.recorded_at(self.position).await? } else { None };
        let age = recorded_at.map(|time| Timestamp::now().duration_since(time).as_secs_f64().max(0.0));
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

/// Operations on named consumers. If the database fails, a method returns the database's error.
impl EventLog {
    /// Creates a consumer that starts at `position`, unless a consumer with this name exists. Returns whether it was created.
    pub async fn create_consumer(&self, name: &str, position: Position) -> Result<bool, DatabaseError> {
        let SqlDialect { schema, now, .. } = self.database().dialect();
        let sql = format!(
            "insert into {schema}consumers (name, position, created) values ($1, $2, {now})
             on conflict (name) do nothing returning name"
        );
        let rows = self.database().execute(sql, vec![name.into(), position.into()]).await?;
        Ok(!rows.is_empty())
    }

    /// Returns how far each consumer is behind, by the consumer's name.
    pub async fn consumer_lags(&self) -> Result<BTreeMap<String, Lag>, DatabaseError> {
        let (bounds, mut lags) = (self.bounds().await?, BTreeMap::new());
        for consumer in self.find_consumers(None).await? {
            let lag = consumer.lag(self, bounds).await?;
            lags.insert(consumer.name, lag);
        }
        Ok(lags)
    }

    /// Returns the consumer with this name, or all consumers if `name` is `None`.
    pub async fn find_consumers(&self, name: Option<&str>) -> Result<Vec<Consumer>, DatabaseError> {
        let SqlDialect { schema, now, .. } = self.database().dialect();
        let (clause, values) = match name {
            Some(name) => ("where name = $1", vec![name.into()]),
            None => ("order by name", vec![]),
        };
        let sql = format!(
            "select name, position, case when leased_until > {now} then leased_until end as leased_until, acknowledged
             from {schema}consumers {clause}"
        );
        self.database().query(sql, values).await?.iter().map(consumer_from_row).collect()
    }

    /// Deletes a consumer. Returns whether it existed.
    pub async fn delete_consumer(&self, name: &str) -> Result<bool, DatabaseError> {
        let SqlDialect { schema, .. } = self.database().dialect();
        let sql = format!("delete from {schema}consumers where name = $1 returning name");
        Ok(!self.database().execute(sql, vec![name.into()]).await?.is_empty())
    }

    /// Acquires the lease of a consumer for `duration`, unless another reader holds it. The new lease gets the id `lease_id`.
    pub async fn acquire_lease(
        &self,
        name: &str,
        lease_id: &str,
        duration: Duration,
    ) -> Result<LeaseOutcome, DatabaseError> {
        let SqlDialect { schema, now, .. } = self.database().dialect();
        let sql = format!(
            "update {schema}consumers set lease = $2, leased_until = {now} + $3
             where name = $1 and (leased_until is null or leased_until <= {now}) returning position"
        );
        let lease_micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX / 2);
        let rows =
            self.database().execute(sql, vec![name.into(), lease_id.into(), lease_micros.into()]).await?;
        rows.first()
            .map_or(Ok(LeaseOutcome::AlreadyLeased), |row| row.get("position").map(LeaseOutcome::Acquired))
    }

    /// Moves a consumer forward to a position, never back, and releases the lease. Returns false, and changes nothing, if
    /// `lease_id` is no longer the id of the consumer's lease.
    pub async fn acknowledge(
        &self,
        name: &str,
        lease_id: &str,
        position: Position,
    ) -> Result<bool, DatabaseError> {
        let SqlDialect { schema, now, .. } = self.database().dialect();
        // The row keeps the lease id, so that repeating the acknowledgement succeeds and changes no position.
        let sql = format!(
            "update {schema}consumers set leased_until = null, acknowledged = {now},
               position = case when position < $3 then $3 else position end
             where name = $1 and lease = $2 returning name"
        );
        let values = vec![name.into(), lease_id.into(), position.into()];
        Ok(!self.database().execute(sql, values).await?.is_empty())
    }

    /// Moves a consumer forward or back to a position and revokes its current lease. Returns false when the consumer does not
    /// exist.
    pub async fn seek(&self, name: &str, position: Position) -> Result<bool, DatabaseError> {
        let SqlDialect { schema, .. } = self.database().dialect();
        let sql = format!(
            "update {schema}consumers set position = $2, lease = null, leased_until = null where name = $1
             returning name"
        );
        Ok(!self.database().execute(sql, vec![name.into(), position.into()]).await?.is_empty())
    }
}

fn consumer_from_row(row: &Row) -> Result<Consumer, DatabaseError> {
    Ok(Consumer {
        name: row.get("name")?,
        position: row.get("position")?,
        leased_until: row.get("leased_until")?,
        acknowledged_at: row.get("acknowledged")?,
    })
}
