//! Arbitrary text as the query of a search or of `GET /events`: the status is 200 or 400, and the next page's link is valid.

#![no_main]

use std::sync::LazyLock;
use std::time::Duration;

use hookbridge::api::{Api, ApiRequest, Authenticator, SEARCH_PATHS};
use hookbridge::db::Database;
use hookbridge::log::{EventBatch, EventLog, NewEvent};
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::{SignedDuration, Timestamp};
use tokio::runtime::{Builder, Runtime};

/// The number of recorded events: more than a page has by default, so that some responses link to a next page.
const EVENT_COUNT: i64 = 1500;

/// The API over an SQLite log in a temporary folder, and the runtime that serves its requests.
static SERVER: LazyLock<(Runtime, Api)> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let api = runtime.block_on(async {
        let folder = tempfile::tempdir().unwrap().keep();
        let log = EventLog::new(Database::open(&folder.join("log.db").as_path().into(), 1).await.unwrap());
        let now = Timestamp::now();
        let event = |age: i64| {
            let time = now - SignedDuration::from_secs(age);
            NewEvent::from_content("sparkpost.com", "bounce", format!("{{\"n\":{age}}}").into(), time)
        };
        let events = (0..EVENT_COUNT).map(event).collect();
        let batch = EventBatch { origin: Some("fuzz".into()), events, unrecognized_count: 0 };
        log.record(&batch).await.unwrap();
        Api::new(Authenticator::Open).with_log(log)
    });
    (runtime, api)
});

fn get(path: &str, query: &str) -> (u16, Vec<u8>) {
    let (runtime, api) = &*SERVER;
    let headers = HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
    let request = ApiRequest {
        method: &Method::GET,
        path,
        query,
        headers: &headers,
        body: b"",
        max_wait: Duration::ZERO,
        needs_event_urns: false,
    };
    let response = runtime.block_on(async {
        let token = api.authenticate(&headers, path, false).await.ok().unwrap();
        api.handle(request, &token).await
    });
    (response.status.as_u16(), response.body)
}

libfuzzer_sys::fuzz_target!(|query: &str| {
    for path in SEARCH_PATHS.into_iter().chain(["/events"]) {
        let (status, body) = get(path, query);
        assert!(status == 200 || status == 400, "{status}");
        let page: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let next = page["links"]["next"].as_str().or_else(|| page["links"][0]["href"].as_str());
        if let Some((path, query)) = next.and_then(|next| next.split_once('?')) {
            assert_eq!(get(path, query).0, 200, "{query}");
        }
        if let Some(cursor) = page["cursor"].as_str() {
            assert_eq!(get(path, &format!("after={cursor}")).0, 200, "{cursor}");
        }
    }
});
