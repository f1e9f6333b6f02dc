//! The order of the log in PostgreSQL: positions are given after the commit, by one sequencer at a time.
//!
//! A number taken before the commit would not do: a slow transaction would put its events in front of those that a reader
//! has seen. Nor does a recorder wait for another: whoever comes to it next, recorder or reader, gives positions to all
//! that was committed, by the function `hookbridge.sequence` in `0002_order.sql`.

use std::ops::Range;

use jiff::Timestamp;
use sqlx::postgres::{PgConnection, PgListener, PgRow, Postgres};
use sqlx::{Connection as _, QueryBuilder, Row as _};
use tokio::time::timeout;
use tracing::warn;

use super::{Lent, PATIENCE, PostgresLog, stored};
use crate::log::order::{Bounds, CursorKey, Filter, Most, Ordered, Placed, Position};
use crate::log::search::Stored;
use crate::log::window::{self, Span};
use crate::log::{LogError, sql::Dialect as _, time_of};

/// The channel on which the end of the log is told.
const CHANNEL: &str = "hookbridge_log";

impl PostgresLog {
    /// Has this log learn from the database when another process adds to it, until it is dropped. Without it, and where
    /// something between does not pass it on, it asks now and then.
    pub fn listen(&self) {
        let (pool, growth) = (self.pool.clone(), std::sync::Arc::downgrade(&self.growth));
        tokio::spawn(async move {
            let listened = async {
                let mut listener = PgListener::connect_with(&pool).await?;
                listener.listen(CHANNEL).await?;
                loop {
                    let told = listener.recv().await?;
                    let Some(growth) = growth.upgrade() else { return Ok::<_, sqlx::Error>(()) };
                    growth.to(told.payload().parse().unwrap_or_default());
                }
            };
            if let Err(error) = listened.await {
                let error = LogError::from(error).to_string();
                warn!(error, "the database does not tell when the log grows: it is asked now and then");
            }
        });
    }

    /// Reads events of a window, by a session that knows all of it.
    async fn look(
        &self,
        where_from: (&Range<Position>, &Range<Position>),
        filter: &Filter,
        most: Most,
    ) -> Result<Option<Vec<Placed>>, LogError> {
        let mut lent = Lent::from(&self.pool).await?;
        let mut all = read(&mut lent.connection, where_from, filter, most).await?;
        lent.is_idle = all.missed <= 0;
        // A session may not know of a table that another has attached: PostgreSQL tells it, but what it was just reading
        // of the catalogs then, it keeps. A new session looks anew. Where that one misses as many, somebody deleted them.
        while all.missed > 0 {
            let options = self.pool.connect_options();
            let fresh = timeout(PATIENCE, PgConnection::connect_with(&options)).await;
            let mut fresh = fresh.map_err(|_| sqlx::Error::PoolTimedOut)??;
            let again = read(&mut fresh, where_from, filter, most).await?;
            fresh.close().await?;
            let is_so = again.missed == all.missed;
            all = again;
            if is_so {
                lent.is_idle = true;
                break;
            }
        }
        Ok(all.events)
    }

    /// The rows of one statement.
    async fn rows(&self, sql: String) -> Result<Vec<PgRow>, LogError> {
        let mut lent = Lent::from(&self.pool).await?;
        let rows = rows(&mut lent.connection, QueryBuilder::new(sql)).await?;
        lent.is_idle = true;
        Ok(rows)
    }
}

/// What a session read.
struct Read {
    /// `None` when some of them are no longer kept.
    events: Option<Vec<Placed>>,
    /// How many it did not find that its batches have, whatever the filter.
    missed: i64,
}

/// Reads events of a window, which is a part of the positions that are asked for.
async fn read(
    connection: &mut PgConnection,
    (positions, window): (&Range<Position>, &Range<Position>),
    filter: &Filter,
    most: Most,
) -> Result<Read, LogError> {
    let batches = QueryBuilder::new(window::batches::<Postgres>(window, filter));
    let batches = rows(connection, batches).await?;
    let spans = batches.iter().map(span).collect::<Result<Vec<_>, sqlx::Error>>()?;
    let events = match window::events::<Postgres>(&spans, window, filter, most) {
        Some(query) => rows(connection, query).await?,
        None => Vec::new(),
    };
    // After the events were read: where some had gone by then, this says so.
    let first = "select coalesce(min(position), (select next from hookbridge.log)) from hookbridge.batches";
    let first: Position = sqlx::query(first).fetch_one(connection).await?.try_get(0)?;
    if positions.start < first {
        return Ok(Read { events: None, missed: 0 });
    }
    let told: Option<i64> = match events.first() {
        Some(row) if *filter != Filter::default() => Some(row.try_get("found")?),
        _ => None,
    };
    let event = |row: &PgRow| {
        let position: Option<Position> = row.try_get(0)?;
        position.map(|position| Ok(Placed { position, event: stored(row, 1)? })).transpose()
    };
    let events =
        events.iter().filter_map(|row| event(row).transpose()).collect::<Result<_, sqlx::Error>>()?;
    let events = window::in_order(events, most);
    let missed = window::missed(&spans, window, most, told, &events);
    Ok(Read { events: Some(events), missed })
}

impl Ordered for PostgresLog {
    async fn sequence(&self) -> Result<Position, LogError> {
        let mut lent = Lent::from(&self.pool).await?;
        let connection = &mut *lent.connection;
        loop {
            let given = sqlx::query("select ended, is_more from hookbridge.sequence()");
            let given = given.fetch_one(&mut *connection).await?;
            let (end, is_more): (Position, bool) = (given.try_get(0)?, given.try_get(1)?);
            if !is_more {
                lent.is_idle = true;
                self.growth.to(end);
                return Ok(end);
            }
        }
    }

    async fn bounds(&self) -> Result<Bounds, LogError> {
        let end = self.sequence().await?;
        let first = self.rows("select min(position) from hookbridge.batches".into()).await?;
        let first = first.first().map(|row| row.try_get::<Option<Position>, _>(0)).transpose()?;
        Ok(Bounds { first: first.flatten().unwrap_or(end), end })
    }

    async fn events(
        &self,
        positions: Range<Position>,
        filter: &Filter,
        most: Most,
    ) -> Result<Option<Vec<Placed>>, LogError> {
        let mut found = Vec::new();
        for part in window::parts(&positions, filter, most) {
            let left = window::beside(most, &found);
            let Some(more) = self.look((&positions, &part), filter, left).await? else { return Ok(None) };
            found = window::joined(found, more, most);
            if most.is_reached(&found) {
                break;
            }
        }
        Ok(Some(found))
    }

    async fn since(&self, time: Timestamp) -> Result<Position, LogError> {
        let end = self.sequence().await?;
        let first = format!(
            "select position from hookbridge.batches where position is not null and recorded >= {}
             order by recorded, position limit 1",
            Postgres::time(time)
        );
        let first = self.rows(first).await?;
        Ok(first.first().map(|row| row.try_get(0)).transpose()?.unwrap_or(end))
    }

    async fn recorded(&self, position: Position) -> Result<Option<Timestamp>, LogError> {
        let time = Postgres::microseconds("recorded");
        let recorded = format!(
            "select {time} from hookbridge.batches where position + events > {position}
               and position >= coalesce(
                 (select max(position) from hookbridge.batches where position <= {position}), {position})
             order by position limit 1"
        );
        let recorded = self.rows(recorded).await?;
        Ok(recorded.first().map(|row| row.try_get(0)).transpose()?.map(time_of))
    }

    async fn find(&self, id: &str, sources: &[String]) -> Result<Option<Stored>, LogError> {
        let mut query = QueryBuilder::new(format!(
            "select {}, id, source, type, account, region, resources, detail from hookbridge.events where id = ",
            Postgres::microseconds("time")
        ));
        query.push_bind(id.to_owned());
        crate::log::sql::push_one_of(&mut query, "source", sources);
        query.push(" order by time desc limit 1");
        let rows = self.read_only(query, super::NO_SCANS).await?;
        Ok(rows.first().map(|row| stored(row, 0)).transpose()?)
    }

    async fn cursor_key(&self) -> Result<CursorKey, LogError> {
        let key = self.rows("select cursor_key from hookbridge.log".into()).await?;
        let key = key.first().map(|row| row.try_get(0)).transpose()?;
        key.map(CursorKey::new).ok_or_else(|| LogError::Refused("the log has no key of its cursors".into()))
    }

    async fn reaches(&self, position: Position) -> Result<(), LogError> {
        self.growth.beyond(position, || self.sequence()).await;
        Ok(())
    }
}

async fn rows(
    connection: &mut PgConnection,
    mut query: QueryBuilder<Postgres>,
) -> Result<Vec<PgRow>, LogError> {
    Ok(query.build().persistent(false).fetch_all(connection).await?)
}

fn span(row: &PgRow) -> Result<Span, sqlx::Error> {
    let (oldest, newest): (Option<i64>, Option<i64>) = (row.try_get(3)?, row.try_get(4)?);
    Ok(Span {
        id: row.try_get(0)?,
        position: row.try_get(1)?,
        events: row.try_get::<i32, _>(2)?.into(),
        times: oldest.zip(newest).map(|(oldest, newest)| (time_of(oldest), time_of(newest))),
    })
}
