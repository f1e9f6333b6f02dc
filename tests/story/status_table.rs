//! The status table when AWS fails, through a proxy that injects faults. Each test is a row of it.

use std::time::Duration;

use hookbridge::secrets::CacheTtls;
use serde_json::Value;

use crate::actors::aws::{endpoint, rotate, secret};
use crate::actors::cloud_function::{CloudFunction, url_event};
use crate::actors::fault_proxy::{Fault, FaultProxy};
use crate::actors::server::SECRET;
use crate::actors::{github_signature, signature};

const BODY: &str = r#"{"zen":"Anything added dilutes everything else."}"#;

fn signed_event() -> Value {
    let signature = github_signature(BODY.as_bytes());
    url_event(&[("content-type", "application/json"), ("x-hub-signature-256", &signature)], BODY)
}

/// A webhook signed with another secret.
fn forged_event() -> Value {
    let signature = github_signature(b"{}");
    url_event(&[("content-type", "application/json"), ("x-hub-signature-256", &signature)], BODY)
}

async fn function() -> (FaultProxy, CloudFunction) {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let function = CloudFunction::with_endpoint(&proxy.url(), "github", &secret(SECRET)).await;
    (proxy, function)
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn published_is_202() {
    let (proxy, function) = function().await;
    let response = function.invoke(&signed_event()).await;
    assert_eq!((response.status, response.body.as_str()), (202, "Message forwarded to Amazon EventBridge"));
    assert_eq!(response.log["outcome"], "published");
    let entry: Value = serde_json::from_str(&proxy.published()[0]).unwrap();
    let entry = &entry["Entries"][0];
    assert_eq!(entry["Detail"], BODY, "byte for byte");
    assert_eq!(entry["EventBusName"], "default");
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_request_without_a_wellformed_signature_makes_no_aws_call() {
    let (proxy, function) = function().await;
    let bad = ["", "sha256=", "sha1=0000000000000000000000000000000000000000", "sha256=xyz"];
    for signature in bad {
        let event = url_event(&[("x-hub-signature-256", signature)], BODY);
        assert_eq!(function.invoke(&event).await.status, 401);
    }
    assert_eq!(function.invoke(&url_event(&[], BODY)).await.status, 401);
    assert_eq!((proxy.calls("GetSecretValue"), proxy.calls("PutEvents")), (0, 0));
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_hundred_forged_webhooks_cost_three_calls_and_are_401() {
    let (proxy, function) = function().await;
    for _ in 0..100 {
        let response = function.invoke(&forged_event()).await;
        assert_eq!((response.status, response.body.as_str()), (401, "Invalid Signature"));
    }
    assert_eq!(proxy.calls("GetSecretValue"), 3, "the current secret, the previous one and one refresh");
    assert_eq!(proxy.calls("PutEvents"), 0);
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn transient_errors_are_retried() {
    for fault in [
        Fault::Throttled,
        Fault::InternalError,
        Fault::Truncated,
        Fault::EntryFailed("ThrottlingException"),
        Fault::EntryFailed("InternalFailure"),
        Fault::EmptyResult,
        Fault::Slow(Duration::from_secs(4)),
    ] {
        let (proxy, function) = function().await;
        proxy.next("PutEvents", [fault]);
        let timeout = Duration::from_secs(8);
        let response = function.invoke_text(&signed_event().to_string(), timeout).await;
        assert_eq!((response.status, proxy.calls("PutEvents")), (202, 2), "{fault:?}");
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn permanent_errors_are_not_retried() {
    for (fault, status) in [
        (Fault::ClientError("AccessDeniedException"), 500),
        (Fault::ClientError("ResourceNotFoundException"), 500),
        (Fault::ClientError("ValidationException"), 500),
        (Fault::EntryFailed("AccessDeniedException"), 500),
        (Fault::EntryFailed("NotAuthorizedForSourceException"), 500),
        (Fault::EntryFailed("NotAuthorizedForDetailTypeException"), 500),
        (Fault::EntryFailed("InvalidAccountIdException"), 500),
        (Fault::EntryFailed("InvalidArgument"), 500),
        (Fault::EntryFailed("RedactionFailure"), 500),
        (Fault::EntryFailed("MalformedDetail"), 400),
    ] {
        let (proxy, function) = function().await;
        proxy.next("PutEvents", [fault]);
        let response = function.invoke(&signed_event()).await;
        assert_eq!((response.status, proxy.calls("PutEvents")), (status, 1), "{fault:?}");
        assert!(!response.body.contains("proxy"), "the response does not contain AWS's error");
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_lasting_bus_failure_is_500_with_retry_after_before_the_deadline() {
    for fault in [
        Fault::Throttled,
        Fault::InternalError,
        Fault::EntryFailed("InternalFailure"),
        Fault::Slow(Duration::from_secs(60)),
    ] {
        let (proxy, function) = function().await;
        proxy.always("PutEvents", fault);
        let response = function.invoke(&signed_event()).await;
        assert_eq!((response.status, response.body.as_str()), (500, "Internal Server Error"), "{fault:?}");
        assert_eq!(response.headers["retry-after"], "30");
        assert_eq!(response.log["outcome"], "failed");
        assert_eq!(response.log["reason"], "bus");
        assert!(
            response.elapsed < Duration::from_secs(5),
            "the response precedes the deadline: {:?}",
            response.elapsed
        );
        assert!(proxy.calls("PutEvents") > 1, "{fault:?}");
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_event_too_large_for_the_bus_is_413() {
    let (proxy, function) = function().await;
    proxy.next("PutEvents", [Fault::TotalSize]);
    let response = function.invoke(&signed_event()).await;
    assert_eq!((response.status, response.log["reason"].as_str()), (413, Some("too-large")));
    assert!(response.body.starts_with("Too large for this EventBridge bus: "), "{}", response.body);
    let body = format!(r#"{{"a":"{}"}}"#, "x".repeat(300_000));
    let signature = github_signature(body.as_bytes());
    let headers = [
        ("content-type", "application/json"),
        ("x-hub-signature-256", signature.as_str()),
        ("x-github-delivery", "72d3162e"),
    ];
    let calls = proxy.calls("PutEvents");
    let response = function.invoke(&url_event(&headers, &body)).await;
    assert_eq!(
        (response.status, proxy.calls("PutEvents")),
        (413, calls),
        "the function checks its own limit before any AWS request"
    );
    assert_eq!(
        (&response.log["outcome"], &response.log["delivery_id"]),
        (&"failed".into(), &"72d3162e".into())
    );
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_verified_webhook_that_is_not_an_event_is_400_with_its_id_logged() {
    let (proxy, function) = function().await;
    let signature = github_signature(b"[]");
    let headers = [
        ("content-type", "application/json"),
        ("x-hub-signature-256", signature.as_str()),
        ("x-github-delivery", "72d3162e"),
        ("x-github-event", "push"),
    ];
    let response = function.invoke(&url_event(&headers, "[]")).await;
    assert_eq!((response.status, proxy.calls("PutEvents")), (400, 0));
    assert_eq!(response.body, "Invalid JSON payload: an array where an object is needed");
    assert_eq!(
        (&response.log["outcome"], &response.log["delivery_id"]),
        (&"failed".into(), &"72d3162e".into())
    );
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn another_method_is_405_with_allow() {
    let (proxy, function) = function().await;
    let mut event = signed_event();
    event["requestContext"]["http"]["method"] = "PUT".into();
    let response = function.invoke(&event).await;
    assert_eq!((response.status, response.headers["allow"].as_str()), (405, Some("POST")));
    assert_eq!(proxy.calls("GetSecretValue"), 0);
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_missing_secret_at_startup_is_500_with_retry_after_and_recovers() {
    let slow = Fault::Slow(Duration::from_secs(60));
    for fault in [
        Fault::Throttled,
        Fault::InternalError,
        Fault::Truncated,
        slow,
        Fault::ClientError("AccessDeniedException"),
    ] {
        let (proxy, function) = function().await;
        proxy.always("GetSecretValue", fault);
        let response = function.invoke(&signed_event()).await;
        assert_eq!((response.status, response.body.as_str()), (500, "Internal Server Error"), "{fault:?}");
        assert_eq!(response.headers["retry-after"], "30");
        assert_eq!(response.log["reason"], "no-secret");
        assert!(
            response.elapsed < Duration::from_secs(5),
            "the response precedes the deadline: {:?}",
            response.elapsed
        );
        proxy.always("GetSecretValue", Fault::None);
        assert_eq!(function.invoke(&signed_event()).await.status, 202, "{fault:?}");
    }
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_cached_secret_survives_an_outage_of_secrets_manager() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let cache_ttls = CacheTtls { time_to_live: Duration::from_millis(1), ..CacheTtls::default() };
    let function = CloudFunction::with_cache_ttls(&proxy.url(), "github", &secret(SECRET), cache_ttls).await;
    assert_eq!(function.invoke(&signed_event()).await.status, 202);
    for fault in [Fault::Throttled, Fault::InternalError, Fault::Truncated] {
        proxy.always("GetSecretValue", fault);
        assert_eq!(function.invoke(&signed_event()).await.status, 202, "{fault:?}");
    }
    assert!(proxy.calls("GetSecretValue") > 3, "every webhook refreshed the secret");
}

/// The unavailable secret may have signed the webhook, and providers do not retry a 401.
#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_unverifiable_signature_is_500_while_secrets_manager_is_unavailable() {
    for fault in [Fault::Throttled, Fault::InternalError, Fault::Truncated] {
        let proxy = FaultProxy::in_front_of(&endpoint()).await;
        let arn = secret("the old secret");
        let function = CloudFunction::with_endpoint(&proxy.url(), "github", &arn).await;
        assert_eq!(function.invoke(&signed_with("the old secret")).await.status, 202);
        rotate(&arn, "the new secret");
        proxy.always("GetSecretValue", fault);
        for _ in 0..3 {
            let response = function.invoke(&signed_with("the new secret")).await;
            assert_eq!(response.status, 500, "{fault:?}");
            assert_eq!(response.headers["retry-after"], "30");
            assert_eq!(response.log["reason"], "no-secret");
        }
        let calls = proxy.calls("GetSecretValue");
        assert_eq!(function.invoke(&signed_with("forged")).await.status, 500, "{fault:?}");
        assert_eq!(proxy.calls("GetSecretValue"), calls, "a failed refresh is not repeated at once");
        assert_eq!(function.invoke(&signed_with("the old secret")).await.status, 202, "{fault:?}");
    }
}

/// A cold start fetches two secret versions; here the second fetch fails.
#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn an_unavailable_previous_secret_rejects_no_webhook() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let arn = secret("the old secret");
    rotate(&arn, "the new secret");
    let function = CloudFunction::with_endpoint(&proxy.url(), "github", &arn).await;
    assert_eq!(function.invoke(&signed_with("the new secret")).await.status, 202);
    proxy.next("GetSecretValue", [Fault::Throttled; 2]);
    assert_eq!(function.invoke(&signed_with("the old secret")).await.status, 500, "not rejected");
    let restarted = CloudFunction::with_endpoint(&proxy.url(), "github", &arn).await;
    assert_eq!(restarted.invoke(&signed_with("the old secret")).await.status, 202);
    assert_eq!(restarted.invoke(&signed_with("forged")).await.status, 401);
}

fn signed_with(secret: &str) -> Value {
    let signature = signature("github", secret, "https://x.example/", BODY.as_bytes());
    url_event(&[("content-type", "application/json"), ("x-hub-signature-256", &signature)], BODY)
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_slow_secrets_manager_is_answered_before_the_deadline() {
    let (proxy, function) = function().await;
    assert_eq!(function.invoke(&signed_event()).await.status, 202);
    proxy.always("GetSecretValue", Fault::Slow(Duration::from_secs(60)));
    let timeout = Duration::from_secs(2);
    let response = function.invoke_text(&forged_event().to_string(), timeout).await;
    assert_eq!(response.status, 500, "there was no time to refresh the secret");
    assert!(response.elapsed < timeout, "{:?}", response.elapsed);
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_changed_secret_is_fetched_after_its_time_to_live() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let arn = secret("the old secret");
    let cache_ttls = CacheTtls {
        time_to_live: Duration::from_millis(1),
        previous_grace: Duration::ZERO,
        refresh_interval: Duration::from_secs(3600),
    };
    let function = CloudFunction::with_cache_ttls(&proxy.url(), "github", &arn, cache_ttls).await;
    assert_eq!(function.invoke(&signed_with("forged")).await.status, 401, "uses up the only refresh");
    assert_eq!(function.invoke(&signed_with("the old secret")).await.status, 202);
    for _ in 0..3 {
        let calls = proxy.calls("GetSecretValue");
        assert_eq!(function.invoke(&signed_with("the old secret")).await.status, 202);
        assert_eq!(proxy.calls("GetSecretValue"), calls + 1);
    }
    rotate(&arn, "the new secret");
    assert_eq!(function.invoke(&signed_with("the new secret")).await.status, 202);
    assert_eq!(function.invoke(&signed_with("the old secret")).await.status, 401);
}

#[tokio::test]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_secret_rotation_rejects_no_webhook() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    let arn = secret("the old secret");
    let function = CloudFunction::with_endpoint(&proxy.url(), "github", &arn).await;
    assert_eq!(function.invoke(&signed_with("the old secret")).await.status, 202);
    rotate(&arn, "the new secret");
    assert_eq!(function.invoke(&signed_with("the old secret")).await.status, 202, "still cached");
    assert_eq!(function.invoke(&signed_with("the new secret")).await.status, 202, "fetched at once");
    assert_eq!(function.invoke(&signed_with("the old secret")).await.status, 202, "the previous one");
    let restarted = CloudFunction::with_endpoint(&proxy.url(), "github", &arn).await;
    assert_eq!(restarted.invoke(&signed_with("the old secret")).await.status, 202, "after a cold start, too");
    assert_eq!(restarted.invoke(&signed_with("the new secret")).await.status, 202);
    rotate(&arn, "the newest secret");
    assert_eq!(function.invoke(&signed_with("the new secret")).await.status, 202);
    let restarted_later = CloudFunction::with_endpoint(&proxy.url(), "github", &arn).await;
    assert_eq!(restarted_later.invoke(&signed_with("the old secret")).await.status, 401, "two rotations ago");
}
