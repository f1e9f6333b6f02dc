//! `hookbridge replay`: sends a range of the log again.

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::actors::aws::{Queue, endpoint};
use crate::actors::log::{batch, new_event, open_sqlite};
use crate::actors::receiver::verifications;
use crate::actors::server::{Server, hookbridge};
use crate::actors::{run, wait_until};

/// A log of forty events, two a minute, every other one a bounce.
async fn log() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let log = open_sqlite(&folder.path().join("log.db")).await;
    for n in 0..40 {
        let time = start() + SignedDuration::from_secs(30 * n);
        let mut event = new_event(&format!("{n}"), time);
        event.detail_type = if n % 2 == 0 { "bounce" } else { "delivery" }.into();
        log.record(&batch(&format!("{n}"), vec![event])).await.unwrap();
    }
    folder
}

fn start() -> Timestamp {
    "2026-11-20T10:00:00Z".parse().unwrap()
}

/// Receives events; responds with the last of `statuses` and removes it, and with 204 once there are none.
#[derive(Clone, Default)]
struct Receiver {
    received: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
    bodies: Arc<Mutex<Vec<String>>>,
    statuses: Arc<Mutex<Vec<u16>>>,
}

impl Receiver {
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/in", listener.local_addr().unwrap());
        let router = Router::new().route("/in", post(handle_request)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }

    fn ids(&self) -> Vec<String> {
        let received = self.received.lock().unwrap();
        received.iter().map(|(_, event)| event["id"].as_str().unwrap().to_owned()).collect()
    }
}

async fn handle_request(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let status = receiver.statuses.lock().unwrap().pop().unwrap_or(204);
    if status == 204 {
        // Requests are concurrent, so headers and body are stored together.
        let mut received = receiver.received.lock().unwrap();
        received.push((headers, serde_json::from_str(&body).unwrap()));
        receiver.bodies.lock().unwrap().push(body);
    }
    StatusCode::from_u16(status).unwrap()
}

fn replay(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = hookbridge();
    command.current_dir(folder.path()).args(["replay", "--database", "log.db"]).args(arguments);
    command.env("AWS_ENDPOINT_URL", std::env::var("HOOKBRIDGE_TEST_AWS").unwrap_or_default());
    command
}

fn numbers(numbers: impl IntoIterator<Item = i32>) -> Vec<String> {
    numbers.into_iter().map(|n| n.to_string()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_range_is_marked_and_in_order() {
    let folder = log().await;
    let receiver = Receiver::default();
    // An overloaded receiver is retried.
    *receiver.statuses.lock().unwrap() = vec![204, 503, 429, 204, 500];
    let url = receiver.start().await;
    let range = ["--from", "2026-11-20T10:05:00Z", "--to", "2026-11-20T10:15:00Z", "--type", "bou*"];
    let output = run(replay(&folder, &["--to-url", &url, "--at-once", "1", "--json"]).args(range));
    let summary: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((&summary["events"], &summary["left_out"]), (&json!(10), &json!(0)));
    assert_eq!(receiver.ids(), numbers((10..30).step_by(2)));
    for (headers, event) in receiver.received.lock().unwrap().iter() {
        let mark = event["resources"][0].as_str().unwrap();
        assert!(mark.starts_with("urn:hookbridge:replay:2"), "{mark}");
        assert_eq!((headers["hookbridge-replay"].to_str().unwrap(), &summary["mark"]), (mark, &json!(mark)));
        assert_eq!(event["detail-type"], "bounce");
    }
    // A replay after the cursor of the previous one sends nothing.
    let output =
        run(&mut replay(&folder, &["--to-url", &url, "--after", summary["cursor"].as_str().unwrap()]));
    assert!(output.starts_with("0 events sent"), "{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_replay_resumes() {
    let folder = log().await;
    let receiver = Receiver::default();
    *receiver.statuses.lock().unwrap() = vec![400, 204, 204, 204];
    let url = receiver.start().await;
    let output = replay(&folder, &["--to-url", &url, "--at-once", "1"]).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("event 3 was not delivered") && error.contains("400"), "{error}");
    let cursor = error.rsplit_once("--after ").unwrap().1.trim();
    run(&mut replay(&folder, &["--to-url", &url, "--at-once", "1", "--after", cursor]));
    assert_eq!(receiver.ids(), numbers(0..40));

    let receiver = Receiver::default();
    let url = receiver.start().await;
    let arguments = ["--to-url", &url, "--rate", "10", "--state", "state"];
    let started = Instant::now();
    let mut process = replay(&folder, &arguments).stderr(Stdio::piped()).spawn().unwrap();
    // Waits until the replay has saved its state.
    while !folder.path().join("state").exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", receiver.ids());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let before = receiver.ids().len();
    assert!((1..40).contains(&before), "{before} were sent before it was killed");
    run(&mut replay(&folder, &arguments));
    let mut ids = receiver.ids();
    assert!(ids.len() < 40 + before, "it did not start over: {} events", ids.len());
    ids.sort_by_key(|id| id.parse::<u32>().unwrap());
    ids.dedup();
    assert_eq!(ids, numbers(0..40), "each at least once");
    assert!(started.elapsed() >= Duration::from_millis(3800), "no more than 10 a second");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the providers' SDKs: run scripts/test"]
async fn signed_replays_verify_with_the_standard_webhooks_libraries() {
    let (folder, receiver) = (log().await, Receiver::default());
    let url = receiver.start().await;
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    run(replay(&folder, &["--to-url", &url, "--type", "bounce"]).env("HOOKBRIDGE_REPLAY_SECRET", secret));
    let received = receiver.received.lock().unwrap();
    let bodies = receiver.bodies.lock().unwrap();
    let mut requests: Vec<_> = received
        .iter()
        .zip(bodies.iter())
        .map(|((headers, _), body)| (headers.clone(), body.clone()))
        .collect();
    assert_eq!(verifications(secret, &requests), ["true"; 80]);
    requests.truncate(1);
    requests[0].1 = bodies[0].replace("bounce", "opened");
    assert!(verifications(secret, &requests).iter().all(|result| result != "true"));
    for ((headers, event), _) in received.iter().zip(bodies.iter()) {
        assert_eq!(headers["webhook-id"], event["id"].as_str().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs LocalStack: run scripts/test"]
async fn events_are_replayed_to_a_bus_and_a_queue() {
    endpoint();
    let folder = log().await;
    let pattern = json!({"resources": [{"prefix": "urn:hookbridge:replay:"}], "detail-type": ["bounce"]});
    let queue = Queue::for_rule("default", &pattern);
    let range = ["--to", "2026-11-20T10:00:10Z"];
    run(replay(&folder, &["--to-bus", "default"]).args(range));
    let event: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!((&event["source"], &event["detail"]["id"]), (&json!("sparkpost.com"), &json!("0")));
    assert_eq!(event["resources"][0], "urn:webhook:sparkpost:0");

    let queue = Queue::new();
    run(replay(&folder, &["--to-queue", &queue.url]).args(range));
    let event: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!((&event["id"], &event["detail"]["id"]), (&json!("0"), &json!("0")));
    assert!(event["resources"][0].as_str().unwrap().starts_with("urn:hookbridge:replay:"));
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_replays_are_rejected() {
    let folder = log().await;
    let error_of = |arguments: &[&str]| {
        let output = replay(&folder, arguments).output().unwrap();
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(error_of(&[]).contains("--to-bus"));
    assert!(error_of(&["--to-bus", "a", "--to-url", "http://localhost/"]).contains("cannot be used with"));
    assert!(
        error_of(&["--to-url", "ftp://localhost/"]).contains("is not a URL; the format is https://HOST/PATH")
    );
    assert!(
        error_of(&["--to-url", "http://localhost/", "--after", "x"])
            .contains("--after is not a cursor of this log")
    );
    assert!(
        error_of(&["--to-url", "http://localhost/", "--from", "yesterday"])
            .contains("invalid time 'yesterday'")
    );
    assert!(error_of(&["--to-url", "http://localhost/", "--rate", "0"]).contains("rate"));
    let error = error_of(&["--to-url", "http://localhost/", "--secret", "hunter2"]);
    assert!(error.contains("--secret: a signing secret is whsec_") && !error.contains("hunter2"), "{error}");
    assert!(
        error_of(&["--to-url", "http://localhost/", "--type", "a*b"])
            .contains("may contain * only at its end")
    );
    let range = ["--to-url", "http://localhost/", "--from", "2026-11-21", "--to", "2026-11-20"];
    assert!(error_of(&range).contains("--from is later than --to"));
    let receiver = Receiver::default();
    let url = receiver.start().await;
    run(&mut replay(&folder, &["--to-url", &url, "--state", "other", "--type", "bounce"]));
    let error = error_of(&["--to-url", &url, "--state", "other"]);
    assert!(error.contains("belongs to a replay of other events"), "{error}");
    std::fs::write(folder.path().join("state"), "garbled").unwrap();
    let error = error_of(&["--to-url", "http://localhost/", "--state", "state"]);
    assert!(error.contains("the content of --state is not a cursor"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_replays_to_its_bus_and_to_urls_that_are_allowed() {
    let receiver = Receiver::default();
    let url = receiver.start().await;
    tokio::task::spawn_blocking(move || {
        let mut server = Server::start_with(&["--allow-to", "127.0.0.1"]);
        let replay = |query: &str, body: &Value| {
            let reply = server.request("POST", &format!("/replays{query}"), &[], body.to_string().as_bytes());
            (reply.status, serde_json::from_str::<Value>(&reply.body).unwrap())
        };
        (0..5).for_each(|n| server.push(n));
        let events = wait_until("the events", || {
            let events = server.get("/events?after=start", &[]).1["data"].clone();
            Some(events.as_array().unwrap().clone()).filter(|events| events.len() == 5)
        });
        let one = json!({"event": events[1]["id"], "url": url});
        let (status, replayed) = replay("", &one);
        assert_eq!((status, &replayed["events"], &replayed["error"]), (200, &json!(1), &Value::Null));
        let started = replayed["started"].as_str().unwrap().parse::<Timestamp>().unwrap();
        let sent = receiver.received.lock().unwrap()[0].clone();
        let mark = format!("urn:hookbridge:replay:{started:.0}");
        assert_eq!(
            (&sent.1["id"], sent.0["hookbridge-replay"].to_str().unwrap()),
            (&events[1]["id"], &*mark)
        );
        assert_eq!(sent.1["resources"][1], json!(mark));

        // A page that the receiver rejects ends before the rejected group; the next request goes on from there.
        receiver.statuses.lock().unwrap().push(404);
        let to_url = json!({"url": url, "started": started});
        let (status, page) = replay("?after=start", &to_url);
        assert_eq!((status, &page["events"], &page["has_more"]), (200, &json!(4), &json!(true)));
        let error = page["error"].as_str().unwrap();
        assert!(error.contains("the target returned status 404"), "{error}");
        let after = page["cursor"].as_str().unwrap();
        let (_, page) = replay(&format!("?after={after}"), &to_url);
        assert_eq!((&page["events"], &page["error"]), (&json!(5), &Value::Null));
        assert_eq!(page["started"], json!(started.to_string()));

        // The bus gets the event again. The log does not, because it has the event already.
        let dry = json!({"dry_run": true});
        assert_eq!(replay("?after=start&id=delivery-3", &dry).1["events"], 1);
        assert_eq!(replay("?after=start&id=delivery-3", &json!({})).1["events"], 1);
        let on_bus = server.events();
        assert_eq!((on_bus.len(), &on_bus[5]["detail"]), (6, &on_bus[3]["detail"]));
        let original = on_bus[3]["id"].as_str().unwrap();
        assert_eq!(on_bus[5]["resources"][1], format!("urn:hookbridge:log:{original}"));
        assert!(on_bus[5]["resources"][2].as_str().unwrap().starts_with("urn:hookbridge:replay:"));
        server.push(5);
        let recorded = wait_until("the next event", || {
            let events = server.get("/events?after=start", &[]).1["data"].clone();
            Some(events.as_array().unwrap().clone()).filter(|events| events.len() > 5)
        });
        assert!(recorded.len() == 6 && recorded[5]["resources"].to_string().contains("delivery-5"));
        let bodies = receiver.bodies.lock().unwrap().len();

        for (query, body, expected, message) in [
            ("", json!({}), 400, "select events"),
            ("?after=start", json!({"event": "x"}), 400, "exclude each other"),
            ("?before=now", json!({}), 400, "before and wait"),
            ("", json!({"event": "none"}), 404, "There is no event"),
            ("?after=start", json!({"url": "ftp://127.0.0.1/"}), 400, "url: invalid URL"),
            ("?after=start", json!({"url": "http://10.0.0.1/"}), 400, "url: 10.0.0.1 is blocked"),
            ("?after=start", json!({"url": "http://169.254.169.254/latest"}), 400, "is blocked"),
            ("?after=start", json!({"url": "https://a:b@example.com/"}), 400, "user name and password"),
            ("?after=start", json!({"bus": "orders"}), 400, "unknown field"),
        ] {
            let (status, reply) = replay(query, &body);
            assert_eq!(status, expected, "{query} {body}: {reply}");
            let text = reply["errors"][0]["message"].as_str().unwrap();
            assert!(text.contains(message), "{query} {body}: {text}");
        }
        assert_eq!(server.request("GET", "/replays", &[], b"").status, 405);
        assert_eq!(receiver.bodies.lock().unwrap().len(), bodies);

        // Without --allow-to, an address of this machine is blocked, also behind a name.
        server.restart_with(&[]);
        for url in [url.clone(), url.replace("127.0.0.1", "localhost")] {
            let body = json!({"url": url}).to_string();
            let reply = server.request("POST", "/replays?after=start", &[], body.as_bytes());
            assert_eq!(reply.status, 400, "{}", reply.body);
        }
    })
    .await
    .unwrap();
}
