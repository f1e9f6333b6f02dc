//! The API of the server itself, its health and its metrics.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use crate::actors::server::{SECRET, Server};
use crate::actors::{checkout, test_environment, wait_until};

#[test]
fn the_last_webhooks_are_listed_and_awaited() {
    let server = Server::start();
    let (_, page) = server.get("/webhooks", &[]);
    assert_eq!(page["data"], json!([]));
    let start = page["cursor"].as_u64().unwrap();
    (0..3).for_each(|n| server.push(n));
    assert_eq!(server.post("github", &[("x-hub-signature-256", b"sha256=00")], b"{}").status, 401);
    let (_, page) = server.get(&format!("/webhooks?after={}&limit=2", start + 1), &[]);
    let webhooks = page["data"].as_array().unwrap();
    assert_eq!((webhooks.len(), &page["cursor"]), (2, &json!(start + 4)));
    let (published, refused) = (&webhooks[0], &webhooks[1]);
    let facts = ["number", "provider", "outcome", "status", "event_type", "delivery_id", "bytes", "events"];
    let expected = json!([start + 3, "github", "published", 202, "push", "delivery-2", 7, 1]);
    assert_eq!(facts.iter().map(|name| published[*name].clone()).collect::<Value>(), expected);
    assert_eq!((&refused["outcome"], &refused["reason"]), (&"refused".into(), &"malformed-signature".into()));
    assert_eq!((&refused["event_type"], &refused["delivery_id"]), (&Value::Null, &Value::Null));
    assert!(!page.to_string().contains("sha256="), "no signature");

    // A request that waits is answered by the next webhook.
    let (address, path) = (server.address, format!("/webhooks?after={}&wait=20", start + 4));
    let waiting = std::thread::spawn(move || {
        let request = crate::actors::raw_http::request("GET", &path, "localhost", &[], b"");
        crate::actors::raw_http::exchange(address, &request).unwrap()
    });
    wait_until("the request that waits", || {
        server.request("GET", "/metrics", &[], b"").body.contains("hookbridge_long_polls 1").then_some(())
    });
    server.push(4);
    let reply = waiting.join().unwrap();
    assert!(reply.body.contains("delivery-4") && !reply.body.contains("delivery-2"), "{}", reply.body);
    // A cursor of an earlier process is before all of this one.
    let earlier = format!("/webhooks?after={}", start - 1_000_000);
    assert_eq!(server.get(&earlier, &[]).1["data"].as_array().unwrap().len(), 5);

    let (_, minutes) = server.get("/webhooks/minutes", &[]);
    let minutes = minutes["data"].as_array().unwrap();
    let counted = |outcome: &str| -> u64 {
        minutes.iter().filter_map(|minute| minute["providers"]["github"][outcome].as_u64()).sum()
    };
    assert_eq!((counted("published"), counted("refused")), (4, 1));
    // The first sample is taken at the start, before there is a consumer.
    let (status, lags) = server.get("/status/consumers", &[]);
    assert_eq!((status, &lags["data"][0]["consumers"]), (200, &json!({})));
    for (path, message) in [
        ("/webhooks?limit=0", "limit must be a whole number from 1 to 1000"),
        ("/webhooks?after=-1", "after must be a whole number"),
        ("/webhooks?after=1&after=2", "after is repeated"),
        ("/webhooks?type=push", "unknown parameter; known parameters: after, limit, wait"),
        ("/status?a=1", "This path takes no parameters."),
    ] {
        let (status, body) = server.get(path, &[]);
        assert_eq!((status, &body["errors"][0]["message"]), (400, &message.into()), "{path}");
    }
    assert_eq!(server.request("POST", "/webhooks", &[], b"").status, 405);
    assert_eq!(server.request("GET", "/webhooks/hours", &[], b"").status, 404);
}

#[test]
fn samples_are_signed_with_development_secrets_only() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_in(folder, &["--secret", &format!("stripe={SECRET}")]);
    let (_, samples) = server.get("/samples", &[]);
    let can_be_sent = |name: &str| {
        let samples = samples["data"].as_array().unwrap();
        samples.iter().find(|sample| sample["provider"] == name).unwrap()["can_be_sent"].clone()
    };
    assert_eq!((can_be_sent("github"), can_be_sent("stripe")), (json!(true), json!(false)));
    let send = |provider: &str, body: &str| {
        let reply = server.request("POST", &format!("/samples/{provider}"), &[], body.as_bytes());
        (reply.status, serde_json::from_str::<Value>(&reply.body).unwrap())
    };
    let (status, sent) = send("github", r#"{"event": "push"}"#);
    assert_eq!((status, &sent["status"]), (200, &json!(202)), "{sent}");
    let last = server.events().pop().unwrap();
    assert_eq!((&last["source"], &last["detail-type"]), (&"github.com".into(), &"push".into()));
    assert_eq!(send("github", "").1["status"], 202);
    for (provider, body, expected) in [
        ("stripe", "", 409),
        ("gitlub", "", 404),
        ("github", r#"{"event": "no such event"}"#, 400),
        ("github", r#"{"secret": "x"}"#, 400),
        ("github", "[]", 400),
    ] {
        assert_eq!(send(provider, body).0, expected, "{provider} {body}");
    }
}

#[test]
fn a_server_with_a_token_tells_others_only_whether_it_is_ready() {
    let server = Server::start_with(&["--token", "open sesame"]);
    let get = |path: &str| server.request("GET", path, &[], b"");
    assert_eq!((get("/healthz").status, get("/healthz").body.as_str()), (200, "ok\n"));
    assert_eq!(get("/readyz").body, "{\"failed\":[],\"ready\":true}\n");
    for path in ["/webhooks", "/webhooks/minutes", "/status", "/samples", "/metrics", "/openapi.json"] {
        assert_eq!(get(path).status, 401, "{path}");
        let reply = server.request("GET", path, &[("authorization", b"Bearer open sesame")], b"");
        assert_eq!(reply.status, 200, "{path}");
    }
    assert_eq!(server.request("POST", "/samples/github", &[], b"").status, 401);
}

#[test]
fn a_bus_that_cannot_be_written_is_not_ready() {
    let server = Server::start();
    server.push(1);
    let (folder, elsewhere) = (server.folder.path(), tempfile::tempdir().unwrap());
    std::fs::rename(folder, elsewhere.path().join("moved")).unwrap();
    let (status, body) = server.get("/readyz", &[]);
    assert_eq!((status, &body["ready"], &body["failed"][0]), (503, &json!(false), &json!("bus")));
    let (_, report) = server.get("/status", &[]);
    let error = report["parts"][0]["error"].as_str().unwrap();
    assert!(error.contains("No such file or directory"), "{error}");
    assert_eq!(server.request("GET", "/healthz", &[], b"").status, 200);
    std::fs::rename(elsewhere.path().join("moved"), folder).unwrap();
    // The answer may be a second old.
    wait_until("the server", || (server.get("/readyz", &[]).0 == 200).then_some(()));
}

#[test]
#[ignore = "needs Python's Prometheus parser: run scripts/test"]
fn prometheus_reads_the_metrics() {
    let server = Server::start();
    (0..3).for_each(|n| server.push(n));
    assert_eq!(server.post("github", &[], b"{}").status, 401);
    assert_eq!(server.request("PUT", "/consumers/billing", &[], b"").status, 201);
    let started = Instant::now();
    let metrics = loop {
        let reply = server.request("GET", "/metrics", &[], b"");
        assert!(reply.head.contains("application/openmetrics-text; version=1.0.0"), "{}", reply.head);
        if reply.body.contains("hookbridge_unrecorded_bytes 0") || started.elapsed().as_secs() > 30 {
            break reply.body;
        }
    };
    let environment = PathBuf::from(test_environment("HOOKBRIDGE_TEST_ENV"));
    let mut parser = Command::new(environment.join("tools/bin/python"))
        .arg(checkout().join("tests/python/reads_metrics.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    parser.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = parser.wait_with_output().unwrap();
    assert!(output.status.success(), "{metrics}");
    let samples: Value = serde_json::from_slice(&output.stdout).unwrap();
    let value = |name: &str, labels: Value| {
        let samples = samples.as_array().unwrap();
        let sample = samples.iter().find(|sample| sample["name"] == name && sample["labels"] == labels);
        sample.unwrap_or_else(|| panic!("no {name} {labels}: {samples:#?}"))["value"].clone()
    };
    let webhooks =
        |outcome| value("hookbridge_webhooks_total", json!({"provider": "github", "outcome": outcome}));
    assert_eq!((webhooks("published"), webhooks("refused")), (json!(3), json!(1)));
    assert_eq!(value("hookbridge_webhook_duration_seconds_count", json!({"provider": "github"})), json!(4));
    assert_eq!(value("hookbridge_unrecorded_bytes", json!({})), json!(0));
    assert_eq!(value("hookbridge_deliveries", json!({"state": "pending"})), json!(0));
    assert_eq!(value("hookbridge_consumer_lag_events", json!({"consumer": "billing"})), json!(3));
    assert!(value("hookbridge_consumer_lag_seconds", json!({"consumer": "billing"})).as_f64().unwrap() > 0.0);
    let flushes = value("hookbridge_bus_flushes_total", json!({})).as_f64().unwrap();
    assert!((1.0..=3.0).contains(&flushes), "{flushes}");
}
