//! The log in a SQLite file: the speed of recording against PostgreSQL's in the same run, and how both recording and the search for one
//! event change as the log grows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hookbridge::db::Database;
use hookbridge::log::{COLUMNS, EventLog, PageRequest, Search, SortOrder, StoredEvent};
use jiff::Timestamp;

use crate::generator::Generator;
use crate::{BATCH_SIZE, DAYS, best_rate, load};

/// The number of events that are searched for by each of their keys.
const SEARCHED_EVENTS: i64 = 20;

pub(crate) async fn compare(postgres_rate: f64, rows: usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let log = Arc::new(EventLog::new(Database::open(&path.as_path().into(), 8).await.unwrap()));
    let mut generator = Generator::new(DAYS, rows / usize::try_from(DAYS).unwrap());
    load(&log, &mut generator, 1_000_000 / BATCH_SIZE).await;
    let base_rate = best_rate(&log, &mut generator).await;
    println!(
        "embedded, at 1 million rows: {base_rate:.0} events/s, {:.2} of PostgreSQL's, wanted at least 0.5",
        base_rate / postgres_rate
    );
    search(&log).await;
    let events = log.assign_positions().await.unwrap();
    let bytes = std::fs::metadata(&path).unwrap().len();
    println!("embedded: {} bytes per event", bytes / u64::try_from(events).unwrap());
    let remaining = rows.saturating_sub(usize::try_from(events).unwrap()) / BATCH_SIZE;
    println!("embedded: loading up to {rows} rows");
    load(&log, &mut generator, remaining).await;
    let full_rate = best_rate(&log, &mut generator).await;
    println!(
        "embedded, at {rows} rows: {full_rate:.0} events/s, {:.2} of the rate at 1 million, wanted at least 0.85",
        full_rate / base_rate
    );
    search(&log).await;
    log.database().close().await;
}

/// Searches for events from all parts of the log, and prints the longest time for each key.
async fn search(log: &EventLog) {
    let end = log.assign_positions().await.unwrap();
    let mut longest = [("id", Duration::ZERO), ("recipient", Duration::ZERO), ("message id", Duration::ZERO)];
    for n in 0..SEARCHED_EVENTS {
        let position = 1 + (end - 2) * n / SEARCHED_EVENTS;
        let limit = hookbridge::log::PageLimit::UNLIMITED;
        let found =
            log.read_events(position..position + 1, &Default::default(), limit).await.unwrap().unwrap();
        let event = &found[0].event;
        for (key, longest) in &mut longest {
            let started = Instant::now();
            let found = find(log, event, key).await;
            *longest = started.elapsed().max(*longest);
            assert!(found.iter().any(|found| found.key == event.key));
        }
    }
    for (key, longest) in longest {
        println!("embedded: an event by its {key}: at most {longest:.1?}, wanted at most 1 s");
    }
}

async fn find(log: &EventLog, event: &StoredEvent, key: &str) -> Vec<StoredEvent> {
    let detail: serde_json::Value = serde_json::from_str(&event.detail).unwrap();
    let fields = detail["msys"].as_object().unwrap().values().next().unwrap();
    let value = |field: &str| fields[field].as_str().unwrap().to_owned();
    let by = |name: &str, value: String| {
        let column = COLUMNS.iter().position(|column| column.name == name).unwrap();
        Search { columns: vec![(column, vec![value])], ..Search::default() }
    };
    let search = match key {
        "id" => Search { ids: vec![event.key.id.clone()], ..Search::default() },
        "recipient" => by("rcpt_to", value("rcpt_to")),
        _ => by("message_id", value("message_id")),
    };
    let search = Search { from: Timestamp::MIN, to: Timestamp::MAX, ..search };
    let page = PageRequest { order: SortOrder::NewestFirst, after: None, offset: 0, limit: 100 };
    log.search(&search, &page).await.unwrap()
}
