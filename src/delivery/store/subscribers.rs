//! Storage of subscribers, their secrets and their health.

use jiff::{SignedDuration, Timestamp};

use crate::db::{Database, DatabaseError, InputRows, Row, SqlDialect, SqlValue, Statement};
use crate::delivery::subscriber::{
    Pause, PauseReason, StoredSecret, Subscriber, SubscriberHealth, SubscriberId, SubscriberSettings,
};

const COLUMNS: &str =
    "id, name, url, settings, secrets, state, created, failures, failing_since, open_until, told,
     paused, paused_why, version";
/// An outage is a series of at least two failures that has lasted at least this long. An open circuit is an outage, too.
const MIN_OUTAGE: SignedDuration = SignedDuration::from_mins(10);
/// The shortest time between two flushes of a subscriber's backlog. A flush makes all pending deliveries due that were attempted
/// before the subscriber recovered.
const BACKLOG_FLUSH_INTERVAL: SignedDuration = SignedDuration::from_hours(1);

/// A subscriber's failures since its last success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureStreak {
    pub failures: i64,
    pub since: Timestamp,
    /// The percentage of the failure budget that health events have reported; -1 if a recovery has not been reported yet.
    pub reported_percent: i64,
}

/// A subscriber's health just before an attempt succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    pub had_failures: bool,
    /// Whether a health event must report the recovery: a failure was reported or the subscriber was resumed, and no recovery has
    /// been reported since.
    pub needs_event: bool,
}

#[derive(Clone)]
pub struct SubscriberStore {
    db: Database,
}

impl SubscriberStore {
    pub(super) fn new(db: Database) -> Self {
        Self { db }
    }

    /// Returns the revision: a number that increases whenever a subscriber is added, changed, paused, resumed or deleted.
    pub async fn revision(&self) -> Result<i64, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let rows = self.db.query(format!("select revision from {schema}dispatch"), vec![]).await?;
        rows.first().map_or(Ok(0), |row| row.get("revision"))
    }

    /// Adds a subscriber and returns its id; `None` if the name is taken.
    pub async fn add(
        &self,
        name: &str,
        url: &str,
        settings: &SubscriberSettings,
        secrets: &[StoredSecret],
        now: Timestamp,
    ) -> Result<Option<SubscriberId>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!(
            "insert into {schema}subscribers (name, url, settings, secrets, created) values ($1, $2, $3, $4, $5)
            on conflict (name) do nothing returning id"
        );
        let values = vec![name.into(), url.into(), json_value(settings)?, json_value(secrets)?, now.into()];
        let rows = self.change_subscriber(Statement::new(sql, values)).await?;
        rows.first().map(|row| row.get("id")).transpose()
    }

    /// Returns the subscriber with this name, or all subscribers if `name` is `None`. Deleted subscribers are left out.
    pub async fn list(&self, name: Option<&str>) -> Result<Vec<Subscriber>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let (condition, values) = match name {
            Some(name) => ("where state <> 'deleted' and name = $1", vec![name.into()]),
            None => ("where state <> 'deleted' order by name", vec![]),
        };
        let rows =
            self.db.query(format!("select {COLUMNS} from {schema}subscribers {condition}"), values).await?;
        rows.iter().map(subscriber_from_row).collect()
    }

    /// Returns the ids of the subscribers whose new deliveries are not attempted immediately, because the subscriber is
    /// paused or deleted, or has an open circuit.
    pub async fn list_inactive(&self) -> Result<Vec<SubscriberId>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql =
            format!("select id from {schema}subscribers where state <> 'active' or open_until is not null");
        self.db.query(sql, vec![]).await?.iter().map(|row| row.get("id")).collect()
    }

    /// Stores the URL, settings and secrets of a subscriber. Returns false and stores nothing if the stored version is not
    /// `subscriber.version`, because a concurrent update was stored first.
    pub async fn update(&self, subscriber: &Subscriber) -> Result<bool, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!(
            "update {schema}subscribers set url = $2, settings = $3, secrets = $4, version = version + 1
            where id = $1 and version = $5 returning id"
        );
        let values = vec![
            subscriber.id.into(),
            subscriber.url.as_str().into(),
            json_value(&subscriber.settings)?,
            json_value(&subscriber.secrets)?,
            subscriber.version.into(),
        ];
        Ok(!self.change_subscriber(Statement::new(sql, values)).await?.is_empty())
    }

    /// Pauses a subscriber: its deliveries stay pending and are not attempted. Returns false if the subscriber is not active.
    pub async fn pause(
        &self,
        id: SubscriberId,
        reason: PauseReason,
        now: Timestamp,
    ) -> Result<bool, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!(
            "update {schema}subscribers set state = 'paused', paused = $2, paused_why = $3
            where id = $1 and state = 'active' returning id"
        );
        let values = vec![id.into(), now.into(), reason.as_str().into()];
        Ok(!self.change_subscriber(Statement::new(sql, values)).await?.is_empty())
    }

    /// Resumes a subscriber: resets its failure count and makes all its pending deliveries due. After the subscriber's next
    /// success, a health event reports the recovery. Returns false if the subscriber is not paused.
    pub async fn resume(&self, id: SubscriberId, now: Timestamp) -> Result<bool, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!(
            "update {schema}subscribers set state = 'active', paused = null, paused_why = null, failures = 0,
              failing_since = null, open_until = null, told = -1, releasing = $2
            where id = $1 and state = 'paused' returning id"
        );
        Ok(!self.change_subscriber(Statement::new(sql, vec![id.into(), now.into()])).await?.is_empty())
    }

    /// Whether an existing or deleted subscriber has this name. Deleting a subscriber changes its name to `NAME (deleted ID)`.
    pub async fn has_name(&self, name: &str) -> Result<bool, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!("select id from {schema}subscribers where name = $1");
        Ok(!self.db.query(sql, vec![name.into()]).await?.is_empty())
    }

    /// Deletes a subscriber and cancels its pending deliveries. Recorded attempts are kept.
    pub async fn delete(&self, id: SubscriberId) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let statements = vec![
            // The subscriber's row is kept, because stored deliveries refer to it.
            Statement::new(
                format!(
                    "update {schema}subscribers
                       set state = 'deleted', secrets = '[]', name = name || ' (deleted ' || id || ')' where id = $1"
                ),
                vec![id.into()],
            ),
            Statement::new(
                format!(
                    "update {schema}deliveries set state = 'cancelled', held = null
                     where subscriber = $1 and state = 'waiting'"
                ),
                vec![id.into()],
            ),
            self.increment_revision(),
        ];
        self.db.execute_transaction(statements).await.map(drop)
    }

    /// Adds `failures` to the number of consecutive failures; `since` is the start of the first added one. If the sum reaches
    /// `threshold`, opens the circuit until `open_until`. Returns `None` if the subscriber has no row.
    pub async fn record_failures(
        &self,
        id: SubscriberId,
        failures: i64,
        since: Timestamp,
        (threshold, open_until): (i64, Timestamp),
    ) -> Result<Option<FailureStreak>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!(
            "update {schema}subscribers set failures = failures + $2, failing_since = coalesce(failing_since, $3),
              open_until = case when failures + $2 >= $4 then $5 end
            where id = $1 returning failures, failing_since, told"
        );
        let values = vec![id.into(), failures.into(), since.into(), threshold.into(), open_until.into()];
        let rows = self.db.execute(sql, values).await?;
        let to_streak = |row: &Row| {
            Ok(FailureStreak {
                failures: row.get("failures")?,
                since: row.get("failing_since")?,
                reported_percent: row.get("told")?,
            })
        };
        rows.first().map(to_streak).transpose()
    }

    /// Records a success. Returns `None` if no failures preceded the success and no recovery is to be reported, or if another
    /// worker has recorded the recovery. After an outage, makes the deliveries due that were attempted before this recovery.
    pub async fn record_recovery(
        &self,
        id: SubscriberId,
        now: Timestamp,
    ) -> Result<Option<Recovery>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!(
            "select failing_since, case when state = 'active' then told else 0 end as unreported from {schema}subscribers
            where id = $1 and (failing_since is not null or told <> 0 and state = 'active')"
        );
        let rows = self.db.query(sql, vec![id.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let recovery = Recovery {
            had_failures: row.get::<Option<Timestamp>>("failing_since")?.is_some(),
            needs_event: row.get::<i64>("unreported")? != 0,
        };
        if !recovery.had_failures {
            return Ok(Some(recovery));
        }
        // The backlog becomes due at once only after an outage, not after isolated failures.
        let sql = format!(
            "update {schema}subscribers set failures = 0, failing_since = null, open_until = null,
              told = case when told <> 0 and state = 'active' then -1 else told end,
              releasing = case when (open_until is not null or failures > 1 and failing_since <= $3)
                and (released is null or released <= $4) then $2 else releasing end,
              released = case when (open_until is not null or failures > 1 and failing_since <= $3)
                and (released is null or released <= $4) then $2 else released end
            where id = $1 and failing_since is not null returning id"
        );
        let ago = |time: SignedDuration| now.checked_sub(time).unwrap_or(now);
        let values = vec![id.into(), now.into(), ago(MIN_OUTAGE).into(), ago(BACKLOG_FLUSH_INTERVAL).into()];
        Ok((!self.db.execute(sql, values).await?.is_empty()).then_some(recovery))
    }

    pub async fn mark_recovery_reported(&self, id: SubscriberId) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!("update {schema}subscribers set told = 0 where id = $1 and told = -1");
        self.db.execute(sql, vec![id.into()]).await.map(drop)
    }

    /// Stores that health events have reported `percent` of the failure budget as used.
    pub async fn mark_reported(&self, id: SubscriberId, percent: i64) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!(
            "update {schema}subscribers set told = $2
            where id = $1 and told < $2 and (failing_since is not null or state = 'paused')"
        );
        self.db.execute(sql, vec![id.into(), percent.into()]).await.map(drop)
    }

    /// Acquires the right to send a probe to a subscriber whose circuit lets one through, and opens the circuit for another
    /// `open_duration`. Returns false if another worker has acquired this right.
    pub async fn acquire_probe(
        &self,
        id: SubscriberId,
        now: Timestamp,
        open_duration: SignedDuration,
    ) -> Result<bool, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let next_probe = now.checked_add(open_duration).unwrap_or(now);
        let sql = format!(
            "update {schema}subscribers set open_until = $3 where id = $1 and open_until <= $2 returning id"
        );
        Ok(!self.db.execute(sql, vec![id.into(), now.into(), next_probe.into()]).await?.is_empty())
    }

    /// Sets the open circuits of the subscribers `ids` to let a probe through at `now`, without further waiting.
    pub(super) async fn allow_probes_now(
        &self,
        ids: impl Iterator<Item = SubscriberId>,
        now: Timestamp,
    ) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let rows = InputRows::default().with_number_column("id", ids.map(Some));
        let count = rows.len();
        let rows = rows.with_number_column("now", std::iter::repeat_n(Some(now.as_microsecond()), count));
        let sql = format!(
            "update {schema}subscribers as s set open_until = v.now from v where s.id = v.id and s.open_until > v.now"
        );
        self.db.execute_transaction(vec![Statement::with_rows(rows, sql)]).await.map(drop)
    }

    /// Records that all deliveries of a recovered subscriber's backlog are claimed, unless a later recovery has made a new
    /// backlog due.
    pub(super) async fn end_backlog_flush(
        &self,
        id: SubscriberId,
        backlog_attempted_before: Timestamp,
    ) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!("update {schema}subscribers set releasing = null where id = $1 and releasing = $2");
        self.db.execute(sql, vec![id.into(), backlog_attempted_before.into()]).await.map(drop)
    }

    /// Returns a statement that increments the revision, which makes workers read their cached subscribers again.
    fn increment_revision(&self) -> Statement {
        let SqlDialect { schema, .. } = self.db.dialect();
        Statement::new(format!("update {schema}dispatch set revision = revision + 1"), vec![])
    }

    /// Runs a statement that changes a subscriber and increments the revision, in one transaction. Returns the rows of the
    /// statement.
    async fn change_subscriber(&self, statement: Statement) -> Result<Vec<Row>, DatabaseError> {
        let mut results = self.db.execute_transaction(vec![statement, self.increment_revision()]).await?;
        Ok(if results.is_empty() { Vec::new() } else { results.swap_remove(0) })
    }
}

fn json_value(value: &(impl serde::Serialize + ?Sized)) -> Result<SqlValue, DatabaseError> {
    serde_json::to_string(value)
        .map(SqlValue::from)
        .map_err(|error| DatabaseError::Rejected(error.to_string()))
}

fn subscriber_from_row(row: &Row) -> Result<Subscriber, DatabaseError> {
    let unreadable =
        |field: &str| DatabaseError::Rejected(format!("the {field} of a subscriber cannot be read"));
    let text = |column: &str| row.get::<String>(column);
    let pause_reason: Option<String> = row.get("paused_why")?;
    Ok(Subscriber {
        id: row.get("id")?,
        name: text("name")?,
        url: text("url")?,
        settings: serde_json::from_str(&text("settings")?).map_err(|_| unreadable("settings"))?,
        secrets: serde_json::from_str(&text("secrets")?).map_err(|_| unreadable("secrets"))?,
        paused: match text("state")?.as_str() {
            "active" => None,
            _ => Some(Pause {
                since: row.get("paused")?,
                reason: pause_reason.as_deref().and_then(PauseReason::parse),
            }),
        },
        created: row.get("created")?,
        health: SubscriberHealth {
            failures: row.get("failures")?,
            failing_since: row.get("failing_since")?,
            open_until: row.get("open_until")?,
            reported_percent: row.get("told")?,
        },
        version: row.get("version")?,
    })
}
