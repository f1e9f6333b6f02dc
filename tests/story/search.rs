//! SparkPost's search API for message events, over HTTP.

use serde_json::{Value, json};

use crate::actors::server::{SECRET, Server, hookbridge};
use crate::actors::{raw_http, signature};

/// A batch with these events, a second apart, from more than an hour ago.
fn batch(events: &[Value]) -> String {
    batch_from(jiff::Timestamp::now().as_second() - 7200, events)
}

/// A batch with these events, a second apart, the first at this second.
fn batch_from(start: i64, events: &[Value]) -> String {
    let elements: Vec<_> = events
        .iter()
        .enumerate()
        .map(|(n, event)| {
            let mut event = event.clone();
            event["timestamp"] = (start + i64::try_from(n).unwrap()).to_string().into();
            event["event_id"] = format!("9235692769381385{n:02}").into();
            json!({"msys": {"message_event": event}})
        })
        .collect();
    Value::from(elements).to_string()
}

/// Sends a batch as SparkPost does, and waits until it is recorded.
fn send(server: &Server, id: &str, body: &str) {
    let authorization = signature("sparkpost", SECRET, "https://x.example/", body.as_bytes());
    let headers: [(&str, &[u8]); 3] = [
        ("authorization", authorization.as_bytes()),
        ("content-type", b"application/json"),
        ("x-messagesystems-batch-id", id.as_bytes()),
    ];
    assert_eq!(server.post("sparkpost", &headers, body.as_bytes()).status, 200);
    server.wait_for_line(&format!("sparkpost/{id}.json"));
}

fn search(server: &Server, query: &str) -> Vec<String> {
    let (status, page) = server.get(&format!("/api/v1/events/message?{query}"), &[]);
    assert_eq!(status, 200, "{page}");
    let results = page["results"].as_array().unwrap();
    assert_eq!(page["total_count"], results.len(), "{page}");
    results.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn sparkpost_events_are_found_by_every_filter() {
    let server = Server::start();
    let bounce = json!({"type": "bounce", "rcpt_to": "Ann@Example.com", "friendly_from": "shop@mail.example.net",
        "subject": "Summer deals are here!", "bounce_class": "10", "reason": "550 mailbox full", "campaign_id": "Summer 26",
        "customer_id": "1", "subaccount_id": "7", "msg_size": "1337", "message_id": "m1", "sending_ip": "192.0.2.1"});
    let open =
        json!({"type": "open", "rcpt_to": "bob@example.org", "subject": "Sundeals", "message_id": "m2"});
    send(&server, "one", &batch(&[bounce, open]));
    for query in [
        "recipients=ann@example.COM",
        "recipient_domains=example.com",
        "sending_domains=example.net",
        "from_addresses=shop@mail.example.net",
        "subjects=deals",
        "subjects=nothing,summer%20deals",
        "bounce_classes=10,20",
        "reasons=mailbox",
        "campaigns=summer",
        "subaccounts=7",
        "messages=m1",
        "sending_ips=192.0.2.1",
        "events=bounce",
        "event_ids=923569276938138500",
        "events=bounce;delivery&delimiter=;",
        "events=bounce&subjects=deals&recipients=ann@example.com",
    ] {
        assert_eq!(search(&server, query), ["bounce"], "{query}");
    }
    for query in ["recipients=ann", "subjects=deal", "events=bounce&messages=m2", "ab_tests=x"] {
        assert_eq!(search(&server, query), [""; 0], "{query}");
    }
    assert_eq!(search(&server, ""), ["open", "bounce"], "the newest first");
    let (_, page) = server.get("/api/v1/events/message?events=bounce", &[]);
    let event = &page["results"][0];
    assert_eq!(
        (&event["customer_id"], &event["subaccount_id"], &event["msg_size"]),
        (&json!(1), &json!(7), &json!(1337))
    );
    assert!(event["timestamp"].as_str().unwrap().ends_with(".000Z"), "{event}");
    assert_eq!(event["rcpt_to"], "Ann@Example.com", "the address keeps its case");
}

#[test]
fn a_cursor_pages_through_all_events_without_repeats() {
    let server = Server::start();
    let events: Vec<_> =
        (0..25).map(|n| json!({"type": "open", "rcpt_to": format!("{n}@example.com")})).collect();
    send(&server, "one", &batch(&events));
    let newer_time = jiff::Timestamp::now().as_second() - 3600;
    let mut next = Some("/api/v1/events/message?per_page=10&cursor=initial&events=open".to_owned());
    let (mut pages, mut seen) = (0, Vec::new());
    while let Some(path) = next {
        let (status, page) = server.get(&path, &[]);
        assert_eq!((status, &page["total_count"]), (200, &json!(25)));
        seen.extend(page["results"].as_array().unwrap().iter().map(|event| event["rcpt_to"].to_string()));
        next = page["links"]["next"].as_str().map(str::to_owned);
        assert!(page["links"].is_object());
        pages += 1;
        // New events are newer than the cursor.
        send(
            &server,
            &format!("more-{pages}"),
            &batch_from(newer_time + pages, &[json!({"type": "open", "rcpt_to": "new@example.com"})]),
        );
    }
    let expected: Vec<_> = (0..25).rev().map(|n| format!("\"{n}@example.com\"")).collect();
    assert_eq!((pages, seen), (3, expected));

    let mut next = Some("/api/v1/message-events?per_page=10".to_owned());
    let mut seen = 0;
    while let Some(path) = next {
        let (status, page) = server.get(&path, &[]);
        assert_eq!(status, 200, "{page}");
        seen += page["results"].as_array().unwrap().len();
        let link = &page["links"][0];
        assert!(link.is_null() || link["rel"] == "next");
        next = link["href"].as_str().map(str::to_owned);
    }
    assert_eq!(seen, 28, "the events recorded in between, too");
}

#[test]
fn with_a_token_configured_every_search_requires_it() {
    let server = Server::start_with(&["--token", "open sesame"]);
    let path = "/api/v1/events/message";
    let status_with =
        |authorization: &str| server.get(path, &[("authorization", authorization.as_bytes())]).0;
    assert_eq!(server.get(path, &[]).0, 401);
    for wrong in ["Bearer", "Bearer open", "Basic b3Blbg==", "Bearer open sesame!"] {
        assert_eq!(status_with(wrong), 401, "{wrong}");
    }
    assert_eq!(status_with("Bearer open sesame"), 200);
    let (status, body) = server.get(&format!("{path}?recipient=x"), &[]);
    assert_eq!(
        (status, body),
        (401, json!({"errors": [{"message": "Unauthorized."}]})),
        "the token is checked before the query"
    );
}

#[test]
fn without_a_token_only_loopback_requests_are_answered() {
    let server = Server::start();
    let bytes = raw_http::request("GET", "/api/v1/events/message", "tunnel.example", &[], b"");
    assert_eq!(raw_http::exchange(server.address, &bytes).unwrap().status, 403);
    let proxied: [(&str, &[u8]); 1] = [("x-forwarded-for", b"192.0.2.1")];
    assert_eq!(server.get("/api/v1/events/message", &proxied).0, 403);
    let output = hookbridge().args(["serve", "--listen", "0.0.0.0:0"]).output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("can be reached from other machines") && error.contains("--token"), "{error}");
}

#[test]
fn an_invalid_search_names_the_parameter() {
    let server = Server::start();
    for (query, message) in [
        ("recipient=x", "recipient is unknown"),
        ("per_page=ten", "per_page must be a whole number"),
        ("per_page=10001", "per_page must be a whole number"),
        ("cursor=abc", "cursor must be"),
        ("from=now", "from must be a time"),
        ("from=2026-01-02T00:00&to=2026-01-01T00:00", "from is later than to"),
        ("subjects=%00", "subjects contains a NUL character"),
        ("subjects=%ff", "the query is not UTF-8"),
        ("events=", "events is empty"),
        ("delimiter=", "delimiter is empty"),
    ] {
        let (status, body) = server.get(&format!("/api/v1/events/message?{query}"), &[]);
        assert_eq!(status, 400, "{query}");
        assert!(body["errors"][0]["message"].as_str().unwrap().starts_with(message), "{query}: {body}");
    }
    let too_many = format!("/api/v1/events/message?recipients={}", "a,".repeat(1001));
    assert_eq!(server.get(&too_many, &[]).0, 400);
    let wide_range = "/api/v1/events/message?from=-000044-03-15T00:00:00Z&to=9999-12-30T00:00:00Z";
    assert_eq!(server.get(wide_range, &[]).0, 200);
    let bytes = raw_http::request("POST", "/api/v1/events/message", &server.address.to_string(), &[], b"");
    assert_eq!(raw_http::exchange(server.address, &bytes).unwrap().status, 405);
}

#[test]
fn batches_unrecorded_by_an_earlier_run_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("archive/sparkpost")).unwrap();
    let body = batch(&[json!({"type": "delivery"}), json!({"type": "open"})]);
    std::fs::write(folder.path().join("archive/sparkpost/unrecorded.json"), body).unwrap();
    let archive = folder.path().join("archive");
    let server = Server::start_with(&["--archive", archive.to_str().unwrap()]);
    server.wait_for_line("sparkpost/unrecorded.json");
    assert_eq!(search(&server, ""), ["open", "delivery"]);
}
