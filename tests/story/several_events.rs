//! Webhooks that contain several events: one entry for each, in order, all published or spilled.

use std::time::Duration;

use hookbridge::archive::{Archive, FolderArchive};
use serde_json::{Value, json};

use crate::actors::aws::{Queue, endpoint, secret};
use crate::actors::cloud_function::{CloudFunction, url_event};
use crate::actors::fault_proxy::{Fault, FaultProxy};
use crate::actors::server::SECRET;
use crate::actors::signature;

/// A GoCardless webhook with `count` events of about 200 bytes.
fn webhook(count: usize) -> Value {
    let event = |n: usize| {
        json!({
            "id": format!("EV{n}"),
            "created_at": "2026-11-22T10:00:00Z",
            "resource_type": "payments",
            "action": "confirmed",
            "links": {"payment": format!("PM{n:06}")},
            "details": {"origin": "gocardless", "cause": "payment_confirmed", "padding": "x".repeat(40)},
        })
    };
    let body = json!({"events": (0..count).map(event).collect::<Vec<_>>()}).to_string();
    let signature = signature("gocardless", SECRET, "https://x.example/", body.as_bytes());
    url_event(&[("content-type", "application/json"), ("webhook-signature", &signature)], &body)
}

async fn function() -> (FaultProxy, Queue, CloudFunction) {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let queue = Queue::new();
    let function = CloudFunction::with_endpoint(&proxy.url(), "gocardless", &secret(SECRET)).await;
    let function = function.with_spill_queue(&proxy.url(), &queue.url).await;
    (proxy, queue, function)
}

fn ids(request: &str) -> Vec<String> {
    let request: Value = serde_json::from_str(request).unwrap();
    let entries = request["Entries"].as_array().unwrap();
    let id = |entry: &Value| entry["Resources"][0].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    entries.iter().map(id).collect()
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_thousand_events_are_published_in_order_with_a_hundred_requests() {
    let (proxy, queue, function) = function().await;
    let invocation = function.invoke_text(&webhook(1000).to_string(), Duration::from_secs(60)).await;
    assert_eq!((invocation.status, &invocation.log["outcome"]), (202, &"published".into()));
    assert_eq!((&invocation.log["events"], &invocation.log["Received"]), (&1000.into(), &1.into()));
    assert_eq!(proxy.calls("PutEvents"), 100);
    let published: Vec<String> = proxy.published().iter().flat_map(|request| ids(request)).collect();
    assert_eq!(published, (0..1000).map(|n| format!("EV{n}")).collect::<Vec<_>>());
    assert!(queue.is_empty());
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_request_has_at_most_the_bytes_of_the_limit() {
    let (proxy, _queue, function) = function().await;
    let function = function.with_max_entry_bytes(1000);
    assert_eq!(function.invoke(&webhook(10)).await.status, 202);
    let sizes: Vec<usize> = proxy.published().iter().map(|request| ids(request).len()).collect();
    assert_eq!(sizes.iter().sum::<usize>(), 10);
    assert!(sizes.len() >= 3 && sizes.iter().all(|size| *size <= 4), "{sizes:?}");
    let one_too_large = function.with_max_entry_bytes(200);
    assert_eq!(one_too_large.invoke(&webhook(3)).await.status, 413);
    assert_eq!(proxy.published().len(), sizes.len(), "nothing is published");
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn events_that_are_too_large_together_are_published_one_by_one() {
    let (proxy, _queue, function) = function().await;
    proxy.next("PutEvents", [Fault::TotalSize]);
    assert_eq!(function.invoke(&webhook(3)).await.status, 202);
    let published: Vec<String> = proxy.published().iter().flat_map(|request| ids(request)).collect();
    assert_eq!((published, proxy.calls("PutEvents")), (vec!["EV0".into(), "EV1".into(), "EV2".into()], 4));
}

/// Another webhook may begin with the same event.
#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn webhooks_that_begin_with_the_same_event_are_both_archived() {
    let (_proxy, _queue, function) = function().await;
    let folder = tempfile::tempdir().unwrap();
    let archive = FolderArchive::open(folder.path().to_owned()).unwrap();
    let function = function.with_archive(Archive::Folder(archive));
    for (webhook, outcome) in [
        (webhook(1), "archived"),
        (webhook(2), "archived"),
        (webhook(3), "archived"),
        (webhook(3), "repeated"),
    ] {
        let invocation = function.invoke(&webhook).await;
        assert_eq!((invocation.status, &invocation.log["outcome"]), (202, &outcome.into()));
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_entry_that_the_bus_rejects_is_spilled_alone() {
    let (proxy, queue, function) = function().await;
    proxy.always("PutEvents", Fault::FourthEntryFailed("NotAuthorizedForSourceException"));
    let invocation = function.invoke(&webhook(8)).await;
    assert_eq!((invocation.status, &invocation.log["outcome"]), (202, &"spilled".into()));
    assert_eq!(proxy.calls("PutEvents"), 1, "the other entries were published");
    let entry: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!(entry["Resources"], json!(["urn:webhook:gocardless:EV3"]));
    assert!(queue.is_empty());
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_entry_that_fails_transiently_is_retried_alone() {
    let (proxy, queue, function) = function().await;
    proxy.next("PutEvents", [Fault::FourthEntryFailed("InternalFailure")]);
    let invocation = function.invoke(&webhook(8)).await;
    assert_eq!((invocation.status, &invocation.log["outcome"]), (202, &"published".into()));
    assert_eq!(proxy.published().iter().flat_map(|request| ids(request)).collect::<Vec<_>>(), ["EV3"]);
    assert!(queue.is_empty());
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn every_event_is_spilled_while_the_bus_is_down_and_a_failed_spill_is_500() {
    let (proxy, queue, function) = function().await;
    proxy.always("PutEvents", Fault::InternalError);
    let invocation = function.invoke_text(&webhook(25).to_string(), Duration::from_secs(8)).await;
    assert_eq!((invocation.status, &invocation.log["outcome"]), (202, &"spilled".into()));
    assert_eq!(proxy.calls("SendMessageBatch"), 3);
    let mut spilled = Vec::new();
    for _ in 0..25 {
        let entry: Value = serde_json::from_str(&queue.receive()).unwrap();
        assert_eq!(entry["Time"], "2026-11-22T10:00:00Z");
        spilled.push(entry["Resources"][0].as_str().unwrap().to_owned());
    }
    spilled.sort();
    spilled.dedup();
    assert_eq!(spilled.len(), 25);
    proxy.always("SendMessageBatch", Fault::InternalError);
    let invocation = function.invoke_text(&webhook(25).to_string(), Duration::from_secs(8)).await;
    assert_eq!((invocation.status, &invocation.log["outcome"]), (500, &"failed".into()));
}
