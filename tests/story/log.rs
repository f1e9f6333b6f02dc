//! The guarantees of every log, each tested on PostgreSQL and SQLite.

use std::borrow::Cow;
use std::pin::pin;

use hookbridge::log::{
    COLUMNS, EventBatch, EventKey, EventLog, NewEvent, PageRequest, RecordOutcome, RetentionPolicy, Search,
    SearchColumns, SortOrder,
};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::actors::log::{
    InterruptedFuture, all_events, batch, for_each_database, ids, new_event, now, page, unlimited_search,
};

for_each_database! {
    a_batch_is_recorded_once
    an_event_in_two_batches_is_recorded_once
    an_event_of_any_age_is_recorded_once
    concurrent_recorders_of_the_same_events_agree
    an_interrupted_recorder_records_all_or_nothing
    every_value_round_trips
    every_filter_finds_its_events
    an_event_among_many_is_found_by_each_of_its_keys
    pages_have_no_gap_and_no_repeat
    expired_events_are_deleted
    recorded_batches_are_recognised
    the_split_into_batches_makes_no_difference
}

async fn a_batch_is_recorded_once(log: EventLog) {
    let t = now();
    let first = batch("s3://raw/1", vec![new_event("a", t), new_event("b", t)]);
    let RecordOutcome::Inserted { batch_id: number, events: 2, duplicates: 0 } =
        log.record(&first).await.unwrap()
    else {
        panic!("two new events")
    };
    assert_eq!(
        log.record(&first).await.unwrap(),
        RecordOutcome::AlreadyRecorded { batch_id: number, is_published: false }
    );
    log.mark_published(number).await.unwrap();
    assert_eq!(
        log.record(&first).await.unwrap(),
        RecordOutcome::AlreadyRecorded { batch_id: number, is_published: true }
    );
    assert_eq!(all_events(&log).await.len(), 2);
    let empty = log.record(&batch("s3://raw/2", vec![])).await.unwrap();
    assert!(matches!(empty, RecordOutcome::Inserted { events: 0, duplicates: 0, .. }));
}

async fn an_event_in_two_batches_is_recorded_once(log: EventLog) {
    let t = now();
    let later = t + SignedDuration::from_micros(1);
    log.record(&batch("1", vec![new_event("a", t), new_event("b", t)])).await.unwrap();
    let second =
        batch("2", vec![new_event("c", t), new_event("a", t), new_event("b", later), new_event("c", t)]);
    let outcome = log.record(&second).await.unwrap();
    assert!(matches!(outcome, RecordOutcome::Inserted { events: 2, duplicates: 2, .. }), "{outcome:?}");
    assert_eq!(ids(&all_events(&log).await), ["a", "b", "c", "b"], "an id at another time is another event");
    let without_origin = EventBatch { origin: None, events: vec![new_event("a", t)], unrecognized_count: 0 };
    let outcome = log.record(&without_origin).await.unwrap();
    assert!(matches!(outcome, RecordOutcome::Inserted { events: 0, duplicates: 1, .. }), "{outcome:?}");
}

async fn an_event_of_any_age_is_recorded_once(log: EventLog) {
    for (n, time) in
        ["2300-01-01T00:00:00.000001Z", "9999-12-30T00:00:00.123457Z", "0001-01-01T00:00:00.000001Z"]
            .into_iter()
            .enumerate()
    {
        let time = time.parse().unwrap();
        log.record(&batch(&format!("{n}"), vec![new_event("a", time)])).await.unwrap();
        let outcome =
            log.record(&batch(&format!("{n} again"), vec![new_event("a", time), new_event("b", time)])).await;
        assert!(
            matches!(outcome.unwrap(), RecordOutcome::Inserted { events: 1, duplicates: 1, .. }),
            "{time}"
        );
    }
}

async fn concurrent_recorders_of_the_same_events_agree(log: EventLog) {
    let (t, log) = (now(), std::sync::Arc::new(log));
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0_usize..24 {
        let log = log.clone();
        tasks.spawn(async move {
            // Each origin three times, and overlapping batches in different orders.
            let mut events: Vec<_> =
                (0..40).map(|id| new_event(&format!("{:03}", id + n / 3 * 10), t)).collect();
            if n % 2 == 0 {
                events.reverse();
            }
            log.record(&batch(&format!("{}", n / 3), events)).await.unwrap()
        });
    }
    let outcomes = tasks.join_all().await;
    let new_counts = outcomes.iter().filter_map(|outcome| match outcome {
        RecordOutcome::Inserted { events, .. } => Some(*events),
        RecordOutcome::AlreadyRecorded { .. } => None,
    });
    let new_counts: Vec<_> = new_counts.collect();
    assert_eq!(new_counts.len(), 8, "each origin once");
    assert_eq!(new_counts.iter().sum::<usize>(), 110, "each event once");
    assert_eq!(all_events(&log).await.len(), 110);
}

async fn an_interrupted_recorder_records_all_or_nothing(log: EventLog) {
    let t = now();
    log.record(&batch("before", vec![new_event("0", t)])).await.unwrap();
    let mut interruptions = 0;
    for polls in 0.. {
        // Each batch is in a week without a partition.
        let week = t - SignedDuration::from_hours(24 * 7 * (i64::try_from(polls).unwrap() + 1));
        let events: Vec<_> =
            (0..700).map(|n| new_event(&format!("{polls}-{n}"), week)).chain([new_event("0", t)]).collect();
        let batch = batch(&format!("{polls}"), events);
        let before = all_events(&log).await.len();
        let outcome = {
            let future = pin!(log.record(&batch));
            InterruptedFuture { future, polls }.await
        };
        let recorded_count = all_events(&log).await.len() - before;
        assert!(recorded_count == 0 || recorded_count == 700, "{recorded_count} events after {polls} polls");
        log.record(&batch).await.unwrap();
        assert_eq!(all_events(&log).await.len() - before, 700, "after {polls} polls and a retry");
        if outcome.is_some() {
            break;
        }
        interruptions += 1;
    }
    assert!(interruptions > 3, "it was interrupted only {interruptions} times");
}

async fn every_value_round_trips(log: EventLog) {
    let mut event = new_event("ä'\"\\%", "2016-02-02T19:50:00.123456Z".parse().unwrap());
    event.source = "github.com".into();
    event.detail_type = "push".into();
    event.account = "000000000000".into();
    event.region = "eu-central-1".into();
    event.resources = vec!["urn:a".into(), "{\"b\",NULL}".into(), String::new()];
    event.detail = "{\n \"a\" : \"\\u0000\\ud83d\", \"n\": 1.50e0 }".into();
    log.record(&batch("1", vec![event])).await.unwrap();
    let mut latest = new_event("far", "9999-12-30T00:00:00Z".parse().unwrap());
    latest.detail = "[]".into();
    let earliest = new_event("past", "0001-01-01T00:00:00Z".parse().unwrap());
    log.record(&batch("2", vec![latest, earliest])).await.unwrap();
    let events = all_events(&log).await;
    let found = &events.iter().find(|event| event.key.id.starts_with('ä')).unwrap();
    assert_eq!(
        found.key,
        EventKey { time: "2016-02-02T19:50:00.123456Z".parse().unwrap(), id: "ä'\"\\%".into() }
    );
    assert_eq!((found.source.as_str(), found.detail_type.as_str()), ("github.com", "push"));
    assert_eq!((found.account.as_str(), found.region.as_str()), ("000000000000", "eu-central-1"));
    assert_eq!(found.resources, ["urn:a", "{\"b\",NULL}", ""]);
    assert_eq!(found.detail, "{\n \"a\" : \"\\u0000\\ud83d\", \"n\": 1.50e0 }");
    assert_eq!(events.len(), 3);
}

/// An event of a message to one of a thousand recipients.
pub fn message_event(number: usize, time: Timestamp) -> NewEvent<'static> {
    let mut event = new_event(&format!("many-{number}"), time);
    event.search_columns = SearchColumns::from_fields(|name| match name {
        "rcpt_to" => Some(Cow::Owned(format!("User{}@example.com", number % 1000))),
        "message_id" => Some(Cow::Owned(format!("message-{}", number / 2))),
        _ => None,
    });
    event
}

/// Checks that those of the first `count` message events that an id, a recipient or a message id has are found.
pub async fn assert_found_by_keys(log: &EventLog, count: usize) {
    let column = |name: &str| COLUMNS.iter().position(|column| column.name == name).unwrap();
    let (recipient, message) = (column("rcpt_to"), column("message_id"));
    let find = async |search: Search| {
        let found = log.search(&search, &page(SortOrder::OldestFirst, 1000)).await.unwrap();
        assert_eq!(log.count(&search).await.unwrap(), found.len() as u64);
        let mut numbers: Vec<usize> =
            ids(&found).iter().map(|id| id.strip_prefix("many-").unwrap().parse().unwrap()).collect();
        numbers.sort_unstable();
        numbers
    };
    let by =
        |column: usize, value: String| Search { columns: vec![(column, vec![value])], ..unlimited_search() };
    for number in [0, 1, 16_383, 16_384, count / 2, count - 1].into_iter().filter(|number| *number < count) {
        let id = format!("many-{number}");
        assert_eq!(
            find(Search { ids: vec![id.clone(), "none".into()], ..unlimited_search() }).await,
            [number]
        );
        assert_eq!(log.find_event(&id, &[]).await.unwrap().unwrap().key.id, id);
        let expected: Vec<_> = (number % 1000..count).step_by(1000).collect();
        assert_eq!(find(by(recipient, format!("USER{}@example.com", number % 1000))).await, expected);
        let first = number / 2 * 2;
        let expected: Vec<_> = (first..count.min(first + 2)).collect();
        assert_eq!(find(by(message, format!("message-{}", number / 2))).await, expected);
    }
    let both = Search {
        columns: vec![(message, vec!["message-7".into()]), (recipient, vec!["user15@example.com".into()])],
        ..unlimited_search()
    };
    assert_eq!(find(both).await, [15]);
    assert!(find(by(recipient, "none@example.com".into())).await.is_empty());
    assert!(log.find_event("none", &[]).await.unwrap().is_none());
    assert!(log.find_event("many-1", &["other.example".into()]).await.unwrap().is_none());
}

async fn an_event_among_many_is_found_by_each_of_its_keys(log: EventLog) {
    // Batches of different sizes, whose events have times in no order.
    let t = now();
    let (mut recorded, mut sizes) = (0, [1, 700, 5000, 3].into_iter().cycle());
    while recorded < 40_000 {
        let numbers = recorded..recorded + sizes.next().unwrap();
        recorded = numbers.end;
        let time = |n: usize| t - SignedDuration::from_micros((n as i64 * 7919) % 1_000_000);
        let events: Vec<_> = numbers.map(|n| message_event(n, time(n))).collect();
        log.record(&batch(&recorded.to_string(), events)).await.unwrap();
    }
    assert_found_by_keys(&log, recorded).await;
    // A batch of events that are there already changes nothing.
    let again = (0..10).map(|n| message_event(n, t - SignedDuration::from_micros(n as i64 * 7919))).collect();
    log.record(&batch("again", again)).await.unwrap();
    assert_found_by_keys(&log, recorded).await;
    // Retention of everything, and new events.
    let all = RetentionPolicy {
        keep_since: Some(now() + SignedDuration::from_hours(1)),
        ..RetentionPolicy::default()
    };
    log.maintain(&all).await.unwrap();
    if log.database().is_embedded() {
        assert!(log.find_event("many-20000", &[]).await.unwrap().is_none());
        log.record(&batch("new", (0..20_000).map(|n| message_event(n, t)).collect())).await.unwrap();
        assert_found_by_keys(&log, 20_000).await;
    }
}

async fn every_filter_finds_its_events(log: EventLog) {
    let t = now();
    let mut target = new_event("target", t);
    target.detail_type = "bounce".into();
    target.source = "other.example".into();
    target.search_columns =
        SearchColumns::from_fields(|name| Some(Cow::Owned(format!("Alpha {name}-Beta gamma"))));
    log.record(&batch("1", vec![target, new_event("other", t)])).await.unwrap();
    let mut punctuated = new_event("punctuated", t);
    let text = Cow::Borrowed("550 5.1.1 <ann@example.com>: a < b, Grün");
    punctuated.search_columns = SearchColumns::from_fields(|name| (name == "reason").then_some(text.clone()));
    log.record(&batch("2", vec![punctuated])).await.unwrap();
    let reason = COLUMNS.iter().position(|column| column.name == "reason").unwrap();
    let find = async |search: Search| {
        let found = log.search(&search, &page(SortOrder::NewestFirst, 10)).await.unwrap();
        assert_eq!(log.count(&search).await.unwrap(), found.len() as u64);
        ids(&found).join(" ")
    };
    let strings = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect::<Vec<_>>();
    for (words, expected) in [
        ("5.1.1 <ann@example.com>", "punctuated"),
        ("a < b", "punctuated"),
        ("<ann", "punctuated"),
        ("grün", "punctuated"),
        ("gr", ""),
        ("n@example", ""),
    ] {
        let search = Search { columns: vec![(reason, vec![words.to_owned()])], ..unlimited_search() };
        assert_eq!(find(search).await, expected, "{words}");
    }
    assert_eq!(find(unlimited_search()).await, "target punctuated other");
    assert_eq!(find(Search { ids: strings(&["other", "x"]), ..unlimited_search() }).await, "other");
    assert_eq!(find(Search { types: strings(&["bounce"]), ..unlimited_search() }).await, "target");
    assert_eq!(
        find(Search { sources: strings(&["sparkpost.com"]), ..unlimited_search() }).await,
        "punctuated other"
    );
    assert_eq!(find(Search { from: t, to: t, ..unlimited_search() }).await, "", "`to` is exclusive");
    assert_eq!(find(Search { to: t, ..unlimited_search() }).await, "");
    assert_eq!(find(Search { from: t, ..unlimited_search() }).await, "target punctuated other");
    assert_eq!(
        find(Search { reason_contains: Some("LPHA reason-b".into()), ..unlimited_search() }).await,
        "target"
    );
    assert_eq!(find(Search { reason_contains: Some("a.pha".into()), ..unlimited_search() }).await, "");
    for (index, column) in COLUMNS.iter().enumerate() {
        let by = |values: &[&str]| Search { columns: vec![(index, strings(values))], ..unlimited_search() };
        let name = column.name;
        let value = format!("Alpha {}-Beta gamma", column.field);
        assert_eq!(find(by(&["x", &value])).await, "target", "{name}");
        let is_words = column.match_mode == hookbridge::log::MatchMode::Words;
        let expected = if is_words { "target" } else { "" };
        assert_eq!(find(by(&["beta"])).await, expected, "{name}: a word, in any case");
        assert_eq!(find(by(&["beta gamma"])).await, expected, "{name}: two words");
        assert_eq!(find(by(&["bet"])).await, "", "{name}: a part of a word");
        assert_eq!(find(by(&["gamma beta"])).await, "", "{name}: another order");
        assert_eq!(
            find(by(&["(.*)", "x'; drop table events; --"])).await,
            "",
            "{name}: not a pattern or SQL"
        );
    }
}

async fn pages_have_no_gap_and_no_repeat(log: EventLog) {
    let t = now();
    let events =
        (0..50).map(|n| new_event(&format!("{n:02}"), t + SignedDuration::from_secs(n / 7))).collect();
    log.record(&batch("1", events)).await.unwrap();
    for order in [SortOrder::OldestFirst, SortOrder::NewestFirst] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let next = PageRequest { order, after, offset: 0, limit: 8 };
            let found = log.search(&unlimited_search(), &next).await.unwrap();
            let Some(last) = found.last() else { break };
            after = Some(last.key.clone());
            seen.extend(found.into_iter().map(|event| event.key.id));
            // New events do not move the pages that were read.
            log.record(&batch(
                &format!("{order:?}{}", seen.len()),
                vec![new_event("zz", t - SignedDuration::from_hours(1))],
            ))
            .await
            .unwrap();
        }
        let mut expected: Vec<_> = (0..50).map(|n| format!("{n:02}")).collect();
        if order == SortOrder::NewestFirst {
            expected.reverse();
            expected.push("zz".into());
        }
        seen.retain(|id| order == SortOrder::NewestFirst || id != "zz");
        assert_eq!(seen, expected);
    }
    let last_page = PageRequest { order: SortOrder::OldestFirst, after: None, offset: 49, limit: 8 };
    assert_eq!(ids(&log.search(&unlimited_search(), &last_page).await.unwrap()), ["48", "49"]);
}

async fn expired_events_are_deleted(log: EventLog) {
    let days = |days: i64| now() - SignedDuration::from_hours(24 * days);
    let events = [400, 100, 31].map(|age| new_event(&format!("{age}"), days(age)));
    log.record(&batch("1", events.into())).await.unwrap();
    log.record(&batch("2", vec![new_event("stray", "1999-01-01T00:00:00Z".parse().unwrap())])).await.unwrap();
    log.maintain(&RetentionPolicy::default()).await.unwrap();
    assert_eq!(all_events(&log).await.len(), 4, "nothing is deleted without a retention policy");
    log.maintain(&RetentionPolicy::default().with_max_age(SignedDuration::from_hours(24 * 60)))
        .await
        .unwrap();
    assert_eq!(all_events(&log).await.len(), 4, "a recently recorded event is kept, however old its time is");
    let cutoff = now();
    log.record(&batch("3", vec![new_event("300", days(300)), new_event("0", days(0))])).await.unwrap();
    log.maintain(&RetentionPolicy { keep_since: Some(cutoff), ..RetentionPolicy::default() }).await.unwrap();
    assert_eq!(ids(&all_events(&log).await), ["300", "0"], "events recorded since then are kept");
    log.record(&batch("4", vec![new_event("400", days(400))])).await.unwrap();
    assert_eq!(all_events(&log).await.len(), 3, "a deleted event can be recorded again");
}

async fn recorded_batches_are_recognised(log: EventLog) {
    log.record(&batch("b", vec![])).await.unwrap();
    let origins = ["c", "b", "a"].map(str::to_owned);
    assert_eq!(log.find_unrecorded(&origins).await.unwrap(), ["c", "a"]);
    assert_eq!(log.find_unrecorded(&[]).await.unwrap(), Vec::<String>::new());
}

/// Any split of a set of events into batches, with repeats, in any order, gives the same log.
async fn the_split_into_batches_makes_no_difference(log: EventLog) {
    // Each case has its own hours in the shared log.
    let start: Timestamp = "2026-01-05T00:00:00Z".parse().unwrap();
    let mut runner =
        TestRunner::new(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() });
    let batches = prop::collection::vec((0_u8..4, prop::collection::vec(0_i64..30, 0..40)), 1..8);
    let case = std::cell::Cell::new(0);
    let result = runner.run(&batches, |batches| {
        case.set(case.get() + 1);
        let from = start + SignedDuration::from_hours(100 * case.get());
        let log = &log;
        let event = |n: i64| new_event(&format!("{}", n % 11), from + SignedDuration::from_secs(n / 3));
        let found = tokio::task::block_in_place(|| {
            tokio::runtime::Handle::current().block_on(async {
                for (n, (repeats, events)) in batches.iter().enumerate() {
                    let batch =
                        batch(&format!("{}/{n}", case.get()), events.iter().map(|n| event(*n)).collect());
                    for _ in 0..=*repeats {
                        log.record(&batch).await?;
                    }
                }
                let search = Search { from, to: from + SignedDuration::from_hours(99), ..Search::default() };
                log.search(&search, &page(SortOrder::OldestFirst, 1000)).await
            })
        });
        let mut expected: Vec<EventKey> = batches
            .iter()
            .flat_map(|(_, events)| events.iter().map(|n| event(*n)))
            .map(|event| EventKey { time: event.time, id: event.id.into_owned() })
            .collect();
        expected.sort();
        expected.dedup();
        let found: Vec<_> = found.unwrap().into_iter().map(|event| event.key).collect();
        prop_assert_eq!(found, expected);
        Ok(())
    });
    result.unwrap();
}
