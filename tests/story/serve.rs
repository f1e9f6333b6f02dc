//! `hookbridge serve`: the first minute of a new user, overload, and shutdown.

use std::io::{BufRead as _, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

use crate::actors::aws::{Queue, name};
use crate::actors::github_signature;
use crate::actors::raw_http::{self, read_reply};
use crate::actors::server::{Server, hookbridge};

/// The providers of the demo.
const DEMO_PROVIDERS: [&str; 6] = ["GitHub", "Shopify", "Slack", "SparkPost", "Stripe", "Twilio"];
/// The number of events that the demo publishes: one for each provider but SparkPost, whose batches are archived.
const DEMO_EVENTS: usize = 5;

const BODY: &[u8] = br#"{"zen":"Keep it logically awesome."}"#;

#[test]
fn the_demo_shows_webhooks_of_several_providers_and_a_forged_one() {
    let server = Server::start_with(&["--demo"]);
    for title in DEMO_PROVIDERS {
        let line = server.wait_for_line(&format!("  {title} "));
        let answer = match title {
            "SparkPost" => "200 Batch stored",
            _ => "202 Message forwarded to Amazon EventBridge",
        };
        assert!(line.ends_with(answer), "{line}");
    }
    let line = server.wait_for_line("forged: a guessed secret");
    assert!(line.ends_with("401 Invalid Signature"), "{line}");
    server.wait_for_line("demo: done");
    assert_eq!(server.events().len(), DEMO_EVENTS);
    let recorded = server.get("/events?after=start", &[]).1["data"].as_array().unwrap().len();
    assert_eq!(recorded, DEMO_EVENTS + 1, "the events are in the log when the demo ends, SparkPost's too");
    // From then on, each webhook is printed.
    server.wait_for_line("The server keeps running");
    server.push(2);
    let line = server.wait_for_line("delivery-2");
    assert!(line.contains("\"detail-type\":\"push\""), "{line}");
    let line = server.wait_for_line("delivery-2");
    assert!(
        line.starts_with("published github            202  push                    delivery-2"),
        "{line}"
    );
}

#[test]
fn an_acknowledged_webhook_survives_a_kill() {
    let mut server = Server::start();
    let signature = github_signature(BODY);
    let headers: [(&str, &[u8]); 4] = [
        ("content-type", b"application/json"),
        ("x-github-event", b"ping"),
        ("x-github-delivery", b"72d3162e-cc78-11e3-81ab-4c9367dc0958"),
        ("x-hub-signature-256", signature.as_bytes()),
    ];
    assert_eq!(server.post("github", &headers, BODY).status, 202);
    server.signal("KILL");
    server.wait_for_exit();
    let event = &server.events()[0];
    assert_eq!(event["source"], "github.com");
    assert_eq!(event["detail-type"], "ping");
    assert_eq!(event["resources"][0], "urn:webhook:github:72d3162e-cc78-11e3-81ab-4c9367dc0958");
    assert_eq!(event["detail"]["zen"], "Keep it logically awesome.");
}

#[test]
fn without_configuration_the_demo_leads_to_a_first_webhook() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = hookbridge()
        .args(["serve", "--demo", "--listen", "127.0.0.1:0"])
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.next().unwrap();
    lines.find(|line| line.starts_with("demo: done")).unwrap();
    let command = lines.find(|line| line.contains(" send github --to ")).unwrap();
    let command = command.trim().strip_prefix("Send another").unwrap();
    assert!(first.starts_with("hookbridge listens on http://127.0.0.1:"), "{first}");
    // Runs the command that the demo prints.
    let words: Vec<&str> = command.split_whitespace().skip(1).collect();
    let sent = hookbridge().args(&words).current_dir(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&sent.stdout), "202 Message forwarded to Amazon EventBridge\n");
    process.kill().unwrap();
    process.wait().unwrap();
    let events = std::fs::read_to_string(folder.path().join("hookbridge-data/events.jsonl")).unwrap();
    assert_eq!(events.lines().count(), DEMO_EVENTS + 1);
}

#[test]
#[ignore = "needs LocalStack: run scripts/test"]
fn events_are_published_on_the_named_eventbridge_bus() {
    let event_type = name("served");
    let queue = Queue::for_rule("default", &serde_json::json!({"detail-type": [event_type]}));
    let server = Server::start_with(&["--bus", "eventbridge:default"]);
    let signature = github_signature(BODY);
    let headers: [(&str, &[u8]); 3] = [
        ("content-type", b"application/json"),
        ("x-github-event", event_type.as_bytes()),
        ("x-hub-signature-256", signature.as_bytes()),
    ];
    assert_eq!(server.post("github", &headers, BODY).status, 202);
    let received: Value = serde_json::from_str(&queue.receive()).unwrap();
    assert_eq!(received["detail"]["zen"], "Keep it logically awesome.");
    assert!(!server.events_file().exists());
}

#[test]
fn the_demo_signs_for_the_public_url() {
    let server = Server::start_with(&["--demo", "--public-url", "https://hooks.example"]);
    server.wait_for_line("demo: done");
    assert_eq!(server.events().len(), DEMO_EVENTS);
}

#[test]
fn the_json_output_is_one_object_per_line() {
    let server = Server::start_with(&["--json", "--demo"]);
    let mut lines: Vec<Value> = Vec::new();
    while lines.iter().filter(|line| line.get("webhook").is_some()).count() < 7 {
        lines.push(serde_json::from_str(&server.wait_for_line("")).unwrap());
    }
    let webhooks: Vec<_> = lines.iter().filter_map(|line| line.get("webhook")).collect();
    assert_eq!(webhooks[0]["outcome"], "published");
    assert_eq!(webhooks[3]["outcome"], "archived");
    assert_eq!(webhooks[6]["reason"], "wrong-signature");
    assert_eq!(lines.iter().filter(|line| line.get("event").is_some()).count(), DEMO_EVENTS);
}

/// Sends the headers of a webhook and waits until the server has admitted it and responds `100 Continue`; returns the connection
/// and the unsent body.
fn in_flight_request(server: &Server, headers: &[(&str, &[u8])]) -> (TcpStream, Vec<u8>) {
    let headers = [headers, &[("expect", b"100-continue")]].concat();
    let mut request = raw_http::request("POST", "/hooks/github", "x", &headers, BODY);
    let body = request.split_off(request.len() - BODY.len());
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(&request).unwrap();
    assert_eq!(read_reply(&mut stream).unwrap().status, 100);
    (stream, body)
}

#[test]
fn a_webhook_in_flight_is_answered_before_shutdown() {
    let mut server = Server::start();
    let signature = github_signature(BODY);
    let headers: [(&str, &[u8]); 2] =
        [("content-type", b"application/json"), ("x-hub-signature-256", signature.as_bytes())];
    let (mut stream, body) = in_flight_request(&server, &headers);
    server.signal("INT");
    while TcpStream::connect(server.address).is_ok() {
        std::thread::yield_now();
    }
    stream.write_all(&body).unwrap();
    assert_eq!(read_reply(&mut stream).unwrap().status, 202);
    assert!(server.wait_for_exit().success());
    assert_eq!(server.events().len(), 1);
}

#[test]
fn a_webhook_over_the_concurrency_limit_is_429() {
    let server = Server::start_with(&["--concurrency", "1"]);
    let signature = github_signature(BODY);
    let headers: [(&str, &[u8]); 2] =
        [("content-type", b"application/json"), ("x-hub-signature-256", signature.as_bytes())];
    let (mut first, body) = in_flight_request(&server, &headers);
    let second = server.post("github", &headers, BODY);
    assert_eq!((second.status, second.body.trim_end()), (429, "TooManyRequestsException"));
    first.write_all(&body).unwrap();
    assert_eq!(read_reply(&mut first).unwrap().status, 202);
    assert_eq!(server.post("github", &headers, BODY).status, 202);
}

#[test]
fn endless_and_oversized_headers_are_cut_off() {
    let server = Server::start();
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(b"POST /hooks/github HTTP/1.1\r\nx-").unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let oversized = vec![b'x'; 300_000];
    let reply = raw_http::exchange(
        server.address,
        &raw_http::request("POST", "/hooks/github", "x", &[("a", &oversized)], b""),
    );
    assert_eq!(reply.unwrap().status, 431);
    let mut response = Vec::new();
    stream.read_to_end(&mut response).expect("the server closes the connection before the client gives up");
    assert_eq!(response, b"", "without a response");
}

#[test]
fn the_console_is_at_the_root_and_an_unknown_path_names_the_known_ones() {
    let server = Server::start();
    let get =
        |path| raw_http::exchange(server.address, &raw_http::request("GET", path, "x", &[], b"")).unwrap();
    let page = get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.head.contains("content-security-policy: default-src 'none'; script-src 'self'"),
        "{}",
        page.head
    );
    assert_eq!((get("/console").body, get("/console/no.js").status), (page.body, 404));
    assert!(get("/console/app.js").head.contains("text/javascript"));
    let missing = get("/hooks/gitlub");
    assert_eq!(missing.status, 404);
    assert!(missing.body.contains("/hooks/PROVIDER (the providers are listed by `hookbridge providers`)"));
}

#[test]
fn startup_errors_are_reported_with_a_remedy() {
    let error_of = |arguments: &[&str]| {
        let output = hookbridge().arg("serve").args(arguments).output().unwrap();
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let server = Server::start();
    let address = server.address.to_string();
    let unused_folder = tempfile::tempdir().unwrap();
    let unused_folder = unused_folder.path().join("new");
    for used_address in [address.clone(), address.replace("127.0.0.1", "localhost")] {
        let error = error_of(&["--listen", &used_address, "--data", unused_folder.to_str().unwrap()]);
        assert!(error.contains(&format!("cannot listen on {address}: Address already in use")), "{error}");
        assert!(error.contains("choose another with --listen"), "{error}");
    }
    assert!(!unused_folder.exists(), "a failed start creates no folder");
    let error = error_of(&["--listen", "localhost"]);
    assert!(error.contains("invalid address 'localhost', expected for example 127.0.0.1:8787"), "{error}");
    let error = error_of(&["--listen", "127.0.0.1:0", "--data", server.folder.path().to_str().unwrap()]);
    assert!(error.contains("is in use by another hookbridge"), "{error}");
    let error = error_of(&["--listen", "127.0.0.1:0", "--data", "/dev/null/x"]);
    assert!(error.contains("choose a folder you can write to with --data"), "{error}");
}
