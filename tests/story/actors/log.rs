//! The log in PostgreSQL and in SQLite, and events to record.

use std::borrow::Cow;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use hookbridge::db::Database;
use hookbridge::log::{
    EventBatch, EventLog, NewEvent, PageRequest, Search, SearchColumns, SortOrder, StoredEvent,
};
use jiff::Timestamp;

/// Expands to one test per function and database.
macro_rules! for_each_database {
    ($($test:ident)*) => {
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            #[ignore = "needs PostgreSQL: run scripts/test"]
            async fn $test() {
                let database = crate::actors::database::Database::new().await;
                super::$test(crate::actors::log::FromLog::from_log(database.log().await)).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                let folder = tempfile::tempdir().unwrap();
                let log = crate::actors::log::open_sqlite(&folder.path().join("log.db")).await;
                super::$test(crate::actors::log::FromLog::from_log(log)).await;
            })*
        }
    };
}
pub(crate) use for_each_database;

/// The argument of a test that runs on every database: the log, or its database.
pub trait FromLog {
    fn from_log(log: EventLog) -> Self;
}

impl FromLog for EventLog {
    fn from_log(log: EventLog) -> Self {
        log
    }
}

impl FromLog for Database {
    fn from_log(log: EventLog) -> Self {
        log.database().clone()
    }
}

pub async fn open_sqlite(path: &Path) -> EventLog {
    EventLog::new(Database::open(&path.into(), 1).await.unwrap())
}

pub fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

pub fn new_event(id: &str, time: Timestamp) -> NewEvent<'static> {
    NewEvent {
        time,
        id: Cow::Owned(id.to_owned()),
        source: "sparkpost.com".into(),
        detail_type: "delivery".into(),
        account: "".into(),
        region: "".into(),
        resources: vec![],
        detail: Cow::Owned(format!(r#"{{"id":"{id}"}}"#)),
        search_columns: SearchColumns::default(),
    }
}

pub fn batch<'a>(origin: &str, events: Vec<NewEvent<'a>>) -> EventBatch<'a> {
    EventBatch { origin: Some(Cow::Owned(origin.to_owned())), events, unrecognized_count: 0 }
}

pub fn unlimited_search() -> Search {
    Search { from: Timestamp::MIN, to: Timestamp::MAX, ..Search::default() }
}

pub fn page(order: SortOrder, limit: u32) -> PageRequest {
    PageRequest { order, after: None, offset: 0, limit }
}

/// All events in log order.
pub async fn all_events(log: &EventLog) -> Vec<StoredEvent> {
    log.search(&unlimited_search(), &page(SortOrder::OldestFirst, 100_000)).await.unwrap()
}

pub fn ids(events: &[StoredEvent]) -> Vec<&str> {
    events.iter().map(|event| event.key.id.as_str()).collect()
}

/// Resolves to `None` if the future is not ready after this many polls.
pub struct InterruptedFuture<'f, F> {
    pub future: Pin<&'f mut F>,
    pub polls: usize,
}

impl<F: Future> Future for InterruptedFuture<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls == 0 {
            return Poll::Ready(None);
        }
        self.polls -= 1;
        self.future.as_mut().poll(context).map(Some)
    }
}
