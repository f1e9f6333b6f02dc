//! Attempts: on record, with what follows for their deliveries, before anything else is done about them.

use std::collections::HashSet;

use jiff::Timestamp;
use tracing::warn;

use super::Store;
use super::deliveries::{AT_ONCE, Hold};
use crate::dispatch::subscriber::SubscriberId;
use crate::log::{InputRows, LogError, SqlExecutor, Statement};

/// An attempt, and what follows from it.
#[derive(Clone, Debug)]
pub struct Attempted {
    /// The delivery.
    pub delivery: i64,
    /// The hold under which it was tried.
    pub hold: String,
    /// To whom.
    pub subscriber: SubscriberId,
    /// The event.
    pub event: String,
    /// Which attempt at this delivery it was, from 1 on.
    pub number: i64,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in microseconds.
    pub duration: i64,
    /// The status that it was answered.
    pub status: Option<u16>,
    /// What went wrong.
    pub error: Option<String>,
    /// The address that was dialled.
    pub address: Option<String>,
    /// The beginning of the answer.
    pub answer: Option<String>,
    /// Whether it was good.
    pub is_good: bool,
    /// What the delivery's seven days are counted from.
    pub since: Timestamp,
    /// When it is tried again; `None` when it is not.
    pub next: Option<Timestamp>,
    /// Who holds it from now on: a message in a queue.
    pub next_hold: Option<Hold>,
}

impl Attempted {
    /// Whether it failed, and is not tried again.
    pub fn is_given_up(&self) -> bool {
        self.next.is_none() && !self.is_good
    }

    /// What the delivery is after it.
    fn state(&self) -> &'static str {
        match self.next {
            Some(_) => "waiting",
            None if self.is_given_up() => "failed",
            None => "delivered",
        }
    }
}

impl<S: SqlExecutor> Store<S> {
    /// Records attempts, and when each delivery is tried again: all of it, or nothing. An attempt is on record also when somebody
    /// else has the delivery by now, which then stays as it is; returns the deliveries that changed.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn record(&self, attempts: &[Attempted]) -> Result<HashSet<i64>, LogError> {
        let mut statements = Vec::new();
        // In one order, whoever does it.
        let mut attempts: Vec<_> = attempts.iter().collect();
        attempts.sort_by_key(|attempt| attempt.delivery);
        for some in attempts.chunks(AT_ONCE) {
            let each = || some.iter().copied();
            let tried = InputRows::default()
                .with_number_column("started", each().map(|attempt| Some(attempt.started.as_microsecond())))
                .with_number_column("delivery", each().map(|attempt| Some(attempt.delivery)))
                .with_number_column("subscriber", each().map(|attempt| Some(attempt.subscriber)))
                .with_text_column("event", each().map(|attempt| Some(attempt.event.clone())))
                .with_number_column("number", each().map(|attempt| Some(attempt.number)))
                .with_number_column("duration", each().map(|attempt| Some(attempt.duration)))
                .with_number_column("status", each().map(|attempt| attempt.status.map(i64::from)))
                .with_text_column("error", each().map(|attempt| attempt.error.clone()))
                .with_text_column("address", each().map(|attempt| attempt.address.clone()))
                .with_text_column("answer", each().map(|attempt| attempt.answer.clone()))
                .with_number_column(
                    "next_attempt",
                    each().map(|attempt| attempt.next.map(Timestamp::as_microsecond)),
                );
            let insert = format!("insert into {{log}}attempts ({0}) select {0} from v", tried.column_names());
            statements.push(Statement::with_rows(&tried.into(), insert));
            let next = |attempt: &Attempted| attempt.next.unwrap_or(attempt.started).as_microsecond();
            let held = |attempt: &Attempted| attempt.next_hold.as_ref().map(|hold| hold.token.clone());
            let held_until = |attempt: &Attempted| Some(attempt.next_hold.as_ref()?.until.as_microsecond());
            let rows = InputRows::default()
                .with_number_column("delivery", each().map(|attempt| Some(attempt.delivery)))
                .with_text_column("held", each().map(|attempt| Some(attempt.hold.clone())))
                .with_text_column("state", each().map(|attempt| Some(attempt.state().to_owned())))
                .with_number_column("attempts", each().map(|attempt| Some(attempt.number)))
                .with_number_column("since", each().map(|attempt| Some(attempt.since.as_microsecond())))
                .with_number_column("tried", each().map(|attempt| Some(attempt.started.as_microsecond())))
                .with_number_column("next_attempt", each().map(|attempt| Some(next(attempt))))
                .with_text_column("new_held", each().map(held))
                .with_number_column("new_until", each().map(held_until));
            // `|| ''` keeps the planner on the primary key instead of the partial index.
            let update = "update {log}deliveries as d set state = v.state, attempts = v.attempts, since = v.since, tried = v.tried,
                  next_attempt = v.next_attempt, held = v.new_held, held_until = v.new_until
                from v where d.id = v.delivery and d.held = v.held and d.state || '' = 'waiting' returning id";
            statements.push(Statement::with_rows(&rows.into(), update));
        }
        if statements.is_empty() {
            return Ok(HashSet::new());
        }
        let done = match self.db.execute_transaction(statements.clone()).await {
            // Somebody else may have stood in the way.
            Err(LogError::Unavailable(_)) => self.db.execute_transaction(statements).await,
            done => done,
        };
        let ours = done?.iter().flatten().map(|row| row.number(0)).collect::<Result<HashSet<_>, _>>()?;
        let others = attempts.into_iter().filter(|attempt| !ours.contains(&attempt.delivery)).collect();
        if let Err(error) = self.count(others).await {
            // The attempts are on record.
            warn!(
                error = error.to_string(),
                "failed to update the attempt counts of deliveries that another worker has claimed"
            );
        }
        Ok(ours)
    }

    /// Counts attempts at deliveries that somebody else has by now, or that were cancelled: nothing else of them changes.
    async fn count(&self, attempts: Vec<&Attempted>) -> Result<(), LogError> {
        if attempts.is_empty() {
            return Ok(());
        }
        let rows = InputRows::default()
            .with_number_column("id", attempts.iter().map(|attempt| Some(attempt.delivery)))
            .with_number_column("attempts", attempts.iter().map(|attempt| Some(attempt.number)))
            .with_number_column(
                "tried",
                attempts.iter().map(|attempt| Some(attempt.started.as_microsecond())),
            );
        let count = "update {log}deliveries as d set attempts = v.attempts, tried = v.tried
            from v where d.id = v.id and d.attempts < v.attempts";
        self.db.execute_transaction(vec![Statement::with_rows(&rows.into(), count)]).await.map(drop)
    }
}
