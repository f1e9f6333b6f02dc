//! Storage of deliveries: creates each delivery once, retries and cancels deliveries for the operator, marks expired ones as
//! failed, and deletes old ones.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::history::where_clause;
use super::{ClaimLease, DeliveryFilter, DeliveryHistory, SubscriberStore};
use crate::db::{Database, DatabaseError, InputRows, MAX_INPUT_ROWS, Row, SqlDialect, Statement};
use crate::delivery::schedule::RETRY_WINDOW;
use crate::delivery::subscriber::SubscriberId;

/// How long after the end of the seven days of retries the last attempt may still start.
const LAST_ATTEMPT_GRACE: SignedDuration = SignedDuration::from_hours(1);
/// The maximum number of rows that one statement deletes.
const CLEANUP_BATCH_SIZE: usize = 5000;

/// An event to deliver. It is stored once for all its deliveries.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// The event's id.
    pub id: String,
    pub detail_type: String,
    /// The event as JSON, in the form that EventBridge's targets receive.
    pub json: String,
}

/// Omits the JSON.
impl std::fmt::Debug for OutgoingEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutgoingEvent")
            .field("id", &self.id)
            .field("bytes", &self.json.len())
            .finish_non_exhaustive()
    }
}

/// A delivery to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingDelivery<'a> {
    pub event_id: &'a str,
    pub subscriber: SubscriberId,
    /// Whether the delivery is created with a lease, so that only this worker attempts it.
    pub is_claimed: bool,
}

/// A delivery that was created with a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedDelivery {
    pub id: i64,
    pub event_id: String,
    pub subscriber: SubscriberId,
}

/// Stores deliveries, subscribers and attempts. If the database fails, every method returns the database's error.
#[derive(Clone)]
pub struct DeliveryStore {
    pub(super) db: Database,
    pub subscribers: SubscriberStore,
    pub history: DeliveryHistory,
}

impl DeliveryStore {
    pub fn new(db: Database) -> Self {
        Self { subscribers: SubscriberStore::new(db.clone()), history: DeliveryHistory::new(db.clone()), db }
    }

    /// The database of the store.
    pub fn database(&self) -> &Database {
        &self.db
    }

    /// The same store, for operations that wait at most `acquire_timeout` for a database connection.
    #[must_use]
    pub fn with_acquire_timeout(&self, acquire_timeout: Duration) -> Self {
        Self::new(self.db.with_acquire_timeout(acquire_timeout))
    }

    /// Creates deliveries in one transaction, each only once even if several workers create it. Returns the deliveries that were
    /// created with a lease.
    pub async fn create_deliveries(
        &self,
        events: &[OutgoingEvent],
        pending: &[PendingDelivery<'_>],
        lease: &ClaimLease,
        now: Timestamp,
    ) -> Result<Vec<CreatedDelivery>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let mut statements = insert_messages(schema, events.iter(), now);
        let first_delivery_insert = statements.len();
        for batch in pending.chunks(MAX_INPUT_ROWS) {
            let token = |delivery: &PendingDelivery<'_>| delivery.is_claimed.then(|| lease.token.clone());
            let until =
                |delivery: &PendingDelivery<'_>| delivery.is_claimed.then(|| lease.until.as_microsecond());
            let rows = InputRows::default()
                .with_text_column("event", batch.iter().map(|delivery| Some(delivery.event_id.to_owned())))
                .with_number_column("subscriber", batch.iter().map(|delivery| Some(delivery.subscriber)))
                .with_number_column("created", batch.iter().map(|_| Some(now.as_microsecond())))
                .with_text_column("held", batch.iter().map(token))
                .with_number_column("held_until", batch.iter().map(until));
            let insert = format!(
                "insert into {schema}deliveries
                   (event, subscriber, message, created, since, next_attempt, held, held_until)
                 select v.event, v.subscriber, m.id, v.created, v.created, v.created, v.held, v.held_until
                 from v join {schema}messages m on m.event = v.event
                 where true on conflict (event, subscriber) do nothing returning id, event, subscriber, held"
            );
            statements.push(Statement::with_rows(rows, insert));
        }
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let results = self.db.execute_transaction(statements).await?;
        let rows = results.into_iter().skip(first_delivery_insert).flatten();
        rows.map(|row| claimed_from_row(&row)).filter_map(Result::transpose).collect()
    }

    /// Makes the deliveries of these events to a subscriber due now: creates those that do not exist, and starts the others anew, as
    /// [`retry_deliveries`](Self::retry_deliveries) does. A delivery in flight is left unchanged. Returns the number of deliveries
    /// that were made due.
    pub async fn replay(
        &self,
        events: &[OutgoingEvent],
        subscriber: SubscriberId,
        now: Timestamp,
    ) -> Result<usize, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let mut statements = insert_messages(schema, events.iter(), now);
        let first_delivery_insert = statements.len();
        for batch in events.chunks(MAX_INPUT_ROWS) {
            let rows = InputRows::default()
                .with_text_column("event", batch.iter().map(|event| Some(event.id.clone())))
                .with_number_column("subscriber", batch.iter().map(|_| Some(subscriber)))
                .with_number_column("created", batch.iter().map(|_| Some(now.as_microsecond())));
            let insert = format!(
                "insert into {schema}deliveries as d (event, subscriber, message, created, since, next_attempt)
                 select v.event, v.subscriber, m.id, v.created, v.created, v.created
                 from v join {schema}messages m on m.event = v.event
                 where true on conflict (event, subscriber) do update
                   set state = 'waiting', since = excluded.since, next_attempt = excluded.since, held = null, held_until = null
                   where d.held_until is null or d.held_until <= excluded.since or d.state <> 'waiting'
                 returning id"
            );
            statements.push(Statement::with_rows(rows, insert));
        }
        if statements.is_empty() {
            return Ok(0);
        }
        let results = self.db.execute_transaction(statements).await?;
        self.subscribers.allow_probes_now([subscriber].into_iter(), now).await?;
        Ok(results.into_iter().skip(first_delivery_insert).map(|rows| rows.len()).sum())
    }

    /// Sets deliveries to due now and restarts their seven days of retries: the delivery `id`, or, if `id` is `None`, all
    /// deliveries that match `filter`. The state does not matter, but deliveries in flight or of deleted subscribers are left unchanged. The subscribers'
    /// open circuits let a probe through immediately. Returns the number of deliveries that were made due.
    pub async fn retry_deliveries(
        &self,
        filter: &DeliveryFilter,
        id: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let (condition, mut values) = where_clause(schema, filter, id);
        values.push(now.into());
        let sql = format!(
            "update {schema}deliveries
               set state = 'waiting', since = ${0}, next_attempt = ${0}, held = null, held_until = null
             where id in (select d.id from {schema}deliveries d {condition})
               and subscriber in (select id from {schema}subscribers where state <> 'deleted')
               and (held_until is null or held_until <= ${0} or state <> 'waiting' or next_attempt > ${0})
             returning subscriber",
            values.len()
        );
        let rows = self.db.execute(sql, values).await?;
        let subscribers =
            rows.iter().map(|row| row.get("subscriber")).collect::<Result<BTreeSet<i64>, _>>()?;
        if !subscribers.is_empty() {
            // The operator's retry must not wait for the time at which an open circuit lets the next probe through.
            self.subscribers.allow_probes_now(subscribers.into_iter(), now).await?;
        }
        Ok(rows.len())
    }

    /// Cancels the delivery `id`, or without an `id` all deliveries that match `filter`; only pending deliveries are cancelled.
    /// Returns the number of cancelled deliveries.
    pub async fn cancel_deliveries(
        &self,
        filter: &DeliveryFilter,
        id: Option<i64>,
    ) -> Result<usize, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let (condition, values) = where_clause(schema, filter, id);
        let sql = format!(
            "update {schema}deliveries set state = 'cancelled', held = null, held_until = null
             where state = 'waiting' and id in (select d.id from {schema}deliveries d {condition}) returning id"
        );
        Ok(self.db.execute(sql, values).await?.len())
    }

    pub async fn count_pending(&self, subscriber: SubscriberId) -> Result<i64, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!(
            "select count(*) as pending from {schema}deliveries where subscriber = $1 and state = 'waiting'"
        );
        self.db.query(sql, vec![subscriber.into()]).await?.first().map_or(Ok(0), |row| row.get("pending"))
    }

    /// The number of pending deliveries of all subscribers.
    #[cfg(feature = "command")]
    pub async fn count_all_pending(&self) -> Result<i64, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!("select count(*) as pending from {schema}deliveries where state = 'waiting'");
        self.db.query(sql, Vec::new()).await?.first().map_or(Ok(0), |row| row.get("pending"))
    }

    /// Marks as failed the pending deliveries whose seven days of retries are over, at most `MAX_INPUT_ROWS` per call. Returns
    /// the number of these deliveries.
    pub async fn fail_expired(&self, now: Timestamp) -> Result<usize, DatabaseError> {
        let SqlDialect { schema, skip_locked, .. } = self.db.dialect();
        // The last attempt starts at the end of the seven days, so a delivery expires only an hour later.
        let cutoff = now.checked_sub(RETRY_WINDOW + LAST_ATTEMPT_GRACE).unwrap_or(now);
        let sql = format!(
            "update {schema}deliveries set state = 'failed', held = null where id in (
               select id from {schema}deliveries where state = 'waiting' and since < $1
                 and (held_until is null or held_until <= $2) order by since limit {MAX_INPUT_ROWS} {skip_locked})
             returning id"
        );
        Ok(self.db.execute(sql, vec![cutoff.into(), now.into()]).await?.len())
    }

    /// Deletes attempts, finished deliveries, and events without deliveries, if they are older than `keep_from`. Also creates the
    /// weekly partitions for future attempts and drops those whose week ended at or before `keep_from`.
    pub async fn delete_expired(&self, keep_from: Timestamp) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        self.db.maintain_partitions("attempts", keep_from).await?;
        // The rows with the lowest ids are the oldest, so a batch is found without an index on `created`. Attempts have no id, so
        // they are deleted by their start time; attempts in dropped partitions are gone already.
        let delete_oldest = |table: &str, condition: &str| {
            format!(
                "delete from {schema}{table} where id in (
                   select a.id from (select * from {schema}{table} order by id limit {CLEANUP_BATCH_SIZE}) a
                   where a.created < $1 and {condition})
                 returning id"
            )
        };
        let has_no_delivery =
            format!("not exists (select 1 from {schema}deliveries d where d.event = a.event)");
        for sql in [
            format!(
                "delete from {schema}attempts where started < $1 and started in (
                   select started from {schema}attempts where started < $1 limit {CLEANUP_BATCH_SIZE})
                 returning started"
            ),
            delete_oldest("deliveries", "a.state <> 'waiting'"),
            delete_oldest("messages", &has_no_delivery),
        ] {
            while !self.db.execute(sql.as_str(), vec![keep_from.into()]).await?.is_empty() {}
        }
        Ok(())
    }
}

/// The statements that store events, each once for all its deliveries.
pub(super) fn insert_messages<'e>(
    schema: &str,
    events: impl Iterator<Item = &'e OutgoingEvent>,
    now: Timestamp,
) -> Vec<Statement> {
    let insert = |batch: &[&OutgoingEvent]| {
        let rows = InputRows::default()
            .with_text_column("event", batch.iter().map(|event| Some(event.id.clone())))
            .with_text_column("type", batch.iter().map(|event| Some(event.detail_type.clone())))
            .with_text_column("body", batch.iter().map(|event| Some(event.json.clone())))
            .with_number_column("created", batch.iter().map(|_| Some(now.as_microsecond())));
        let insert = format!(
            "insert into {schema}messages (event, type, body, created) select event, type, body, created from v
             where true on conflict (event) do nothing"
        );
        Statement::with_rows(rows, insert)
    };
    events.collect::<Vec<_>>().chunks(MAX_INPUT_ROWS).map(insert).collect()
}

/// Returns the delivery in an inserted row; `None` if the delivery was created without a lease.
fn claimed_from_row(row: &Row) -> Result<Option<CreatedDelivery>, DatabaseError> {
    let token: Option<String> = row.get("held")?;
    let delivery = CreatedDelivery {
        id: row.get("id")?,
        event_id: row.get("event")?,
        subscriber: row.get("subscriber")?,
    };
    Ok(token.map(|_| delivery))
}
