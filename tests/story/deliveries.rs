//! `hookbridge serve` delivers to subscribers; `hookbridge subscriber` and `hookbridge delivery` manage them: from a received
//! webhook to a delivered one.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::actors::receiver::{Receiver, verifications};
use crate::actors::server::{SECRET, Server, hookbridge};
use crate::actors::{github_signature, run, wait_until};

pub const LOOPBACK: &str = "127.0.0.0/8";

/// A `hookbridge` command on the log in `folder`.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = hookbridge();
    command.args(arguments).arg("--json").arg("--database").arg(folder.join("log.db"));
    if arguments[0] == "subscriber" {
        command.env("HOOKBRIDGE_ALLOW_TO", LOOPBACK);
    }
    command
}

/// Runs a command and parses its JSON lines.
fn run_json(folder: &Path, arguments: &[&str]) -> Vec<Value> {
    let output = run(&mut command(folder, arguments));
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn error_of(output: &Output) -> String {
    assert!(!output.status.success());
    String::from_utf8(output.stderr.clone()).unwrap().trim().to_owned()
}

/// Runs blocking test code on its own thread, so that the receiver can respond meanwhile.
pub async fn run_blocking(test: impl FnOnce() + Send + 'static) {
    tokio::task::spawn_blocking(test).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the providers' SDKs: run scripts/test"]
async fn a_received_webhook_is_delivered_signed_and_recorded() {
    let receiver = Receiver::start().await;
    run_blocking(move || {
        let server = Server::start_with(&["--allow-to", LOOPBACK]);
        let folder = server.folder.path();
        let url = receiver.url("in");
        let filter = r#"{"source":["github.com"],"detail":{"n":[{"numeric":["<",10]}]}}"#;
        let created = run_json(
            folder,
            &["subscriber", "create", "ci", "--url", &url, "--type", "pu*", "--filter", filter],
        );
        let old_secret = created[0]["secret"].as_str().unwrap().to_owned();
        for n in 0..12 {
            server.push(n);
        }
        // Even numbers are pushes, odd ones issues.
        wait_until("not all events are delivered", || (receiver.received().len() == 5).then_some(()));
        let new_secret = run_json(folder, &["subscriber", "rotate-secret", "ci"])[0]["secret"]
            .as_str()
            .unwrap()
            .to_owned();
        server.push(0);
        wait_until("the event after the rotation is not delivered", || {
            (receiver.received().len() == 6).then_some(())
        });
        run_json(folder, &["subscriber", "rotate-secret", "ci", "--overlap", "0"]);
        server.push(2);
        wait_until("the last event is not delivered", || (receiver.received().len() == 7).then_some(()));

        let received = receiver.received();
        let requests: Vec<_> =
            received.iter().map(|request| (request.headers.clone(), request.body.clone())).collect();
        assert_eq!(
            verifications(&old_secret, &requests[..6]),
            ["true"; 24],
            "the old secret signs during the overlap"
        );
        assert_eq!(verifications(&new_secret, &requests[5..6]), ["true"; 4]);
        for (secret, range) in [(&new_secret, 0..5), (&old_secret, 6..7), (&new_secret, 6..7)] {
            assert!(verifications(secret, &requests[range]).iter().all(|result| result != "true"));
        }
        let mut forged = requests[0].clone();
        forged.1 = forged.1.replace("push", "opened");
        assert!(verifications(&old_secret, &[forged]).iter().all(|result| result != "true"));

        let delivered = wait_until("not all deliveries are recorded", || {
            let deliveries =
                run_json(folder, &["delivery", "list", "--subscriber", "ci", "--status", "delivered"]);
            (deliveries.len() == 7).then_some(deliveries)
        });
        assert!(delivered.iter().all(|delivery| delivery["type"] == "push" && delivery["attempts"] == 1));
        let details = run_json(folder, &["delivery", "show", &delivered[0]["id"].to_string()]);
        assert_eq!(details[0]["tries"][0]["answer"], "thanks");
        assert_eq!(details[0]["tries"][0]["address"], receiver.address.to_string());
        let database = std::fs::read(folder.join("log.db")).unwrap();
        for secret in [&old_secret, &new_secret] {
            assert!(
                !database.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()),
                "secrets are stored encrypted"
            );
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_signed_as_github_signs_verifies_at_our_own_bridge() {
    run_blocking(|| {
        let (sender, bridge) = (Server::start_with(&["--allow-to", LOOPBACK]), Server::start());
        let url = format!("http://{}/hooks/github", bridge.address);
        let folder = sender.folder.path();
        let create =
            ["subscriber", "create", "us", "--url", &url, "--signature", "sha256", "--envelope", "body"];
        let output = command(folder, &create).env("HOOKBRIDGE_SUBSCRIBER_SECRET", SECRET).output().unwrap();
        assert!(output.status.success());
        assert!(
            !String::from_utf8(output.stdout).unwrap().contains(SECRET),
            "a configured secret is not printed"
        );
        sender.push(4);
        // Our bridge requires GitHub's type header; its error shows that the signature verified.
        let delivery = wait_until("no attempt was made", || {
            run_json(folder, &["delivery", "list"]).pop().filter(|delivery| delivery["attempts"] == 1)
        });
        let details = run_json(folder, &["delivery", "show", &delivery["id"].to_string()]);
        let body = details[0]["tries"][0]["answer"].as_str().unwrap().to_owned();
        assert_ne!(delivery["answered"], 401, "{body}");
        // With another secret it is rejected.
        run_json(folder, &["subscriber", "rotate-secret", "us", "--overlap", "0"]);
        sender.push(6);
        let delivery = wait_until("no attempt was made for the second event", || {
            let mut deliveries = run_json(folder, &["delivery", "list"]);
            (deliveries.len() == 2 && deliveries[0]["attempts"] == 1).then(|| deliveries.swap_remove(0))
        });
        assert_eq!(delivery["answered"], 401);
        let cancelled = run_json(folder, &["delivery", "cancel", &delivery["id"].to_string()]);
        assert_eq!(cancelled, [json!({"object": "done", "deliveries": 1})]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_delivers_in_flight_events_after_its_restart() {
    let receiver = Receiver::start().await;
    run_blocking(move || {
        let mut server = Server::start_with(&["--allow-to", LOOPBACK, "--quiet"]);
        let url = receiver.url("in");
        run_json(server.folder.path(), &["subscriber", "create", "ci", "--url", &url]);
        receiver.respond_by(|_| {
            std::thread::sleep(Duration::from_millis(20));
            (200, vec![], String::new())
        });
        for round in 0..4 {
            for n in round * 50..round * 50 + 50 {
                server.push(n);
            }
            server.signal("KILL");
            assert!(!server.wait_for_exit().success());
            server = server.start_in_same_folder(&["--allow-to", LOOPBACK, "--quiet"]);
        }
        // Deliveries that were in flight stay leased for a while.
        let missing = || {
            let numbers: Vec<_> = receiver
                .received()
                .iter()
                .map(|request| request.event()["detail"]["n"].as_u64().unwrap())
                .collect();
            (0..200).filter(|n| !numbers.contains(n)).count()
        };
        let deadline = Instant::now() + Duration::from_secs(150);
        while missing() > 0 {
            assert!(Instant::now() < deadline, "{} events are not delivered", missing());
            std::thread::sleep(Duration::from_millis(100));
        }
    })
    .await;
}

#[test]
fn invalid_parameters_are_rejected() {
    let server = Server::start();
    let folder = server.folder.path();
    let create = |arguments: &[&str]| {
        let mut command = command(folder, &[&["subscriber", "create"], arguments].concat());
        error_of(&command.env_remove("HOOKBRIDGE_ALLOW_TO").output().unwrap())
    };
    insta::assert_snapshot!(create(&["a", "--url", "https://2130706433/"]), @"hookbridge: url: 127.0.0.1 is blocked: a loopback address (127.0.0.0/8); allow it with --allow-to 127.0.0.1, here and where events are delivered");
    insta::assert_snapshot!(create(&["a", "--url", "https://[::ffff:10.0.0.1]/"]), @"hookbridge: url: 10.0.0.1 is blocked: a private network (10.0.0.0/8); allow it with --allow-to 10.0.0.1, here and where events are delivered");
    insta::assert_snapshot!(create(&["a", "--url", "http://8.8.8.8/"]), @"hookbridge: url: only https:// URLs are allowed, except for networks given with --allow-to");
    insta::assert_snapshot!(create(&["a", "--url", "https://user:hunter2@hooks.example/"]), @"hookbridge: url: remove the user name and password from the URL; deliveries are signed instead");
    insta::assert_snapshot!(create(&["a", "--url", "hooks"]), @"hookbridge: url: invalid URL; write https://HOST/PATH");
    insta::assert_snapshot!(create(&["a b", "--url", "https://8.8.8.8/"]), @"hookbridge: a subscriber's name begins with a letter or digit and continues with letters, digits, '-', '_' and '.', at most 64 characters");
    insta::assert_snapshot!(create(&["a", "--url", "https://8.8.8.8/", "--filter", r#"{"detail":{"shop":"x"}}"#]), @"hookbridge: filter: not an event pattern: detail.shop is neither a list of values nor an object");
    insta::assert_snapshot!(create(&["a", "--url", "https://8.8.8.8/", "--limit", "0"]), @"hookbridge: limit: 0 is out of range, expected 1 to 1000");
    insta::assert_snapshot!(create(&["a", "--url", "https://8.8.8.8/", "--secret", "not of the standard"]), @"hookbridge: secret: a signing secret is whsec_ followed by the base64 of 24 to 64 random bytes, for example whsec_$(openssl rand -base64 32)");
    insta::assert_snapshot!(create(&["a", "--url", "https://8.8.8.8/", "--secret", "", "--signature", "sha1"]), @"hookbridge: secret: shorter than 16 bytes, so it could be guessed; create one with: openssl rand -hex 32");
    insta::assert_snapshot!(create(&["a", "--url", "https://8.8.8.8/", "--filter", r#"{"details":{"x":["y"]}}"#]), @"hookbridge: filter: unknown field 'details'; events have: detail, detail-type, source, account, region, resources, time, id, version, $or");
    insta::assert_snapshot!(create(&["a", "--url", "https://8.8.8.8/", "--allow-to", "inside"]), @"hookbridge: allow-to: invalid address or network 'inside', expected for example 10.1.0.0/16");
    assert_eq!(run_json(folder, &["subscriber", "list"]), [Value::Null; 0]);
    run_json(folder, &["subscriber", "create", "a", "--url", "https://8.8.8.8/"]);
    let error = |arguments: &[&str]| error_of(&command(folder, arguments).output().unwrap());
    insta::assert_snapshot!(error(&["subscriber", "create", "a", "--url", "https://8.8.8.8/"]), @"hookbridge: subscriber a exists already; change it with update, or choose another name");
    insta::assert_snapshot!(error(&["subscriber", "show", "b"]), @"hookbridge: no subscriber b");
    insta::assert_snapshot!(error(&["subscriber", "resume", "a"]), @"hookbridge: subscriber a is not paused");
    insta::assert_snapshot!(error(&["delivery", "show", "7"]), @"hookbridge: no delivery 7");
    insta::assert_snapshot!(error(&["delivery", "list", "--subscriber", "b"]), @"hookbridge: no subscriber b; list them with: hookbridge subscriber list");
    let types = error(&["subscriber", "update", "a", "--type", "x,y"]);
    assert!(
        types.contains(
            r#"(--type A --type B); for a type with a comma use --filter '{"detail-type":["x,y"]}'"#
        ),
        "{types}"
    );
    insta::assert_snapshot!(error(&["delivery", "cancel", "7"]), @"hookbridge: no pending delivery matches");
    for status in ["waiting", "delivered", "failed", "cancelled"] {
        assert_eq!(run_json(folder, &["delivery", "list", "--status", status]), [Value::Null; 0]);
    }
    run_json(folder, &["subscriber", "update", "a", "--type", "x.*", "--limit", "3"]);
    run_json(folder, &["subscriber", "pause", "a"]);
    let details = run_json(folder, &["subscriber", "show", "a"]).remove(0);
    assert_eq!(
        (&details["state"], &details["settings"]["limit"], &details["settings"]["types"][0]),
        (&"paused".into(), &3.into(), &"x.*".into())
    );
    assert_eq!(run_json(folder, &["subscriber", "encrypt-again"]), [json!({"object": "done", "secrets": 0})]);
    assert_eq!(
        run_json(folder, &["subscriber", "delete", "a"]),
        [json!({"object": "done", "subscriber": "a"})]
    );
    assert_eq!(run_json(folder, &["subscriber", "list"]), [Value::Null; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_detail_is_delivered_byte_for_byte() {
    let receiver = Receiver::start().await;
    run_blocking(move || {
        let server = Server::start_with(&["--allow-to", LOOPBACK]);
        let folder = server.folder.path();
        run_json(folder, &["subscriber", "create", "a", "--url", &receiver.url("in")]);
        let body = b" {\n  \"a\": 1.0,\r\n\t\"b\": [ \"\\u00e9\",\n\n1e2 ]\n}\n";
        let signature = github_signature(body);
        let headers: [(&str, &[u8]); 3] = [
            ("content-type", b"application/json"),
            ("x-github-event", b"push"),
            ("x-hub-signature-256", signature.as_bytes()),
        ];
        assert_eq!(server.post("github", &headers, body).status, 202);
        let detail = format!("\"detail\":{}}}", String::from_utf8_lossy(body).trim());
        let received = wait_until("it is not delivered", || receiver.received().pop());
        assert!(received.body.ends_with(&detail), "{}", received.body);
        let page = server.request("GET", "/events", &[], b"").body;
        assert!(page.contains(&detail), "{page}");
        let events = std::fs::read_to_string(folder.join("events.jsonl")).unwrap();
        assert_eq!(events.lines().count(), 1, "one line: {events}");
    })
    .await;
}

/// Starts a server that responds with `respond`, and returns its URL.
fn hostile_server(
    respond: impl Fn(&mut std::net::TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let respond = Arc::new(respond);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, respond) = (stream.unwrap(), respond.clone());
            std::thread::spawn(move || {
                let mut request = [0; 65_536];
                let _ = stream.read(&mut request);
                // A client that stops reading closes the connection.
                let _ = respond(&mut stream);
            });
        }
    });
    url
}

#[test]
fn hostile_subscriber_responses_do_no_harm() {
    let server = Server::start();
    let folder = server.folder.path();
    let status_line = b"HTTP/1.1 200 OK\r\n";
    let servers = [
        (
            "endless",
            hostile_server(move |stream| {
                stream.write_all(status_line)?;
                stream.write_all(b"transfer-encoding: chunked\r\n\r\n")?;
                loop {
                    stream.write_all(format!("1000\r\n{}\r\n", "x".repeat(4096)).as_bytes())?;
                }
            }),
        ),
        (
            "slow",
            hostile_server(move |stream| {
                stream.write_all(status_line)?;
                stream.write_all(b"content-length: 1000\r\n\r\n")?;
                loop {
                    stream.write_all(b"x")?;
                    std::thread::sleep(Duration::from_secs(1));
                }
            }),
        ),
        (
            "broken",
            hostile_server(move |stream| {
                stream.write_all(status_line)?;
                stream.write_all(b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\nzzz\r\n")
            }),
        ),
        (
            "headers",
            hostile_server(move |stream| {
                stream.write_all(status_line)?;
                for n in 0..16_384 {
                    stream.write_all(format!("x-{n}: {}\r\n", "y".repeat(64)).as_bytes())?;
                }
                stream.write_all(b"content-length: 0\r\n\r\n")
            }),
        ),
        (
            "silent",
            hostile_server(|_| {
                std::thread::sleep(Duration::from_secs(30));
                Ok(())
            }),
        ),
        ("closes", hostile_server(|_| Ok(()))),
        ("smtp", hostile_server(|stream| stream.write_all(b"220 mail.example ESMTP\r\n"))),
    ];
    let started = Instant::now();
    for (name, url) in &servers {
        run_json(folder, &["subscriber", "create", name, "--url", url, "--timeout", "2"]);
        let output = command(folder, &["subscriber", "test", name]).output().unwrap();
        let result: Value = serde_json::from_slice(&output.stdout).unwrap();
        let error = result["error"].as_str().unwrap_or("none");
        let body = result["answer"].as_str().unwrap_or_default();
        let status = result["status"].as_u64();
        match *name {
            "endless" => assert_eq!((status, body.len()), (Some(200), 16_384), "{result}"),
            "slow" => assert!(status == Some(200) && body.len() < 10, "{result}"),
            "broken" => assert_eq!((status, body), (Some(200), "hello")),
            "silent" => assert_eq!(error, "timeout: no response within 2 s"),
            _ => assert!(error.starts_with("protocol: "), "{name}: {error}"),
        };
    }
    assert!(started.elapsed() < Duration::from_secs(30));
}

/// A receiver that keeps connections open, and treats the requests of one connection as `script` says, one letter for each: `k` is
/// answered, `c` is read and the connection closed, `p` is answered with a part of a status line and the connection closed. Requests
/// after the script are answered. Returns the URL and the numbers of requests, by connection.
fn scripted_receiver(script: &'static str) -> (String, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/in", listener.local_addr().unwrap());
    let counts = Arc::new(Mutex::new(Vec::new()));
    let all_counts = counts.clone();
    let script = Arc::new(Mutex::new(script.chars()));
    std::thread::spawn(move || {
        for (index, stream) in listener.incoming().enumerate() {
            let (mut stream, counts, script) = (stream.unwrap(), counts.clone(), script.clone());
            counts.lock().unwrap().push(0);
            std::thread::spawn(move || {
                loop {
                    let mut request = Vec::new();
                    let mut bytes = [0; 65_536];
                    // A request of this test arrives within two reads: its head and its body.
                    while !is_complete(&request) {
                        match stream.read(&mut bytes) {
                            Ok(length) if length > 0 => request.extend_from_slice(&bytes[..length]),
                            _ => return,
                        }
                    }
                    counts.lock().unwrap()[index] += 1;
                    let answer: &[u8] = match script.lock().unwrap().next().unwrap_or('k') {
                        'k' => b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
                        'p' => b"HTTP/1.1 2",
                        _ => b"",
                    };
                    stream.write_all(answer).unwrap();
                    if !answer.ends_with(b"ok") {
                        return;
                    }
                }
            });
        }
    });
    (url, all_counts)
}

fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request).to_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    length.is_some_and(|length: usize| body.len() >= length)
}

#[test]
fn a_request_is_repeated_once_if_a_kept_connection_broke_before_any_byte_of_the_response() {
    // The second request uses the connection of the first.
    for (script, delivered, repeated, requests) in [
        ("kk", [true, true], [false, false], 2),
        ("kck", [true, true], [false, true], 3),
        ("kcc", [true, false], [false, true], 3),
        ("kp", [true, false], [false, false], 2),
        ("c", [false, true], [false, false], 2),
    ] {
        let (url, counts) = scripted_receiver(script);
        let server = Server::start_with(&["--allow-to", LOOPBACK]);
        run_json(server.folder.path(), &["subscriber", "create", "a", "--url", &url]);
        for index in 0..2 {
            server.push(index + 1);
            let delivery = wait_until("the event was not attempted", || {
                let newest = server.get("/deliveries?limit=1", &[]).1["data"][0].clone();
                let attempted = newest["attempts"] == 1 && (index == 0 || newest["id"] == 2);
                attempted.then(|| server.get(&format!("/deliveries/{}", newest["id"]), &[]).1)
            });
            let attempt = &delivery["tries"][0];
            assert_eq!(attempt["status"] == 200, delivered[index], "{script} {index}: {delivery}");
            assert_eq!(attempt["repeated"], repeated[index], "{script} {index}: {delivery}");
            assert_eq!(delivery["tries"].as_array().map(Vec::len), Some(1), "it is the same attempt");
        }
        assert_eq!(counts.lock().unwrap().iter().sum::<usize>(), requests, "{script}");
    }
}
