//! Measures a page of `GET /events`. The baseline is hand-written SQL and serialization of the same rows.

use std::time::{Duration, Instant};

use hookbridge::api::{Api, Authenticator};
use hookbridge::log::{Bounds, EventLog};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::Row as _;
use sqlx::postgres::PgPool;

const PAGE_SIZE: i64 = 1000;

#[derive(Serialize)]
struct Envelope<'a> {
    version: &'static str,
    id: &'a str,
    #[serde(rename = "detail-type")]
    detail_type: &'a str,
    source: &'a str,
    account: &'a str,
    time: String,
    region: &'a str,
    resources: Vec<String>,
    detail: Box<RawValue>,
}

/// Measures a page at the start, in the middle and at the end of the log, and returns the milliseconds of each page.
pub(crate) async fn compare(log: &EventLog, pool: &PgPool) -> Vec<(&'static str, f64)> {
    let Bounds { first_position: first, end_position: end } = log.bounds().await.unwrap();
    let api = Api::new(Authenticator::Open).with_log(log.clone());
    let mut times = Vec::new();
    for (label, from) in
        [("the start", first), ("the middle", (first + end) / 2), ("the end", end - PAGE_SIZE)]
    {
        // The `after` parameter with which the page starts at position `from`.
        let query = if from == first { "after=start".to_owned() } else { cursor_at(&api, pool, from).await };
        let (mut api_time, mut sql_time) = (Duration::MAX, Duration::MAX);
        for _ in 0..15 {
            let started = Instant::now();
            let page = crate::get(&api, "/events", &format!("{query}&limit={PAGE_SIZE}")).await;
            api_time = api_time.min(started.elapsed());
            let started = Instant::now();
            let expected = page_by_hand(pool, from).await;
            sql_time = sql_time.min(started.elapsed());
            assert!(page.windows(64).any(|window| window == &expected[1..65]), "the same events");
            assert!(page.len().abs_diff(expected.len()) < 200, "{} and {} bytes", page.len(), expected.len());
        }
        let milliseconds = api_time.as_secs_f64() * 1000.0;
        println!(
            "a page of {PAGE_SIZE} at {label}: {milliseconds:.2} ms, {:.2} of the same rows by hand, wanted at most 1.5",
            api_time.as_secs_f64() / sql_time.as_secs_f64()
        );
        times.push((label, milliseconds));
    }
    compare_one_type(&api, pool, (first + end) / 2, times[1].1).await;
    times
}

/// Measures a page of one event type, starting in the middle of the log, against a page of all types.
async fn compare_one_type(api: &Api, pool: &PgPool, from: i64, every_type_milliseconds: f64) {
    let query = format!("{}&limit={PAGE_SIZE}&type=bounce", cursor_at(api, pool, from).await);
    let mut best = Duration::MAX;
    for _ in 0..15 {
        let started = Instant::now();
        let page = crate::get(api, "/events", &query).await;
        best = best.min(started.elapsed());
        let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
        assert_eq!(page["data"].as_array().unwrap().len(), 1000);
    }
    let milliseconds = best.as_secs_f64() * 1000.0;
    println!(
        "a page of {PAGE_SIZE} of one type in the middle: {milliseconds:.2} ms, {:.1} of a page of every type",
        milliseconds / every_type_milliseconds
    );
}

/// Returns the `after` parameter of the page that starts at `position`.
async fn cursor_at(api: &Api, pool: &PgPool, position: i64) -> String {
    // Paging from the start of the log would take long. Start at the time of the last batch before `position` instead, and
    // page forward from there.
    let batch = "select to_char(recorded at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'), position from hookbridge.batches
        where recorded = (select recorded from hookbridge.batches where position <= $1 order by position desc limit 1)
        order by position limit 1";
    let row = sqlx::query(batch).bind(position).fetch_one(pool).await.unwrap();
    let (time, mut reached): (String, i64) = (row.get(0), row.get(1));
    let mut query = format!("after={time}");
    while reached < position {
        let limit = (position - reached).min(PAGE_SIZE);
        let page = crate::get(api, "/events", &format!("{query}&limit={limit}")).await;
        let page: serde_json::Value = serde_json::from_slice(&page).unwrap();
        query = format!("after={}", page["cursor"].as_str().unwrap());
        reached += limit;
    }
    query
}

async fn page_by_hand(pool: &PgPool, from: i64) -> Vec<u8> {
    let batches = "select id, position, oldest::text, newest::text from hookbridge.batches
        where position > $1 - 350 and position < $1 + 1000 order by position";
    let batches = sqlx::query(batches).bind(from).fetch_all(pool).await.unwrap();
    let ids: Vec<String> = batches.iter().map(|row| row.get::<i64, _>(0).to_string()).collect();
    let (oldest, newest): (String, String) = (
        batches.iter().map(|row| row.get::<String, _>(2)).min().unwrap(),
        batches.iter().map(|row| row.get::<String, _>(3)).max().unwrap(),
    );
    let skipped = from - batches[0].get::<i64, _>(1);
    let events = format!(
        "select (extract(epoch from time) * 1000000)::bigint, events.id, source, type, account, region, resources, detail
         from hookbridge.events join hookbridge.batches b on b.id = batch
         where batch in ({}) and time >= '{oldest}' and time <= '{newest}'
         order by position, place limit {PAGE_SIZE} offset {skipped}",
        ids.join(", ")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(events)).fetch_all(pool).await.unwrap();
    let envelopes: Vec<_> = rows
        .iter()
        .map(|row| Envelope {
            version: "0",
            id: row.get(1),
            detail_type: row.get(3),
            source: row.get(2),
            account: row.get(4),
            time: jiff::Timestamp::from_microsecond(row.get(0)).unwrap().to_string(),
            region: row.get(5),
            resources: row.get(6),
            detail: RawValue::from_string(row.get(7)).unwrap(),
        })
        .collect();
    serde_json::to_vec(&envelopes).unwrap()
}
