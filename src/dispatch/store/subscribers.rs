//! Persistence for subscribers and their health.

use jiff::{SignedDuration, Timestamp};

use super::Store;
use crate::dispatch::subscriber::{Health, Kept, Pause, Settings, Subscriber, SubscriberId};
use crate::log::{LogError, Row, SqlExecutor, SqlValue, Statement};

const COLUMNS: &str =
    "id, name, url, settings, secrets, state, created, failures, failing_since, open_until, told,
     paused, paused_why, version";
/// Bumps the revision, which invalidates subscriber caches.
const CHANGED: &str = "update {log}dispatch set revision = revision + 1";

/// When every attempt has failed for so long, and more than one has, it was an outage.
const OUTAGE: SignedDuration = SignedDuration::from_mins(10);
/// How often what failed is tried at once, at most.
const RELEASED_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// A subscriber after an attempt that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// Attempts that failed in a row.
    pub failures: i64,
    /// Since when.
    pub since: Timestamp,
    /// The part of the failure budget that was told of, in percent; -1 where it is still to be told that it was well before.
    pub told: i64,
}

/// A subscriber after an attempt that was good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovered {
    /// Whether attempts had failed before.
    pub failed: bool,
    /// Whether somebody was told of that, or that it was resumed, and not yet that it is well again.
    pub is_to_be_told: bool,
}

impl<S: SqlExecutor> Store<S> {
    /// A number that grows with every change of a subscriber.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn revision(&self) -> Result<i64, LogError> {
        let rows = self.db.query("select revision from {log}dispatch", vec![]).await?;
        rows.first().map_or(Ok(0), |row| row.number(0))
    }

    /// Adds a subscriber; `None` when there is one of its name.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn add(
        &self,
        name: &str,
        url: &str,
        settings: &Settings,
        secrets: &[Kept],
        now: Timestamp,
    ) -> Result<Option<SubscriberId>, LogError> {
        let sql =
            "insert into {log}subscribers (name, url, settings, secrets, created) values ($1, $2, $3, $4, $5)
            on conflict (name) do nothing returning id";
        let values = vec![name.into(), url.into(), json(settings)?, json(secrets)?, now.into()];
        let done = self.changed(Statement::new(sql, values)).await?;
        done.first().map(|row| row.number(0)).transpose()
    }

    /// Subscribers; the one of a name, or all of them.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn subscribers(&self, name: Option<&str>) -> Result<Vec<Subscriber>, LogError> {
        let (which, values) = match name {
            Some(name) => ("where state <> 'deleted' and name = $1", vec![name.into()]),
            None => ("where state <> 'deleted' order by name", vec![]),
        };
        let rows =
            self.db.query(&format!("select {COLUMNS} from {{log}}subscribers {which}"), values).await?;
        rows.into_iter().map(subscriber).collect()
    }

    /// Those among the subscribers to whom nothing is sent at `now`: they are paused, or too much has failed.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn resting(&self) -> Result<Vec<SubscriberId>, LogError> {
        let sql = "select id from {log}subscribers where state <> 'active' or open_until is not null";
        self.db.query(sql, vec![]).await?.iter().map(|row| row.number(0)).collect()
    }

    /// Stores the URL, settings and secrets of a subscriber. Returns false, and stores nothing, when another update came
    /// first: the stored version is no longer `subscriber.version`.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn update(&self, subscriber: &Subscriber) -> Result<bool, LogError> {
        let sql = "update {log}subscribers set url = $2, settings = $3, secrets = $4, version = version + 1
            where id = $1 and version = $5 returning id";
        let values = vec![
            subscriber.id.into(),
            subscriber.url.as_str().into(),
            json(&subscriber.settings)?,
            json(&subscriber.secrets)?,
            subscriber.version.into(),
        ];
        Ok(!self.changed(Statement::new(sql, values)).await?.is_empty())
    }

    /// Stops sending to a subscriber; what it is owed waits. False when it is paused already.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn pause(&self, id: SubscriberId, why: &str, now: Timestamp) -> Result<bool, LogError> {
        let sql = "update {log}subscribers set state = 'paused', paused = $2, paused_why = $3
            where id = $1 and state = 'active' returning id";
        let values = vec![id.into(), now.into(), why.into()];
        Ok(!self.changed(Statement::new(sql, values)).await?.is_empty())
    }

    /// Begins again, with all that waits and as if nothing had failed; that it receives again is told of when it does. False when
    /// it is not paused.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn resume(&self, id: SubscriberId, now: Timestamp) -> Result<bool, LogError> {
        let sql = "update {log}subscribers set state = 'active', paused = null, paused_why = null, failures = 0, failing_since = null, open_until = null,
              told = -1, releasing = $2
            where id = $1 and state = 'paused' returning id";
        Ok(!self.changed(Statement::new(sql, vec![id.into(), now.into()])).await?.is_empty())
    }

    /// Whether there is, or was, a subscriber of this name; who is deleted has another one by then.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn is_known(&self, name: &str) -> Result<bool, LogError> {
        let sql = "select id from {log}subscribers where name = $1";
        Ok(!self.db.query(sql, vec![name.into()]).await?.is_empty())
    }

    /// Removes a subscriber; what it was owed is cancelled. What was tried stays on record.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn remove(&self, id: SubscriberId) -> Result<(), LogError> {
        let statements = vec![
            // What is on record stays somebody's.
            Statement::new(
                "update {log}subscribers set state = 'deleted', secrets = '[]', name = name || ' (deleted ' || id || ')' where id = $1",
                vec![id.into()],
            ),
            Statement::new(
                "update {log}deliveries set state = 'cancelled', held = null where subscriber = $1 and state = 'waiting'",
                vec![id.into()],
            ),
            Statement::new(CHANGED, vec![]),
        ];
        self.db.execute_transaction(statements).await.map(drop)
    }

    /// Notes that attempts at a subscriber failed, so many since one was good; from `most` on nothing is tried until `open_until`.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn failed(
        &self,
        id: SubscriberId,
        failures: i64,
        since: Timestamp,
        (most, open_until): (i64, Timestamp),
    ) -> Result<Option<Failing>, LogError> {
        let sql = "update {log}subscribers set failures = failures + $2, failing_since = coalesce(failing_since, $3),
              open_until = case when failures + $2 >= $4 then $5 end
            where id = $1 returning failures, failing_since, told";
        let values = vec![id.into(), failures.into(), since.into(), most.into(), open_until.into()];
        let rows = self.db.query(sql, values).await?;
        let failing =
            |row: &Row| Ok(Failing { failures: row.number(0)?, since: row.time(1)?, told: row.number(2)? });
        rows.first().map(failing).transpose()
    }

    /// Notes that an attempt at a subscriber was good; `None` when none had failed and there is nothing to tell. After an outage
    /// what these left is tried at once.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn recovered(&self, id: SubscriberId, now: Timestamp) -> Result<Option<Recovered>, LogError> {
        let sql =
            "select failing_since, case when state = 'active' then told else 0 end from {log}subscribers
            where id = $1 and (failing_since is not null or told <> 0 and state = 'active')";
        let rows = self.db.query(sql, vec![id.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let recovered =
            Recovered { failed: row.optional_number(0)?.is_some(), is_to_be_told: row.number(1)? != 0 };
        if !recovered.failed {
            return Ok(Some(recovered));
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
        let values = vec![id.into(), now.into(), ago(OUTAGE).into(), ago(RELEASED_EVERY).into()];
        Ok((!self.db.query(sql, values).await?.is_empty()).then_some(recovered))
    }

    /// Notes that it was told that a subscriber is well again.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn told_of_recovery(&self, id: SubscriberId) -> Result<(), LogError> {
        let sql = "update {log}subscribers set told = 0 where id = $1 and told = -1";
        self.db.query(sql, vec![id.into()]).await.map(drop)
    }

    /// Notes which part of a failure budget was told of.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn told(&self, id: SubscriberId, percent: i64) -> Result<(), LogError> {
        let sql = "update {log}subscribers set told = $2
            where id = $1 and told < $2 and (failing_since is not null or state = 'paused')";
        self.db.query(sql, vec![id.into(), percent.into()]).await.map(drop)
    }

    /// Acquires the half-open probe slot of a subscriber.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn probe(
        &self,
        id: SubscriberId,
        now: Timestamp,
        pause: SignedDuration,
    ) -> Result<bool, LogError> {
        let next = now.checked_add(pause).unwrap_or(now);
        let sql =
            "update {log}subscribers set open_until = $3 where id = $1 and open_until <= $2 returning id";
        Ok(!self.db.query(sql, vec![id.into(), now.into(), next.into()]).await?.is_empty())
    }

    /// Runs what changes a subscriber.
    async fn changed(&self, statement: Statement) -> Result<Vec<Row>, LogError> {
        let mut done = self.db.execute_transaction(vec![statement, Statement::new(CHANGED, vec![])]).await?;
        Ok(if done.is_empty() { Vec::new() } else { done.swap_remove(0) })
    }
}

fn json(value: &(impl serde::Serialize + ?Sized)) -> Result<SqlValue, LogError> {
    serde_json::to_string(value).map(SqlValue::from).map_err(|error| LogError::Rejected(error.to_string()))
}

fn subscriber(mut row: Row) -> Result<Subscriber, LogError> {
    let unreadable = |what: &str| LogError::Rejected(format!("the {what} of a subscriber cannot be read"));
    Ok(Subscriber {
        id: row.number(0)?,
        name: row.text(1)?,
        url: row.text(2)?,
        settings: serde_json::from_str(&row.text(3)?).map_err(|_| unreadable("settings"))?,
        secrets: serde_json::from_str(&row.text(4)?).map_err(|_| unreadable("secrets"))?,
        paused: match row.text(5)?.as_str() {
            "active" => None,
            _ => Some(Pause { since: row.optional_time(11)?, why: row.optional_text(12)? }),
        },
        created: row.time(6)?,
        health: Health {
            failures: row.number(7)?,
            failing_since: row.optional_time(8)?,
            open_until: row.optional_time(9)?,
            told: row.number(10)?,
        },
        version: row.number(13)?,
    })
}
