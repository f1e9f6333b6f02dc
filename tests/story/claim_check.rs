//! Claim checks: a payload that is too large for an event is stored in the overflow bucket, and the event refers to it.

use std::time::Duration;

use serde_json::Value;

use crate::actors::aws::{aws, endpoint, name, secret, text};
use crate::actors::cloud_function::{CloudFunction, url_event};
use crate::actors::fault_proxy::{Fault, FaultProxy};
use crate::actors::github_signature;
use crate::actors::server::SECRET;

fn signed_event(body: &str) -> Value {
    let signature = github_signature(body.as_bytes());
    url_event(&[("content-type", "application/json"), ("x-hub-signature-256", &signature)], body)
}

fn large_body() -> String {
    format!("{{\n\"text\":\"{}\"}}", "Grüße ".repeat(50_000))
}

async fn function() -> (FaultProxy, String, CloudFunction) {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let bucket = name("overflow");
    aws(&["s3", "mb", &format!("s3://{bucket}")]);
    let function = CloudFunction::with_endpoint(&proxy.url(), "github", &secret(SECRET)).await;
    let function = function.with_overflow_bucket(&proxy.url(), &bucket).await;
    (proxy, bucket, function)
}

/// The claim check in the last published event.
fn published_claim_check(proxy: &FaultProxy) -> Value {
    let request: Value = serde_json::from_str(proxy.published().last().unwrap()).unwrap();
    let detail = request["Entries"][0]["Detail"].as_str().unwrap();
    serde_json::from_str::<Value>(detail).unwrap()["overflow"].clone()
}

fn keys(bucket: &str) -> Vec<String> {
    let listed = aws(&["s3api", "list-objects-v2", "--bucket", bucket]);
    let objects = listed["Contents"].as_array().cloned().unwrap_or_default();
    objects.iter().map(|object| object["Key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_oversized_detail_is_stored_byte_for_byte_once() {
    let (proxy, bucket, function) = function().await;
    let body = large_body();
    for _ in 0..2 {
        let invocation = function.invoke(&signed_event(&body)).await;
        assert_eq!((invocation.status, &invocation.log["outcome"]), (202, &"published".into()));
        let claim_check = published_claim_check(&proxy);
        assert_eq!(
            (&claim_check["bucket"], &claim_check["size"]),
            (&bucket.clone().into(), &body.len().into())
        );
        let key = claim_check["key"].as_str().unwrap();
        assert!(key.starts_with("github/") && key.ends_with(".json"), "{key}");
        assert_eq!(text(&["s3", "cp", &format!("s3://{bucket}/{key}"), "-"]), body);
    }
    assert_eq!(keys(&bucket).len(), 1, "a repeated webhook has the same object");
    function.invoke(&signed_event("{}")).await;
    assert_eq!(keys(&bucket).len(), 1, "a detail within the limit is not stored");
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_detail_that_the_bus_finds_too_large_is_stored() {
    let (proxy, bucket, function) = function().await;
    proxy.next("PutEvents", [Fault::TotalSize]);
    assert_eq!(function.invoke(&signed_event("{\"a\":1}")).await.status, 202);
    assert_eq!(published_claim_check(&proxy)["size"], 7);
    assert_eq!(keys(&bucket).len(), 1);
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_transient_bucket_failure_is_retried_and_a_lasting_one_is_500() {
    let (proxy, bucket, function) = function().await;
    proxy.next("PutObject", [Fault::InternalError, Fault::Truncated]);
    assert_eq!(function.invoke(&signed_event(&large_body())).await.status, 202);
    assert_eq!(keys(&bucket).len(), 1);
    let published = proxy.published().len();
    for fault in [Fault::InternalError, Fault::Slow(Duration::from_secs(60))] {
        proxy.always("PutObject", fault);
        let failed = function.invoke(&signed_event(&large_body())).await;
        assert_eq!((failed.status, &failed.headers["retry-after"]), (500, &"30".into()));
        assert_eq!((&failed.log["outcome"], &failed.log["reason"]), (&"failed".into(), &"overflow".into()));
        assert!(failed.elapsed < Duration::from_secs(4), "time is left for the bus: {:?}", failed.elapsed);
        assert_eq!(proxy.published().len(), published, "no event refers to an object that was not stored");
    }
}
