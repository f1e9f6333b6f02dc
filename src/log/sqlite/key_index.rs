//! Finds events by a key: their id, their recipient or their message id.
//!
//! Keys have no order in time. An index of them writes a page at a random place for each event, which made recording slow, and slower
//! with each event. So the keys of at least [`RUN_EVENTS`] events are written at once, as a run: they are hashed, divided into
//! [`BUCKETS`] buckets, and each bucket is written as one row. A search reads one bucket of each run, and compares the columns of the
//! events that it finds there. It scans the events of the newest batches, which no run has yet.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};
use sqlx::{Row as _, SqliteConnection};

use crate::db::DatabaseError;
use crate::log::search_columns::{COLUMNS, CaseFolding};
use crate::log::sql::Candidates;
use crate::log::{NewEvent, Search};

/// The minimum number of events of a run. A larger run makes searches of a large log faster, and a search of the newest events slower.
pub(super) const RUN_EVENTS: i64 = 16_384;
/// The number of rows of a run.
const BUCKETS: u32 = 64;
/// The size of an entry: hash, batch and place.
const ENTRY_BYTES: usize = 12;

/// The field of an event that a key is from. The number is part of the key's hash, so it never changes.
#[derive(Clone, Copy)]
enum KeyKind {
    Id = 0,
    Recipient = 1,
    MessageId = 2,
}

/// The columns with keys, beside the id.
const KEY_COLUMNS: [(&str, KeyKind); 2] =
    [("rcpt_to", KeyKind::Recipient), ("message_id", KeyKind::MessageId)];

/// A key of an event, as it stands in its bucket. Entries are ordered by their hash.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    hash: u32,
    /// The number of batches between the run's first batch and the event's.
    batch: u32,
    place: u32,
}

impl Entry {
    fn to_bytes(self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0; ENTRY_BYTES];
        for (part, value) in bytes.chunks_exact_mut(4).zip([self.hash, self.batch, self.place]) {
            part.copy_from_slice(&value.to_be_bytes());
        }
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Self {
        let mut values = [0; 3];
        for (value, part) in values.iter_mut().zip(bytes.chunks_exact(4)) {
            *value = part.iter().fold(0, |value, byte| value << 8 | u32::from(*byte));
        }
        let [hash, batch, place] = values;
        Self { hash, batch, place }
    }
}

/// The bucket of a key, and its hash there.
fn bucket_and_hash(kind: KeyKind, value: &str) -> (u32, u32) {
    let digest = Sha256::new().chain_update([kind as u8]).chain_update(value).finalize();
    let hash = Entry::from_bytes(&digest[..ENTRY_BYTES]);
    (hash.batch % BUCKETS, hash.hash)
}

/// The keys of which an event that matches the search has one; `None` if the search has no such filter.
fn searched_keys(search: &Search) -> Option<(KeyKind, Vec<String>)> {
    if !search.ids.is_empty() {
        return Some((KeyKind::Id, search.ids.clone()));
    }
    search.columns.iter().find_map(|(index, values)| {
        let column = &COLUMNS[*index];
        let (_, kind) = KEY_COLUMNS.iter().find(|(name, _)| *name == column.name)?;
        let fold = |value: &String| match column.case_folding {
            CaseFolding::Lowercase => value.to_lowercase(),
            CaseFolding::Preserve => value.clone(),
        };
        Some((*kind, values.iter().map(fold).collect()))
    })
}

/// Finds where the events that match the search may be; `None` if no filter of the search is a key.
pub(super) async fn find_candidates(
    connection: &mut SqliteConnection,
    search: &Search,
) -> Result<Option<Candidates>, DatabaseError> {
    let Some((kind, values)) = searched_keys(search) else { return Ok(None) };
    let mut candidates = Candidates { places: Vec::new(), last_batch: i64::MAX };
    for value in values {
        let (bucket, hash) = bucket_and_hash(kind, &value);
        // The statement also returns the last batch of the runs, so that no event is between these and the newest batches.
        let rows = sqlx::query(
            "select run.first_batch, run.last_batch, bucket.entries
             from key_runs run join key_buckets bucket on bucket.id = run.id * ? + ?",
        )
        .bind(i64::from(BUCKETS))
        .bind(i64::from(bucket))
        .fetch_all(&mut *connection)
        .await?;
        let mut last_batch = 0;
        for row in rows {
            let (first, last, entries): (i64, i64, &[u8]) =
                (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            last_batch = last_batch.max(last);
            candidates.places.extend(places_in(entries, hash).map(|(batch, place)| (first + batch, place)));
        }
        candidates.last_batch = candidates.last_batch.min(last_batch);
    }
    Ok(Some(candidates))
}

/// The keys of the batches that this process has recorded since the last run, so that the next run need not read them.
#[derive(Default)]
pub(in crate::log) struct PendingKeys {
    /// The ids of the first and of the last batch; `None` without a batch.
    batches: Option<(i64, i64)>,
    batch_count: i64,
    /// The number of events since the last run, or a smaller one; `None` if that was not looked up yet.
    event_count: Option<i64>,
    keys: Vec<PendingKey>,
}

#[derive(Clone, Copy)]
struct PendingKey {
    bucket: u32,
    hash: u32,
    batch: i64,
    place: u32,
}

/// The keys of the events of a batch, whose id is not known yet.
pub(super) struct BatchKeys(Vec<PendingKey>);

impl BatchKeys {
    pub(super) fn of(events: &[NewEvent<'_>]) -> Self {
        let mut keys = Vec::with_capacity(3 * events.len());
        for (place, event) in (0..).zip(events) {
            let columns = event.search_columns.stored_values().zip(&COLUMNS);
            let of_columns = columns.filter_map(|(value, column)| {
                let (_, kind) = KEY_COLUMNS.iter().find(|(name, _)| *name == column.name)?;
                Some((*kind, value?))
            });
            for (kind, value) in of_columns.chain([(KeyKind::Id, Cow::Borrowed(&*event.id))]) {
                let (bucket, hash) = bucket_and_hash(kind, &value);
                keys.push(PendingKey { bucket, hash, batch: 0, place });
            }
        }
        Self(keys)
    }
}

impl PendingKeys {
    /// Adds the keys of a batch that was committed. `keys` is `None` if its events have other places than in `keys`. Returns whether a
    /// run is due.
    pub(super) fn add(&mut self, batch: i64, keys: Option<BatchKeys>, events: i64) -> bool {
        match keys {
            Some(BatchKeys(keys)) => {
                self.keys.extend(keys.into_iter().map(|key| PendingKey { batch, ..key }));
                self.batches = Some((self.batches.map_or(batch, |(first, _)| first), batch));
                self.batch_count += 1;
            }
            None => self.forget(),
        }
        let count = self.event_count.map_or(RUN_EVENTS, |count| count + events);
        self.event_count = Some(count);
        count >= RUN_EVENTS
    }

    /// Forgets the keys, which the next run then reads.
    fn forget(&mut self) {
        (self.batches, self.batch_count) = (None, 0);
        self.keys.clear();
    }

    /// Notes that a run was written, or that none is due.
    pub(super) fn finish(&mut self, is_written: bool) {
        if is_written {
            // There may be enough events for another run.
            self.event_count = None;
            self.forget();
        } else {
            self.event_count = Some(0);
        }
    }

    /// The ids of the first and of the last batch; `None` if another process recorded a batch between.
    fn contiguous_batches(&self) -> Option<(i64, i64)> {
        self.batches.filter(|(first, last)| last - first + 1 == self.batch_count)
    }
}

/// The entries of a bucket with this hash: the batch, from the run's first one, and the place of each.
fn places_in(entries: &[u8], hash: u32) -> impl Iterator<Item = (i64, i64)> {
    let entries: Vec<_> = entries.chunks_exact(ENTRY_BYTES).collect();
    let start = entries.partition_point(|entry| Entry::from_bytes(entry).hash < hash);
    let found =
        entries.into_iter().skip(start).map(Entry::from_bytes).take_while(move |entry| entry.hash == hash);
    found.map(|entry| (entry.batch.into(), entry.place.into()))
}

/// Writes the next run, if there are enough events for one. Returns the number of its keys.
pub(super) async fn write_run(
    connection: &mut SqliteConnection,
    pending: &PendingKeys,
) -> Result<Option<usize>, DatabaseError> {
    let sql = "select coalesce(max(last_batch), 0) + 1 from key_runs";
    let first: i64 = sqlx::query_scalar(sql).fetch_one(&mut *connection).await?;
    let mut keys = Vec::new();
    let last = match pending.contiguous_batches() {
        Some((first_pending, last)) if count_events(connection, first, first_pending).await? < RUN_EVENTS => {
            if count_events(connection, first, last + 1).await? < RUN_EVENTS {
                return Ok(None);
            }
            read_keys(connection, first, first_pending - 1, &mut keys).await?;
            keys.extend(pending.keys.iter().filter(|key| key.batch >= first));
            last
        }
        _ => {
            let Some(last) = find_end_of_run(connection, first).await? else { return Ok(None) };
            read_keys(connection, first, last, &mut keys).await?;
            last
        }
    };
    let count = keys.len();
    let mut buckets = vec![Vec::new(); BUCKETS as usize];
    for PendingKey { bucket, hash, batch, place } in keys {
        let batch = u32::try_from(batch - first).unwrap_or(u32::MAX);
        buckets[bucket as usize].push(Entry { hash, batch, place });
    }
    let run: i64 =
        sqlx::query_scalar("insert into key_runs (first_batch, last_batch) values (?, ?) returning id")
            .bind(first)
            .bind(last)
            .fetch_one(&mut *connection)
            .await?;
    for (bucket, mut entries) in (0..).zip(buckets) {
        entries.sort_unstable();
        let bytes: Vec<u8> = entries.into_iter().flat_map(Entry::to_bytes).collect();
        sqlx::query("insert into key_buckets (id, entries) values (?, ?)")
            .bind(run * i64::from(BUCKETS) + bucket)
            .bind(bytes)
            .execute(&mut *connection)
            .await?;
    }
    Ok(Some(count))
}

/// The number of events of the batches from `first` to the one before `end`.
async fn count_events(connection: &mut SqliteConnection, first: i64, end: i64) -> Result<i64, DatabaseError> {
    let sql = "select coalesce(sum(events), 0) from batches where id >= ? and id < ?";
    Ok(sqlx::query_scalar(sql).bind(first).bind(end).fetch_one(connection).await?)
}

/// The last batch of a run that begins with the batch `first`; `None` if there are too few events.
async fn find_end_of_run(
    connection: &mut SqliteConnection,
    first: i64,
) -> Result<Option<i64>, DatabaseError> {
    // The events of expired batches are about to be deleted, so they need no keys.
    let sql = "select id from (
        select id, sum(events) over (order by id) as total from (
          select id, events from batches where id >= ? and events > 0 order by id limit ?
        )
      ) where total >= ? order by id limit 1";
    let query = sqlx::query_scalar(sql).bind(first).bind(RUN_EVENTS).bind(RUN_EVENTS);
    Ok(query.fetch_optional(connection).await?)
}

/// Reads the keys of the events of the batches from `first` to `last`.
async fn read_keys(
    connection: &mut SqliteConnection,
    first: i64,
    last: i64,
    keys: &mut Vec<PendingKey>,
) -> Result<(), DatabaseError> {
    let sql = "select batch, place, id, rcpt_to, message_id from events where batch >= ? and batch <= ?";
    for row in sqlx::query(sql).bind(first).bind(last).fetch_all(connection).await? {
        let (batch, place): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let (id, recipient, message): (&str, Option<&str>, Option<&str>) =
            (row.try_get(2)?, row.try_get(3)?, row.try_get(4)?);
        let values =
            [(KeyKind::Id, Some(id)), (KeyKind::Recipient, recipient), (KeyKind::MessageId, message)];
        for (kind, value) in values {
            let Some(value) = value else { continue };
            let (bucket, hash) = bucket_and_hash(kind, value);
            keys.push(PendingKey { bucket, hash, batch, place });
        }
    }
    Ok(())
}

/// Deletes the runs all of whose batches have expired.
pub(super) async fn delete_expired_runs(connection: &mut SqliteConnection) -> Result<(), DatabaseError> {
    let first_kept = "(select coalesce((select min(batch) from events), 9223372036854775807))";
    let expired = format!("select id from key_runs where last_batch < {first_kept}");
    let runs: Vec<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(expired)).fetch_all(&mut *connection).await?;
    for run in runs {
        let buckets = run * i64::from(BUCKETS);
        sqlx::query("delete from key_buckets where id >= ? and id < ?")
            .bind(buckets)
            .bind(buckets + i64::from(BUCKETS))
            .execute(&mut *connection)
            .await?;
        // The last run stays, because it says where the next one begins.
        sqlx::query("delete from key_runs where id = ? and id < (select max(id) from key_runs)")
            .bind(run)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_key_never_changes() {
        let keys = [(KeyKind::Id, "a"), (KeyKind::Recipient, "a"), (KeyKind::MessageId, "")];
        let hashes = keys.map(|(kind, value)| bucket_and_hash(kind, value));
        assert_eq!(hashes, [(42, 36_333_945), (21, 3_810_872_998), (13, 3_686_905_033)]);
    }

    #[test]
    fn every_selective_column_has_keys() {
        let selective = COLUMNS.iter().filter(|column| column.is_selective).map(|column| column.name);
        assert!(selective.eq(KEY_COLUMNS.map(|(name, _)| name)));
    }

    #[test]
    fn all_entries_with_the_hash_are_found() {
        let entry = |hash, place| Entry { hash, batch: 7, place };
        let entries = [entry(1, 0), entry(5, 1), entry(5, 2), entry(u32::MAX, 3)];
        let bytes: Vec<u8> = entries.into_iter().flat_map(Entry::to_bytes).collect();
        let places = |hash| places_in(&bytes, hash).collect::<Vec<_>>();
        assert_eq!(places(5), [(7, 1), (7, 2)]);
        assert_eq!((places(0), places(1)), (vec![], vec![(7, 0)]));
        assert_eq!((places(6), places(u32::MAX)), (vec![], vec![(7, 3)]));
        assert_eq!(places_in(&[], 5).count(), 0);
    }
}
