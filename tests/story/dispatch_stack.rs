//! The dispatcher stack on LocalStack: the committed template with the zip that cargo-lambda built, PostgreSQL, and a subscriber
//! whose responses the test sets.

use serde_json::{Value, json};

use crate::actors::aws::{Queue, aws, endpoint, name, secret};
use crate::actors::database::Database;
use crate::actors::receiver::{Receiver, verifications};
use crate::actors::server::hookbridge;
use crate::actors::stack::Stack;
use crate::actors::{run, wait_until};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn a_bus_event_reaches_a_subscriber_that_fails_at_first() {
    let (database, receiver) = (Database::new().await, Receiver::start().await);
    tokio::task::spawn_blocking(move || run_test(&database, &receiver)).await.unwrap();
}

fn run_test(database: &Database, receiver: &Receiver) {
    let runtime = tokio::runtime::Handle::current();
    let (server, database_name) = database.url.split_once('?').unwrap().0.rsplit_once('/').unwrap();
    let (user, address) = server.trim_start_matches("postgres://").rsplit_once('@').unwrap();
    let (user, password) = user.split_once(':').unwrap_or((user, "none"));
    let (host, port) = address.split_once(':').unwrap();
    let credentials = secret(&json!({"username": user, "password": password}).to_string());
    let bus = name("bus");
    aws(&["events", "create-event-bus", "--name", &bus]);
    let health_events = Queue::for_rule(&bus, &json!({"source": ["hookbridge"]}));
    let stack = Stack::deploy(
        "dispatch",
        "",
        &[
            ("DatabaseHost", host),
            ("DatabasePort", port),
            ("DatabaseName", database_name),
            ("DatabaseSecretArn", &credentials),
            ("DeliveredEventBusName", &bus),
            ("EventBusName", &bus),
            ("AllowTo", "127.0.0.0/8"),
            ("ApiAuth", "TOKENS"),
        ],
    );
    let output_file = tempfile::NamedTempFile::new().unwrap();
    let task = |task: &str| {
        let payload = json!({"task": task}).to_string();
        let invoke = ["lambda", "invoke", "--payload", &payload, "--function-name"];
        let invoked =
            aws(&[&invoke[..], &[&stack.output("LambdaFunctionName"), output_file.path().to_str().unwrap()]]
                .concat());
        assert!(invoked["FunctionError"].is_null(), "{invoked} {}", stack.log());
    };
    // The first run creates the tables.
    task("maintain");
    let subscriber = |arguments: &[&str]| {
        let mut command = hookbridge();
        command.env("AWS_ENDPOINT_URL", endpoint()).env("HOOKBRIDGE_DATABASE", &database.url);
        command.args(["subscriber"]).args(arguments).args(["--json", "--allow-to", "127.0.0.0/8"]);
        let printed = run(command.args(["--subscriber-key-arn", &stack.output("SubscriberKeyArn")]));
        serde_json::from_str::<Value>(&printed).unwrap()
    };
    let url = receiver.url("in");
    let created = subscriber(&["create", "orders", "--url", &url, "--type", "order.*"]);
    let signing_secret = created["secret"].as_str().unwrap().to_owned();
    assert!(subscriber(&["show", "orders"])["secret"].is_null(), "the secret is printed once");
    let stored_secrets = runtime.block_on(database.texts("select secrets from hookbridge.subscribers"));
    assert!(!stored_secrets[0].contains(&signing_secret), "the secret is stored encrypted");

    receiver.respond_with(500);
    let put = |detail_type: &str, n: u32| {
        let entry = json!([{"Source": "shop", "DetailType": detail_type, "Detail": json!({"n": n}).to_string(), "EventBusName": bus}]);
        aws(&["events", "put-events", "--entries", &entry.to_string()]);
    };
    put("lead.created", 1);
    put("order.created", 2);
    let first_attempt = "select id::text from hookbridge.deliveries where attempts = 1";
    wait_until("the first attempt is not recorded", || runtime.block_on(database.texts(first_attempt)).pop());
    let received = receiver.received();
    assert_eq!(received.len(), 1);
    assert_eq!(received[0].event()["detail"], json!({"n": 2}), "only events that match the filter");

    // A delivery due within 15 minutes waits in the queue.
    let queue = stack.output("QueueArn").rsplit_once(':').unwrap().1.to_owned();
    let queue =
        aws(&["sqs", "get-queue-url", "--queue-name", &queue])["QueueUrl"].as_str().unwrap().to_owned();
    let delayed_count = || {
        let attribute = "ApproximateNumberOfMessagesDelayed";
        let arguments =
            ["sqs", "get-queue-attributes", "--queue-url", &queue, "--attribute-names", attribute];
        aws(&arguments)["Attributes"][attribute].as_str().map(str::to_owned)
    };
    wait_until("the retry is not in the queue", || (delayed_count().as_deref() == Some("1")).then_some(()));

    // The delivery becomes due, and its message arrives twice.
    let make_due = "update hookbridge.deliveries set next_attempt = (extract(epoch from clock_timestamp()) * 1000000)::bigint - 1,
          since = since - 660000000";
    runtime.block_on(database.run(make_due));
    let message = json!({"due": 0}).to_string();
    for _ in 0..2 {
        aws(&["sqs", "send-message", "--queue-url", &queue, "--message-body", &message]);
    }
    let attempts = || runtime.block_on(database.number("select count(*) from hookbridge.attempts"));
    wait_until("the second attempt is not recorded", || (attempts() == 2).then_some(()));
    let next = "select (next_attempt - since) / 1000000 from hookbridge.deliveries where held is null";
    let next = || runtime.block_on(database.texts(&format!("select a::text from ({next}) x(a)"))).pop();
    // Forged, early and unknown messages change nothing.
    for message in
        [json!({"delivery": 1, "hold": "a guess", "due": 0}), json!({"delivery": 2, "hold": "x", "due": 0})]
    {
        aws(&["sqs", "send-message", "--queue-url", &queue, "--message-body", &message.to_string()]);
    }
    let delay = wait_until("the next attempt is not scheduled", next);
    let delay: i64 = delay.parse().unwrap();
    assert!((3600..=3780).contains(&delay), "{delay}");
    assert_eq!((attempts(), receiver.received().len()), (2, 2), "a duplicate message sends nothing");

    // After the hour a sweep enqueues the delivery, and it is delivered.
    receiver.respond_with(200);
    runtime.block_on(database.run(make_due));
    runtime.block_on(database.run("update hookbridge.deliveries set held = null, held_until = null"));
    task("sweep");
    let delivered = "select state from hookbridge.deliveries where state = 'delivered'";
    wait_until("it is not delivered", || runtime.block_on(database.texts(delivered)).pop());
    let received = receiver.received();
    let numbers: Vec<_> = received.iter().map(|request| request.header("hookbridge-attempt")).collect();
    assert_eq!(numbers, ["1", "2", "3"]);
    assert!(received.iter().all(|request| request.id() == received[0].id()));
    let last = (received[2].headers.clone(), received[2].body.clone());
    assert_eq!(verifications(&signing_secret, &[last]), ["true"; 4]);

    // A 410 pauses the subscriber and publishes a health event.
    receiver.respond_with(410);
    put("order.created", 3);
    let event: Value = serde_json::from_str(&health_events.receive()).unwrap();
    assert_eq!(event["detail-type"], "hookbridge.subscriber.paused");
    assert_eq!(event["detail"]["subscriber"], "orders");
    assert_eq!(subscriber(&["show", "orders"])["state"], "paused");

    let weeks = "select count(*) from pg_inherits where inhparent = 'hookbridge.attempts'::regclass";
    assert_eq!(runtime.block_on(database.number(weeks)), 6, "this week, four ahead, and the default");
    let log = stack.log();
    assert!(
        log.contains("DeliveryLatency") && !log.contains(&signing_secret) && !log.contains("\\\"n\\\""),
        "{log}"
    );
    check_api(&stack, receiver);
}

/// Checks that the HTTP API offers the operations of the commands.
fn check_api(stack: &Stack, receiver: &Receiver) {
    let request = |token: &str, method: &str, path: &str, body: Value| {
        stack.request("ApiUrl", token, method, path, &body)
    };
    let (token, limited) = (stack.token(&[]), stack.token(&["--source", "shop"]));
    assert_eq!(request("guess", "GET", "/subscribers", Value::Null).0, 401);
    assert_eq!(request(&limited, "DELETE", "/subscribers/orders", Value::Null).0, 403);
    let (status, list) = request(&token, "GET", "/subscribers", Value::Null);
    assert_eq!((status, &list["data"][0]["state"]), (200, &json!("paused")), "{list}");

    // The dispatcher decrypts the secrets that the API encrypted.
    receiver.respond_with(200);
    let (before, url) = (receiver.received().len(), receiver.url("in"));
    let (status, created) =
        request(&token, "POST", "/subscribers", json!({"name": "leads", "url": url, "types": ["lead.*"]}));
    assert_eq!(status, 201, "{created}");
    let (signing_secret, bus) = (created["secret"].as_str().unwrap(), stack.resource("DeliveredEventsRule"));
    let bus = bus.split_once('|').unwrap().0.to_owned();
    let entry =
        json!([{"Source": "shop", "DetailType": "lead.created", "Detail": "{}", "EventBusName": bus}]);
    aws(&["events", "put-events", "--entries", &entry.to_string()]);
    let event = wait_until("it is not delivered", || receiver.received().into_iter().nth(before));
    assert_eq!(verifications(signing_secret, &[(event.headers, event.body)]), ["true"; 4]);
    assert_eq!(request(&token, "POST", "/subscribers/leads/test", Value::Null).1["delivered"], true);

    let (_, waiting) = request(&token, "GET", "/deliveries?subscriber=orders&status=waiting", Value::Null);
    let cancel = format!("/deliveries/{}/cancel", waiting["data"][0]["id"]);
    assert_eq!(request(&token, "POST", &cancel, Value::Null).1["status"], "cancelled");
    assert_eq!(request(&token, "POST", &cancel, Value::Null).0, 409);
    assert_eq!(request(&token, "DELETE", "/subscribers/leads", Value::Null), (204, Value::Null));
    assert_eq!(request(&token, "GET", "/subscribers/leads", Value::Null).0, 404);
    assert_eq!(request(&token, "GET", "/secret-path", Value::Null).0, 404);
    assert_eq!(request("guess", "GET", "/secret-path", Value::Null).0, 401);

    let lines = wait_until("the function's log is not complete", || {
        let log = Stack::function_log(&stack.resource("Api"));
        (log.matches("request_id").count() >= 12).then_some(log)
    });
    assert!(lines.contains(r#"\"token\":\"test\""#) && lines.contains("/subscribers/leads/test"), "{lines}");
    assert_eq!(lines.matches("/secret-path").count(), 1, "nothing of a rejected request is logged: {lines}");
    assert!(!lines.contains(signing_secret) && !lines.contains(&token), "{lines}");
}
