//! The log in PostgreSQL, 15 or later.
//!
//! A batch is one transaction: its row in `batches` first, which a second recorder of the same batch waits for and then
//! finds; then all its events by COPY, or by an INSERT where they are few. Most batches hold nothing that was seen before, so nothing is looked up and
//! nothing is staged; when that does meet an event that is there, the transaction is undone, the events that are there
//! are looked up, and the rest is recorded.

mod connect;
mod order;
mod partitions;
mod rows;
mod statements;

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnection, PgPool, PgRow, Postgres};
use sqlx::{Connection as _, QueryBuilder, Row as _};

pub use connect::{DatabaseUrl, DatabaseUrlError};

use super::append_watch::AppendWatch;
use super::search::{EventKey, PageRequest, Search, StoredEvent};
use super::sql::{self, Dialect};
use super::week::Week;
use super::{
    COLUMNS, EventBatch, EventReader as _, EventStore, LogError, MaintenanceReport, NewEvent, RecordOutcome,
    RetentionPolicy,
};

/// How often a batch is tried anew when others record the same events at the same time.
const TRIES: usize = 8;
/// How long a connection may take to come, or a search.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(20);

/// Forces an index scan.
const DISABLE_SEQ_SCAN: &str = "; set local enable_seqscan = off";

/// A database with the log's tables.
#[derive(Clone)]
pub struct PostgresLog {
    pool: PgPool,
    /// The weeks that are known to have a table.
    known_weeks: Arc<Mutex<HashSet<Week>>>,
    append_watch: Arc<AppendWatch>,
}

/// A connection that goes back to the pool only when nothing is under way on it. A work that is dropped in the middle,
/// as at the end of an invocation, leaves an answer on it that the next one would take for its own.
struct CancelSafeConnection {
    connection: PoolConnection<Postgres>,
    is_idle: bool,
}

impl CancelSafeConnection {
    async fn from(pool: &PgPool) -> Result<Self, LogError> {
        Ok(Self { connection: pool.acquire().await?, is_idle: false })
    }
}

impl Drop for CancelSafeConnection {
    fn drop(&mut self) {
        if !self.is_idle {
            self.connection.close_on_drop();
        }
    }
}

/// What one try at a batch came to.
enum Try {
    Done(RecordOutcome),
    /// Some of its events are in the log already.
    Repeats,
    /// Another one stood in the way.
    Collided(LogError),
    /// Some of its events went past the table of their week.
    Strayed,
}

impl PostgresLog {
    /// Connects, with `connections` at most, and brings the tables up to date.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn open(url: &DatabaseUrl, connections: u32) -> Result<Self, LogError> {
        Ok(Self {
            pool: connect::open_pool(url, connections).await?,
            known_weeks: Arc::default(),
            append_watch: Arc::default(),
        })
    }

    /// Ends every connection.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    async fn attempt(
        &self,
        batch: &EventBatch<'_>,
        records: &[(usize, &NewEvent<'_>)],
    ) -> Result<Try, LogError> {
        let repeats = batch.events.len() - records.len();
        // They are in the order of time.
        let times = records.first().zip(records.last()).map(|((_, a), (_, b))| (a.time, b.time));
        if records.is_empty() && batch.origin.is_none() {
            // Nothing new, and nothing to remember.
            return Ok(Try::Done(RecordOutcome::Inserted { batch: 0, events: 0, repeats }));
        }
        let mut connection = CancelSafeConnection::from(&self.pool).await?;
        let mut transaction = connection.connection.begin().await?;
        let number = match mark(&mut transaction, batch, repeats, times).await? {
            Ok(number) => number,
            Err(before) => {
                transaction.rollback().await?;
                connection.is_idle = true;
                return Ok(Try::Done(before));
            }
        };
        if !records.is_empty()
            && let Err(error) = copy(&mut transaction, number, records).await
        {
            let code = error.as_database_error().and_then(|said| said.code().map(|code| code.to_string()));
            transaction.rollback().await?;
            connection.is_idle = true;
            return match code.as_deref() {
                Some("23505") => Ok(Try::Repeats),
                // The last one: a week's table was made while its events were on their way into the default table.
                Some("40P01" | "40001" | "23514") => Ok(Try::Collided(error.into())),
                _ => Err(error.into()),
            };
        }
        if partitions::has_events_in_default_partition(&mut transaction, number).await? {
            transaction.rollback().await?;
            // Not idle: this session does not know of the table, and is ended.
            return Ok(Try::Strayed);
        }
        transaction.commit().await?;
        connection.is_idle = true;
        Ok(Try::Done(RecordOutcome::Inserted { batch: number, events: records.len(), repeats }))
    }

    /// What a query finds, if it does not take too long.
    async fn query_read_only(
        &self,
        mut query: QueryBuilder<Postgres>,
        settings: &str,
    ) -> Result<Vec<PgRow>, LogError> {
        let mut connection = CancelSafeConnection::from(&self.pool).await?;
        let begin = format!(
            "begin read only; set local statement_timeout = {}{settings}",
            DATABASE_TIMEOUT.as_millis()
        );
        let begin = sqlx::AssertSqlSafe(begin);
        let mut transaction = connection.connection.begin_with(begin).await?;
        let rows = query.build().persistent(false).fetch_all(&mut *transaction).await?;
        transaction.rollback().await?;
        connection.is_idle = true;
        Ok(rows)
    }

    /// Leaves out what is in the log already.
    async fn without_known<'r, 'a>(
        &self,
        records: Vec<(usize, &'r NewEvent<'a>)>,
    ) -> Result<Vec<(usize, &'r NewEvent<'a>)>, LogError> {
        let times: Vec<i64> = records.iter().map(|(_, record)| record.time.as_microsecond()).collect();
        let ids: Vec<&str> = records.iter().map(|(_, record)| &*record.id).collect();
        let (Some((_, first)), Some((_, last))) = (records.first(), records.last()) else {
            return Ok(records);
        };
        // Whole seconds and the rest apart: a product with all microseconds would be rounded in far times. The range, in
        // constants, leaves out the weeks that cannot be meant.
        let known = format!(
            "select key.at from unnest($1::bigint[], $2::text[]) with ordinality as key (time, id, at)
             join hookbridge.events e on e.id = key.id and e.time = timestamptz 'epoch'
               + (key.time / 1000000) * interval '1 second' + (key.time % 1000000) * interval '1 microsecond'
             where e.time >= {} and e.time <= {}",
            Postgres::timestamp_literal(first.time),
            Postgres::timestamp_literal(last.time)
        );
        let known = sqlx::query(sqlx::AssertSqlSafe(known)).persistent(false);
        let known = known.bind(times).bind(ids).fetch_all(&self.pool).await?;
        let known: HashSet<i64> = known.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        let is_new = |at: &usize| !i64::try_from(at + 1).is_ok_and(|at| known.contains(&at));
        Ok(records.into_iter().enumerate().filter(|(at, _)| is_new(at)).map(|(_, record)| record).collect())
    }
}

impl EventStore for PostgresLog {
    async fn record(&self, batch: &EventBatch<'_>) -> Result<RecordOutcome, LogError> {
        // In the order of the key, so that two who record the same events do not wait for each other in a circle.
        let mut records: Vec<_> = batch.events.iter().enumerate().collect();
        records.sort_by_key(|(_, record)| record.key());
        records.dedup_by_key(|(_, record)| record.key());
        self.create_missing_partitions(&records).await?;
        let mut last = LogError::Unavailable("other recorders of the same events stood in the way".into());
        for _ in 0..TRIES {
            match self.attempt(batch, &records).await? {
                Try::Done(recorded) => return Ok(recorded),
                Try::Repeats => records = self.without_known(records).await?,
                Try::Collided(error) => last = error,
                Try::Strayed => {
                    self.invalidate_known_weeks(&records);
                    self.create_missing_partitions(&records).await?;
                }
            }
        }
        Err(last)
    }

    async fn mark_published(&self, batch: i64) -> Result<(), LogError> {
        sqlx::query("update hookbridge.batches set published = true where id = $1")
            .bind(batch)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    async fn batch_event_keys(&self, batch: i64) -> Result<Vec<EventKey>, LogError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select {}, id from hookbridge.events where batch = $1
               and time >= (select coalesce(oldest, '-infinity') from hookbridge.batches where id = $1)
               and time <= (select coalesce(newest, 'infinity') from hookbridge.batches where id = $1)",
            Postgres::epoch_micros("time")
        )));
        let rows = rows.bind(batch).fetch_all(&self.pool).await?;
        let key = |row: &PgRow| {
            Ok(EventKey { time: super::timestamp_from_micros(row.try_get(0)?), id: row.try_get(1)? })
        };
        rows.iter().map(key).collect::<Result<_, sqlx::Error>>().map_err(Into::into)
    }

    async fn find_unrecorded(&self, origins: Vec<String>) -> Result<Vec<String>, LogError> {
        let rows = sqlx::query(
            "select origin from unnest($1::text[]) with ordinality as o (origin, at)
             where not exists (select from hookbridge.batches b where b.origin = o.origin) order by at",
        );
        let rows = rows.bind(origins).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
    }

    async fn search(&self, search: &Search, page: &PageRequest) -> Result<Vec<StoredEvent>, LogError> {
        let rows = self.query_read_only(sql::search_query(search, page), settings(search)).await?;
        rows.iter().map(|row| Ok(event_from_row(row, 0)?)).collect()
    }

    async fn count(&self, search: &Search) -> Result<u64, LogError> {
        let rows = self.query_read_only(sql::count_query(search), settings(search)).await?;
        let count: i64 = rows.first().map(|row| row.try_get(0)).transpose()?.unwrap_or_default();
        Ok(count.try_into().unwrap_or_default())
    }

    async fn maintain(&self, keep: &RetentionPolicy) -> Result<MaintenanceReport, LogError> {
        // What has no position yet would go without anybody having had a chance to read it.
        self.assign_positions().await?;
        partitions::maintain(self, keep).await
    }
}

impl Dialect for Postgres {
    const EVENTS_TABLE: &'static str = "hookbridge.events";
    const BATCHES_TABLE: &'static str = "hookbridge.batches";
    const TIME_WITHOUT_KEY_INDEX: &'static str = "time";
    const REGEX_OPERATOR: &'static str = "~";
    const RETURNS_SCANNED_COUNT: bool = true;

    fn epoch_micros(column: &str) -> String {
        format!("(extract(epoch from {column}) * 1000000)::bigint")
    }

    fn timestamp_literal(time: Timestamp) -> String {
        if !super::is_recordable(time) {
            // Before the year 1, which it writes in another way, nothing is ever recorded.
            return "timestamptz '-infinity'".into();
        }
        format!("timestamptz '{time:.6}'")
    }
}

/// What a search needs to be set. The planner takes the summaries of an index for useless where values are not in the order
/// of the table, which is what a Bloom filter is for, and would read everything.
fn settings(search: &Search) -> &'static str {
    let is_for_a_needle = search.columns.iter().any(|(at, _)| COLUMNS[*at].is_selective);
    if is_for_a_needle { DISABLE_SEQ_SCAN } else { "" }
}

/// An event, from the column `at` on.
fn event_from_row(row: &PgRow, at: usize) -> Result<StoredEvent, sqlx::Error> {
    Ok(StoredEvent {
        key: EventKey { time: super::timestamp_from_micros(row.try_get(at)?), id: row.try_get(at + 1)? },
        source: row.try_get(at + 2)?,
        detail_type: row.try_get(at + 3)?,
        account: row.try_get(at + 4)?,
        region: row.try_get(at + 5)?,
        resources: row.try_get(at + 6)?,
        detail: row.try_get(at + 7)?,
    })
}

/// Inserts the batch row, or returns the existing one.
async fn mark(
    connection: &mut PgConnection,
    batch: &EventBatch<'_>,
    repeats: usize,
    times: Option<(Timestamp, Timestamp)>,
) -> Result<Result<i64, RecordOutcome>, LogError> {
    let count = |of: usize| i32::try_from(of).unwrap_or(i32::MAX);
    // As text: between the years 1 and 9999 it is read as it is written.
    let time = |time: Timestamp| format!("{time:.6}");
    let made = sqlx::query(
        "insert into hookbridge.batches (origin, events, repeats, unrecognized, oldest, newest)
         values ($1, $2, $3, $4, $5::timestamptz, $6::timestamptz) on conflict (origin) do nothing returning id",
    )
    .bind(batch.origin.as_deref())
    .bind(count(batch.events.len() - repeats))
    .bind(count(repeats))
    .bind(count(batch.unrecognized))
    .bind(times.map(|(oldest, _)| time(oldest)))
    .bind(times.map(|(_, newest)| time(newest)))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(made) = made {
        return Ok(Ok(made.try_get(0)?));
    }
    let before = sqlx::query("select id, published from hookbridge.batches where origin = $1")
        .bind(batch.origin.as_deref())
        .fetch_one(connection)
        .await?;
    Ok(Err(RecordOutcome::AlreadyRecorded { batch: before.try_get(0)?, published: before.try_get(1)? }))
}

async fn copy(
    connection: &mut PgConnection,
    batch: i64,
    records: &[(usize, &NewEvent<'_>)],
) -> Result<(), sqlx::Error> {
    if records.len() <= rows::MAX_INSERT_ROWS {
        // Only the statement for one record is used again and again.
        let is_usual = records.len() == 1;
        rows::insert_query(batch, records).build().persistent(is_usual).execute(connection).await?;
        return Ok(());
    }
    let mut copy = connection.copy_in_raw(rows::COPY_STATEMENT.as_str()).await?;
    copy.send(rows::encode_copy(batch, records)).await?;
    copy.finish().await?;
    Ok(())
}
