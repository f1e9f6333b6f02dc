//! Delivery queries, manual retry and cancel, and retention.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;

use super::Store;
use crate::log::{LogError, Row, SqlExecutor, SqlValue};

/// Rows that are removed at once.
const FORGOTTEN: usize = 5000;

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is to be tried.
    Waiting,
    /// It was answered with a status from 200 to 299.
    Delivered,
    /// It was given up after seven days.
    Failed,
    /// It was cancelled.
    Cancelled,
}

impl State {
    /// As it is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn read(text: &str) -> Self {
        match text {
            "waiting" => Self::Waiting,
            "delivered" => Self::Delivered,
            "cancelled" => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// Which deliveries are meant. All of it holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// Of the subscriber of this name.
    pub subscriber: Option<String>,
    /// Of this event.
    pub event: Option<String>,
    /// Only with this status.
    pub state: Option<State>,
    /// Made at this time or later.
    pub since: Option<Timestamp>,
    /// Made before this time.
    pub until: Option<Timestamp>,
    /// With a number below this.
    pub before: Option<i64>,
}

/// A delivery, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryView {
    /// Its number.
    pub id: i64,
    /// The event's id.
    pub event: String,
    /// Its type.
    pub detail_type: String,
    /// The subscriber's name; none where it is gone.
    pub subscriber: Option<String>,
    /// Where it stands.
    pub state: State,
    /// How often it was tried.
    pub attempts: i64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was tried last.
    pub tried: Option<Timestamp>,
    /// When it is tried again.
    pub next: Option<Timestamp>,
    /// The status that it was answered last.
    pub status: Option<i64>,
    /// What went wrong last.
    pub error: Option<String>,
}

/// An attempt, as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TriedView {
    /// Which it was, from 1 on.
    pub number: i64,
    /// When it began.
    pub started: Timestamp,
    /// How long it took, in microseconds.
    pub duration: i64,
    /// The status that it was answered.
    pub status: Option<i64>,
    /// What went wrong.
    pub error: Option<String>,
    /// The address that was dialled.
    pub address: Option<String>,
    /// The beginning of the answer.
    pub answer: Option<String>,
    /// When it was to be tried again.
    pub next: Option<Timestamp>,
}

impl DeliveryFilter {
    fn sql(&self) -> (String, Vec<SqlValue>) {
        let (mut sql, mut values) = (String::from("where true"), Vec::new());
        let mut and = |text: &str, value: SqlValue| {
            values.push(value);
            sql.push_str(&format!(" and {text}").replace('?', &format!("${}", values.len())));
        };
        if let Some(name) = &self.subscriber {
            and("d.subscriber in (select id from {log}subscribers where name = ?)", name.as_str().into());
        }
        if let Some(event) = &self.event {
            and("d.event = ?", event.as_str().into());
        }
        if let Some(state) = self.state {
            and("d.state = ?", state.as_str().into());
        }
        if let Some(since) = self.since {
            and("d.created >= ?", since.into());
        }
        if let Some(until) = self.until {
            and("d.created < ?", until.into());
        }
        if let Some(before) = self.before {
            and("d.id < ?", before.into());
        }
        (sql, values)
    }
}

impl<S: SqlExecutor> Store<S> {
    /// Deliveries, the newest first.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn deliveries(
        &self,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<Vec<DeliveryView>, LogError> {
        let (which, values) = filter.sql();
        let page = format!("select d.* from {{log}}deliveries d {which} order by d.id desc limit {limit}");
        self.views(&page, values).await
    }

    /// One delivery, and the attempts at it.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn delivery(&self, id: i64) -> Result<Option<(DeliveryView, Vec<TriedView>)>, LogError> {
        let one = "select d.* from {log}deliveries d where d.id = $1";
        let Some(view) = self.views(one, vec![id.into()]).await?.pop() else { return Ok(None) };
        let sql = "select number, started, duration, status, error, address, answer, next_attempt from {log}attempts
            where delivery = $1 order by started";
        let rows = self.db.query(sql, vec![id.into()]).await?;
        Ok(Some((view, rows.into_iter().map(tried).collect::<Result<_, _>>()?)))
    }

    async fn views(&self, which: &str, values: Vec<SqlValue>) -> Result<Vec<DeliveryView>, LogError> {
        let last = |column: &str| {
            format!(
                "(select a.{column} from {{log}}attempts a where a.delivery = p.id order by a.started desc limit 1)"
            )
        };
        let sql = format!(
            "select p.id, p.event, m.type, s.name, p.state, p.attempts, p.created, p.tried, p.next_attempt, {}, {}
             from ({which}) p left join {{log}}messages m on m.id = p.message
             left join {{log}}subscribers s on s.id = p.subscriber order by p.id desc",
            last("status"),
            last("error")
        );
        self.db.query(&sql, values).await?.into_iter().map(view).collect()
    }

    /// Has deliveries tried at once, whatever became of them, as if they were new, and their subscribers asked whether they are
    /// well; says how many.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn retry(
        &self,
        filter: &DeliveryFilter,
        id: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, LogError> {
        let (which, mut values) = which(filter, id);
        values.push(now.into());
        let sql = format!(
            "update {{log}}deliveries set state = 'waiting', since = ${0}, next_attempt = ${0}, held = null, held_until = null
             where id in (select d.id from {{log}}deliveries d {which})
               and subscriber in (select id from {{log}}subscribers where state <> 'deleted')
               and (held_until is null or held_until <= ${0} or state <> 'waiting' or next_attempt > ${0})
             returning id, subscriber",
            values.len()
        );
        let done = self.db.query(&sql, values).await?;
        let of = done.iter().map(|row| row.number(1)).collect::<Result<BTreeSet<_>, _>>()?;
        if !of.is_empty() {
            let of: Vec<_> = of.iter().map(ToString::to_string).collect();
            // Who asks for it does not wait until a subscriber that failed has rested.
            let sql = format!(
                "update {{log}}subscribers set open_until = $1 where open_until > $1 and id in ({})",
                of.join(", ")
            );
            self.db.query(&sql, vec![now.into()]).await?;
        }
        Ok(done.len())
    }

    /// Ends deliveries that wait; says how many.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn cancel(&self, filter: &DeliveryFilter, id: Option<i64>) -> Result<usize, LogError> {
        let (which, values) = which(filter, id);
        let sql = format!(
            "update {{log}}deliveries set state = 'cancelled', held = null, held_until = null
             where state = 'waiting' and id in (select d.id from {{log}}deliveries d {which}) returning id"
        );
        Ok(self.db.query(&sql, values).await?.len())
    }

    /// How many deliveries wait.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn waiting(&self, subscriber: i64) -> Result<i64, LogError> {
        let sql = "select count(*) from {log}deliveries where subscriber = $1 and state = 'waiting'";
        self.db.query(sql, vec![subscriber.into()]).await?.first().map_or(Ok(0), |row| row.number(0))
    }

    /// Removes what was tried, and what was done with, before `oldest`, and makes room for the attempts to come.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn maintain(&self, oldest: Timestamp) -> Result<(), LogError> {
        self.db.maintain_partitions("attempts", oldest).await?;
        // Each time those with the lowest numbers, which are the oldest: no index of their time is needed, nor do those that are
        // kept have to be looked at. Of the attempts only what strayed from the weeks that were dropped as a whole is left.
        let first = |table: &str, which: &str| {
            format!(
                "delete from {{log}}{table} where id in (
                   select a.id from (select * from {{log}}{table} order by id limit {FORGOTTEN}) a
                   where a.created < $1 and {which})
                 returning id"
            )
        };
        for sql in [
            format!(
                "delete from {{log}}attempts where started < $1 and started in (
                   select started from {{log}}attempts where started < $1 limit {FORGOTTEN})
                 returning started"
            ),
            first("deliveries", "a.state <> 'waiting'"),
            first("messages", "not exists (select 1 from {log}deliveries d where d.event = a.event)"),
        ] {
            while !self.db.query(&sql, vec![oldest.into()]).await?.is_empty() {}
        }
        Ok(())
    }
}

fn which(filter: &DeliveryFilter, id: Option<i64>) -> (String, Vec<SqlValue>) {
    match id {
        Some(id) => ("where d.id = $1".into(), vec![id.into()]),
        None => filter.sql(),
    }
}

fn view(mut row: Row) -> Result<DeliveryView, LogError> {
    let state = State::read(&row.text(4)?);
    Ok(DeliveryView {
        id: row.number(0)?,
        event: row.text(1)?,
        detail_type: row.optional_text(2)?.unwrap_or_default(),
        subscriber: row.optional_text(3)?,
        state,
        attempts: row.number(5)?,
        created: row.time(6)?,
        tried: row.optional_time(7)?,
        next: if state == State::Waiting { row.optional_time(8)? } else { None },
        status: row.optional_number(9)?,
        error: row.optional_text(10)?,
    })
}

fn tried(mut row: Row) -> Result<TriedView, LogError> {
    Ok(TriedView {
        number: row.number(0)?,
        started: row.time(1)?,
        duration: row.number(2)?,
        status: row.optional_number(3)?,
        error: row.optional_text(4)?,
        address: row.optional_text(5)?,
        answer: row.optional_text(6)?,
        next: row.optional_time(7)?,
    })
}
