//! Any text as the query of a search: it is answered, and the next page that it names is one.

#![no_main]

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hookbridge::feed::{Access, Feed, PATHS, Request};
use hookbridge::log::{Batch, Key, Log, LogError, Maintained, Page, Recorded, Search, Stored};
use jiff::{SignedDuration, Timestamp};

/// A log with one event too many for every page.
struct Full;

impl Log for Full {
    async fn record(&self, _: &Batch<'_>) -> Result<Recorded, LogError> {
        unreachable!()
    }
    async fn published(&self, _: i64) -> Result<(), LogError> {
        unreachable!()
    }
    async fn unrecorded(&self, _: Vec<String>) -> Result<Vec<String>, LogError> {
        unreachable!()
    }
    async fn search(&self, _: &Search, page: &Page) -> Result<Vec<Stored>, LogError> {
        let event = |n: u32| Stored {
            key: Key { time: Timestamp::UNIX_EPOCH, id: n.to_string() },
            source: String::new(),
            detail_type: String::new(),
            account: String::new(),
            region: String::new(),
            resources: vec![],
            detail: "{}".into(),
        };
        Ok((0..page.limit.min(3)).map(event).collect())
    }
    async fn count(&self, _: &Search) -> Result<u64, LogError> {
        Ok(3)
    }
    async fn maintain(&self, _: Option<SignedDuration>) -> Result<Maintained, LogError> {
        unreachable!()
    }
}

fn answer(path: &str, query: &str) -> (u16, String) {
    let feed = Feed { log: Full, access: Access::Open };
    let method = http::Method::GET;
    let request = Request { method: &method, path, query, authorization: None, is_signed: false };
    let mut work = pin!(feed.answer(request));
    // Nothing in it ever waits.
    match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => (answer.status.as_u16(), answer.body),
        Poll::Pending => unreachable!(),
    }
}

libfuzzer_sys::fuzz_target!(|query: &str| {
    for path in PATHS {
        let (status, body) = answer(path, query);
        let page: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert!(status == 200 || status == 400);
        let next = page["links"]["next"].as_str().or_else(|| page["links"][0]["href"].as_str());
        if let Some((path, query)) = next.and_then(|next| next.split_once('?')) {
            assert_eq!(answer(path, query).0, 200, "{query}");
        }
    }
});
