//! Webhooks that a provider sends again soon.

use hookbridge::providers::{self, WebhookRequest};
use hookbridge::secrets::Secret;
use serde_json::{Value, json};

use crate::actors::aws::{Queue, endpoint, name, secret};
use crate::actors::fault_proxy::{Fault, FaultProxy};
use crate::actors::runtime_api::RunningFunction;
use crate::actors::wait_until;

/// Posts a GitHub webhook and returns the status and the body of the response.
fn post(function: &RunningFunction, event_type: &str, id: &str, body: &str) -> (u64, String) {
    let github = providers::find_provider("github").unwrap();
    let request = WebhookRequest::post("https://x.example/".parse().unwrap(), body.to_owned());
    let signature = github
        .signature_scheme
        .signature(request, &Secret::new("of github"), jiff::Timestamp::now())
        .unwrap();
    let headers = [
        ("Content-Type", "application/json"),
        ("X-GitHub-Event", event_type),
        ("X-GitHub-Delivery", id),
        ("X-Hub-Signature-256", signature.as_str()),
    ];
    function.post("/", &headers, body)
}

/// The outcomes in the log, when it has `count` lines.
fn outcomes(function: &RunningFunction, count: usize) -> Vec<String> {
    let lines =
        wait_until("the log lines", || Some(function.log_lines()).filter(|lines| lines.len() == count));
    let outcome = |line: &String| {
        let line: Value = serde_json::from_str(line).unwrap();
        line["outcome"].as_str().unwrap().to_owned()
    };
    lines.iter().map(outcome).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_webhook_that_is_sent_again_is_answered_alike_and_published_once() {
    tokio::task::spawn_blocking(|| {
        let secret = secret("of github");
        let event_type = name("repeated");
        let queue = Queue::for_rule("default", &json!({"detail-type": [event_type]}));
        let function = RunningFunction::start_bridge("github", &secret);
        let first = post(&function, &event_type, "1", r#"{"n":1}"#);
        assert_eq!(first.0, 202);
        assert_eq!(post(&function, &event_type, "1", r#"{"n":1}"#), first);
        // Another body or another id is another webhook, even if the other one is the same.
        assert_eq!(post(&function, &event_type, "1", r#"{"n":2}"#).0, 202);
        assert_eq!(post(&function, &event_type, "2", r#"{"n":1}"#).0, 202);
        let mut published: Vec<(Value, Value)> = (0..3)
            .map(|_| {
                let event: Value = serde_json::from_str(&queue.receive()).unwrap();
                (event["resources"][0].clone(), event["detail"]["n"].clone())
            })
            .collect();
        published.sort_by_key(|(urn, n)| format!("{urn} {n}"));
        let expected = [("1", 1), ("1", 2), ("2", 1)];
        let expected = expected.map(|(id, n)| (json!(format!("urn:webhook:github:{id}")), json!(n)));
        assert_eq!(published, expected);
        assert!(queue.is_empty());
        assert_eq!(outcomes(&function, 4), ["published", "repeated", "published", "published"]);

        let variables =
            [("PROVIDER", "github"), ("WEBHOOK_SECRET_ARN", &secret), ("REPEAT_WINDOW_SECONDS", "0")];
        let function = RunningFunction::start_bridge_with(&variables);
        for _ in 0..2 {
            assert_eq!(post(&function, &event_type, "3", r#"{"n":1}"#).0, 202);
            queue.receive();
        }
        assert_eq!(outcomes(&function, 2), ["published", "published"]);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_webhook_that_was_not_published_is_published_when_it_is_sent_again() {
    let proxy = FaultProxy::in_front_of(&endpoint()).await;
    proxy.next("PutEvents", [Fault::ClientError("AccessDeniedException")]);
    let url = proxy.url();
    let outcomes = tokio::task::spawn_blocking(move || {
        let secret = secret("of github");
        let variables = [
            ("PROVIDER", "github"),
            ("WEBHOOK_SECRET_ARN", secret.as_str()),
            ("AWS_ENDPOINT_URL", url.as_str()),
        ];
        let function = RunningFunction::start_bridge_with(&variables);
        assert_eq!(post(&function, "push", "1", "{}").0, 500);
        assert_eq!(post(&function, "push", "1", "{}").0, 202);
        assert_eq!(post(&function, "push", "1", "{}").0, 202);
        outcomes(&function, 3)
    });
    assert_eq!(outcomes.await.unwrap(), ["failed", "published", "repeated"]);
    assert_eq!(proxy.calls("PutEvents"), 2);
}
