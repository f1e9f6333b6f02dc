//! Delivery queries, manual retry and cancel, and retention.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::Deserialize;

use super::DeliveryStore;
use crate::log::{LogError, Row, SqlExecutor, SqlValue};

/// The maximum number of rows that one statement deletes.
const CLEANUP_BATCH_SIZE: usize = 5000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Another attempt will be made
    Pending,
    /// The subscriber answered with a status from 200 to 299
    Delivered,
    /// Every attempt of the seven days failed
    Failed,
    /// Cancelled by the operator, or because the subscriber was deleted
    Cancelled,
}

impl DeliveryState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "waiting",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "waiting" => Self::Pending,
            "delivered" => Self::Delivered,
            "cancelled" => Self::Cancelled,
            _ => Self::Failed,
        }
    }
}

/// A filter for deliveries; all conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// The subscriber's name.
    pub subscriber: Option<String>,
    /// The event's id.
    pub event: Option<String>,
    pub state: Option<DeliveryState>,
    /// Created at this time or later.
    pub since: Option<Timestamp>,
    /// Created before this time.
    pub until: Option<Timestamp>,
    /// With an id below this one.
    pub before_id: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryView {
    pub id: i64,
    /// The event's id.
    pub event: String,
    pub detail_type: String,
    /// The subscriber's name; `None` if its row is gone.
    pub subscriber: Option<String>,
    pub state: DeliveryState,
    pub attempts: i64,
    pub created: Timestamp,
    pub last_attempt: Option<Timestamp>,
    pub next_attempt: Option<Timestamp>,
    /// The status of the last attempt.
    pub status: Option<i64>,
    /// The error of the last attempt.
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptView {
    /// From 1.
    pub number: i64,
    pub started: Timestamp,
    /// Microseconds.
    pub duration: i64,
    pub status: Option<i64>,
    pub error: Option<String>,
    /// The address that was dialled.
    pub address: Option<String>,
    /// The first 16 KB of the response body.
    pub response_body: Option<String>,
    pub next_attempt: Option<Timestamp>,
}

impl DeliveryFilter {
    fn where_clause(&self) -> (String, Vec<SqlValue>) {
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
        if let Some(before) = self.before_id {
            and("d.id < ?", before.into());
        }
        (sql, values)
    }
}

impl<S: SqlExecutor> DeliveryStore<S> {
    /// Deliveries, the newest first.
    pub async fn list_deliveries(
        &self,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<Vec<DeliveryView>, LogError> {
        let (condition, values) = filter.where_clause();
        let page =
            format!("select d.* from {{log}}deliveries d {condition} order by d.id desc limit {limit}");
        self.query_views(&page, values).await
    }

    /// A delivery with its attempts.
    pub async fn find_delivery(&self, id: i64) -> Result<Option<(DeliveryView, Vec<AttemptView>)>, LogError> {
        let sql = "select d.* from {log}deliveries d where d.id = $1";
        let Some(view) = self.query_views(sql, vec![id.into()]).await?.pop() else { return Ok(None) };
        let sql = "select number, started, duration, status, error, address, answer, next_attempt from {log}attempts
            where delivery = $1 order by started";
        let rows = self.db.query(sql, vec![id.into()]).await?;
        Ok(Some((view, rows.into_iter().map(attempt_view).collect::<Result<_, _>>()?)))
    }

    async fn query_views(
        &self,
        deliveries: &str,
        values: Vec<SqlValue>,
    ) -> Result<Vec<DeliveryView>, LogError> {
        let last_attempt = |column: &str| {
            format!(
                "(select a.{column} from {{log}}attempts a where a.delivery = p.id order by a.started desc limit 1)"
            )
        };
        let sql = format!(
            "select p.id, p.event, m.type, s.name, p.state, p.attempts, p.created, p.tried, p.next_attempt, {}, {}
             from ({deliveries}) p left join {{log}}messages m on m.id = p.message
             left join {{log}}subscribers s on s.id = p.subscriber order by p.id desc",
            last_attempt("status"),
            last_attempt("error")
        );
        self.db.query(&sql, values).await?.into_iter().map(delivery_view).collect()
    }

    /// Makes deliveries due now, whatever their state, with a new window of seven days, and closes the circuits of their
    /// subscribers. Returns how many there were.
    pub async fn retry_deliveries(
        &self,
        filter: &DeliveryFilter,
        id: Option<i64>,
        now: Timestamp,
    ) -> Result<usize, LogError> {
        let (condition, mut values) = where_clause(filter, id);
        values.push(now.into());
        let sql = format!(
            "update {{log}}deliveries set state = 'waiting', since = ${0}, next_attempt = ${0}, held = null, held_until = null
             where id in (select d.id from {{log}}deliveries d {condition})
               and subscriber in (select id from {{log}}subscribers where state <> 'deleted')
               and (held_until is null or held_until <= ${0} or state <> 'waiting' or next_attempt > ${0})
             returning id, subscriber",
            values.len()
        );
        let rows = self.db.query(&sql, values).await?;
        let subscribers = rows.iter().map(|row| row.number(1)).collect::<Result<BTreeSet<_>, _>>()?;
        if !subscribers.is_empty() {
            let ids: Vec<_> = subscribers.iter().map(ToString::to_string).collect();
            // A manual retry does not wait for the open circuit.
            let sql = format!(
                "update {{log}}subscribers set open_until = $1 where open_until > $1 and id in ({})",
                ids.join(", ")
            );
            self.db.query(&sql, vec![now.into()]).await?;
        }
        Ok(rows.len())
    }

    /// Cancels pending deliveries and returns how many there were.
    pub async fn cancel_deliveries(
        &self,
        filter: &DeliveryFilter,
        id: Option<i64>,
    ) -> Result<usize, LogError> {
        let (condition, values) = where_clause(filter, id);
        let sql = format!(
            "update {{log}}deliveries set state = 'cancelled', held = null, held_until = null
             where state = 'waiting' and id in (select d.id from {{log}}deliveries d {condition}) returning id"
        );
        Ok(self.db.query(&sql, values).await?.len())
    }

    pub async fn count_pending(&self, subscriber: i64) -> Result<i64, LogError> {
        let sql = "select count(*) from {log}deliveries where subscriber = $1 and state = 'waiting'";
        self.db.query(sql, vec![subscriber.into()]).await?.first().map_or(Ok(0), |row| row.number(0))
    }

    /// Deletes attempts and finished deliveries older than `oldest`, and creates the partitions for coming attempts.
    pub async fn delete_expired(&self, oldest: Timestamp) -> Result<(), LogError> {
        self.db.maintain_partitions("attempts", oldest).await?;
        // The lowest ids are the oldest rows, so no index on time is needed and rows that are kept are not read. Of the attempts,
        // only rows outside the dropped weekly partitions are left.
        let delete_oldest = |table: &str, condition: &str| {
            format!(
                "delete from {{log}}{table} where id in (
                   select a.id from (select * from {{log}}{table} order by id limit {CLEANUP_BATCH_SIZE}) a
                   where a.created < $1 and {condition})
                 returning id"
            )
        };
        for sql in [
            format!(
                "delete from {{log}}attempts where started < $1 and started in (
                   select started from {{log}}attempts where started < $1 limit {CLEANUP_BATCH_SIZE})
                 returning started"
            ),
            delete_oldest("deliveries", "a.state <> 'waiting'"),
            delete_oldest("messages", "not exists (select 1 from {log}deliveries d where d.event = a.event)"),
        ] {
            while !self.db.query(&sql, vec![oldest.into()]).await?.is_empty() {}
        }
        Ok(())
    }
}

fn where_clause(filter: &DeliveryFilter, id: Option<i64>) -> (String, Vec<SqlValue>) {
    match id {
        Some(id) => ("where d.id = $1".into(), vec![id.into()]),
        None => filter.where_clause(),
    }
}

fn delivery_view(mut row: Row) -> Result<DeliveryView, LogError> {
    let state = DeliveryState::parse(&row.text(4)?);
    Ok(DeliveryView {
        id: row.number(0)?,
        event: row.text(1)?,
        detail_type: row.optional_text(2)?.unwrap_or_default(),
        subscriber: row.optional_text(3)?,
        state,
        attempts: row.number(5)?,
        created: row.time(6)?,
        last_attempt: row.optional_time(7)?,
        next_attempt: if state == DeliveryState::Pending { row.optional_time(8)? } else { None },
        status: row.optional_number(9)?,
        error: row.optional_text(10)?,
    })
}

fn attempt_view(mut row: Row) -> Result<AttemptView, LogError> {
    Ok(AttemptView {
        number: row.number(0)?,
        started: row.time(1)?,
        duration: row.number(2)?,
        status: row.optional_number(3)?,
        error: row.optional_text(4)?,
        address: row.optional_text(5)?,
        response_body: row.optional_text(6)?,
        next_attempt: row.optional_time(7)?,
    })
}
