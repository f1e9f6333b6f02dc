//! `hookbridge redrive`: the operator sees what waits, and puts dead letters back.

use serde_json::{Value, json};

use crate::actors::aws::{Queue, aws, endpoint, text};
use crate::actors::run;
use crate::actors::server::hookbridge;

/// A spill queue and its dead-letter queue.
fn queues() -> (Queue, Queue) {
    let (spill_queue, dead_letters) = (Queue::new(), Queue::new());
    let arguments = ["sqs", "get-queue-attributes", "--queue-url", &dead_letters.url];
    let attributes = aws(&[&arguments[..], &["--attribute-names", "QueueArn"]].concat());
    let policy = json!({"deadLetterTargetArn": attributes["Attributes"]["QueueArn"], "maxReceiveCount": 480});
    let attributes = json!({"RedrivePolicy": policy.to_string()}).to_string();
    text(&["sqs", "set-queue-attributes", "--queue-url", &spill_queue.url, "--attributes", &attributes]);
    (spill_queue, dead_letters)
}

fn send(queue: &Queue, body: &str) {
    aws(&["sqs", "send-message", "--queue-url", &queue.url, "--message-body", body]);
}

fn redrive(queue: &Queue, arguments: &[&str]) -> String {
    let mut command = hookbridge();
    command.env("AWS_ENDPOINT_URL", endpoint()).args(["redrive", "--queue", &queue.url]).args(arguments);
    run(&mut command)
}

fn entry(n: usize) -> String {
    let resource = format!("urn:webhook:github:{n}");
    json!({"Source": "github.com", "DetailType": "push", "Resources": [resource], "Detail": "{}"}).to_string()
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn the_operator_sees_what_waits_and_puts_dead_letters_back() {
    let (spill_queue, dead_letters) = queues();
    let reason = json!({"Reason": {"DataType": "String", "StringValue": "AccessDenied"}}).to_string();
    let message = ["--message-body", &entry(0), "--message-attributes", &reason];
    aws(&[&["sqs", "send-message", "--queue-url", &spill_queue.url][..], &message].concat());
    (1..=3).for_each(|n| send(&dead_letters, &entry(n)));
    send(&dead_letters, "no entry");
    let colored = json!({"Source": "\u{1b}[31m", "DetailType": "push", "Resources": [], "Detail": "{}"});
    send(&dead_letters, &colored.to_string());
    let shown = redrive(&spill_queue, &[]);
    assert!(shown.starts_with("spill queue        1 waiting, 0 in flight, since 20"), "{shown}");
    assert!(shown.contains(" s ago)\n  1 of 1: AccessDenied\ndead letter queue  5 waiting"), "{shown}");
    assert!(shown.ends_with("\n  5 of 5: no reason\n"), "{shown}");
    let shown = redrive(&spill_queue, &["--peek", "10"]);
    assert!(shown.contains("  github.com  push  urn:webhook:github:0  "), "{shown}");
    assert!(shown.contains("not an entry of PutEvents") && !shown.contains('\u{1b}'), "{shown}");
    let json: Value = serde_json::from_str(&redrive(&spill_queue, &["--peek", "1", "--json"])).unwrap();
    assert_eq!(json["dead_letter_queue"]["waiting"], 5, "a look hides no message");
    assert_eq!(json["dead_letter_queue"]["reasons"], json!({"no reason": 5}));
    assert_eq!(json["spill_queue"]["messages"][0]["reason"], "AccessDenied");
    assert_eq!(json["spill_queue"]["messages"][0]["entry"]["DetailType"], "push");

    let moved = redrive(&spill_queue, &["--dead-letters"]);
    assert_eq!(moved, format!("moved 5 dead letters to {}\n", spill_queue.url));
    assert!(redrive(&spill_queue, &[]).starts_with("spill queue        6 waiting"));
    assert!(dead_letters.is_empty());
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn an_error_of_redrive_says_what_to_do() {
    let error = |url: &str| {
        let mut command = hookbridge();
        command.env("AWS_ENDPOINT_URL", endpoint()).args(["redrive", "--queue", url]);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(
        error("my-queue")
            .contains("--queue: 'my-queue' is not the URL of an SQS queue; the format is https://")
    );
    let missing = Queue::new().url + "-missing";
    assert!(error(&missing).contains("GetQueueAttributes failed for"), "{}", error(&missing));
    assert!(
        error(&Queue::new().url)
            .contains("has no dead-letter queue; name the spill queue of a provider's stack")
    );
}
