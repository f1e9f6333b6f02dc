//! Leases: a worker leases the due deliveries that it claims. The result of an attempt changes a delivery only if the worker
//! still holds the lease.

use std::collections::{HashMap, HashSet};

use jiff::{SignedDuration, Timestamp};

use super::{DeliveryStore, OutgoingEvent};
use crate::db::{DatabaseError, InputRows, MAX_INPUT_ROWS, Row, SqlDialect, SqlValue, Statement};
use crate::delivery::subscriber::SubscriberId;
use crate::delivery::wake_queue::WAKE_INTERVAL;

/// The maximum number of due deliveries that a sweep counts for each subscriber.
const MAX_COUNTED_DELIVERIES: usize = 50_000;

/// A lease on deliveries: its token, and the time until which it is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimLease {
    /// A random text that identifies the lease.
    pub token: String,
    pub until: Timestamp,
}

impl ClaimLease {
    pub fn new(duration: SignedDuration, now: Timestamp) -> Self {
        let until = now.checked_add(duration).unwrap_or(now);
        Self { token: format!("{:032x}", fastrand::u128(..)), until }
    }
}

/// A subscriber with due deliveries.
#[derive(Clone, Copy, Debug)]
pub struct DueSubscriber {
    pub subscriber: SubscriberId,
    /// Whether the subscriber's circuit was opened and no attempt has succeeded since, so that only one attempt (a probe) may be
    /// made.
    pub needs_probe: bool,
    /// Set after an outage or a pause: deliveries whose last attempt was before this time are due now.
    backlog_attempted_before: Option<Timestamp>,
}

/// A leased delivery with its event.
#[derive(Clone, Debug)]
pub struct ClaimedDelivery {
    pub id: i64,
    pub subscriber: SubscriberId,
    pub event: OutgoingEvent,
    /// The number of attempts so far.
    pub attempts: i64,
    /// The start of the delivery's seven days of retries.
    pub first_attempt: Timestamp,
}

impl DeliveryStore {
    /// Returns the active subscribers that have unleased deliveries due at or before `until`. Subscribers whose open circuit lets
    /// no probe through yet are left out.
    pub async fn due_subscribers(
        &self,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<DueSubscriber>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        // Each of the two conditions below scans one index, and stops at the first due delivery.
        let has_due = |condition: &str| {
            format!(
                "(select d.id from {schema}deliveries d where d.subscriber = s.id and d.state = 'waiting' and {condition}
                   and (d.held_until is null or d.held_until <= $1) order by d.next_attempt limit 1) is not null"
            )
        };
        let sql = format!(
            "select s.id, s.open_until, s.releasing from {schema}subscribers s
             where s.state = 'active' and (s.open_until is null or s.open_until <= $1)
               and ({} or s.releasing is not null and {}) order by s.id",
            has_due("d.next_attempt <= $2"),
            has_due("d.tried < s.releasing")
        );
        let rows = self.db.query(sql, vec![now.into(), until.into()]).await?;
        let to_due_subscriber = |row: &Row| {
            let open_until: Option<Timestamp> = row.get("open_until")?;
            Ok(DueSubscriber {
                subscriber: row.get("id")?,
                needs_probe: open_until.is_some(),
                backlog_attempted_before: row.get("releasing")?,
            })
        };
        rows.iter().map(to_due_subscriber).collect()
    }

    /// Leases up to `limit` deliveries of a subscriber that are due at or before `until`, earliest first.
    pub async fn claim(
        &self,
        due: DueSubscriber,
        limit: usize,
        lease: &ClaimLease,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<Vec<ClaimedDelivery>, DatabaseError> {
        let rows = self.acquire_leases(due, limit, lease, (now, until)).await?;
        self.load_events(due.subscriber, rows).await
    }

    /// Counts the unleased deliveries of a subscriber that are due at or before `until`. Returns a count for each interval of
    /// `WAKE_INTERVAL` from `now` on, with the time at which the interval ends. Deliveries that are due already are counted at
    /// `now`.
    pub async fn count_due(
        &self,
        DueSubscriber { subscriber, needs_probe, backlog_attempted_before }: DueSubscriber,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<(Timestamp, usize)>, DatabaseError> {
        if needs_probe {
            return Ok(vec![(now, 1)]);
        }
        let SqlDialect { schema, .. } = self.db.dialect();
        let interval = i64::try_from(WAKE_INTERVAL.as_micros()).unwrap_or(1);
        let backlog = if backlog_attempted_before.is_some() { "or tried < $4" } else { "" };
        let sql = format!(
            "select due, count(*) as deliveries from (
               select case when next_attempt > $2 then (next_attempt - $2) / {interval} + 1 else 0 end as due
               from {schema}deliveries where subscriber = $1 and state = 'waiting' and (next_attempt <= $3 {backlog})
                 and (held_until is null or held_until <= $2) limit {MAX_COUNTED_DELIVERIES}) d
             group by due order by due"
        );
        let mut values: Vec<SqlValue> = vec![subscriber.into(), now.into(), until.into()];
        values.extend(backlog_attempted_before.map(SqlValue::from));
        let to_count = |row: &Row| {
            let (intervals, deliveries): (i64, i64) = (row.get("due")?, row.get("deliveries")?);
            let delay = WAKE_INTERVAL * i32::try_from(intervals).unwrap_or_default();
            Ok((now.checked_add(delay).unwrap_or(now), usize::try_from(deliveries).unwrap_or_default()))
        };
        self.db.query(sql, values).await?.iter().map(to_count).collect()
    }

    async fn acquire_leases(
        &self,
        DueSubscriber { subscriber, backlog_attempted_before, .. }: DueSubscriber,
        limit: usize,
        lease: &ClaimLease,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<Vec<Row>, DatabaseError> {
        let SqlDialect { schema, skip_locked, .. } = self.db.dialect();
        // After an outage, deliveries whose last attempt was before the recovery are due now, whatever their `next_attempt`.
        let (condition, reschedule) = match backlog_attempted_before {
            Some(_) => (
                "(next_attempt <= $3 or tried < $6)",
                ", next_attempt = case when tried < $6 then $2 else next_attempt end",
            ),
            None => ("next_attempt <= $3", ""),
        };
        let sql = format!(
            "with due as (
               select id from {schema}deliveries where subscriber = $1 and state = 'waiting' and {condition}
                 and (held_until is null or held_until <= $2)
                 and subscriber in (select s.id from {schema}subscribers s where s.id = $1 and s.state = 'active')
               order by next_attempt limit {limit} {skip_locked})
             update {schema}deliveries set held = $4, held_until = $5{reschedule}
             where id in (select id from due) returning id, message, attempts, since, next_attempt"
        );
        let mut values: Vec<SqlValue> = vec![
            subscriber.into(),
            now.into(),
            until.into(),
            lease.token.as_str().into(),
            lease.until.into(),
        ];
        values.extend(backlog_attempted_before.map(SqlValue::from));
        let rows = self.db.execute(sql, values).await?;
        if let Some(backlog_attempted_before) = backlog_attempted_before
            && rows.len() < limit
        {
            self.subscribers.end_backlog_flush(subscriber, backlog_attempted_before).await?;
        }
        Ok(rows)
    }

    async fn load_events(
        &self,
        subscriber: SubscriberId,
        rows: Vec<Row>,
    ) -> Result<Vec<ClaimedDelivery>, DatabaseError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let SqlDialect { schema, .. } = self.db.dialect();
        let ids = rows.iter().map(|row| row.get("message")).collect::<Result<HashSet<i64>, _>>()?;
        let input = InputRows::default().with_number_column("id", ids.into_iter().map(Some));
        let sql =
            format!("select m.id, m.event, m.type, m.body from v join {schema}messages m on m.id = v.id");
        let mut events: HashMap<i64, OutgoingEvent> = HashMap::new();
        for row in self.db.query_with_rows(input, sql).await? {
            let event = OutgoingEvent {
                id: row.get("event")?,
                detail_type: row.get("type")?,
                json: row.get("body")?,
            };
            events.insert(row.get("id")?, event);
        }
        let to_claimed = |row: &Row| {
            let id: i64 = row.get("message")?;
            let Some(event) = events.get(&id) else { return Ok(None) };
            Ok(Some(ClaimedDelivery {
                id: row.get("id")?,
                subscriber,
                event: event.clone(),
                attempts: row.get("attempts")?,
                first_attempt: row.get("since")?,
            }))
        };
        rows.iter().map(to_claimed).filter_map(Result::transpose).collect()
    }

    /// Returns the id and the lease's token of each delivery in `delivery_ids` that is pending and leased.
    pub async fn active_leases(&self, delivery_ids: &[i64]) -> Result<HashSet<(i64, String)>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let mut leases = HashSet::new();
        for batch in delivery_ids.chunks(MAX_INPUT_ROWS) {
            let input = InputRows::default().with_number_column("id", batch.iter().copied().map(Some));
            let sql = format!(
                "select d.id, d.held from v join {schema}deliveries d on d.id = v.id
                 where d.held is not null and d.state || '' = 'waiting'"
            );
            for row in self.db.query_with_rows(input, sql).await? {
                leases.insert((row.get("id")?, row.get("held")?));
            }
        }
        Ok(leases)
    }

    /// Releases `lease` on deliveries that were not attempted, unless they have a newer lease.
    pub async fn release(&self, lease: &ClaimLease, delivery_ids: &[i64]) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let mut statements = Vec::new();
        for batch in delivery_ids.chunks(MAX_INPUT_ROWS) {
            let input = InputRows::default()
                .with_number_column("id", batch.iter().copied().map(Some))
                .with_text_column("held", batch.iter().map(|_| Some(lease.token.clone())));
            let sql = format!(
                "update {schema}deliveries as d set held = null, held_until = null
                 from v where d.id = v.id and d.held = v.held"
            );
            statements.push(Statement::with_rows(input, sql));
        }
        if statements.is_empty() {
            return Ok(());
        }
        self.db.execute_transaction(statements).await.map(drop)
    }

    /// Releases all leases, of deliveries and of pages. Only a restarted worker that is the only one may call this, because no
    /// other worker then holds a lease.
    pub async fn release_all(&self) -> Result<(), DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let statements = [
            format!(
                "update {schema}deliveries set held = null, held_until = null
                 where state = 'waiting' and held is not null"
            ),
            format!("update {schema}page_claims set held_until = 0"),
        ];
        let statements = statements.map(|sql| Statement::new(sql, vec![]));
        self.db.execute_transaction(statements.into()).await.map(drop)
    }
}
