//! Arbitrary text as the query of a search or of `GET /events`: the status is 200 or 400, and the next page's link is valid.

#![no_main]

use std::ops::Range;
use std::sync::LazyLock;
use std::time::Duration;

use hookbridge::auth::{Authenticator, TokenScope};
use hookbridge::feed::{Feed, FeedRequest, SEARCH_PATHS};
use hookbridge::log::{
    Bounds, CursorSigningKey, EventBatch, EventFilter, EventKey, EventReader, EventStore, LogError,
    MaintenanceReport, PageLimit, PageRequest, Position, PositionedEvent, RecordOutcome, RetentionPolicy,
    Row, Search, SqlExecutor, Statement, StoredEvent,
};
use jiff::Timestamp;

fn event(n: i64) -> StoredEvent {
    StoredEvent {
        key: EventKey { time: Timestamp::UNIX_EPOCH, id: n.to_string() },
        source: String::new(),
        detail_type: String::new(),
        account: String::new(),
        region: String::new(),
        resources: vec![],
        detail: "{}".into(),
    }
}

static RUNTIME: LazyLock<tokio::runtime::Runtime> =
    LazyLock::new(|| tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());

/// A log with one event more than any page holds.
struct Full;

impl EventStore for Full {
    async fn record(&self, _: &EventBatch<'_>) -> Result<RecordOutcome, LogError> {
        unreachable!()
    }
    async fn mark_published(&self, _: i64) -> Result<(), LogError> {
        unreachable!()
    }
    async fn batch_event_keys(&self, _: i64) -> Result<Vec<hookbridge::log::EventKey>, LogError> {
        unreachable!()
    }
    async fn find_unrecorded(&self, _: Vec<String>) -> Result<Vec<String>, LogError> {
        unreachable!()
    }
    async fn search(&self, _: &Search, page: &PageRequest) -> Result<Vec<StoredEvent>, LogError> {
        Ok((0..page.limit.min(3)).map(|n| event(n.into())).collect())
    }
    async fn count(&self, _: &Search) -> Result<u64, LogError> {
        Ok(3)
    }
    async fn maintain(&self, _: &RetentionPolicy) -> Result<MaintenanceReport, LogError> {
        unreachable!()
    }
}

impl EventReader for Full {
    async fn assign_positions(&self) -> Result<Position, LogError> {
        Ok(2000)
    }
    async fn bounds(&self) -> Result<Bounds, LogError> {
        Ok(Bounds { first_position: 1, end_position: 2000 })
    }
    async fn read_events(
        &self,
        window: Range<Position>,
        _: &EventFilter,
        most: PageLimit,
    ) -> Result<Option<Vec<PositionedEvent>>, LogError> {
        assert!((1..=2000).contains(&window.start) && window.end <= 2000);
        let mut events: Vec<_> =
            window.map(|position| PositionedEvent { position, event: event(position) }).collect();
        if most.from_end {
            events.drain(..events.len().saturating_sub(most.max_events));
        }
        events.truncate(most.max_events);
        Ok(Some(events))
    }
    async fn first_position_since(&self, _: Timestamp) -> Result<Position, LogError> {
        Ok(7)
    }
    async fn recorded_at(&self, _: Position) -> Result<Option<Timestamp>, LogError> {
        unreachable!()
    }
    async fn find_event(&self, _: &str, _: &[String]) -> Result<Option<StoredEvent>, LogError> {
        unreachable!()
    }
    async fn cursor_signing_key(&self) -> Result<CursorSigningKey, LogError> {
        Ok(CursorSigningKey::new(vec![7; 32]))
    }
    async fn wait_for_position(&self, _: Position) -> Result<(), LogError> {
        std::future::pending().await
    }
}

impl SqlExecutor for Full {
    async fn execute_transaction(&self, _: Vec<Statement>) -> Result<Vec<Vec<Row>>, LogError> {
        unreachable!()
    }

    async fn maintain_partitions(&self, _: &'static str, _: Timestamp) -> Result<(), LogError> {
        unreachable!()
    }
}

fn answer(path: &str, query: &str) -> (u16, String) {
    let feed = Feed::new(Full, Authenticator::Open);
    let (method, headers) = (http::Method::GET, http::HeaderMap::new());
    let request =
        FeedRequest { method: &method, path, query, headers: &headers, body: b"", max_wait: Duration::ZERO };
    let answer = RUNTIME.block_on(feed.handle(request, &TokenScope::AllSources));
    (answer.status.as_u16(), String::from_utf8(answer.body).unwrap())
}

libfuzzer_sys::fuzz_target!(|query: &str| {
    for path in SEARCH_PATHS.into_iter().chain(["/events"]) {
        let (status, body) = answer(path, query);
        let page: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert!(status == 200 || status == 400);
        let next = page["links"]["next"].as_str().or_else(|| page["links"][0]["href"].as_str());
        if let Some((path, query)) = next.and_then(|next| next.split_once('?')) {
            assert_eq!(answer(path, query).0, 200, "{query}");
        }
        if let Some(cursor) = page["cursor"].as_str() {
            assert_eq!(answer(path, &format!("after={cursor}")).0, 200, "{cursor}");
        }
    }
});
