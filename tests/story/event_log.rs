//! From a SparkPost webhook to a search, through both stacks: URL, bucket, notification, queue, recorder, PostgreSQL, feed.
//!
//! LocalStack runs functions as processes, outside any VPC. `created_database` tests the stack that creates its database.

use std::process::Command;

use serde_json::{Value, json};

use crate::actors::aws::{Queue, aws, endpoint, name, secret, text};
use crate::actors::database::Database;
use crate::actors::provider_api::{API_KEY, ApiKind, ProviderApi};
use crate::actors::server::hookbridge;
use crate::actors::stack::Stack;
use crate::actors::{run, wait_until};

fn get(stack: &Stack, token: &str, path: &str) -> (u16, Value) {
    stack.request("FunctionUrlEndpoint", token, "GET", path, &Value::Null)
}

/// Searches with a token; returns status and page.
fn search(stack: &Stack, token: &str, query: &str) -> (u16, Value) {
    get(stack, token, &format!("/api/v1/events/message?{query}"))
}

fn event(start: jiff::Timestamp, id: u32, kind: &str, fields: &Value) -> Value {
    let time = start.as_second() - 3600 + i64::from(id);
    let mut event = json!({"type": kind, "event_id": id.to_string(), "timestamp": time.to_string()});
    event.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    json!({"msys": {"message_event": event}})
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn concurrently_created_tokens_are_all_stored() {
    let secret = secret(r#"{"tokens": []}"#);
    let create = |name: String| {
        let mut command = hookbridge();
        command.env("AWS_ENDPOINT_URL", endpoint()).args(["token", &name, "--secret", &secret]);
        command.stdout(std::process::Stdio::null()).spawn().unwrap()
    };
    let processes: Vec<_> = (0..4).map(|n| create(format!("token-{n}"))).collect();
    for mut process in processes {
        assert!(process.wait().unwrap().success());
    }
    let list = aws(&["secretsmanager", "get-secret-value", "--secret-id", &secret]);
    let list: Value = serde_json::from_str(list["SecretString"].as_str().unwrap()).unwrap();
    let mut names: Vec<_> =
        list["tokens"].as_array().unwrap().iter().map(|token| token["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["token-0", "token-1", "token-2", "token-3"]);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn a_sparkpost_batch_is_searchable() {
    let database = Database::new().await;
    tokio::task::spawn_blocking(move || run_test(&database)).await.unwrap();
}

fn run_test(database: &Database) {
    let start = jiff::Timestamp::now();
    let runtime = tokio::runtime::Handle::current();
    let (server, database_name) = database.url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
    let (user, address) = server.trim_start_matches("postgres://").rsplit_once('@').unwrap();
    let (user, password) = user.split_once(':').unwrap_or((user, "none"));
    let (host, port) = address.split_once(':').unwrap();
    let credentials = secret(&json!({"username": user, "password": password}).to_string());
    let bus = name("bus");
    aws(&["events", "create-event-bus", "--name", &bus]);
    let bounce_queue =
        Queue::for_rule(&bus, &json!({"source": ["sparkpost.com"], "detail-type": ["bounce"]}));
    let log = Stack::deploy(
        "event-log",
        "",
        &[
            ("DatabaseHost", host),
            ("DatabasePort", port),
            ("DatabaseName", database_name),
            ("DatabaseSecretArn", &credentials),
            ("RecordedEventBusName", &bus),
            ("Publish", "true"),
            ("EventBusName", &bus),
        ],
    );
    let bucket = log.output("ArchiveBucketName");
    let sparkpost = Stack::deploy("sparkpost", "bird:secret", &[("ArchiveBucketName", &bucket)]);

    let token = log.token(&[]);
    let limited = log.token(&["--source", "github.com"]);

    let event = |id, kind, fields: Value| event(start, id, kind, &fields);
    let unrecognized = json!({"something": "new"});
    let body = json!([
        event(
            1,
            "bounce",
            json!({"rcpt_to": "ann@example.com", "subject": "half \u{1F600}", "reason": "a\u{0}b"})
        ),
        event(2, "open", json!({"rcpt_to": "bob@example.com"})),
        unrecognized,
    ])
    .to_string();
    assert_eq!(sparkpost.send("wrong:secret", &body, None, None).status, 401);
    assert_eq!(sparkpost.send("bird:secret", &body, None, None).status, 200);
    let page = wait_until("the batch is not in the log", || {
        let (status, page) = search(&log, &token, "");
        (status == 200 && page["total_count"] == 3).then_some(page)
    });
    assert_eq!(search(&log, "guess", "").0, 401);
    let types: Vec<_> =
        page["results"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["unrecognized", "open", "bounce"]);
    assert_eq!(page["results"][0]["detail"], unrecognized);
    let (_, bounces) = search(&log, &token, "recipients=ann@example.com&reasons=ab");
    assert_eq!(bounces["results"][0]["event_id"], "1");
    assert_eq!(search(&log, &limited, "").0, 403, "a token of another source");

    // The event was published, and the rule's copy of it adds nothing to the log.
    let published: Value = serde_json::from_str(&bounce_queue.receive()).unwrap();
    assert_eq!(published["detail"]["msys"]["message_event"]["rcpt_to"], "ann@example.com");
    assert_eq!(published["resources"], json!(["urn:webhook:sparkpost:1"]));

    // The same notification repeatedly and out of order, beside those of another batch.
    let batches = aws(&["s3api", "list-objects-v2", "--bucket", &bucket]);
    let key = batches["Contents"][0]["Key"].as_str().unwrap().to_owned();
    let queue = log.output("QueueArn").rsplit_once(':').unwrap().1.to_owned();
    let url = text(&["sqs", "get-queue-url", "--queue-name", &queue, "--query", "QueueUrl"]);
    let url = url.trim().trim_matches('"').to_owned();
    let notify = |key: &str| {
        let record = json!({"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}});
        let body = json!({"Records": [record]}).to_string();
        aws(&["sqs", "send-message", "--queue-url", &url, "--message-body", &body]);
    };
    for _ in 0..3 {
        notify(&key);
    }
    // An event of another provider arrives on the bus.
    let detail = json!({"ref": "refs/heads/main"}).to_string();
    let entry = json!([{"Source": "github.com", "DetailType": "push", "Detail": detail, "EventBusName": bus,
        "Resources": ["urn:webhook:github:1"]}]);
    aws(&["events", "put-events", "--entries", &entry.to_string()]);
    let second_batch =
        json!([event(2, "open", json!({"rcpt_to": "bob@example.com"})), event(3, "click", json!({}))]);
    assert_eq!(sparkpost.send("bird:secret", &second_batch.to_string(), None, None).status, 200);
    let sql = "select count(*) from hookbridge.events";
    let count = || runtime.block_on(database.number(sql));
    wait_until("two more events are not in the log", || (count() == 5).then_some(()));
    let push = "select resources[1] from hookbridge.events where source = 'github.com' and type = 'push'";
    assert_eq!(runtime.block_on(database.texts(push)), ["urn:webhook:github:1"]);
    // A webhook that is archived in the bucket and not published is the same event in the log.
    let github = Stack::deploy("github", "a secret", &[("ArchiveBucketName", &bucket)]);
    let reply = github.send("a secret", r#"{"action":"opened", "n": 1.50}"#, Some("issues"), None);
    assert_eq!(
        (reply.status, reply.body.as_str()),
        (202, "Message forwarded to Amazon EventBridge"),
        "the response is the same"
    );
    let issues =
        "select detail from hookbridge.events where source = 'github.com' and type = 'issues' and id <> ''";
    let issue =
        wait_until("the webhook is not in the log", || runtime.block_on(database.texts(issues)).pop());
    assert_eq!(issue, r#"{"action":"opened", "n": 1.50}"#, "byte for byte");
    // All messages are processed, and no event is recorded twice.
    wait_until("the queue is not empty", || {
        let names = "ApproximateNumberOfMessages,ApproximateNumberOfMessagesNotVisible";
        let names: Vec<_> = names.split(',').collect();
        let arguments =
            [&["sqs", "get-queue-attributes", "--queue-url", &url, "--attribute-names"][..], &names];
        let attributes = aws(&arguments.concat());
        names.iter().all(|name| attributes["Attributes"][name] == "0").then_some(())
    });
    assert_eq!(count(), 6);
    let objects = aws(&["s3api", "list-objects-v2", "--bucket", &bucket]);
    assert_eq!(objects["Contents"].as_array().unwrap().len(), 3, "the batches stay in the archive");

    check_feed(&log, &token, &limited);
    check_poller(&bus, &bucket, &log, database);

    // The scheduled invocations.
    let output_file = tempfile::NamedTempFile::new().unwrap();
    let scheduled =
        json!({"source": "aws.events", "detail-type": "Scheduled Event", "detail": {}}).to_string();
    let invoke = ["lambda", "invoke", "--payload", &scheduled];
    aws(&[
        &invoke[..],
        &["--function-name", &log.output("RecorderName"), output_file.path().to_str().unwrap()],
    ]
    .concat());
    assert_eq!(std::fs::read_to_string(output_file.path()).unwrap().trim(), r#"{"batchItemFailures":[]}"#);
    let arguments = ["lambda", "invoke", "--payload", r#"{"task":"lag"}"#, "--log-type", "Tail"];
    let response = aws(&[
        &arguments[..],
        &["--function-name", &log.output("RecorderName"), output_file.path().to_str().unwrap()],
    ]
    .concat());
    assert!(response["FunctionError"].is_null(), "{response}");
    let weeks = "select count(*) from pg_inherits where inhparent = 'hookbridge.events'::regclass";
    // In the first hours of a week, the test's events are of the week before, whose partition was created as they were recorded.
    let earlier_weeks = "select count(distinct date_trunc('week', time)) from hookbridge.events
         where time < date_trunc('week', now())";
    let expected = 6 + runtime.block_on(database.number(earlier_weeks));
    assert_eq!(
        runtime.block_on(database.number(weeks)),
        expected,
        "earlier weeks, this week, four ahead, and the default"
    );

    // One command rebuilds the database from the bucket.
    runtime.block_on(database.run("drop schema hookbridge cascade"));
    let mut load = hookbridge();
    load.env("AWS_ENDPOINT_URL", endpoint()).args([
        "load",
        "--json",
        &log.output("ArchiveUrl"),
        "--database",
    ]);
    let loaded: Value = serde_json::from_str(&run(load.arg(&database.url))).unwrap();
    assert_eq!(
        (&loaded["batches"], &loaded["events"], &loaded["repeats"]),
        (&json!(4), &json!(7), &json!(1))
    );

    log.token(&["--revoke"]);
    assert!(
        text(&["secretsmanager", "get-secret-value", "--secret-id", &log.output("TokensSecretArn")])
            .contains("[]")
    );
    let output = Command::new(env!("CARGO_BIN_EXE_hookbridge"))
        .env("AWS_ENDPOINT_URL", endpoint())
        .args(["token", "nobody", "--revoke", "--secret", &log.output("TokensSecretArn")])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("no token named nobody"));
}

/// Polls Stripe for two events: one arrived on the bus and was recorded, the other's webhook was missed.
fn check_poller(bus: &str, bucket: &str, log: &Stack, database: &Database) {
    let runtime = tokio::runtime::Handle::current();
    let api = runtime.block_on(ProviderApi::start(ApiKind::Stripe));
    let time = jiff::Timestamp::now().as_second() - 600;
    let event = |n: i64| json!({"id": format!("evt_{n}"), "created": time + n, "type": "charge.succeeded"});
    for n in [1, 2] {
        api.add_event(time + n, event(n));
    }
    let entry = json!([{"Source": "stripe.com", "DetailType": "charge.succeeded", "Detail": event(1).to_string(),
        "Time": time + 1, "Resources": ["urn:webhook:stripe:evt_1"], "EventBusName": bus}]);
    aws(&["events", "put-events", "--entries", &entry.to_string()]);
    let ids = "select id from hookbridge.events where source = 'stripe.com' order by id";
    let ids = || runtime.block_on(database.texts(ids));
    wait_until("the event is not in the log", || (ids() == ["evt_1"]).then_some(()));
    let queue = Queue::for_rule(bus, &json!({"source": ["stripe.com"]}));
    let parameters =
        [("ArchiveBucketName", bucket), ("ApiUrl", &api.url()), ("DelaySeconds", "0"), ("BackDays", "1")];
    let stack = Stack::deploy("stripe-poller", API_KEY, &parameters);
    let output_file = tempfile::NamedTempFile::new().unwrap();
    let poll = || {
        let invoke = ["lambda", "invoke", "--function-name", &stack.output("LambdaFunctionName")];
        let invoked = aws(&[&invoke[..], &[output_file.path().to_str().unwrap()]].concat());
        assert!(invoked["FunctionError"].is_null(), "{invoked}");
    };
    poll();
    wait_until("the missed event is not in the log", || (ids() == ["evt_1", "evt_2"]).then_some(()));
    let published: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!(published["detail"], event(2), "only the missed event");
    assert_eq!(published["resources"], json!(["urn:webhook:stripe:evt_2", "urn:hookbridge:log:evt_2"]));
    assert!(queue.is_empty(), "once");
    assert_eq!(stack.output("MarkUrl"), format!("s3://{bucket}/.polls/{}.json", stack.name));
    // A second poll finds nothing and writes only the checkpoint. Then the key is invalid.
    poll();
    aws(&[
        "secretsmanager",
        "put-secret-value",
        "--secret-id",
        &stack.resource("ApiKey"),
        "--secret-string",
        "old",
    ]);
    poll();
    let lines = wait_until("the function's log is not complete", || {
        let log_text = stack.log();
        (log_text.matches("PollLagSeconds").count() >= 6).then_some(log_text)
    });
    assert!(lines.contains("rejected the API key (401 Unauthorized)") && !lines.contains(API_KEY), "{lines}");
    let recorder_log = Stack::function_log(&log.output("RecorderName"));
    assert_eq!(recorder_log.matches(r#"\"Missed\":1"#).count(), 1, "{recorder_log}");
    assert_eq!(ids(), ["evt_1", "evt_2"]);
}

/// Reads the log in order through the function's URL.
fn check_feed(log: &Stack, token: &str, limited: &str) {
    assert_eq!(get(log, "guess", "/events").0, 401);
    let (status, page) = get(log, token, "/events?limit=4");
    assert_eq!((status, &page["has_more"]), (200, &json!(true)), "{page}");
    assert_eq!(page["data"][0]["detail"]["msys"]["message_event"]["rcpt_to"], "ann@example.com", "the first");
    let cursor = page["cursor"].as_str().unwrap();
    let (_, last_page) = get(log, token, &format!("/events?after={cursor}"));
    assert_eq!((last_page["data"].as_array().unwrap().len(), &last_page["has_more"]), (2, &json!(false)));
    let (_, limited_page) = get(log, limited, "/events");
    let sources: Vec<_> =
        limited_page["data"].as_array().unwrap().iter().map(|event| &event["source"]).collect();
    assert_eq!(sources, ["github.com", "github.com"], "a token of one source");
    let (_, empty) = get(log, token, "/events?after=now&wait=2");
    assert_eq!(empty["data"], json!([]));
    assert_eq!(log.request("FunctionUrlEndpoint", limited, "PUT", "/consumers/ci", &Value::Null).0, 403);
    assert_eq!(
        log.request("FunctionUrlEndpoint", token, "PUT", "/consumers/ci", &json!({"after": cursor})).0,
        201
    );
    let (_, page) = get(log, token, "/consumers/ci/events?wait=1");
    assert_eq!(page["data"], last_page["data"]);
    let acknowledgement = json!({"cursor": page["cursor"], "lease": page["lease"]});
    let (status, consumer) =
        log.request("FunctionUrlEndpoint", token, "POST", "/consumers/ci/ack", &acknowledgement);
    assert_eq!((status, &consumer["lag"]["events"]), (200, &json!(0)));
}
