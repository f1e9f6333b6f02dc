//! Storage of attempts: an attempt and the new state of its delivery are recorded in one transaction. A delivery of a claimed page
//! is stored in this transaction, too.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use tracing::warn;

use super::deliveries::insert_messages;
use super::{ClaimLease, DeliveryState, DeliveryStore, OutgoingEvent};
use crate::db::{DatabaseError, InputRows, MAX_INPUT_ROWS, Row, SqlDialect, Statement};
use crate::delivery::subscriber::SubscriberId;

/// A finished attempt and the resulting state of its delivery. Without a response, `status` and `response_body` are `None`.
#[derive(Clone, Debug)]
pub struct RecordedAttempt {
    /// The id of the delivery; `None` if the delivery is stored together with the attempt.
    pub delivery: Option<i64>,
    /// The token of the lease under which the attempt was made.
    pub lease: String,
    pub subscriber: SubscriberId,
    pub event_id: String,
    /// The number of the attempt, from 1.
    pub number: i64,
    pub started: Timestamp,
    pub duration_micros: i64,
    pub status: Option<u16>,
    /// `None` if the attempt succeeded.
    pub error: Option<String>,
    /// The IP address that was dialled, if known, with the port if there was a response.
    pub address: Option<String>,
    /// The first 16 KB of the response body.
    pub response_body: Option<String>,
    pub is_success: bool,
    /// Whether the request was repeated on a new connection.
    pub is_repeated: bool,
    /// The start of the delivery's seven days of retries.
    pub first_attempt: Timestamp,
    /// The time of the next attempt; `None` if this attempt was the last one.
    pub next_attempt: Option<Timestamp>,
}

/// A delivery of a claimed page that is stored for the first time.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    pub event: Arc<OutgoingEvent>,
    pub subscriber: SubscriberId,
    /// When the page was claimed.
    pub created: Timestamp,
    /// The first attempt; `None` if it has not ended or was not made.
    pub attempt: Option<RecordedAttempt>,
    /// The lease of a delivery that stays in flight.
    pub lease: Option<ClaimLease>,
}

/// The attempts, deliveries and ended claims that a worker records in one transaction.
#[derive(Clone, Debug, Default)]
pub struct Records {
    /// Attempts of stored deliveries.
    pub attempts: Vec<RecordedAttempt>,
    /// Deliveries of claimed pages.
    pub new_deliveries: Vec<NewDelivery>,
    /// The tokens of page claims that end, because all deliveries of their pages are stored.
    pub ended_page_claims: Vec<String>,
}

/// The rows of deliveries that [`DeliveryStore::record`] updated or created.
#[derive(Debug, Default)]
pub struct RecordedRows {
    /// The ids of the stored deliveries whose state was recorded.
    pub updated: HashSet<i64>,
    /// For each new delivery its id; `None` if this delivery was stored before by another worker.
    pub created: Vec<Option<i64>>,
}

impl RecordedAttempt {
    /// Whether this attempt failed and was the delivery's last one.
    pub fn is_given_up(&self) -> bool {
        self.next_attempt.is_none() && !self.is_success
    }

    fn state(&self) -> DeliveryState {
        match self.next_attempt {
            Some(_) => DeliveryState::Pending,
            None if self.is_given_up() => DeliveryState::Failed,
            None => DeliveryState::Delivered,
        }
    }

    /// The time at which the delivery is or was due.
    fn due_at(&self) -> Timestamp {
        self.next_attempt.unwrap_or(self.started)
    }
}

impl NewDelivery {
    /// The event's id and the subscriber, by which a delivery is unique.
    fn key(&self) -> (&str, SubscriberId) {
        (&self.event.id, self.subscriber)
    }

    fn state(&self) -> DeliveryState {
        self.attempt.as_ref().map_or(DeliveryState::Pending, RecordedAttempt::state)
    }
}

impl DeliveryStore {
    /// Records attempts with the new state of their deliveries, and new deliveries with their first attempts, in one transaction.
    /// If a delivery has been claimed by another worker or cancelled meanwhile, its attempt is recorded and counted, but its state
    /// is unchanged.
    pub async fn record(&self, records: &Records) -> Result<RecordedRows, DatabaseError> {
        // All workers lock rows in the same order, which avoids deadlocks.
        let mut attempts: Vec<_> = records.attempts.iter().collect();
        attempts.sort_by_key(|attempt| attempt.delivery);
        let mut new_deliveries: Vec<_> = records.new_deliveries.iter().collect();
        new_deliveries.sort_by_key(|delivery| delivery.key());
        let mut statements = self.insert_events(&new_deliveries);
        let inserts = statements.len();
        statements.extend(new_deliveries.chunks(MAX_INPUT_ROWS).map(|batch| self.insert_deliveries(batch)));
        let inserts = inserts..statements.len();
        let first_attempts: Vec<_> =
            new_deliveries.iter().filter_map(|delivery| delivery.attempt.as_ref()).collect();
        statements
            .extend(first_attempts.chunks(MAX_INPUT_ROWS).map(|batch| self.insert_first_attempts(batch)));
        statements.extend(attempts.chunks(MAX_INPUT_ROWS).map(|batch| self.insert_attempts(batch)));
        let updates = statements.len();
        statements.extend(attempts.chunks(MAX_INPUT_ROWS).map(|batch| self.update_deliveries(batch)));
        let updates = updates..statements.len();
        statements.extend(self.end_page_claims(&records.ended_page_claims));
        if statements.is_empty() {
            return Ok(RecordedRows::default());
        }
        let results = match self.db.execute_transaction(statements.clone()).await {
            // Another transaction may have blocked this one, so the transaction is repeated once.
            Err(DatabaseError::Unavailable(_)) => self.db.execute_transaction(statements).await,
            result => result,
        }?;
        let rows = |range| results.get(range).into_iter().flatten().flatten();
        let updated = rows(updates).map(|row: &Row| row.get("id")).collect::<Result<HashSet<_>, _>>()?;
        let mut created_ids: HashMap<(String, SubscriberId), i64> = HashMap::new();
        for row in rows(inserts) {
            created_ids.insert((row.get("event")?, row.get("subscriber")?), row.get("id")?);
        }
        let id_of = |delivery: &NewDelivery| {
            created_ids.get(&(delivery.event.id.clone(), delivery.subscriber)).copied()
        };
        let created: Vec<_> = records.new_deliveries.iter().map(id_of).collect();
        let was_stored = |(delivery, id): (&'_ NewDelivery, &Option<i64>)| match id {
            None => delivery.attempt.clone(),
            Some(_) => None,
        };
        let superseded = attempts
            .into_iter()
            .filter(|attempt| attempt.delivery.is_none_or(|id| !updated.contains(&id)))
            .cloned()
            .chain(records.new_deliveries.iter().zip(&created).filter_map(was_stored))
            .collect();
        if let Err(error) = self.update_attempt_counts(superseded).await {
            warn!(
                error = error.to_string(),
                "failed to update the attempt counts of deliveries that another worker has claimed"
            );
        }
        Ok(RecordedRows { updated, created })
    }

    /// The statements that store the events of new deliveries, each event once.
    fn insert_events(&self, new_deliveries: &[&NewDelivery]) -> Vec<Statement> {
        let Some(first) = new_deliveries.first() else { return Vec::new() };
        let mut events: Vec<_> = new_deliveries.iter().map(|delivery| &*delivery.event).collect();
        events.dedup_by_key(|event| &event.id);
        insert_messages(self.db.dialect().schema, events.into_iter(), first.created)
    }

    fn insert_deliveries(&self, batch: &[&NewDelivery]) -> Statement {
        let SqlDialect { schema, .. } = self.db.dialect();
        let batch = || batch.iter().copied();
        let attempts = || batch().map(|delivery| (delivery.created, delivery.attempt.as_ref()));
        let leases = || batch().map(|delivery| delivery.lease.as_ref());
        let micros = |time: Timestamp| Some(time.as_microsecond());
        let rows = InputRows::default()
            .with_text_column("event", batch().map(|delivery| Some(delivery.event.id.clone())))
            .with_number_column("subscriber", batch().map(|delivery| Some(delivery.subscriber)))
            .with_text_column("state", batch().map(|delivery| Some(delivery.state().as_str().to_owned())))
            .with_number_column(
                "attempts",
                attempts().map(|(_, attempt)| Some(attempt.map_or(0, |attempt| attempt.number))),
            )
            .with_number_column("created", batch().map(|delivery| micros(delivery.created)))
            .with_number_column(
                "since",
                attempts().map(|(created, attempt)| {
                    micros(attempt.map_or(created, |attempt| attempt.first_attempt))
                }),
            )
            .with_number_column("tried", attempts().map(|(_, attempt)| micros(attempt?.started)))
            .with_number_column(
                "next_attempt",
                attempts().map(|(created, attempt)| micros(attempt.map_or(created, RecordedAttempt::due_at))),
            )
            .with_text_column("held", leases().map(|lease| Some(lease?.token.clone())))
            .with_number_column("held_until", leases().map(|lease| micros(lease?.until)));
        let sql = format!(
            "insert into {schema}deliveries
               (event, subscriber, message, state, attempts, created, since, tried, next_attempt, held, held_until)
             select v.event, v.subscriber, (select m.id from {schema}messages m where m.event = v.event),
               case when v.state = 'waiting' and s.state = 'deleted' then 'cancelled' else v.state end,
               v.attempts, v.created, v.since, v.tried, v.next_attempt, v.held, v.held_until
             from v join {schema}subscribers s on s.id = v.subscriber
             where true on conflict (event, subscriber) do nothing returning id, event, subscriber"
        );
        Statement::with_rows(rows, sql)
    }

    /// Inserts the attempts of deliveries whose ids are not known. Each id is looked up in the index, as PostgreSQL would read the
    /// whole table for a join while it is small.
    fn insert_first_attempts(&self, attempts: &[&RecordedAttempt]) -> Statement {
        let SqlDialect { schema, .. } = self.db.dialect();
        let rows = attempt_rows(attempts);
        let sql = format!(
            "insert into {schema}attempts (delivery, {0})
             select (select d.id from {schema}deliveries d where d.event = v.event and d.subscriber = v.subscriber), {0}
             from v",
            rows.column_names()
        );
        Statement::with_rows(rows, sql)
    }

    fn insert_attempts(&self, attempts: &[&RecordedAttempt]) -> Statement {
        let SqlDialect { schema, .. } = self.db.dialect();
        let rows = attempt_rows(attempts)
            .with_number_column("delivery", attempts.iter().map(|attempt| attempt.delivery));
        let sql = format!("insert into {schema}attempts ({0}) select {0} from v", rows.column_names());
        Statement::with_rows(rows, sql)
    }

    fn update_deliveries(&self, attempts: &[&RecordedAttempt]) -> Statement {
        let SqlDialect { schema, .. } = self.db.dialect();
        let batch = || attempts.iter().copied();
        let rows = InputRows::default()
            .with_number_column("delivery", batch().map(|attempt| attempt.delivery))
            .with_text_column("held", batch().map(|attempt| Some(attempt.lease.clone())))
            .with_text_column("state", batch().map(|attempt| Some(attempt.state().as_str().to_owned())))
            .with_number_column("attempts", batch().map(|attempt| Some(attempt.number)))
            .with_number_column("since", batch().map(|attempt| Some(attempt.first_attempt.as_microsecond())))
            .with_number_column("tried", batch().map(|attempt| Some(attempt.started.as_microsecond())))
            .with_number_column(
                "next_attempt",
                batch().map(|attempt| Some(attempt.due_at().as_microsecond())),
            );
        // With `|| ''`, the condition does not match the partial indexes (`state = 'waiting'`), so the planner uses the primary
        // key.
        let sql = format!(
            "update {schema}deliveries as d
               set state = v.state, attempts = v.attempts, since = v.since, tried = v.tried,
                 next_attempt = v.next_attempt, held = null, held_until = null
             from v where d.id = v.delivery and d.held = v.held and d.state || '' = 'waiting' returning id"
        );
        Statement::with_rows(rows, sql)
    }

    /// Updates the attempt count and the time of the last attempt of deliveries that another worker has claimed or that were
    /// cancelled.
    async fn update_attempt_counts(&self, attempts: Vec<RecordedAttempt>) -> Result<(), DatabaseError> {
        if attempts.is_empty() {
            return Ok(());
        }
        let SqlDialect { schema, .. } = self.db.dialect();
        let rows = InputRows::default()
            .with_text_column("event", attempts.iter().map(|attempt| Some(attempt.event_id.clone())))
            .with_number_column("subscriber", attempts.iter().map(|attempt| Some(attempt.subscriber)))
            .with_number_column("attempts", attempts.iter().map(|attempt| Some(attempt.number)))
            .with_number_column(
                "tried",
                attempts.iter().map(|attempt| Some(attempt.started.as_microsecond())),
            );
        let update = format!(
            "update {schema}deliveries as d set attempts = v.attempts, tried = v.tried
             from v where d.event = v.event and d.subscriber = v.subscriber and d.attempts < v.attempts"
        );
        self.db.execute_transaction(vec![Statement::with_rows(rows, update)]).await.map(drop)
    }
}

/// The columns of attempts, but for the delivery's id.
fn attempt_rows(attempts: &[&RecordedAttempt]) -> InputRows {
    let batch = || attempts.iter().copied();
    InputRows::default()
        .with_number_column("started", batch().map(|attempt| Some(attempt.started.as_microsecond())))
        .with_number_column("subscriber", batch().map(|attempt| Some(attempt.subscriber)))
        .with_text_column("event", batch().map(|attempt| Some(attempt.event_id.clone())))
        .with_number_column("number", batch().map(|attempt| Some(attempt.number)))
        .with_number_column("duration", batch().map(|attempt| Some(attempt.duration_micros)))
        .with_number_column("status", batch().map(|attempt| attempt.status.map(i64::from)))
        .with_text_column("error", batch().map(|attempt| attempt.error.clone()))
        .with_text_column("address", batch().map(|attempt| attempt.address.clone()))
        .with_text_column("answer", batch().map(|attempt| attempt.response_body.clone()))
        .with_number_column("repeated", batch().map(|attempt| Some(attempt.is_repeated.into())))
        .with_number_column(
            "next_attempt",
            batch().map(|attempt| attempt.next_attempt.map(Timestamp::as_microsecond)),
        )
}
