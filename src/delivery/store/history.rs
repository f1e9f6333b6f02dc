//! The history of deliveries: what was delivered, when, and how the subscriber responded.

use jiff::Timestamp;
use serde::Deserialize;

use crate::db::{Database, DatabaseError, Row, SqlDialect, SqlValue};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "command", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// Another attempt will be made
    #[serde(rename = "waiting")]
    #[cfg_attr(feature = "command", value(name = "waiting"))]
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

/// A filter for deliveries. A delivery must meet every condition that is set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeliveryFilter {
    /// The subscriber's name.
    pub subscriber: Option<String>,
    /// The event's id.
    pub event: Option<String>,
    pub state: Option<DeliveryState>,
    /// Matches deliveries that were created at this time or later.
    pub since: Option<Timestamp>,
    /// Matches deliveries that were created before this time.
    pub until: Option<Timestamp>,
    /// Matches deliveries whose id is below this id.
    pub before_id: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryView {
    pub id: i64,
    /// The event's id.
    pub event: String,
    pub detail_type: String,
    /// The subscriber's name; `None` if the database has no row for the subscriber.
    pub subscriber: Option<String>,
    pub state: DeliveryState,
    pub attempts: i64,
    pub created: Timestamp,
    pub last_attempt: Option<Timestamp>,
    /// `None` unless the delivery is pending.
    pub next_attempt: Option<Timestamp>,
    /// The HTTP status of the last attempt; `None` if no attempt was made or the last one got no response.
    pub status: Option<i64>,
    /// The error of the last attempt; `None` if no attempt was made or the last one succeeded.
    pub error: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptView {
    /// The number of the attempt, from 1.
    pub number: i64,
    pub started: Timestamp,
    pub duration_micros: i64,
    pub status: Option<i64>,
    pub error: Option<String>,
    /// The IP address that was dialled, if known, with the port if there was a response.
    pub address: Option<String>,
    /// Whether the request was repeated on a new connection.
    pub is_repeated: bool,
    /// The first 16 KB of the response body. Without a response, this field and `status` are `None`.
    pub response_body: Option<String>,
    pub next_attempt: Option<Timestamp>,
}

impl DeliveryFilter {
    fn where_clause(&self, schema: &str) -> (String, Vec<SqlValue>) {
        let (mut sql, mut values) = (String::from("where true"), Vec::new());
        let mut add_condition = |text: &str, value: SqlValue| {
            values.push(value);
            sql.push_str(&format!(" and {text}").replace('?', &format!("${}", values.len())));
        };
        if let Some(name) = &self.subscriber {
            add_condition(
                &format!("d.subscriber in (select id from {schema}subscribers where name = ?)"),
                name.as_str().into(),
            );
        }
        if let Some(event) = &self.event {
            add_condition("d.event = ?", event.as_str().into());
        }
        if let Some(state) = self.state {
            add_condition("d.state = ?", state.as_str().into());
        }
        if let Some(since) = self.since {
            add_condition("d.created >= ?", since.into());
        }
        if let Some(until) = self.until {
            add_condition("d.created < ?", until.into());
        }
        if let Some(before) = self.before_id {
            add_condition("d.id < ?", before.into());
        }
        (sql, values)
    }
}

/// Reads stored deliveries and their attempts.
#[derive(Clone)]
pub struct DeliveryHistory {
    db: Database,
}

impl DeliveryHistory {
    pub(super) fn new(db: Database) -> Self {
        Self { db }
    }

    /// Returns the newest `limit` deliveries that match the filter, newest first.
    pub async fn list(
        &self,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<Vec<DeliveryView>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let (condition, values) = filter.where_clause(schema);
        let select =
            format!("select d.* from {schema}deliveries d {condition} order by d.id desc limit {limit}");
        self.query_views(&select, values).await
    }

    /// Returns a delivery with its attempts; `None` if the delivery does not exist.
    pub async fn find(&self, id: i64) -> Result<Option<(DeliveryView, Vec<AttemptView>)>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let sql = format!("select d.* from {schema}deliveries d where d.id = $1");
        let Some(view) = self.query_views(&sql, vec![id.into()]).await?.pop() else { return Ok(None) };
        let sql = format!(
            "select number, started, duration, status, error, address, repeated, answer, next_attempt from {schema}attempts
             where delivery = $1 order by started"
        );
        let rows = self.db.query(sql, vec![id.into()]).await?;
        Ok(Some((view, rows.iter().map(attempt_view).collect::<Result<_, _>>()?)))
    }

    async fn query_views(
        &self,
        deliveries: &str,
        values: Vec<SqlValue>,
    ) -> Result<Vec<DeliveryView>, DatabaseError> {
        let SqlDialect { schema, .. } = self.db.dialect();
        let last_attempt = |column: &str| {
            format!(
                "(select a.{column} from {schema}attempts a where a.delivery = p.id order by a.started desc limit 1)"
            )
        };
        let sql = format!(
            "select p.id, p.event, m.type, s.name, p.state, p.attempts, p.created, p.tried, p.next_attempt,
               {} as status, {} as error
             from ({deliveries}) p left join {schema}messages m on m.id = p.message
             left join {schema}subscribers s on s.id = p.subscriber order by p.id desc",
            last_attempt("status"),
            last_attempt("error")
        );
        self.db.query(sql, values).await?.iter().map(delivery_view).collect()
    }
}

/// Builds a SQL `where` clause, in which `d` is the table `deliveries`, and the values of its parameters. The clause selects the
/// delivery `id`, or, if `id` is `None`, the deliveries that match `filter`.
pub(super) fn where_clause(
    schema: &str,
    filter: &DeliveryFilter,
    id: Option<i64>,
) -> (String, Vec<SqlValue>) {
    match id {
        Some(id) => ("where d.id = $1".into(), vec![id.into()]),
        None => filter.where_clause(schema),
    }
}

fn delivery_view(row: &Row) -> Result<DeliveryView, DatabaseError> {
    let state = DeliveryState::parse(&row.get::<String>("state")?);
    let next_attempt: Option<Timestamp> = row.get("next_attempt")?;
    Ok(DeliveryView {
        id: row.get("id")?,
        event: row.get("event")?,
        detail_type: row.get::<Option<String>>("type")?.unwrap_or_default(),
        subscriber: row.get("name")?,
        state,
        attempts: row.get("attempts")?,
        created: row.get("created")?,
        last_attempt: row.get("tried")?,
        next_attempt: next_attempt.filter(|_| state == DeliveryState::Pending),
        status: row.get("status")?,
        error: row.get("error")?,
    })
}

fn attempt_view(row: &Row) -> Result<AttemptView, DatabaseError> {
    Ok(AttemptView {
        number: row.get("number")?,
        started: row.get("started")?,
        duration_micros: row.get("duration")?,
        status: row.get("status")?,
        error: row.get("error")?,
        address: row.get("address")?,
        is_repeated: row.get::<i64>("repeated")? != 0,
        response_body: row.get("answer")?,
        next_attempt: row.get("next_attempt")?,
    })
}
