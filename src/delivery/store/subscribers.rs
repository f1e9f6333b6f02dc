//! Persistence for subscribers and their health.

use jiff::{SignedDuration, Timestamp};

use super::DeliveryStore;
use crate::delivery::subscriber::{
    Pause, StoredSecret, Subscriber, SubscriberHealth, SubscriberId, SubscriberSettings,
};
use crate::log::{LogError, Row, SqlExecutor, SqlValue, Statement};

const COLUMNS: &str =
    "id, name, url, settings, secrets, state, created, failures, failing_since, open_until, told,
     paused, paused_why, version";
/// Increments the revision, which invalidates subscriber caches.
const INCREMENT_REVISION: &str = "update {log}dispatch set revision = revision + 1";

/// Consecutive failures for this long, and more than one, count as an outage.
const MIN_OUTAGE: SignedDuration = SignedDuration::from_mins(10);
/// The shortest time between two immediate retries of a recovered subscriber's whole backlog.
const BACKLOG_FLUSH_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// Consecutive failures of a subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureStreak {
    pub failures: i64,
    pub since: Timestamp,
    /// The part of the failure budget that was reported, in percent; -1 while a recovery is still to be reported.
    pub reported_percent: i64,
}

/// A subscriber's state before an attempt that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub had_failures: bool,
    /// Whether a failure or a resumption was reported and the recovery was not.
    pub needs_event: bool,
}

impl<S: SqlExecutor> DeliveryStore<S> {
    /// Increases with every change of a subscriber.
    pub async fn revision(&self) -> Result<i64, LogError> {
        let rows = self.db.query("select revision from {log}dispatch", vec![]).await?;
        rows.first().map_or(Ok(0), |row| row.number(0))
    }

    /// Adds a subscriber; `None` if its name is taken.
    pub async fn add_subscriber(
        &self,
        name: &str,
        url: &str,
        settings: &SubscriberSettings,
        secrets: &[StoredSecret],
        now: Timestamp,
    ) -> Result<Option<SubscriberId>, LogError> {
        let sql =
            "insert into {log}subscribers (name, url, settings, secrets, created) values ($1, $2, $3, $4, $5)
            on conflict (name) do nothing returning id";
        let values = vec![name.into(), url.into(), json_value(settings)?, json_value(secrets)?, now.into()];
        let rows = self.change_subscriber(Statement::new(sql, values)).await?;
        rows.first().map(|row| row.number(0)).transpose()
    }

    /// The subscriber of this name, or all of them.
    pub async fn list_subscribers(&self, name: Option<&str>) -> Result<Vec<Subscriber>, LogError> {
        let (condition, values) = match name {
            Some(name) => ("where state <> 'deleted' and name = $1", vec![name.into()]),
            None => ("where state <> 'deleted' order by name", vec![]),
        };
        let rows =
            self.db.query(&format!("select {COLUMNS} from {{log}}subscribers {condition}"), values).await?;
        rows.into_iter().map(subscriber_from_row).collect()
    }

    /// Subscribers that get no attempts now: paused, or with an open circuit.
    pub async fn list_inactive_subscribers(&self) -> Result<Vec<SubscriberId>, LogError> {
        let sql = "select id from {log}subscribers where state <> 'active' or open_until is not null";
        self.db.query(sql, vec![]).await?.iter().map(|row| row.number(0)).collect()
    }

    /// Stores the URL, settings and secrets of a subscriber. Returns false, and stores nothing, if a concurrent update was first:
    /// the stored version is no longer `subscriber.version`.
    pub async fn update_subscriber(&self, subscriber: &Subscriber) -> Result<bool, LogError> {
        let sql = "update {log}subscribers set url = $2, settings = $3, secrets = $4, version = version + 1
            where id = $1 and version = $5 returning id";
        let values = vec![
            subscriber.id.into(),
            subscriber.url.as_str().into(),
            json_value(&subscriber.settings)?,
            json_value(&subscriber.secrets)?,
            subscriber.version.into(),
        ];
        Ok(!self.change_subscriber(Statement::new(sql, values)).await?.is_empty())
    }

    /// Stops sending to a subscriber; its deliveries stay pending. Returns false if it is paused already.
    pub async fn pause_subscriber(
        &self,
        id: SubscriberId,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, LogError> {
        let sql = "update {log}subscribers set state = 'paused', paused = $2, paused_why = $3
            where id = $1 and state = 'active' returning id";
        let values = vec![id.into(), now.into(), reason.into()];
        Ok(!self.change_subscriber(Statement::new(sql, values)).await?.is_empty())
    }

    /// Resumes a subscriber with a clean failure count and all pending deliveries due; its recovery is reported after its next
    /// success. Returns false if it is not paused.
    pub async fn resume_subscriber(&self, id: SubscriberId, now: Timestamp) -> Result<bool, LogError> {
        let sql = "update {log}subscribers set state = 'active', paused = null, paused_why = null, failures = 0, failing_since = null, open_until = null,
              told = -1, releasing = $2
            where id = $1 and state = 'paused' returning id";
        Ok(!self.change_subscriber(Statement::new(sql, vec![id.into(), now.into()])).await?.is_empty())
    }

    /// Whether a subscriber has this name. A deleted subscriber's name carries its id.
    pub async fn has_subscriber(&self, name: &str) -> Result<bool, LogError> {
        let sql = "select id from {log}subscribers where name = $1";
        Ok(!self.db.query(sql, vec![name.into()]).await?.is_empty())
    }

    /// Deletes a subscriber and cancels its pending deliveries. Its attempts stay recorded.
    pub async fn delete_subscriber(&self, id: SubscriberId) -> Result<(), LogError> {
        let statements = vec![
            // Recorded deliveries still refer to the row.
            Statement::new(
                "update {log}subscribers set state = 'deleted', secrets = '[]', name = name || ' (deleted ' || id || ')' where id = $1",
                vec![id.into()],
            ),
            Statement::new(
                "update {log}deliveries set state = 'cancelled', held = null where subscriber = $1 and state = 'waiting'",
                vec![id.into()],
            ),
            Statement::new(INCREMENT_REVISION, vec![]),
        ];
        self.db.execute_transaction(statements).await.map(drop)
    }

    /// Adds consecutive failures; from `threshold` on, the circuit is open until `open_until`.
    pub async fn record_failures(
        &self,
        id: SubscriberId,
        failures: i64,
        since: Timestamp,
        (threshold, open_until): (i64, Timestamp),
    ) -> Result<Option<FailureStreak>, LogError> {
        let sql = "update {log}subscribers set failures = failures + $2, failing_since = coalesce(failing_since, $3),
              open_until = case when failures + $2 >= $4 then $5 end
            where id = $1 returning failures, failing_since, told";
        let values = vec![id.into(), failures.into(), since.into(), threshold.into(), open_until.into()];
        let rows = self.db.query(sql, values).await?;
        let to_streak = |row: &Row| {
            Ok(FailureStreak {
                failures: row.number(0)?,
                since: row.time(1)?,
                reported_percent: row.number(2)?,
            })
        };
        rows.first().map(to_streak).transpose()
    }

    /// Records a success; `None` if there were no failures and nothing is to be reported. After an outage, the deliveries that
    /// failed during it are retried at once.
    pub async fn record_recovery(
        &self,
        id: SubscriberId,
        now: Timestamp,
    ) -> Result<Option<Recovery>, LogError> {
        let sql =
            "select failing_since, case when state = 'active' then told else 0 end from {log}subscribers
            where id = $1 and (failing_since is not null or told <> 0 and state = 'active')";
        let rows = self.db.query(sql, vec![id.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let recovery =
            Recovery { had_failures: row.optional_number(0)?.is_some(), needs_event: row.number(1)? != 0 };
        if !recovery.had_failures {
            return Ok(Some(recovery));
        }
        // Isolated failures do not trigger a backlog flush.
        let sql = "update {log}subscribers set failures = 0, failing_since = null, open_until = null,
              told = case when told <> 0 and state = 'active' then -1 else told end,
              releasing = case when (open_until is not null or failures > 1 and failing_since <= $3)
                and (released is null or released <= $4) then $2 else releasing end,
              released = case when (open_until is not null or failures > 1 and failing_since <= $3)
                and (released is null or released <= $4) then $2 else released end
            where id = $1 and failing_since is not null returning id";
        let ago = |time: SignedDuration| now.checked_sub(time).unwrap_or(now);
        let values = vec![id.into(), now.into(), ago(MIN_OUTAGE).into(), ago(BACKLOG_FLUSH_INTERVAL).into()];
        Ok((!self.db.query(sql, values).await?.is_empty()).then_some(recovery))
    }

    pub async fn mark_recovery_reported(&self, id: SubscriberId) -> Result<(), LogError> {
        let sql = "update {log}subscribers set told = 0 where id = $1 and told = -1";
        self.db.query(sql, vec![id.into()]).await.map(drop)
    }

    /// Marks a part of the failure budget as reported.
    pub async fn mark_reported(&self, id: SubscriberId, percent: i64) -> Result<(), LogError> {
        let sql = "update {log}subscribers set told = $2
            where id = $1 and told < $2 and (failing_since is not null or state = 'paused')";
        self.db.query(sql, vec![id.into(), percent.into()]).await.map(drop)
    }

    /// Acquires the probe of a subscriber whose circuit is half-open, and opens the circuit for another `open_duration`. Returns
    /// false if another worker has acquired the probe.
    pub async fn acquire_probe(
        &self,
        id: SubscriberId,
        now: Timestamp,
        open_duration: SignedDuration,
    ) -> Result<bool, LogError> {
        let next_probe = now.checked_add(open_duration).unwrap_or(now);
        let sql =
            "update {log}subscribers set open_until = $3 where id = $1 and open_until <= $2 returning id";
        Ok(!self.db.query(sql, vec![id.into(), now.into(), next_probe.into()]).await?.is_empty())
    }

    /// Runs a statement that changes a subscriber, and increments the revision.
    async fn change_subscriber(&self, statement: Statement) -> Result<Vec<Row>, LogError> {
        let mut results =
            self.db.execute_transaction(vec![statement, Statement::new(INCREMENT_REVISION, vec![])]).await?;
        Ok(if results.is_empty() { Vec::new() } else { results.swap_remove(0) })
    }
}

fn json_value(value: &(impl serde::Serialize + ?Sized)) -> Result<SqlValue, LogError> {
    serde_json::to_string(value).map(SqlValue::from).map_err(|error| LogError::Rejected(error.to_string()))
}

fn subscriber_from_row(mut row: Row) -> Result<Subscriber, LogError> {
    let unreadable = |field: &str| LogError::Rejected(format!("the {field} of a subscriber cannot be read"));
    Ok(Subscriber {
        id: row.number(0)?,
        name: row.text(1)?,
        url: row.text(2)?,
        settings: serde_json::from_str(&row.text(3)?).map_err(|_| unreadable("settings"))?,
        secrets: serde_json::from_str(&row.text(4)?).map_err(|_| unreadable("secrets"))?,
        paused: match row.text(5)?.as_str() {
            "active" => None,
            _ => Some(Pause { since: row.optional_time(11)?, reason: row.optional_text(12)? }),
        },
        created: row.time(6)?,
        health: SubscriberHealth {
            failures: row.number(7)?,
            failing_since: row.optional_time(8)?,
            open_until: row.optional_time(9)?,
            reported_percent: row.number(10)?,
        },
        version: row.number(13)?,
    })
}
