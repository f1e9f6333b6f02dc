//! Persistence for deliveries: idempotent creation, claims with leases, expiry.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use super::DeliveryStore;
use crate::delivery::schedule::RETRY_WINDOW;
use crate::delivery::subscriber::SubscriberId;
use crate::log::{InputRows, LogError, Position, Row, SqlExecutor, SqlValue, Statement};

/// How long after the seven days the last attempt may still start.
const LAST_ATTEMPT_GRACE: SignedDuration = SignedDuration::from_hours(1);
/// The prefix of the lease token of a queue message.
const QUEUE_LEASE_PREFIX: &str = "queue-";
/// SQLite binds at most 32,766 values in a statement.
pub(super) const MAX_ROWS_PER_STATEMENT: usize = 2000;

/// An event with pending deliveries.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingEvent {
    /// The event's id.
    pub event: String,
    pub detail_type: String,
    /// The event as JSON, in the form that EventBridge's targets receive.
    pub body: String,
}

/// Omits the body.
impl std::fmt::Debug for OutgoingEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OutgoingEvent")
            .field("event", &self.event)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A lease: token and expiry. Only its holder may record the next attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimLease {
    /// Random.
    pub token: String,
    pub until: Timestamp,
}

impl ClaimLease {
    pub fn new(time: SignedDuration, now: Timestamp) -> Self {
        let until = now.checked_add(time).unwrap_or(now);
        Self { token: format!("{:032x}", fastrand::u128(..)), until }
    }

    /// A lease for a queue message.
    pub fn for_queue(time: SignedDuration, now: Timestamp) -> Self {
        let lease = Self::new(time, now);
        Self { token: format!("{QUEUE_LEASE_PREFIX}{}", lease.token), ..lease }
    }
}

/// A delivery to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingDelivery<'a> {
    /// The event's id.
    pub event: &'a str,
    pub subscriber: SubscriberId,
    /// Whether it is created with a lease.
    pub is_claimed: bool,
}

/// A delivery that was created with a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedDelivery {
    pub id: i64,
    /// The event's id.
    pub event: String,
    pub subscriber: SubscriberId,
}

/// A subscriber with due deliveries.
#[derive(Clone, Copy, Debug)]
pub struct DueSubscriber {
    pub subscriber: SubscriberId,
    /// Whether its circuit is open, so that only a probe may be sent.
    pub needs_probe: bool,
    /// After an outage: deliveries whose last attempt was before this time are due now (microseconds since 1970).
    retry_tried_before: Option<i64>,
}

/// A leased delivery with its event.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    pub id: i64,
    pub subscriber: SubscriberId,
    pub message: OutgoingEvent,
    pub attempts: i64,
    /// The start of the delivery's seven days.
    pub first_attempt: Timestamp,
}

impl<S: SqlExecutor> DeliveryStore<S> {
    /// The log position up to which deliveries have been created, exclusive.
    pub async fn position(&self) -> Result<Option<Position>, LogError> {
        let rows = self.db.query("select position from {log}dispatch", vec![]).await?;
        rows.first().map_or(Ok(None), |row| row.optional_number(0))
    }

    /// Creates deliveries, each once even if several workers create the same, and returns those that were created with a lease.
    /// `position` is the log position after the last event, if the events come from the log.
    ///
    /// # Errors
    /// No delivery was created.
    pub async fn create_deliveries(
        &self,
        messages: &[OutgoingEvent],
        pending: &[PendingDelivery<'_>],
        lease: &ClaimLease,
        now: Timestamp,
        position: Option<Position>,
    ) -> Result<Vec<CreatedDelivery>, LogError> {
        let mut statements = Vec::new();
        for batch in messages.chunks(MAX_ROWS_PER_STATEMENT) {
            let rows = InputRows::default()
                .with_text_column("event", batch.iter().map(|message| Some(message.event.clone())))
                .with_text_column("type", batch.iter().map(|message| Some(message.detail_type.clone())))
                .with_text_column("body", batch.iter().map(|message| Some(message.body.clone())))
                .with_number_column("created", batch.iter().map(|_| Some(now.as_microsecond())));
            let insert = "insert into {log}messages (event, type, body, created) select event, type, body, created from v
                where true on conflict (event) do nothing";
            statements.push(Statement::with_rows(&rows.into(), insert));
        }
        let first_insert = statements.len();
        for batch in pending.chunks(MAX_ROWS_PER_STATEMENT) {
            let lease_token = |pending: &PendingDelivery<'_>| pending.is_claimed.then(|| lease.token.clone());
            let lease_until =
                |pending: &PendingDelivery<'_>| pending.is_claimed.then(|| lease.until.as_microsecond());
            let rows = InputRows::default()
                .with_text_column("event", batch.iter().map(|pending| Some(pending.event.to_owned())))
                .with_number_column("subscriber", batch.iter().map(|pending| Some(pending.subscriber)))
                .with_number_column("created", batch.iter().map(|_| Some(now.as_microsecond())))
                .with_text_column("held", batch.iter().map(lease_token))
                .with_number_column("held_until", batch.iter().map(lease_until));
            let insert = "insert into {log}deliveries (event, subscriber, message, created, since, next_attempt, held, held_until)
                select v.event, v.subscriber, m.id, v.created, v.created, v.created, v.held, v.held_until
                from v join {log}messages m on m.event = v.event
                where true on conflict (event, subscriber) do nothing returning id, event, subscriber, held";
            statements.push(Statement::with_rows(&rows.into(), insert));
        }
        let inserts_end = statements.len();
        if let Some(position) = position {
            let sql = "update {log}dispatch set position = $1 where position is null or position < $1";
            statements.push(Statement::new(sql, vec![position.into()]));
        }
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let results = self.db.execute_transaction(statements).await?;
        let rows = results.into_iter().take(inserts_end).skip(first_insert).flatten();
        let to_claimed = |mut row: Row| {
            let created =
                CreatedDelivery { id: row.number(0)?, event: row.text(1)?, subscriber: row.number(2)? };
            Ok(row.optional_text(3)?.map(|_| created))
        };
        rows.map(to_claimed).filter_map(Result::transpose).collect()
    }

    /// Subscribers with deliveries that are due before `until`.
    pub async fn due_subscribers(
        &self,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<DueSubscriber>, LogError> {
        // Two index scans, each as short as possible.
        let has_due = |condition: &str| {
            format!(
                "(select d.id from {{log}}deliveries d where d.subscriber = s.id and d.state = 'waiting' and {condition}
                   and (d.held_until is null or d.held_until <= $1) order by d.next_attempt limit 1) is not null"
            )
        };
        let sql = format!(
            "select s.id, s.open_until, s.releasing from {{log}}subscribers s
             where s.state = 'active' and (s.open_until is null or s.open_until <= $1)
               and ({} or s.releasing is not null and {}) order by s.id",
            has_due("d.next_attempt <= $2"),
            has_due("d.tried < s.releasing")
        );
        let rows = self.db.query(&sql, vec![now.into(), until.into()]).await?;
        let to_due_subscriber = |row: &Row| {
            let (subscriber, open_until) = (row.number(0)?, row.optional_number(1)?);
            Ok(DueSubscriber {
                subscriber,
                needs_probe: open_until.is_some(),
                retry_tried_before: row.optional_number(2)?,
            })
        };
        rows.iter().map(to_due_subscriber).collect()
    }

    /// Leases up to `limit` deliveries of a subscriber that are due before `until`, the earliest first.
    pub async fn claim(
        &self,
        due: DueSubscriber,
        limit: usize,
        lease: &ClaimLease,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<Vec<ClaimedDelivery>, LogError> {
        let rows = self.acquire_leases(due, limit, lease, (now, until)).await?;
        self.load_events(due.subscriber, rows).await
    }

    /// Leases deliveries like [`DeliveryStore::claim`], and returns only their ids and due times.
    pub async fn claim_ids(
        &self,
        due: DueSubscriber,
        limit: usize,
        lease: &ClaimLease,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<Vec<(i64, Timestamp)>, LogError> {
        let rows = self.acquire_leases(due, limit, lease, (now, until)).await?;
        rows.iter().map(|row| Ok((row.number(0)?, row.time(4)?))).collect()
    }

    async fn acquire_leases(
        &self,
        DueSubscriber { subscriber, retry_tried_before, .. }: DueSubscriber,
        limit: usize,
        lease: &ClaimLease,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<Vec<Row>, LogError> {
        // After an outage, deliveries that failed before the recovery are due now.
        let (condition, reschedule) = match retry_tried_before {
            Some(_) => (
                "(next_attempt <= $3 or tried < $6)",
                ", next_attempt = case when tried < $6 then $2 else next_attempt end",
            ),
            None => ("next_attempt <= $3", ""),
        };
        let sql = format!(
            "with due as (
               select id from {{log}}deliveries where subscriber = $1 and state = 'waiting' and {condition}
                 and (held_until is null or held_until <= $2)
                 and subscriber in (select s.id from {{log}}subscribers s where s.id = $1 and s.state = 'active')
               order by next_attempt limit {limit} {{skip_locked}})
             update {{log}}deliveries set held = $4, held_until = $5{reschedule} where id in (select id from due)
             returning id, message, attempts, since, next_attempt"
        );
        let mut values: Vec<SqlValue> = vec![
            subscriber.into(),
            now.into(),
            until.into(),
            lease.token.as_str().into(),
            lease.until.into(),
        ];
        values.extend(retry_tried_before.map(SqlValue::from));
        let rows = self.db.query(&sql, values).await?;
        if let Some(retry_tried_before) = retry_tried_before
            && rows.len() < limit
        {
            let sql = "update {log}subscribers set releasing = null where id = $1 and releasing = $2";
            self.db.query(sql, vec![subscriber.into(), retry_tried_before.into()]).await?;
        }
        Ok(rows)
    }

    /// Leases the delivery of a queue message if it is due, no worker has claimed it, and its subscriber is active and its
    /// circuit closed (a probe ignores the circuit). A duplicate message finds the delivery leased, or no longer due.
    pub async fn claim_queued(
        &self,
        delivery: i64,
        is_probe: bool,
        lease: &ClaimLease,
        now: Timestamp,
    ) -> Result<Option<ClaimedDelivery>, LogError> {
        let circuit_condition = if is_probe { "" } else { "and open_until is null" };
        let sql = format!(
            "update {{log}}deliveries set held = $2, held_until = $3
             where id = $1 and state = 'waiting' and next_attempt <= $4
               and (held is null or held_until <= $4 or held like '{QUEUE_LEASE_PREFIX}%')
               and subscriber in (select id from {{log}}subscribers where state = 'active' {circuit_condition})
             returning id, message, attempts, since, next_attempt, subscriber"
        );
        let values = vec![delivery.into(), lease.token.as_str().into(), lease.until.into(), now.into()];
        let rows = self.db.query(&sql, values).await?;
        let Some(subscriber) = rows.first().map(|row| row.number(5)).transpose()? else { return Ok(None) };
        Ok(self.load_events(subscriber, rows).await?.pop())
    }

    async fn load_events(
        &self,
        subscriber: SubscriberId,
        rows: Vec<Row>,
    ) -> Result<Vec<ClaimedDelivery>, LogError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let ids =
            rows.iter().map(|row| row.number(1).map(|id| id.to_string())).collect::<Result<Vec<_>, _>>()?;
        let sql =
            format!("select id, event, type, body from {{log}}messages where id in ({})", ids.join(", "));
        let mut messages = std::collections::HashMap::new();
        for mut row in self.db.query(&sql, vec![]).await? {
            let message =
                OutgoingEvent { event: row.text(1)?, detail_type: row.text(2)?, body: row.text(3)? };
            messages.insert(row.number(0)?, message);
        }
        let to_claimed = |row: &Row| {
            let Some(message) = messages.get(&row.number(1)?) else { return Ok(None) };
            Ok(Some(ClaimedDelivery {
                id: row.number(0)?,
                subscriber,
                message: message.clone(),
                attempts: row.number(2)?,
                first_attempt: row.time(3)?,
            }))
        };
        rows.iter().map(to_claimed).filter_map(Result::transpose).collect()
    }

    /// The current leases of these deliveries.
    pub async fn active_leases(&self, deliveries: &[i64]) -> Result<HashSet<(i64, String)>, LogError> {
        let mut leases = HashSet::new();
        for batch in deliveries.chunks(MAX_ROWS_PER_STATEMENT) {
            let rows = InputRows::default().with_number_column("id", batch.iter().copied().map(Some));
            let sql = "select d.id, d.held from v join {log}deliveries d on d.id = v.id
                where d.held is not null and d.state || '' = 'waiting'";
            for mut row in self
                .db
                .execute_transaction(vec![Statement::with_rows(&rows.into(), sql)])
                .await?
                .into_iter()
                .flatten()
            {
                leases.insert((row.number(0)?, row.text(1)?));
            }
        }
        Ok(leases)
    }

    /// Releases leases of deliveries that were not attempted.
    pub async fn release(&self, lease: &ClaimLease, deliveries: &[i64]) -> Result<(), LogError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = deliveries.iter().map(ToString::to_string).collect();
        let sql = format!(
            "update {{log}}deliveries set held = null, held_until = null where held = $1 and id in ({})",
            ids.join(", ")
        );
        self.db.query(&sql, vec![lease.token.as_str().into()]).await.map(drop)
    }

    /// Releases all leases, after a restart of the only worker.
    pub async fn release_all(&self) -> Result<(), LogError> {
        let sql = "update {log}deliveries set held = null, held_until = null where state = 'waiting' and held is not null";
        self.db.query(sql, vec![]).await.map(drop)
    }

    /// Fails deliveries whose seven days are over, and returns how many there were.
    pub async fn fail_expired(&self, now: Timestamp) -> Result<usize, LogError> {
        // The last attempt starts at the end of the seven days.
        let oldest = now.checked_sub(RETRY_WINDOW + LAST_ATTEMPT_GRACE).unwrap_or(now);
        let sql = format!(
            "update {{log}}deliveries set state = 'failed', held = null where id in (
               select id from {{log}}deliveries where state = 'waiting' and since < $1
                 and (held_until is null or held_until <= $2) order by since limit {MAX_ROWS_PER_STATEMENT} {{skip_locked}})
             returning id"
        );
        Ok(self.db.query(&sql, vec![oldest.into(), now.into()]).await?.len())
    }
}
