//! Polling for missed webhooks: an event received by webhook and by poll is recorded once.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::actors::provider_api::{API_KEY, ApiKind, ProviderApi};
use crate::actors::server::{SECRET, Server};
use crate::actors::signature;

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn charge(n: i64, time: i64) -> Value {
    json!({"id": format!("evt_{n}"), "object": "event", "created": time, "type": "charge.succeeded", "n": n})
}

/// Sends a webhook with Stripe's signature.
fn send(server: &Server, event: &Value) {
    let body = event.to_string();
    let signature = signature("stripe", SECRET, "https://x.example/", body.as_bytes());
    let headers: [(&str, &[u8]); 2] =
        [("content-type", b"application/json"), ("stripe-signature", signature.as_bytes())];
    assert_eq!(server.post("stripe", &headers, body.as_bytes()).status, 202);
}

/// The ids of all events of a source in log order, once there are `count`.
fn ids(server: &Server, source: &str, count: usize) -> Vec<String> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let path = format!("/events?after=start&limit=1000&source={source}");
        let (_, page) = server.get(&path, &[]);
        let events = page["data"].as_array().unwrap();
        if events.len() >= count || Instant::now() > deadline {
            return events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn checkpoint(server: &Server, provider: &str) -> Option<Value> {
    let text = std::fs::read(server.folder.path().join(format!("polls/{provider}.json"))).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Sets the checkpoint to 50 minutes ago, which leaves one range.
fn set_checkpoint(server: &Server, provider: &str) {
    let start = jiff::Timestamp::from_second(now() - 3000).unwrap();
    let folder = server.folder.path().join("polls");
    std::fs::create_dir_all(&folder).unwrap();
    let checkpoint = json!({"start": start, "until": start});
    std::fs::write(folder.join(format!("{provider}.json")), checkpoint.to_string()).unwrap();
}

/// Waits until no poll is in progress and the checkpoint has reached `time`.
fn wait_until_polled(server: &Server, provider: &str, time: i64) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let until = checkpoint(server, provider).filter(|checkpoint| checkpoint["span"].is_null());
        let until =
            until.map(|checkpoint| checkpoint["until"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap());
        if until.is_some_and(|until| until.as_second() >= time) {
            return;
        }
        assert!(Instant::now() < deadline, "{:?}", checkpoint(server, provider));
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn flags(api: &ProviderApi, provider: &str, key: &str) -> Vec<String> {
    let set = |flag: &str, value: &str| format!("--{flag}={provider}={value}");
    vec![set("poll", key), set("poll-url", &api.url()), "--poll-delay=0".into()]
}

fn as_strs(flags: &[String]) -> Vec<&str> {
    flags.iter().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stripe_event_received_by_webhook_and_poll_is_recorded_once() {
    let api = ProviderApi::start(ApiKind::Stripe).await;
    tokio::task::spawn_blocking(move || {
        let start = now() - 2400;
        // Three pages. Of every three events, one also arrives by webhook before the poll, and one after it.
        let events: Vec<_> = (0..250).map(|n| charge(n, start + n / 2)).collect();
        let (sent_before, sent_after): (Vec<_>, Vec<_>) =
            events.iter().enumerate().filter(|(n, _)| n % 3 < 2).partition(|(n, _)| n % 3 == 0);
        let mut server = Server::start();
        set_checkpoint(&server, "stripe");
        sent_before.iter().for_each(|(_, event)| send(&server, event));
        assert_eq!(ids(&server, "stripe.com", sent_before.len()).len(), sent_before.len());
        for event in &events {
            api.add_event(event["created"].as_i64().unwrap(), event.clone());
        }
        server.restart_with(&[&as_strs(&flags(&api, "stripe", API_KEY))[..], &["--json"]].concat());
        let lines: Vec<Value> = (0..3)
            .map(|_| serde_json::from_str(&server.wait_for_line("\"missed\":")).unwrap())
            .filter(|line: &Value| line["recorded"]["batch"].as_str().unwrap().starts_with("stripe/polled."))
            .collect();
        let missed: i64 = lines.iter().map(|line| line["recorded"]["missed"].as_i64().unwrap()).sum();
        assert_eq!(missed, 250 - i64::try_from(sent_before.len()).unwrap());
        sent_after.iter().for_each(|(_, event)| send(&server, event));
        wait_until_polled(&server, "stripe", start);
        // Webhooks are recorded in order: when the last one is, all are.
        send(&server, &charge(9999, start));
        let mut found = ids(&server, "stripe.com", 251);
        found.retain(|id| id != "evt_9999");
        found.sort();
        let mut expected: Vec<_> =
            events.iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect();
        expected.sort();
        assert_eq!(found, expected, "each once");
        let (_, event) = server.get("/events/evt_2", &[]);
        assert_eq!(event["detail"], events[2], "as Stripe returns it");
        assert_eq!(event["resources"][0], "urn:webhook:stripe:evt_2");

        // Events of the downtime are polled after the restart, and known ones are not counted as missed.
        let time = now();
        api.add_event(time, charge(1000, time));
        std::thread::sleep(Duration::from_millis(1100));
        api.requests();
        server.restart_with(&as_strs(&flags(&api, "stripe", API_KEY)));
        assert!(server.wait_for_line("webhooks were missed: ").ends_with(": 1"));
        assert_eq!(api.requests().len(), 1);
        assert!(ids(&server, "stripe.com", 252).contains(&"evt_1000".to_owned()));
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_poll_resumes() {
    let api = ProviderApi::start(ApiKind::Stripe).await;
    tokio::task::spawn_blocking(move || {
        let start = now() - 2400;
        (0..250).for_each(|n| api.add_event(start + n, charge(n, start + n)));
        // The second page fails.
        api.next([None, Some((500, "internal detail"))]);
        let flags = flags(&api, "stripe", API_KEY);
        let mut server = Server::start();
        set_checkpoint(&server, "stripe");
        set_checkpoint(&server, "stripe");
        server.restart_with(&as_strs(&flags));
        let line = server.wait_for_line("poll failed: ");
        assert!(
            line.contains("/v1/events returned status 500") && !line.contains("internal detail"),
            "{line}"
        );
        assert_eq!(ids(&server, "stripe.com", 100).len(), 100);
        assert_eq!(api.requests().len(), 2);

        // The page cursor is no longer valid: the next poll starts the range again.
        api.next([Some((400, "No such event"))]);
        server.restart_with(&as_strs(&flags));
        server.wait_for_line("returned status 400");
        let requests = api.requests();
        assert!(requests[0].ends_with("&starting_after=evt%5F150"), "{requests:?}");
        server.restart_with(&as_strs(&flags));
        assert_eq!(ids(&server, "stripe.com", 250).len(), 250);
        wait_until_polled(&server, "stripe", now() - 60);
        let requests = api.requests();
        assert!(!requests[0].contains("starting_after") && requests.len() >= 3, "{requests:?}");

        // The server is killed between two pages, repeatedly.
        let time = now();
        (250..900).for_each(|n| api.add_event(time, charge(n, time)));
        std::thread::sleep(Duration::from_millis(1100));
        for n in 0..8 {
            server.signal("KILL");
            server.wait_for_exit();
            std::thread::sleep(Duration::from_millis(n * 7));
            server = server.start_in_same_folder(&as_strs(&flags));
            std::thread::sleep(Duration::from_millis(5 + n * 13));
        }
        let found = ids(&server, "stripe.com", 900);
        assert_eq!(found.len(), 900);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sparkpost_event_is_equal_by_webhook_and_by_api() {
    let api = ProviderApi::start(ApiKind::SparkPost).await;
    tokio::task::spawn_blocking(move || {
        let start = now() - 2400;
        let event = |n: i64| json!({"type": "open", "event_id": n.to_string(), "rcpt_to": "a@example.com"});
        let with_timestamp = |mut event: Value, timestamp: Value| {
            event["timestamp"] = timestamp;
            event
        };
        let elements: Vec<_> = (0..3)
            .map(|n| json!({"msys": {"track_event": with_timestamp(event(n), (start + n).to_string().into())}}))
            .collect();
        let mut server = Server::start();
        set_checkpoint(&server, "sparkpost");
        server.restart_with(&as_strs(&flags(&api, "sparkpost", "wrong")));
        let line = server.wait_for_line("poll failed: ");
        assert!(
            line.contains("rejected the API key (401 Unauthorized)") && !line.contains("wrong"),
            "{line}"
        );
        let body = Value::from(elements).to_string();
        let credentials = signature("sparkpost", SECRET, "https://x.example/", body.as_bytes());
        let headers: [(&str, &[u8]); 2] =
            [("content-type", b"application/json"), ("authorization", credentials.as_bytes())];
        assert_eq!(server.post("sparkpost", &headers, body.as_bytes()).status, 200);
        assert_eq!(ids(&server, "sparkpost.com", 3).len(), 3);
        for n in 0..5 {
            let time = jiff::Timestamp::from_second(start + n).unwrap();
            api.add_event(start + n, with_timestamp(event(n), format!("{time:.3}").into()));
        }
        server.restart_with(&as_strs(&flags(&api, "sparkpost", API_KEY)));
        let mut found = ids(&server, "sparkpost.com", 5);
        found.sort();
        assert_eq!(found, ["0", "1", "2", "3", "4"]);
        wait_until_polled(&server, "sparkpost", start + 5);
        assert_eq!(api.requests().len(), 4, "one rejected request and three pages, all at this host");
        let (_, search) = server.get("/api/v1/events/message?from=2016-01-01T00:00&events=open", &[]);
        assert_eq!(search["total_count"], 5);
        assert_eq!(search["results"][0]["rcpt_to"], "a@example.com");
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_page_is_reported_and_not_archived() {
    let api = ProviderApi::start(ApiKind::Stripe).await;
    tokio::task::spawn_blocking(move || {
        api.add_event(now() - 60, charge(1, now() - 60));
        let flags = flags(&api, "stripe", API_KEY);
        let mut server = Server::start();
        set_checkpoint(&server, "stripe");
        let oversized = Box::leak("x".repeat(33 << 20).into_boxed_str());
        for (status, body, message) in [
            (302, "", "returned status 302"),
            (200, "", "the answer is not a page of events: no list under 'data'"),
            (200, "{\"data\":{}}", "the answer is not a page of events"),
            (200, "{\"data\":[]}", "does not say whether there is another page"),
            (200, "\u{0}\u{fffd}[", "the answer is not a page of events"),
            (200, oversized, "returned more than 33554432 bytes"),
            (429, "slow down", "returned status 429"),
        ] {
            api.next([Some((status, body))]);
            server.restart_with(&as_strs(&flags));
            let line = server.wait_for_line("poll failed: ");
            assert!(line.contains(message), "{line}");
        }
        assert!(!server.folder.path().join("archive/stripe").exists(), "nothing is archived");
        // A list whose pages form a cycle is abandoned.
        let cyclic_page =
            r#"{"object":"list","data":[{"id":"evt_0","created":1795341600,"type":"a"}],"has_more":true}"#;
        api.next([Some((200, cyclic_page)), Some((200, cyclic_page))]);
        server.restart_with(&as_strs(&flags));
        assert!(server.wait_for_line("poll failed: ").contains("pagination loop"));
        // A damaged checkpoint is not treated as a missing one.
        let path = server.folder.path().join("polls/stripe.json");
        std::fs::write(&path, "{}").unwrap();
        server.restart_with(&as_strs(&flags));
        assert!(
            server.wait_for_line("poll failed: ").contains("invalid checkpoint; delete it to start from now")
        );
        // A checkpoint in the future (a wrong clock) is not trusted: the range since the start is polled again.
        let timestamp = |time: i64| jiff::Timestamp::from_second(time).unwrap();
        let future_checkpoint = json!({"start": timestamp(now() - 3000), "until": timestamp(now() + 86_400)});
        std::fs::write(&path, future_checkpoint.to_string()).unwrap();
        server.restart_with(&as_strs(&flags));
        assert_eq!(ids(&server, "stripe.com", 2), ["evt_0", "evt_1"]);
        // Days are polled hour by hour, the oldest first, and only for the configured types.
        std::fs::remove_file(&path).unwrap();
        api.requests();
        let extra_flags = ["--poll-back=2", "--poll-types=stripe=invoice.paid,charge.failed"];
        server.restart_with(&[&as_strs(&flags)[..], &extra_flags].concat());
        wait_until_polled(&server, "stripe", now() - 60);
        let requests = api.requests();
        assert_eq!(requests.len(), 48, "{requests:?}");
        assert!(
            requests
                .iter()
                .all(|query| query.ends_with("&types%5B%5D=invoice%2Epaid&types%5B%5D=charge%2Efailed"))
        );
        assert!(requests.is_sorted(), "{requests:?}");
    })
    .await
    .unwrap();
}
