//! `GET /events`: a consumer that keeps a cursor misses nothing.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use hookbridge::log::RetentionPolicy;
use serde_json::{Value, json};

use crate::actors::log::open_sqlite;
use crate::actors::raw_http;
use crate::actors::server::Server;

fn numbers(page: &Value) -> Vec<u64> {
    let data = page["data"].as_array().unwrap_or_else(|| panic!("{page}"));
    data.iter().map(|event| event["detail"]["n"].as_u64().unwrap()).collect()
}

/// Reads from a cursor to the end; returns the numbers and the last cursor.
fn read_all(server: &Server, from: &str, query: &str) -> (Vec<u64>, String) {
    let (mut seen, mut cursor) = (Vec::new(), from.to_owned());
    loop {
        let (status, page) = server.get(&format!("/events?after={cursor}{query}"), &[]);
        assert_eq!(status, 200, "{page}");
        seen.extend(numbers(&page));
        cursor = page["cursor"].as_str().unwrap().to_owned();
        if page["has_more"] == false {
            return (seen, cursor);
        }
    }
}

/// Waits until the log has this many events; returns the cursor after them.
fn wait_for_events(server: &Server, events: usize) -> String {
    let (mut seen, mut cursor) = (0, "start".to_owned());
    while seen < events {
        let (_, page) = server.get(&format!("/events?after={cursor}&wait=20&limit=1000"), &[]);
        seen += page["data"].as_array().unwrap().len();
        cursor = page["cursor"].as_str().unwrap().to_owned();
    }
    cursor
}

#[test]
fn a_loop_with_a_cursor_sees_every_event_once_and_can_rewind() {
    let server = Server::start();
    (0..25).for_each(|n| server.push(n));
    wait_for_events(&server, 25);
    let expected: Vec<_> = (0..25).collect();
    let (seen, cursor) = read_all(&server, "start", "&limit=10");
    assert_eq!(seen, expected);
    assert_eq!(read_all(&server, "start", "&limit=1").0, expected);
    assert_eq!(read_all(&server, &cursor, "").0, [] as [u64; 0]);
    (25..30).for_each(|n| server.push(n));
    wait_for_events(&server, 30);
    assert_eq!(read_all(&server, &cursor, "&limit=3").0, [25, 26, 27, 28, 29]);
    let (_, page) = server.get("/events?limit=10", &[]);
    assert_eq!(
        (&page["object"], &page["has_more"], &page["url"]),
        (&json!("list"), &json!(true), &json!("/events"))
    );
    let after_ten = page["cursor"].as_str().unwrap();
    assert_eq!(read_all(&server, after_ten, "").0, (10..30).collect::<Vec<_>>());
    // A filter finds rare events, too.
    assert_eq!(read_all(&server, "start", "&limit=4&type=pu*").0, (0..15).map(|n| n * 2).collect::<Vec<_>>());
    assert_eq!(read_all(&server, "start", "&types%5B%5D=push&types[]=issues&source=github.com").0.len(), 30);
    assert_eq!(read_all(&server, "start", "&source=stripe.com").0.len(), 0);
    assert_eq!(read_all(&server, "2020-01-01T00:00:00Z", "").0.len(), 30);
    assert_eq!(read_all(&server, "start", "&to=2020-01-01T00:00:00Z").0.len(), 0);
}

#[test]
fn pages_can_be_read_backwards() {
    let server = Server::start();
    (0..25).for_each(|n| server.push(n));
    let end = wait_for_events(&server, 25);
    let (_, page) = server.get("/events?before=now&limit=10", &[]);
    assert_eq!(numbers(&page), (15..25).collect::<Vec<_>>(), "in the order of the log");
    let cursor = page["cursor"].as_str().unwrap();
    let (_, page) = server.get(&format!("/events?before={cursor}&limit=20"), &[]);
    assert_eq!((numbers(&page), &page["has_more"]), ((0..15).collect(), &json!(false)));
    let (_, page) = server.get(&format!("/events?before={end}&limit=2&type=push"), &[]);
    assert_eq!((numbers(&page), &page["has_more"]), (vec![22, 24], &json!(true)));
    assert_eq!(numbers(&server.get("/events?before=start", &[]).1), [] as [u64; 0]);
}

#[test]
fn a_long_poll_returns_new_events_or_an_empty_page() {
    let server = Server::start();
    let (_, page) = server.get("/events?after=now&wait=1", &[]);
    assert_eq!((&page["data"], &page["has_more"]), (&json!([]), &json!(false)));
    let cursor = page["cursor"].as_str().unwrap().to_owned();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = (0..5)
            .map(|_| scope.spawn(|| server.get(&format!("/events?after={cursor}&wait=25&type=push"), &[]).1))
            .collect();
        // An event that does not match the filter does not end the wait.
        server.push(1);
        server.push(2);
        for waiting in waiting {
            assert_eq!(numbers(&waiting.join().unwrap()), [2]);
        }
    });
    // A server that shuts down releases waiting readers.
    let mut server = server;
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(&raw_http::request("GET", "/events?after=now&wait=25", "localhost", &[], b"")).unwrap();
    let (_, page) = server.get("/events?after=now&wait=1", &[]);
    assert_eq!(page["data"], json!([]));
    server.signal("TERM");
    let reply = raw_http::read_reply(&mut stream).expect("a response");
    assert_eq!(
        (reply.status, serde_json::from_str::<Value>(&reply.body).unwrap()["data"].clone()),
        (200, json!([]))
    );
    assert!(server.wait_for_exit().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn large_events_make_short_pages_and_an_oversized_one_has_its_own() {
    let server = Server::start();
    let log = open_sqlite(&server.folder.path().join("log.db")).await;
    // 2 MB each, the fourth larger than a page, and two small ones.
    for (n, size) in [2_000_000, 2_000_000, 2_000_000, 7_000_000, 10, 10].into_iter().enumerate() {
        let mut event = crate::actors::log::new_event(&format!("{n}"), jiff::Timestamp::now());
        event.detail = format!(r#"{{"n":{n},"x":"{}"}}"#, "x".repeat(size)).into();
        log.record(&crate::actors::log::batch(&format!("{n}"), vec![event])).await.unwrap();
    }
    let pages = |direction: &str| {
        let (mut pages, mut cursor) =
            (Vec::new(), if direction == "after" { "start" } else { "now" }.to_owned());
        loop {
            let (_, page) = server.get(&format!("/events?{direction}={cursor}&limit=1000"), &[]);
            pages.push(numbers(&page));
            cursor = page["cursor"].as_str().unwrap().to_owned();
            if page["has_more"] == false {
                return pages;
            }
        }
    };
    assert_eq!(pages("after"), [vec![0, 1], vec![2], vec![3], vec![4, 5]]);
    assert_eq!(pages("before"), [vec![4, 5], vec![3], vec![1, 2], vec![0]]);
}

#[test]
fn forged_cursors_are_rejected() {
    let (server, other_server) = (Server::start(), Server::start());
    server.push(0);
    let cursor = wait_for_events(&server, 1);
    other_server.push(0);
    let other_cursor = wait_for_events(&other_server, 1);
    let altered = format!("{}A", &cursor[..cursor.len() - 1]);
    for invalid in [
        "x",
        "",
        "AAAA",
        &cursor[..20],
        &altered,
        &other_cursor,
        "2026-13-01T00:00:00Z",
        "%00",
        &"A".repeat(5000),
    ] {
        for parameter in ["after", "before"] {
            let (status, body) = server.get(&format!("/events?{parameter}={invalid}"), &[]);
            assert_eq!(status, 400, "{parameter}={invalid}: {body}");
        }
    }
    for (query, message) in [
        ("limit=0", "limit must be"),
        ("limit=1001", "limit must be"),
        ("wait=26", "wait must be"),
        ("wait=-1", "wait must be"),
        ("afetr=x", "afetr is unknown"),
        ("type=a*b", "type may contain * only"),
        ("after=start&before=now", "after and before"),
    ] {
        let (status, body) = server.get(&format!("/events?{query}"), &[]);
        assert_eq!(status, 400, "{query}");
        assert!(body["errors"][0]["message"].as_str().unwrap().starts_with(message), "{query}: {body}");
    }
    assert_eq!(server.request("POST", "/events", &[], b"").status, 405);
    assert_eq!(server.request("DELETE", "/events/x", &[], b"").status, 405);
    assert_eq!(server.get("/events/", &[]).0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_cursor_is_410_and_so_is_a_future_one() {
    let server = Server::start();
    server.push(0);
    let path = server.folder.path().join("log.db");
    let first = server.get("/events?limit=1&after=start", &[]).1["cursor"].clone();
    let copy = server.folder.path().join("backup.db");
    wait_for_events(&server, 1);
    let log = open_sqlite(&path).await;
    sqlx::query(sqlx::AssertSqlSafe(format!("vacuum into '{}'", copy.display())))
        .execute(&sqlx::SqlitePool::connect(path.to_str().unwrap()).await.unwrap())
        .await
        .unwrap();
    server.push(1);
    let ahead = wait_for_events(&server, 2);
    log.maintain(&RetentionPolicy { keep_since: Some(jiff::Timestamp::now()), ..RetentionPolicy::default() })
        .await
        .unwrap();
    server.push(2);
    let (status, body) = server.get(&format!("/events?wait=0&after={}", first.as_str().unwrap()), &[]);
    assert_eq!((status, &body["errors"][0]["code"]), (410, &json!("cursor_expired")), "{body}");
    assert!(body["errors"][0]["message"].as_str().unwrap().contains("after=start"));
    assert_eq!(server.get(&format!("/events?before={}", first.as_str().unwrap()), &[]).0, 410);
    assert_eq!(read_all(&server, &ahead, "&wait=20").0, [2]);
    assert_eq!(read_all(&server, "start", "").0, [2]);
    // A restored copy of the log accepts its cursors.
    let database = copy.to_str().unwrap();
    let restored = Server::start_with(&["--database", database]);
    let (status, body) = restored.get(&format!("/events?after={}", first.as_str().unwrap()), &[]);
    assert_eq!(status, 200, "{body}");
    let (status, body) = restored.get(&format!("/events?after={ahead}"), &[]);
    assert_eq!((status, &body["errors"][0]["code"]), (410, &json!("cursor_ahead")), "{body}");
}

#[test]
fn an_event_is_returned_by_id_and_as_a_cloud_event() {
    let server = Server::start();
    server.push(7);
    wait_for_events(&server, 1);
    let event = server.get("/events", &[]).1["data"][0].clone();
    let id = event["id"].as_str().unwrap();
    assert_eq!(server.get(&format!("/events/{id}"), &[]), (200, event.clone()));
    assert_eq!(server.get("/events/absent", &[]).0, 404);
    assert_eq!(server.get("/events/%00", &[]).0, 404);
    let accept: [(&str, &[u8]); 1] = [("accept", b"application/cloudevents-batch+json")];
    let reply = server.request("GET", "/events", &accept, b"");
    assert_eq!(reply.header("content-type").unwrap(), "application/cloudevents-batch+json");
    assert!(
        reply.header("hookbridge-cursor").is_some() && reply.header("link").unwrap().contains("rel=\"next\"")
    );
    let batch: Value = serde_json::from_str(&reply.body).unwrap();
    assert_eq!(
        (&batch[0]["specversion"], &batch[0]["type"], &batch[0]["source"], &batch[0]["data"]),
        (&json!("1.0"), &json!("issues"), &json!("github.com"), &event["detail"])
    );
    let event_reply =
        server.request("GET", &format!("/events/{id}"), &[("accept", b"application/cloudevents+json")], b"");
    assert_eq!(event_reply.header("content-type").unwrap(), "application/cloudevents+json");
    assert_eq!(serde_json::from_str::<Value>(&event_reply.body).unwrap(), batch[0]);
}

#[test]
fn a_known_page_is_304_and_an_accepted_encoding_is_used() {
    let server = Server::start();
    (0..20).for_each(|n| server.push(n));
    wait_for_events(&server, 20);
    let plain = server.request("GET", "/events", &[], b"");
    let tag = plain.header("etag").unwrap();
    let not_modified = server.request("GET", "/events", &[("if-none-match", tag.as_bytes())], b"");
    assert_eq!(
        (not_modified.status, not_modified.body.as_str(), not_modified.header("etag").unwrap()),
        (304, "", tag.clone())
    );
    let head = server.request("HEAD", "/events", &[], b"");
    assert_eq!((head.status, head.header("etag").unwrap(), head.body.as_str()), (200, tag.clone(), ""));
    server.push(20);
    wait_for_events(&server, 21);
    assert_eq!(server.request("GET", "/events", &[("if-none-match", tag.as_bytes())], b"").status, 200);

    let mut stream = TcpStream::connect(server.address).unwrap();
    let headers: [(&str, &[u8]); 2] = [("accept-encoding", b"gzip"), ("connection", b"close")];
    stream.write_all(&raw_http::request("GET", "/events?limit=20", "localhost", &headers, b"")).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
    assert!(
        head.contains("content-encoding: gzip") && head.contains("vary: accept, accept-encoding"),
        "{head}"
    );
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[head_end + 4..]).read_to_string(&mut text).unwrap();
    let (page, expected): (Value, Value) =
        (serde_json::from_str(&text).unwrap(), serde_json::from_str(&plain.body).unwrap());
    assert_eq!(page["data"], expected["data"]);
    assert!(bytes.len() < plain.body.len() / 2);
}

/// Reads the next event of a stream: its id and its number.
fn next_event(stream: &mut BufReader<TcpStream>) -> (String, u64) {
    let mut id = String::new();
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
        if let Some(cursor) = line.strip_prefix("id: ") {
            id = cursor.trim_end().to_owned();
        }
        if let Some(data) = line.strip_prefix("data: ") {
            let event: Value = serde_json::from_str(data).unwrap();
            return (id, event["detail"]["n"].as_u64().unwrap());
        }
    }
}

fn stream(server: &Server, path: &str, headers: &[(&str, &[u8])]) -> BufReader<TcpStream> {
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let headers = [&[("accept", b"text/event-stream".as_slice())], headers].concat();
    stream.write_all(&raw_http::request("GET", path, "localhost", &headers, b"")).unwrap();
    BufReader::new(stream)
}

#[test]
fn a_stream_resumes_after_its_last_event_id() {
    let server = Server::start();
    (0..3).for_each(|n| server.push(n));
    wait_for_events(&server, 3);
    let mut events = stream(&server, "/events", &[]);
    assert_eq!([next_event(&mut events).1, next_event(&mut events).1], [0, 1]);
    let (last, n) = next_event(&mut events);
    assert_eq!(n, 2);
    server.push(3);
    assert_eq!(next_event(&mut events).1, 3);
    drop(events);
    server.push(4);
    let mut events = stream(&server, "/events?after=now", &[("last-event-id", last.as_bytes())]);
    assert_eq!([next_event(&mut events).1, next_event(&mut events).1], [3, 4]);
    let mut rejected_stream = stream(&server, "/events", &[("last-event-id", b"garbled")]);
    let mut status = String::new();
    rejected_stream.read_line(&mut status).unwrap();
    assert!(status.contains(" 400 "), "{status}");
}

fn open_files(server: &Server) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).unwrap().count()
}

#[test]
fn a_thousand_readers_wait_and_a_disconnect_frees_its_slot() {
    let server = Server::start();
    let before = open_files(&server);
    let request = raw_http::request("GET", "/events?after=now&wait=25", "localhost", &[], b"");
    let mut waiting: Vec<_> = (0..1000)
        .map(|_| {
            let mut stream = TcpStream::connect(server.address).unwrap();
            stream.write_all(&request).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
            stream
        })
        .collect();
    // When the last one is connected, all of them wait; then half of them disconnect.
    let deadline = Instant::now() + Duration::from_secs(60);
    let wait_for = |condition: &dyn Fn() -> bool| {
        while !condition() {
            assert!(Instant::now() < deadline, "{} files are open", open_files(&server));
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    wait_for(&|| open_files(&server) >= before + 1000);
    waiting.truncate(500);
    wait_for(&|| open_files(&server) < before + 600);
    server.push(1);
    for stream in &mut waiting {
        let reply = raw_http::read_reply(stream).expect("a response");
        let page = serde_json::from_str(&reply.body).unwrap();
        assert_eq!(numbers(&page), [1]);
    }
}

#[test]
fn with_a_token_configured_every_read_requires_it() {
    let server = Server::start_with(&["--token", "open sesame"]);
    for path in ["/events", "/events/x", "/consumers", "/consumers/x/events", "/openapi.json"] {
        assert_eq!(server.get(path, &[]).0, 401, "{path}");
        assert_eq!(server.get(path, &[("authorization", b"Bearer open")]).0, 401, "{path}");
    }
    let accept: [(&str, &[u8]); 1] = [("accept", b"text/event-stream")];
    assert_eq!(server.get("/events", &accept).0, 401);
    assert_eq!(server.get("/events", &[("authorization", b"Bearer open sesame")]).0, 200);
    let server_without_token = Server::start();
    let foreign = raw_http::request("GET", "/events", "tunnel.example", &[], b"");
    assert_eq!(raw_http::exchange(server_without_token.address, &foreign).unwrap().status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_dropped_by_retention_are_not_ingested_again() {
    let mut server = Server::start();
    let path = server.folder.path().join("log.db");
    let authorization =
        crate::actors::signature("sparkpost", crate::actors::server::SECRET, "https://x.example/", b"");
    let headers: [(&str, &[u8]); 3] = [
        ("authorization", authorization.as_bytes()),
        ("content-type", b"application/json"),
        ("x-messagesystems-batch-id", b"one"),
    ];
    let batch = json!([{"msys": {"message_event": {"type": "bounce", "event_id": "1", "n": 1}}}]).to_string();
    assert_eq!(server.post("sparkpost", &headers, batch.as_bytes()).status, 200);
    server.push(1);
    wait_for_events(&server, 2);
    let log = open_sqlite(&path).await;
    log.maintain(&RetentionPolicy { keep_since: Some(jiff::Timestamp::now()), ..RetentionPolicy::default() })
        .await
        .unwrap();
    let other_log = server.folder.path().join("other.db");
    server.restart_with(&["--database", other_log.to_str().unwrap()]);
    wait_for_events(&server, 2);
    server.restart_with(&[]);
    server.push(2);
    let (_, page) = server.get("/events?wait=20", &[]);
    assert_eq!(numbers(&page), [2], "only the event recorded since then");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o77, 0, "only its owner can read the log");
    }
}

#[test]
fn events_received_during_a_log_outage_are_ingested_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let other_log = folder.path().join("log.db");
    let mut server = Server::start();
    (0..5).for_each(|n| server.push(n));
    wait_for_events(&server, 5);
    // Another log ingests the whole bus file; back on the first log, no event is recorded twice.
    server.restart_with(&["--database", other_log.to_str().unwrap()]);
    wait_for_events(&server, 5);
    server.push(5);
    wait_for_events(&server, 6);
    server.restart_with(&[]);
    wait_for_events(&server, 6);
    assert_eq!(read_all(&server, "start", "").0, (0..6).collect::<Vec<_>>());
}
