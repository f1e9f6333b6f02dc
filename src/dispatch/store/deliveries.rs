//! Persistence for deliveries: idempotent creation and leasing.

use std::collections::HashSet;

use jiff::{SignedDuration, Timestamp};

use super::Store;
use crate::dispatch::schedule::KEPT;
use crate::dispatch::subscriber::SubscriberId;
use crate::log::{InputRows, LogError, Position, Row, SqlExecutor, SqlValue, Statement};

/// How long after the seven days the last attempt may still be made.
const LAST: SignedDuration = SignedDuration::from_hours(1);
/// What the hold of a message in a queue begins with.
const IN_QUEUE: &str = "queue-";
/// Rows that a statement is given at most: SQLite binds 32,766 values.
pub(super) const AT_ONCE: usize = 2000;

/// An event that is owed to somebody.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// The event's id.
    pub event: String,
    /// Its type.
    pub detail_type: String,
    /// The event as EventBridge's targets receive it.
    pub body: String,
}

/// Shows everything but the body.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Message")
            .field("event", &self.event)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

/// A lease: token and expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// A random word.
    pub token: String,
    /// Until when.
    pub until: Timestamp,
}

impl Hold {
    /// A new one, for some time.
    pub fn for_some(time: SignedDuration, now: Timestamp) -> Self {
        let until = now.checked_add(time).unwrap_or(now);
        Self { token: format!("{:032x}", fastrand::u128(..)), until }
    }

    /// A new one of a message in a queue, for some time.
    pub fn in_queue(time: SignedDuration, now: Timestamp) -> Self {
        let hold = Self::for_some(time, now);
        Self { token: format!("{IN_QUEUE}{}", hold.token), ..hold }
    }
}

/// A delivery that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owed<'a> {
    /// The event.
    pub event: &'a str,
    /// To whom.
    pub subscriber: SubscriberId,
    /// Whether it is held from the beginning.
    pub is_held: bool,
}

/// A delivery that was made, and is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its number.
    pub delivery: i64,
    /// The event.
    pub event: String,
    /// To whom.
    pub subscriber: SubscriberId,
}

/// A subscriber that has something to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// Its number.
    pub subscriber: SubscriberId,
    /// Whether too many attempts have failed for more than one.
    pub needs_probe: bool,
    /// What was tried before this time and failed is tried at once.
    releasing: Option<i64>,
}

/// A delivery that is held, with what is sent.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Its number.
    pub delivery: i64,
    /// To whom.
    pub subscriber: SubscriberId,
    /// What.
    pub message: Message,
    /// How often it was tried.
    pub attempts: i64,
    /// What its seven days are counted from.
    pub since: Timestamp,
}

impl<S: SqlExecutor> Store<S> {
    /// The position in the log of the first event whose deliveries were not made.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn position(&self) -> Result<Option<Position>, LogError> {
        let rows = self.db.query("select position from {log}dispatch", vec![]).await?;
        rows.first().map_or(Ok(None), |row| row.optional_number(0))
    }

    /// Makes deliveries of events, each once, whoever else makes the same; returns those that were made and are held. `position`
    /// is the position of the first event behind them, where they come from the log.
    ///
    /// # Errors
    /// [`LogError`]: none was made.
    pub async fn make(
        &self,
        messages: &[Message],
        owed: &[Owed<'_>],
        hold: &Hold,
        now: Timestamp,
        position: Option<Position>,
    ) -> Result<Vec<Made>, LogError> {
        let mut statements = Vec::new();
        for some in messages.chunks(AT_ONCE) {
            let rows = InputRows::default()
                .with_text_column("event", some.iter().map(|message| Some(message.event.clone())))
                .with_text_column("type", some.iter().map(|message| Some(message.detail_type.clone())))
                .with_text_column("body", some.iter().map(|message| Some(message.body.clone())))
                .with_number_column("created", some.iter().map(|_| Some(now.as_microsecond())));
            let insert = "insert into {log}messages (event, type, body, created) select event, type, body, created from v
                where true on conflict (event) do nothing";
            statements.push(Statement::with_rows(&rows.into(), insert));
        }
        let first = statements.len();
        for some in owed.chunks(AT_ONCE) {
            let held = |owed: &Owed<'_>| owed.is_held.then(|| hold.token.clone());
            let held_until = |owed: &Owed<'_>| owed.is_held.then(|| hold.until.as_microsecond());
            let rows = InputRows::default()
                .with_text_column("event", some.iter().map(|owed| Some(owed.event.to_owned())))
                .with_number_column("subscriber", some.iter().map(|owed| Some(owed.subscriber)))
                .with_number_column("created", some.iter().map(|_| Some(now.as_microsecond())))
                .with_text_column("held", some.iter().map(held))
                .with_number_column("held_until", some.iter().map(held_until));
            let insert = "insert into {log}deliveries (event, subscriber, message, created, since, next_attempt, held, held_until)
                select v.event, v.subscriber, m.id, v.created, v.created, v.created, v.held, v.held_until
                from v join {log}messages m on m.event = v.event
                where true on conflict (event, subscriber) do nothing returning id, event, subscriber, held";
            statements.push(Statement::with_rows(&rows.into(), insert));
        }
        let last = statements.len();
        if let Some(position) = position {
            let sql = "update {log}dispatch set position = $1 where position is null or position < $1";
            statements.push(Statement::new(sql, vec![position.into()]));
        }
        if statements.is_empty() {
            return Ok(Vec::new());
        }
        let done = self.db.execute_transaction(statements).await?;
        let rows = done.into_iter().take(last).skip(first).flatten();
        let made = |mut row: Row| {
            let made = Made { delivery: row.number(0)?, event: row.text(1)?, subscriber: row.number(2)? };
            Ok(row.optional_text(3)?.map(|_| made))
        };
        rows.map(made).filter_map(Result::transpose).collect()
    }

    /// Subscribers that have something to be tried before `until`.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn ready(&self, now: Timestamp, until: Timestamp) -> Result<Vec<Ready>, LogError> {
        // Two looks into the same index, each as short as can be.
        let due = |which: &str| {
            format!(
                "(select d.id from {{log}}deliveries d where d.subscriber = s.id and d.state = 'waiting' and {which}
                   and (d.held_until is null or d.held_until <= $1) order by d.next_attempt limit 1) is not null"
            )
        };
        let sql = format!(
            "select s.id, s.open_until, s.releasing from {{log}}subscribers s
             where s.state = 'active' and (s.open_until is null or s.open_until <= $1)
               and ({} or s.releasing is not null and {}) order by s.id",
            due("d.next_attempt <= $2"),
            due("d.tried < s.releasing")
        );
        let rows = self.db.query(&sql, vec![now.into(), until.into()]).await?;
        let ready = |row: &Row| {
            let (subscriber, open_until) = (row.number(0)?, row.optional_number(1)?);
            Ok(Ready { subscriber, needs_probe: open_until.is_some(), releasing: row.optional_number(2)? })
        };
        rows.iter().map(ready).collect()
    }

    /// Takes hold of up to `limit` deliveries of a subscriber that are to be tried before `until`, the earliest first.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn claim(
        &self,
        ready: Ready,
        limit: usize,
        hold: &Hold,
        times: (Timestamp, Timestamp),
    ) -> Result<Vec<Claimed>, LogError> {
        let held = self.hold(ready, limit, hold, times).await?;
        self.with_messages(ready.subscriber, held).await
    }

    /// The same, without what is sent: their numbers, and when they are to be tried.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn find(
        &self,
        ready: Ready,
        limit: usize,
        hold: &Hold,
        times: (Timestamp, Timestamp),
    ) -> Result<Vec<(i64, Timestamp)>, LogError> {
        let held = self.hold(ready, limit, hold, times).await?;
        held.iter().map(|row| Ok((row.number(0)?, row.time(4)?))).collect()
    }

    async fn hold(
        &self,
        Ready { subscriber, releasing, .. }: Ready,
        limit: usize,
        hold: &Hold,
        (now, until): (Timestamp, Timestamp),
    ) -> Result<Vec<Row>, LogError> {
        // What was tried before the subscriber was good again is due whatever its time.
        let (due, next) = match releasing {
            Some(_) => (
                "(next_attempt <= $3 or tried < $6)",
                ", next_attempt = case when tried < $6 then $2 else next_attempt end",
            ),
            None => ("next_attempt <= $3", ""),
        };
        let sql = format!(
            "with due as (
               select id from {{log}}deliveries where subscriber = $1 and state = 'waiting' and {due}
                 and (held_until is null or held_until <= $2)
                 and subscriber in (select s.id from {{log}}subscribers s where s.id = $1 and s.state = 'active')
               order by next_attempt limit {limit} {{skip_locked}})
             update {{log}}deliveries set held = $4, held_until = $5{next} where id in (select id from due)
             returning id, message, attempts, since, next_attempt"
        );
        let mut values: Vec<SqlValue> =
            vec![subscriber.into(), now.into(), until.into(), hold.token.as_str().into(), hold.until.into()];
        values.extend(releasing.map(SqlValue::from));
        let held = self.db.query(&sql, values).await?;
        if let Some(releasing) = releasing
            && held.len() < limit
        {
            let sql = "update {log}subscribers set releasing = null where id = $1 and releasing = $2";
            self.db.query(sql, vec![subscriber.into(), releasing.into()]).await?;
        }
        Ok(held)
    }

    /// Takes hold of one delivery that a message of a queue brings back, when it is due, in nobody's hand, and its subscriber is
    /// not resting. A message that comes a second time finds it in hand, or not due any more.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn take_over(
        &self,
        delivery: i64,
        is_probe: bool,
        hold: &Hold,
        now: Timestamp,
    ) -> Result<Option<Claimed>, LogError> {
        let resting = if is_probe { "" } else { "and open_until is null" };
        let sql = format!(
            "update {{log}}deliveries set held = $2, held_until = $3
             where id = $1 and state = 'waiting' and next_attempt <= $4
               and (held is null or held_until <= $4 or held like '{IN_QUEUE}%')
               and subscriber in (select id from {{log}}subscribers where state = 'active' {resting})
             returning id, message, attempts, since, next_attempt, subscriber"
        );
        let values = vec![delivery.into(), hold.token.as_str().into(), hold.until.into(), now.into()];
        let held = self.db.query(&sql, values).await?;
        let Some(subscriber) = held.first().map(|row| row.number(5)).transpose()? else { return Ok(None) };
        Ok(self.with_messages(subscriber, held).await?.pop())
    }

    async fn with_messages(
        &self,
        subscriber: SubscriberId,
        held: Vec<Row>,
    ) -> Result<Vec<Claimed>, LogError> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let ids =
            held.iter().map(|row| row.number(1).map(|id| id.to_string())).collect::<Result<Vec<_>, _>>()?;
        let sql =
            format!("select id, event, type, body from {{log}}messages where id in ({})", ids.join(", "));
        let mut messages = std::collections::HashMap::new();
        for mut row in self.db.query(&sql, vec![]).await? {
            let message = Message { event: row.text(1)?, detail_type: row.text(2)?, body: row.text(3)? };
            messages.insert(row.number(0)?, message);
        }
        let claimed = |row: &Row| {
            let Some(message) = messages.get(&row.number(1)?) else { return Ok(None) };
            Ok(Some(Claimed {
                delivery: row.number(0)?,
                subscriber,
                message: message.clone(),
                attempts: row.number(2)?,
                since: row.time(3)?,
            }))
        };
        held.iter().map(claimed).filter_map(Result::transpose).collect()
    }

    /// Of these deliveries those that are held by somebody, with their holds.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn held(&self, deliveries: &[i64]) -> Result<HashSet<(i64, String)>, LogError> {
        let mut held = HashSet::new();
        for some in deliveries.chunks(AT_ONCE) {
            let rows = InputRows::default().with_number_column("id", some.iter().copied().map(Some));
            let sql = "select d.id, d.held from v join {log}deliveries d on d.id = v.id
                where d.held is not null and d.state || '' = 'waiting'";
            for mut row in self
                .db
                .execute_transaction(vec![Statement::with_rows(&rows.into(), sql)])
                .await?
                .into_iter()
                .flatten()
            {
                held.insert((row.number(0)?, row.text(1)?));
            }
        }
        Ok(held)
    }

    /// Lets go of deliveries that were held and not tried.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn let_go(&self, hold: &Hold, deliveries: &[i64]) -> Result<(), LogError> {
        if deliveries.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = deliveries.iter().map(ToString::to_string).collect();
        let sql = format!(
            "update {{log}}deliveries set held = null, held_until = null where held = $1 and id in ({})",
            ids.join(", ")
        );
        self.db.query(&sql, vec![hold.token.as_str().into()]).await.map(drop)
    }

    /// Releases all leases (single-process mode, after a restart).
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn let_go_of_all(&self) -> Result<(), LogError> {
        let sql = "update {log}deliveries set held = null, held_until = null where state = 'waiting' and held is not null";
        self.db.query(sql, vec![]).await.map(drop)
    }

    /// Gives up what has waited for seven days, and says how many that were.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn give_up(&self, now: Timestamp) -> Result<usize, LogError> {
        // The last attempt is made when they are over.
        let oldest = now.checked_sub(KEPT + LAST).unwrap_or(now);
        let sql = format!(
            "update {{log}}deliveries set state = 'failed', held = null where id in (
               select id from {{log}}deliveries where state = 'waiting' and since < $1
                 and (held_until is null or held_until <= $2) order by since limit {AT_ONCE} {{skip_locked}})
             returning id"
        );
        Ok(self.db.query(&sql, vec![oldest.into(), now.into()]).await?.len())
    }
}
