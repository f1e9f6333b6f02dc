//! Named consumers: the server keeps their cursors, and one reader at a time holds the lease.

use serde_json::{Value, json};

use crate::actors::raw_http;
use crate::actors::server::Server;

fn request_json(server: &Server, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let reply = server.request(method, path, &[], body.as_bytes());
    (reply.status, serde_json::from_str(&reply.body).unwrap_or_default())
}

fn numbers(page: &Value) -> Vec<u64> {
    let data = page["data"].as_array().unwrap_or_else(|| panic!("{page}"));
    data.iter().map(|event| event["detail"]["n"].as_u64().unwrap()).collect()
}

fn acknowledge(server: &Server, page: &Value) -> (u16, Value) {
    let body = json!({"cursor": page["cursor"], "lease": page["lease"]});
    request_json(server, "POST", "/consumers/billing/ack", &body)
}

/// A server with ten events in its log, and the consumer `billing`.
fn server() -> Server {
    let server = Server::start();
    (0..10).for_each(|n| server.push(n));
    let mut cursor = "start".to_owned();
    while {
        let (_, page) = server.get(&format!("/events?after={cursor}&wait=20"), &[]);
        cursor = page["cursor"].as_str().unwrap().to_owned();
        !numbers(&page).contains(&9)
    } {}
    let (status, consumer) = request_json(&server, "PUT", "/consumers/billing", &Value::Null);
    assert_eq!((status, &consumer["name"]), (201, &json!("billing")));
    server
}

#[test]
fn without_a_token_no_body_is_read() {
    let server = Server::start_with(&["--token", "open sesame"]);
    let host = server.address.to_string();
    let head = |length: usize| {
        format!("POST /consumers/a/ack HTTP/1.1\r\nhost: {host}\r\ncontent-length: {length}\r\n\r\n")
    };
    // A server that waited for the first body would answer 408, and 413 to the second.
    for length in [1000, 1_000_000] {
        let reply = raw_http::exchange(server.address, head(length).as_bytes()).unwrap();
        assert_eq!(reply.status, 401, "{}", reply.body);
    }
}

#[test]
fn a_consumer_continues_after_its_acknowledged_cursor() {
    let server = server();
    assert_eq!(
        request_json(&server, "PUT", "/consumers/billing", &json!({"after": "now"})).0,
        200,
        "an existing consumer is not changed"
    );
    let (_, page) = server.get("/consumers/billing/events?limit=4", &[]);
    assert_eq!((numbers(&page), &page["has_more"]), (vec![0, 1, 2, 3], &json!(true)));
    let (status, consumer) = acknowledge(&server, &page);
    assert_eq!(
        (status, &consumer["lag"]["events"], &consumer["leased_until"]),
        (200, &json!(6), &Value::Null)
    );
    assert!(consumer["lag"]["seconds"].as_f64().unwrap() > 0.0);
    let (_, page) = server.get("/consumers/billing/events", &[]);
    assert_eq!(numbers(&page), (4..10).collect::<Vec<_>>());
    acknowledge(&server, &page);
    let (_, consumer) = server.get("/consumers/billing", &[]);
    assert_eq!(consumer["lag"], json!({"events": 0, "seconds": 0.0}));
    let (status, page) = server.get("/consumers/billing/events", &[]);
    assert_eq!(
        (status, numbers(&page), &page["lease"]),
        (200, vec![], &Value::Null),
        "an empty page has no lease"
    );
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| server.get("/consumers/billing/events?wait=25", &[]).1);
        server.push(10);
        let page = waiting.join().unwrap();
        assert_eq!(numbers(&page), [10]);
        assert_eq!(acknowledge(&server, &page).0, 200);
    });
    let (_, list) = server.get("/consumers", &[]);
    assert_eq!((list["data"].as_array().unwrap().len(), &list["data"][0]["name"]), (1, &json!("billing")));
    assert_eq!(server.request("DELETE", "/consumers/billing", &[], b"").status, 204);
    assert_eq!(server.get("/consumers/billing", &[]).0, 404);
}

#[test]
fn a_consumer_has_one_reader_and_unacknowledged_events_are_delivered_again() {
    let server = server();
    let (_, page) = server.get("/consumers/billing/events?limit=4&lease=1", &[]);
    let (status, body) = server.get("/consumers/billing/events", &[]);
    assert_eq!((status, &body["errors"][0]["code"]), (409, &json!("leased")));
    // Another reader waits until the first lease expires, and receives the same events.
    let (status, repeated) = server.get("/consumers/billing/events?limit=4&wait=20", &[]);
    assert_eq!((status, numbers(&repeated)), (200, numbers(&page)));
    let (status, body) = acknowledge(&server, &page);
    assert_eq!(
        (status, &body["errors"][0]["code"]),
        (409, &json!("not_leased")),
        "the first lease has expired"
    );
    assert_eq!(acknowledge(&server, &repeated).0, 200);
    assert_eq!(acknowledge(&server, &repeated).0, 200, "a lost response may be retried");
    // Concurrent readers: each event goes to one of them.
    let mut seen: Vec<_> = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut seen = Vec::new();
                    loop {
                        let (status, page) = server.get("/consumers/billing/events?limit=1&wait=1", &[]);
                        if status == 409 {
                            continue;
                        }
                        let numbers = numbers(&page);
                        if numbers.is_empty() {
                            return seen;
                        }
                        assert_eq!(acknowledge(&server, &page).0, 200);
                        seen.extend(numbers);
                    }
                })
            })
            .collect();
        readers.into_iter().flat_map(|reader| reader.join().unwrap()).collect()
    });
    seen.sort_unstable();
    assert_eq!(seen, (4..10).collect::<Vec<_>>());
}

#[test]
fn a_consumer_can_seek_to_any_point() {
    let server = server();
    let (_, page) = server.get("/consumers/billing/events?limit=7", &[]);
    let (status, consumer) =
        request_json(&server, "POST", "/consumers/billing/seek", &json!({"after": "start"}));
    assert_eq!((status, &consumer["lag"]["events"]), (200, &json!(10)));
    assert_eq!(
        acknowledge(&server, &page).0,
        409,
        "an acknowledgement with an old lease does not undo the seek"
    );
    let (_, repeated) = server.get("/consumers/billing/events?limit=7&type=push", &[]);
    assert_eq!(numbers(&repeated), [0, 2, 4, 6, 8]);
    request_json(&server, "POST", "/consumers/billing/seek", &json!({"after": page["cursor"]}));
    let (_, remaining) = server.get("/consumers/billing/events", &[]);
    assert_eq!(numbers(&remaining), [7, 8, 9]);
    let (_, consumer) = request_json(&server, "POST", "/consumers/billing/seek", &json!({"after": "now"}));
    assert_eq!(consumer["lag"]["events"], 0);
    let (_, consumer) =
        request_json(&server, "POST", "/consumers/billing/seek", &json!({"after": "2020-01-01T00:00:00Z"}));
    assert_eq!(consumer["lag"]["events"], 10);
    // Events that do not match the filter are not returned again and again.
    let (_, empty) = server.get("/consumers/billing/events?source=stripe.com", &[]);
    assert_eq!((numbers(&empty), &empty["lease"]), (vec![], &Value::Null));
    assert_eq!(server.get("/consumers/billing", &[]).1["lag"]["events"], 0);
}

#[test]
fn invalid_consumer_requests_are_rejected() {
    let server = server();
    for (method, path, body, status) in [
        ("PUT", "/consumers/a b", "", 400),
        ("PUT", "/consumers/..%2f", "", 400),
        ("PUT", "/consumers/..", "", 400),
        ("PUT", "/consumers/x?after=now", "", 400),
        ("PUT", &format!("/consumers/{}", "a".repeat(65)), "", 400),
        ("PUT", "/consumers/x", "{", 400),
        ("PUT", "/consumers/x", "[]", 400),
        ("PUT", "/consumers/x", r#"{"after":7}"#, 400),
        ("PUT", "/consumers/x", r#"{"after":"garbled"}"#, 400),
        ("PUT", "/consumers/x", r#"{"from":"start"}"#, 400),
        ("GET", "/consumers/x", "", 404),
        ("GET", "/consumers/x/events", "", 404),
        ("POST", "/consumers/x/seek", r#"{"after":"start"}"#, 404),
        ("DELETE", "/consumers/x", "", 404),
        ("POST", "/consumers/billing", "", 405),
        ("PUT", "/consumers/billing/events", "", 405),
        ("GET", "/consumers/billing/ack", "", 405),
        ("POST", "/consumers", "", 405),
        ("GET", "/consumers/billing/other", "", 404),
        ("GET", "/consumers/billing/events?after=start", "", 400),
        ("GET", "/consumers/billing/events?lease=0", "", 400),
        ("GET", "/consumers/billing/events?lease=3601", "", 400),
        ("GET", "/consumers/billing/events?lease=1&lease=2", "", 400),
        ("POST", "/consumers/billing/ack", "", 400),
        ("POST", "/consumers/billing/ack", r#"{"cursor":"start","lease":"x"}"#, 400),
        ("POST", "/consumers/billing/seek", r#"{"after":""}"#, 400),
    ] {
        let reply = server.request(method, &path.replace(' ', "%20"), &[], body.as_bytes());
        assert_eq!(reply.status, status, "{method} {path} {body}: {}", reply.body);
        let error: Value = serde_json::from_str(&reply.body).unwrap();
        assert!(error["errors"][0]["message"].is_string(), "{method} {path} {body}: {error}");
    }
    let cursor = server.get("/events?limit=1", &[]).1["cursor"].clone();
    let (status, _) =
        request_json(&server, "POST", "/consumers/billing/ack", &json!({"cursor": cursor, "lease": "x"}));
    assert_eq!(status, 409);
    let large = server.request("PUT", "/consumers/x", &[], &vec![b' '; 100_000]);
    assert_eq!(large.status, 413);
}
