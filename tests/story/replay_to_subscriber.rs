//! Events of the log that are delivered to a subscriber again.

use hookbridge::db::Database;
use hookbridge::delivery::{DeliveryFilter, DeliveryState, SubscriberUpdate};
use serde_json::{Value, json};

use crate::actors::dispatch_harness::{DispatchHarness, arrived_event, event_ids};
use crate::actors::log::for_each_database;
use crate::actors::receiver::Receiver;
use crate::actors::server::Server;
use crate::actors::wait_until;
use crate::deliveries::{LOOPBACK, run_blocking};

for_each_database! {
    a_replay_creates_deliveries_and_repeats_those_that_exist
}

async fn a_replay_creates_deliveries_and_repeats_those_that_exist(db: Database) {
    let (harness, receiver) = (DispatchHarness::open(db), Receiver::start().await);
    harness.subscriber("old", receiver.url("old"), SubscriberUpdate::default()).await;
    harness.receive_events(event_ids(0..3)).await;
    // A subscriber that was created later gets only what it wants.
    let only_leads = SubscriberUpdate { types: Some(vec!["lead.*".into()]), ..SubscriberUpdate::default() };
    harness.subscriber("new", receiver.url("new"), only_leads).await;
    receiver.clear();
    let mut events: Vec<_> =
        event_ids(0..3).map(|id| arrived_event(&id, "lead.created", &json!({}))).collect();
    events.push(arrived_event("other", "order.paid", &json!({})));
    let replay = async |name: &str, is_dry_run| harness.service.replay(name, &events, is_dry_run).await;
    assert_eq!(replay("new", true).await.unwrap(), 3);
    harness.deliver_due().await;
    assert!(receiver.received().is_empty(), "a dry run delivers nothing");
    assert_eq!(replay("new", false).await.unwrap(), 3);
    assert_eq!(replay("old", false).await.unwrap(), 4);
    assert_eq!(harness.count(DeliveryState::Pending).await, 7);
    harness.deliver_due().await;
    let paths = |path: &str| receiver.received().iter().filter(|request| request.path == path).count();
    assert_eq!((paths("/new"), paths("/old")), (3, 4));
    assert_eq!(
        harness.count(DeliveryState::Delivered).await,
        7,
        "one delivery for each event and subscriber"
    );

    // A delivery in flight is not started twice.
    assert_eq!(replay("new", false).await.unwrap(), 3);
    let in_flight = harness.worker.claim_due().await.unwrap();
    assert_eq!((in_flight.len(), replay("new", false).await.unwrap()), (3, 0));
    harness.deliver(in_flight).await;
    assert_eq!(paths("/new"), 6);
    let cancelled = harness.service.store.cancel_deliveries(&DeliveryFilter::default(), None).await.unwrap();
    assert_eq!(cancelled, 0);
    assert!(replay("none", false).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_api_replays_an_event_or_pages_of_a_range() {
    let receiver = Receiver::start().await;
    run_blocking(move || {
        let server = Server::start_with(&["--allow-to", LOOPBACK]);
        let request = |method: &str, path: &str, body: Value| {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            let reply = server.request(method, path, &[], body.as_bytes());
            (reply.status, serde_json::from_str::<Value>(&reply.body).unwrap_or_default())
        };
        (0..5).for_each(|n| server.push(n));
        let events = wait_until("the events", || {
            let events = request("GET", "/events?after=start", Value::Null).1["data"].clone();
            Some(events.as_array().unwrap().clone()).filter(|events| events.len() == 5)
        });
        let subscriber = json!({"name": "late", "url": receiver.url("in"), "types": ["push"]});
        assert_eq!(request("POST", "/subscribers", subscriber).0, 201);
        let replay =
            |query: &str, body: Value| request("POST", &format!("/subscribers/late/replay{query}"), body);
        let id = &events[0]["id"];
        let one = json!({"object": "replay", "deliveries": 1, "cursor": null, "has_more": false});
        assert_eq!(replay("", json!({"event": id, "dry_run": true})), (200, one.clone()));
        assert_eq!(replay("", json!({"event": id})), (200, one));
        wait_until("the first event", || (receiver.received().len() == 1).then_some(()));
        assert_eq!(&receiver.received()[0].event(), &events[0]);

        // Three of the five events have the type that the subscriber wants.
        let (mut after, mut deliveries, mut pages) = ("start".to_owned(), 0, 0);
        loop {
            let (status, page) = replay(&format!("?after={after}&limit=2"), Value::Null);
            assert_eq!(status, 200, "{page}");
            deliveries += page["deliveries"].as_u64().unwrap();
            pages += 1;
            if page["has_more"] == false {
                break;
            }
            after = page["cursor"].as_str().unwrap().to_owned();
        }
        assert_eq!((deliveries, pages), (3, 3));
        wait_until("all events", || (receiver.received().len() == 4).then_some(()));
        assert_eq!(replay("?after=start&type=issues", Value::Null).1["deliveries"], 0);
        for (query, body, expected) in [
            ("", Value::Null, 400),
            ("?after=start", json!({"event": id}), 400),
            ("?before=now", Value::Null, 400),
            ("?after=start&wait=1", Value::Null, 400),
            ("?after=nonsense", Value::Null, 400),
            ("?kind=push", Value::Null, 400),
            ("", json!({"event": "none"}), 404),
            ("", json!({"events": []}), 400),
        ] {
            let (status, reply) = replay(query, body.clone());
            assert_eq!(status, expected, "{query} {body}: {reply}");
        }
        assert_eq!(request("POST", "/subscribers/none/replay?after=start", Value::Null).0, 404);
        assert_eq!(request("GET", "/subscribers/late/replay", Value::Null).0, 405);
    })
    .await;
}
