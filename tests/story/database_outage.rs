//! The API while PostgreSQL is unreachable.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::actors::database::Database;
use crate::actors::server::Server;
use crate::actors::tcp_gate::TcpGate;
use crate::actors::wait_until;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL: run scripts/test"]
async fn a_request_is_answered_soon_and_a_waiting_one_waits_for_the_database() {
    let database = Database::new().await;
    tokio::task::spawn_blocking(move || {
        let (start, rest) = database.url.split_once('@').unwrap();
        let (target, name) = rest.split_once('/').unwrap();
        let target = if target.contains(':') { target.to_owned() } else { format!("{target}:5432") };
        let gate = TcpGate::in_front_of(&target);
        let url = format!("{start}@{}/{name}", gate.address);
        let server = Server::start_with(&["--database", &url]);
        server.push(1);
        let events = |path: &str| server.get(path, &[]);
        let page = wait_until("the event is in the log", || {
            let (status, page) = events("/events?after=start");
            (status == 200 && page["data"][0] != Value::Null).then_some(page)
        });
        let cursor = page["cursor"].as_str().unwrap_or_else(|| panic!("{page}")).to_owned();

        gate.close();
        for path in ["/events?after=start", "/events?after=now", "/consumers", "/subscribers", "/deliveries"]
        {
            let started = Instant::now();
            let reply = server.request("GET", path, &[], b"");
            assert_eq!(reply.status, 503, "{path}: {}", reply.body);
            assert!(started.elapsed() < Duration::from_secs(6), "{path} took {:?}", started.elapsed());
            assert!(reply.header("retry-after").is_some(), "{path}");
        }
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| events(&format!("/events?after={cursor}&wait=25")));
            std::thread::sleep(Duration::from_secs(4));
            assert!(!waiting.is_finished(), "a request that waits goes on waiting");
            gate.open();
            server.push(2);
            let (status, page) = waiting.join().unwrap();
            assert_eq!(status, 200, "{page}");
            assert_eq!(page["data"].as_array().map(Vec::len), Some(1), "{page}");
        });
        assert_eq!(events("/events?after=start").1["data"][1]["detail"]["n"], json!(2));
    })
    .await
    .unwrap();
}
