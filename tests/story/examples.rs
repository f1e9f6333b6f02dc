//! The clients in `examples/` miss no event, wherever they are killed.

use std::io::Write as _;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::actors::server::Server;

/// The numbers that a client has printed, in order: one envelope per line, or batches of CloudEvents.
fn printed_numbers(path: &std::path::Path) -> Vec<u64> {
    let output = std::fs::read_to_string(path).unwrap_or_default();
    // The client may have been killed within a line, or before its end.
    let values = output
        .lines()
        .flat_map(|line| serde_json::Deserializer::from_str(line).into_iter::<Value>().map_while(Result::ok));
    let number =
        |value: &Value| value["detail"]["n"].as_u64().or_else(|| value["data"]["n"].as_u64()).unwrap();
    values
        .flat_map(|value| {
            value.as_array().map_or_else(|| vec![number(&value)], |list| list.iter().map(number).collect())
        })
        .collect()
}

/// Runs a client of `examples/` while events arrive, and repeatedly kills and restarts it.
fn kill_and_restart_client(client: &str) {
    let server = Server::start_with(&["--token", "open sesame", "--quiet"]);
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("output");
    let events = 60;
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut pushed = 0;
    loop {
        let mut output_file = std::fs::File::options().create(true).append(true).open(&output).unwrap();
        // An unfinished line of a killed client becomes a line by itself.
        output_file.write_all(b"\n").unwrap();
        let mut process = std::process::Command::new(crate::actors::checkout().join("examples").join(client))
            .arg(format!("http://{}", server.address))
            .arg(folder.path().join("cursor"))
            .env("TOKEN", "open sesame")
            .stdout(output_file)
            .spawn()
            .unwrap();
        let before = printed_numbers(&output).len();
        for _ in 0..events / 6 {
            if pushed < events {
                server.push(pushed);
                pushed += 1;
            }
        }
        // The client is killed at some point after it has printed an event.
        while printed_numbers(&output).len() == before && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut seen = printed_numbers(&output);
        seen.dedup();
        let is_complete = pushed == events && seen.last() == Some(&(events as u64 - 1));
        process.kill().unwrap();
        process.wait().unwrap();
        if is_complete {
            break;
        }
        assert!(Instant::now() < deadline, "{seen:?}");
    }
    let mut distinct = Vec::new();
    for n in printed_numbers(&output) {
        if !distinct.contains(&n) {
            distinct.push(n);
        }
    }
    assert_eq!(distinct, (0..events as u64).collect::<Vec<_>>(), "each at least once, in order");
}

#[test]
fn a_client_in_python_misses_nothing() {
    kill_and_restart_client("follow.py");
}

#[test]
fn a_client_in_shell_misses_nothing() {
    kill_and_restart_client("follow.sh");
}
