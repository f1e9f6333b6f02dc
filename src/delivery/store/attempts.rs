//! Storage of attempts: an attempt and the new state of its delivery are recorded in one transaction.

use std::collections::HashSet;

use jiff::Timestamp;
use tracing::warn;

use super::{DeliveryState, DeliveryStore};
use crate::db::{DatabaseError, InputRows, MAX_INPUT_ROWS, SqlDialect, Statement};
use crate::delivery::subscriber::SubscriberId;

/// A finished attempt and the resulting state of its delivery. Without a response, `status` and `response_body` are `None`.
#[derive(Clone, Debug)]
pub struct RecordedAttempt {
    pub delivery: i64,
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
}

impl DeliveryStore {
    /// Records attempts and the new state of their deliveries in one transaction. If a delivery has been claimed by another
    /// worker or cancelled meanwhile, its attempt is recorded and counted, but its state is unchanged. Returns the ids of the
    /// deliveries whose state was recorded.
    pub async fn record_attempts(&self, attempts: &[RecordedAttempt]) -> Result<HashSet<i64>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let mut statements = Vec::new();
        // All workers lock the rows of `deliveries` in the order of their ids, which avoids deadlocks.
        let mut attempts: Vec<_> = attempts.iter().collect();
        attempts.sort_by_key(|attempt| attempt.delivery);
        for chunk in attempts.chunks(MAX_INPUT_ROWS) {
            let batch = || chunk.iter().copied();
            let attempt_rows = InputRows::default()
                .with_number_column("started", batch().map(|attempt| Some(attempt.started.as_microsecond())))
                .with_number_column("delivery", batch().map(|attempt| Some(attempt.delivery)))
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
                );
            let insert =
                format!("insert into {schema}attempts ({0}) select {0} from v", attempt_rows.column_names());
            statements.push(Statement::with_rows(attempt_rows, insert));
            let next_attempt =
                |attempt: &RecordedAttempt| attempt.next_attempt.unwrap_or(attempt.started).as_microsecond();
            let delivery_rows = InputRows::default()
                .with_number_column("delivery", batch().map(|attempt| Some(attempt.delivery)))
                .with_text_column("held", batch().map(|attempt| Some(attempt.lease.clone())))
                .with_text_column("state", batch().map(|attempt| Some(attempt.state().as_str().to_owned())))
                .with_number_column("attempts", batch().map(|attempt| Some(attempt.number)))
                .with_number_column(
                    "since",
                    batch().map(|attempt| Some(attempt.first_attempt.as_microsecond())),
                )
                .with_number_column("tried", batch().map(|attempt| Some(attempt.started.as_microsecond())))
                .with_number_column("next_attempt", batch().map(|attempt| Some(next_attempt(attempt))));
            // With `|| ''`, the condition does not match the partial indexes (`state = 'waiting'`), so the planner uses the
            // primary key.
            let update = format!(
                "update {schema}deliveries as d
                   set state = v.state, attempts = v.attempts, since = v.since, tried = v.tried,
                     next_attempt = v.next_attempt, held = null, held_until = null
                 from v where d.id = v.delivery and d.held = v.held and d.state || '' = 'waiting' returning id"
            );
            statements.push(Statement::with_rows(delivery_rows, update));
        }
        if statements.is_empty() {
            return Ok(HashSet::new());
        }
        let result = match self.db.execute_transaction(statements.clone()).await {
            // Another transaction may have blocked this one, so the transaction is repeated once.
            Err(DatabaseError::Unavailable(_)) => self.db.execute_transaction(statements).await,
            result => result,
        };
        let updated = result?.iter().flatten().map(|row| row.get("id")).collect::<Result<HashSet<_>, _>>()?;
        let superseded_attempts =
            attempts.into_iter().filter(|attempt| !updated.contains(&attempt.delivery)).collect();
        if let Err(error) = self.update_attempt_counts(superseded_attempts).await {
            warn!(
                error = error.to_string(),
                "failed to update the attempt counts of deliveries that another worker has claimed"
            );
        }
        Ok(updated)
    }

    /// Updates the attempt count and the time of the last attempt of deliveries that another worker has claimed or that were
    /// cancelled.
    async fn update_attempt_counts(&self, attempts: Vec<&RecordedAttempt>) -> Result<(), DatabaseError> {
        if attempts.is_empty() {
            return Ok(());
        }
        let SqlDialect { schema, .. } = self.db.dialect();
        let rows = InputRows::default()
            .with_number_column("id", attempts.iter().map(|attempt| Some(attempt.delivery)))
            .with_number_column("attempts", attempts.iter().map(|attempt| Some(attempt.number)))
            .with_number_column(
                "tried",
                attempts.iter().map(|attempt| Some(attempt.started.as_microsecond())),
            );
        let update = format!(
            "update {schema}deliveries as d set attempts = v.attempts, tried = v.tried
             from v where d.id = v.id and d.attempts < v.attempts"
        );
        self.db.execute_transaction(vec![Statement::with_rows(rows, update)]).await.map(drop)
    }
}
