//! The event log in PostgreSQL 15 or later.
//!
//! [`PostgresLog::record`] writes a batch in one transaction: first a row in `batches`, then the events by `COPY`, or by `INSERT`
//! if they are few. A second recorder of the same batch waits at this row until the first transaction ends. Most batches contain
//! only new events, so `record` writes without looking for duplicates. If the database reports a duplicate key, `record` rolls
//! back, looks up which events the log has, and records the others.

mod order;
mod partitions;
mod rows;

use std::collections::HashSet;

use jiff::Timestamp;
use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _};

#[cfg(feature = "command")]
pub(super) use order::listen_for_appends;

use super::event_log::LogState;
use super::sql::LogDialect;
use super::{EventBatch, MaintenanceReport, NewEvent, RecordOutcome, RetentionPolicy};
use crate::db::{CancelSafeConnection, DatabaseError, PostgresPool};

/// The maximum number of attempts to record a batch. Attempts fail if other recorders write the same events at the same time.
const MAX_ATTEMPTS: usize = 8;
/// The log in a PostgreSQL database.
pub(super) struct PostgresLog<'s> {
    pub(super) pool: PostgresPool,
    pub(super) state: &'s LogState,
}

/// Result of one attempt to record a batch.
enum RecordAttempt {
    Finished(RecordOutcome),
    /// The log already has some of the events.
    DuplicateEvents,
    /// A concurrent transaction caused a conflict.
    Conflict(DatabaseError),
    /// Some events went to the default partition instead of the partition of their week.
    MissingPartition,
}

impl PostgresLog<'_> {
    /// Attempts once to record the batch. `indexed_events` are the events to insert, each with its index in the batch, sorted by
    /// time.
    async fn try_record(
        &self,
        batch: &EventBatch<'_>,
        indexed_events: &[(usize, &NewEvent<'_>)],
    ) -> Result<RecordAttempt, DatabaseError> {
        let duplicates = batch.events.len() - indexed_events.len();
        // The events are sorted by time.
        let time_range =
            indexed_events.first().zip(indexed_events.last()).map(|((_, a), (_, b))| (a.time, b.time));
        if indexed_events.is_empty() && batch.origin.is_none() {
            // A batch without new events is stored only if it has an origin, so that the archived batch counts as recorded.
            return Ok(RecordAttempt::Finished(RecordOutcome::Inserted {
                batch_id: 0,
                events: 0,
                duplicates,
            }));
        }
        let mut guard = CancelSafeConnection::acquire(&self.pool).await?;
        let mut transaction = guard.connection.begin().await?;
        let batch_id = match insert_batch(&mut transaction, batch, duplicates, time_range).await? {
            Ok(batch_id) => batch_id,
            Err(existing) => {
                transaction.rollback().await?;
                guard.is_reusable = true;
                return Ok(RecordAttempt::Finished(existing));
            }
        };
        if !indexed_events.is_empty()
            && let Err(error) = insert_events(&mut transaction, batch_id, indexed_events).await
        {
            let code = error.as_database_error().and_then(|error| error.code().map(|code| code.to_string()));
            transaction.rollback().await?;
            guard.is_reusable = true;
            return match code.as_deref() {
                Some("23505") => Ok(RecordAttempt::DuplicateEvents),
                // 40P01: deadlock. 40001: serialization failure. 23514: the partition of a week was created while its events were
                // being inserted into the default partition.
                Some("40P01" | "40001" | "23514") => Ok(RecordAttempt::Conflict(error.into())),
                _ => Err(error.into()),
            };
        }
        if partitions::has_events_in_default_partition(&mut transaction, batch_id).await? {
            transaction.rollback().await?;
            // `is_reusable` stays false, so the connection is closed: the catalog cache of its session misses the partition.
            return Ok(RecordAttempt::MissingPartition);
        }
        transaction.commit().await?;
        guard.is_reusable = true;
        Ok(RecordAttempt::Finished(RecordOutcome::Inserted {
            batch_id,
            events: indexed_events.len(),
            duplicates,
        }))
    }

    /// Returns those `indexed_events` that the log does not have yet.
    async fn filter_new<'r, 'a>(
        &self,
        indexed_events: Vec<(usize, &'r NewEvent<'a>)>,
    ) -> Result<Vec<(usize, &'r NewEvent<'a>)>, DatabaseError> {
        let times: Vec<i64> = indexed_events.iter().map(|(_, event)| event.time.as_microsecond()).collect();
        let ids: Vec<&str> = indexed_events.iter().map(|(_, event)| &*event.id).collect();
        let (Some((_, first)), Some((_, last))) = (indexed_events.first(), indexed_events.last()) else {
            return Ok(indexed_events);
        };
        // The SQL adds seconds and microseconds separately: PostgreSQL multiplies an `interval` in double precision, which would
        // round a time more than 285 years from 1970. The constant time range lets the planner skip other partitions.
        let sql = format!(
            "select key.at from unnest($1::bigint[], $2::text[]) with ordinality as key (time, id, at)
             join hookbridge.events e on e.id = key.id and e.time = timestamptz 'epoch'
               + (key.time / 1000000) * interval '1 second' + (key.time % 1000000) * interval '1 microsecond'
             where e.time >= {} and e.time <= {}",
            LogDialect::POSTGRES.time_literal(first.time),
            LogDialect::POSTGRES.time_literal(last.time)
        );
        // Safe: the text consists of constants, and of times that this crate formats.
        let query = sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false);
        let rows = query.bind(times).bind(ids).fetch_all(&*self.pool).await?;
        let known_ordinals: HashSet<i64> = rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
        // `with ordinality` counts from 1.
        let is_new =
            |index: &usize| !i64::try_from(index + 1).is_ok_and(|ordinal| known_ordinals.contains(&ordinal));
        Ok(indexed_events
            .into_iter()
            .enumerate()
            .filter(|(index, _)| is_new(index))
            .map(|(_, indexed_event)| indexed_event)
            .collect())
    }

    pub(super) async fn record(&self, batch: &EventBatch<'_>) -> Result<RecordOutcome, DatabaseError> {
        // Sort the events by key, so that two recorders of the same events lock them in the same order and do not deadlock.
        let mut indexed_events: Vec<_> = batch.events.iter().enumerate().collect();
        indexed_events.sort_by_key(|(_, event)| event.key());
        indexed_events.dedup_by_key(|(_, event)| event.key());
        self.create_missing_partitions(&indexed_events).await?;
        let mut last_error =
            DatabaseError::Unavailable("other recorders kept writing the same events".into());
        for _ in 0..MAX_ATTEMPTS {
            match self.try_record(batch, &indexed_events).await? {
                RecordAttempt::Finished(outcome) => return Ok(outcome),
                RecordAttempt::DuplicateEvents => indexed_events = self.filter_new(indexed_events).await?,
                RecordAttempt::Conflict(error) => last_error = error,
                RecordAttempt::MissingPartition => {
                    self.invalidate_known_weeks(&indexed_events);
                    self.create_missing_partitions(&indexed_events).await?;
                }
            }
        }
        Err(last_error)
    }

    pub(super) async fn maintain(
        &self,
        retention: &RetentionPolicy,
    ) -> Result<MaintenanceReport, DatabaseError> {
        // Readers see only events that have a position. Without this call, events could expire before any reader sees them.
        self.assign_positions().await?;
        partitions::maintain(self, retention).await
    }
}

/// Inserts the row of the batch and returns its id. If the batch already has a row, returns [`RecordOutcome::AlreadyRecorded`] as
/// the inner error.
async fn insert_batch(
    connection: &mut PgConnection,
    batch: &EventBatch<'_>,
    duplicates: usize,
    time_range: Option<(Timestamp, Timestamp)>,
) -> Result<Result<i64, RecordOutcome>, DatabaseError> {
    let to_i32 = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
    // Bind times as text: PostgreSQL parses this format unambiguously from the year 1 to 9999.
    let to_text = |time: Timestamp| format!("{time:.6}");
    let row = sqlx::query(
        "insert into hookbridge.batches (origin, events, repeats, unrecognized, oldest, newest)
         values ($1, $2, $3, $4, $5::timestamptz, $6::timestamptz) on conflict (origin) do nothing returning id",
    )
    .bind(batch.origin.as_deref())
    .bind(to_i32(batch.events.len() - duplicates))
    .bind(to_i32(duplicates))
    .bind(to_i32(batch.unrecognized_count))
    .bind(time_range.map(|(oldest, _)| to_text(oldest)))
    .bind(time_range.map(|(_, newest)| to_text(newest)))
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(row) = row {
        return Ok(Ok(row.try_get(0)?));
    }
    let existing = sqlx::query("select id, published from hookbridge.batches where origin = $1")
        .bind(batch.origin.as_deref())
        .fetch_one(connection)
        .await?;
    Ok(Err(RecordOutcome::AlreadyRecorded {
        batch_id: existing.try_get(0)?,
        is_published: existing.try_get(1)?,
    }))
}

/// Inserts the events of a batch, each with its index in the batch.
async fn insert_events(
    connection: &mut PgConnection,
    batch_id: i64,
    indexed_events: &[(usize, &NewEvent<'_>)],
) -> Result<(), sqlx::Error> {
    if indexed_events.len() <= rows::MAX_INSERT_ROWS {
        // Only the statement for one event is used often enough to be prepared.
        let is_single = indexed_events.len() == 1;
        rows::insert_query(batch_id, indexed_events)
            .build()
            .persistent(is_single)
            .execute(connection)
            .await?;
        return Ok(());
    }
    let mut copy = connection.copy_in_raw(rows::COPY_STATEMENT.as_str()).await?;
    copy.send(rows::encode_copy(batch_id, indexed_events)).await?;
    copy.finish().await?;
    Ok(())
}
