//! Named consumers: readers whose place in the log is kept with the log.
//!
//! One reader at a time has events of a consumer in hand: it holds the consumer's lease until it has acknowledged them or
//! its time is over. Then the same events are handed out again, so each is handed out at least once.

use std::time::Duration;

use jiff::Timestamp;

use super::LogError;
use super::order::{Bounds, EventReader, Position};
use super::statements::{Row, SqlExecutor};

/// A reader by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its name.
    pub name: String,
    /// The position of the first event that it has not acknowledged.
    pub position: Position,
    /// Until when somebody has events of it in hand; `None` when nobody has.
    pub leased_until: Option<Timestamp>,
    /// When it acknowledged events last.
    pub acknowledged_at: Option<Timestamp>,
}

/// How far a consumer is behind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lag {
    /// Events that are kept and not acknowledged.
    pub events: i64,
    /// For how long the oldest of them has been recorded.
    pub seconds: f64,
}

impl Consumer {
    /// How far it is behind in a log that keeps this much.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn lag(&self, log: &impl EventReader, bounds: Bounds) -> Result<Lag, LogError> {
        let Bounds { first, end } = bounds;
        let events = (end - self.position.max(first)).max(0);
        let oldest = if events > 0 { log.recorded_at(self.position).await? } else { None };
        let age = oldest.map(|oldest| Timestamp::now().duration_since(oldest).as_secs_f64().max(0.0));
        Ok(Lag { events, seconds: age.unwrap_or(0.0) })
    }
}

/// Result of a lease request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseOutcome {
    /// It is there; the consumer is at this position.
    Acquired(Position),
    /// Somebody else has it.
    AlreadyLeased,
}

/// The columns of a [`Consumer`].
const COLUMNS: &str = "name, position, case when leased_until > {now} then leased_until end, acknowledged";

/// Keeps named consumers.
pub trait ConsumerStore: SqlExecutor {
    /// Makes a consumer at a position, unless there is one of this name; says whether it was made.
    ///
    /// # Errors
    /// [`LogError`].
    fn create_consumer(
        &self,
        name: &str,
        position: Position,
    ) -> impl Future<Output = Result<bool, LogError>> + Send {
        async move {
            let sql = "insert into {log}consumers (name, position, created) values ($1, $2, {now})
                on conflict (name) do nothing returning name, position, leased_until, acknowledged";
            let made = self.query(sql, vec![name.into(), position.into()]).await?;
            Ok(!made.is_empty())
        }
    }

    /// A consumer; all of them without a name.
    ///
    /// # Errors
    /// [`LogError`].
    fn find_consumers(
        &self,
        name: Option<&str>,
    ) -> impl Future<Output = Result<Vec<Consumer>, LogError>> + Send {
        async move {
            let (which, values) = match name {
                Some(name) => ("where name = $1", vec![name.into()]),
                None => ("order by name", vec![]),
            };
            let rows = self.query(&format!("select {COLUMNS} from {{log}}consumers {which}"), values).await?;
            rows.into_iter().map(consumer).collect()
        }
    }

    /// Removes a consumer; says whether there was one.
    ///
    /// # Errors
    /// [`LogError`].
    fn delete_consumer(&self, name: &str) -> impl Future<Output = Result<bool, LogError>> + Send {
        async move {
            let sql = "delete from {log}consumers where name = $1 returning name, position, leased_until, acknowledged";
            Ok(!self.query(sql, vec![name.into()]).await?.is_empty())
        }
    }

    /// Takes the lease of a consumer for some time, when nobody has it.
    ///
    /// # Errors
    /// [`LogError`].
    fn acquire_lease(
        &self,
        name: &str,
        lease: &str,
        time: Duration,
    ) -> impl Future<Output = Result<LeaseOutcome, LogError>> + Send {
        async move {
            let sql = "update {log}consumers set lease = $2, leased_until = {now} + $3
                where name = $1 and (leased_until is null or leased_until <= {now})
                returning name, position, leased_until, acknowledged";
            let time = i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 2);
            let values = vec![name.into(), lease.into(), time.into()];
            let leased = self.query(sql, values).await?;
            leased
                .first()
                .map_or(Ok(LeaseOutcome::AlreadyLeased), |row| row.number(1).map(LeaseOutcome::Acquired))
        }
    }

    /// Moves a consumer on to a position, never back, and gives up the lease; false when the lease was given to another since.
    ///
    /// # Errors
    /// [`LogError`].
    fn acknowledge(
        &self,
        name: &str,
        lease: &str,
        position: Position,
    ) -> impl Future<Output = Result<bool, LogError>> + Send {
        async move {
            // The lease is kept: who repeats an acknowledgement whose answer was lost is told the same.
            let sql = "update {log}consumers set leased_until = null, acknowledged = {now},
                  position = case when position < $3 then $3 else position end
                where name = $1 and lease = $2 returning name, position, leased_until, acknowledged";
            let values = vec![name.into(), lease.into(), position.into()];
            Ok(!self.query(sql, values).await?.is_empty())
        }
    }

    /// Puts a consumer at a position, and ends whatever lease there is; false when there is no such consumer.
    ///
    /// # Errors
    /// [`LogError`].
    fn seek(&self, name: &str, position: Position) -> impl Future<Output = Result<bool, LogError>> + Send {
        async move {
            let sql =
                "update {log}consumers set position = $2, lease = null, leased_until = null where name = $1
                returning name, position, leased_until, acknowledged";
            let sought = self.query(sql, vec![name.into(), position.into()]).await?;
            Ok(!sought.is_empty())
        }
    }
}

impl<S: SqlExecutor> ConsumerStore for S {}

fn consumer(mut row: Row) -> Result<Consumer, LogError> {
    Ok(Consumer {
        name: row.text(0)?,
        position: row.number(1)?,
        leased_until: row.optional_time(2)?,
        acknowledged_at: row.optional_time(3)?,
    })
}
