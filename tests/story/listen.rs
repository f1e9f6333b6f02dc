//! `hookbridge listen`: events of a log reach a local program.

use std::process::{Child, Command, Stdio};

use hookbridge::providers;
use serde_json::Value;

use crate::actors::receiver::Receiver;
use crate::actors::server::{Server, hookbridge};
use crate::actors::tcp_gate::TcpGate;
use crate::actors::{run, wait_until};

fn listen(log: &str, forward_to: &str, arguments: &[&str]) -> Command {
    let mut command = hookbridge();
    command.args(["listen", "--from", log, "--forward-to", forward_to]).args(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Sends a signal to the command and returns what it printed.
fn stop(child: Child, signal: &str) -> (String, String) {
    run(Command::new("kill").args([signal, &child.id().to_string()]));
    let output = child.wait_with_output().unwrap();
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

/// The number of each received event.
fn numbers(receiver: &Receiver) -> Vec<u64> {
    receiver.received().iter().map(|request| request.event()["detail"]["n"].as_u64().unwrap()).collect()
}

fn wait_for_number(receiver: &Receiver, number: u64) {
    wait_until(&format!("event {number} at the local program"), || {
        numbers(receiver).contains(&number).then_some(())
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_in_outages_of_the_network_and_the_program_and_in_kills_of_the_command() {
    let receiver = Receiver::start().await;
    tokio::task::spawn_blocking(move || {
        let server = Server::start();
        let network = TcpGate::in_front_of(&server.address.to_string());
        let program = TcpGate::in_front_of(&receiver.address.to_string());
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("listen.json");
        let start = || {
            let log = format!("http://{}", network.address);
            let forward_to = format!("http://{}/hook", program.address);
            let arguments = ["--after", "start", "--state", state.to_str().unwrap()];
            listen(&log, &forward_to, &arguments).spawn().unwrap()
        };
        (1..=20).for_each(|n| server.push(n));
        let command = start();
        wait_for_number(&receiver, 20);
        program.close();
        (21..=30).for_each(|n| server.push(n));
        network.close();
        (31..=40).for_each(|n| server.push(n));
        stop(command, "-KILL");
        let command = start();
        network.open();
        program.open();
        wait_for_number(&receiver, 40);
        receiver.respond_with(503);
        server.push(41);
        wait_until("three attempts", || {
            (numbers(&receiver).iter().filter(|n| **n == 41).count() > 2).then_some(())
        });
        receiver.respond_with(500);
        server.push(42);
        wait_for_number(&receiver, 42);
        let (stdout, stderr) = stop(command, "-INT");
        assert!(stdout.contains("500 ") && stdout.contains("  push  delivery-42"), "{stdout}");
        assert!(!stdout.contains("503 "), "{stdout}");
        assert!(stderr.contains("answered 503; trying again until the program responds"), "{stderr}");
        // After a clean stop, no event is forwarded again.
        receiver.clear();
        server.push(43);
        let command = start();
        wait_for_number(&receiver, 43);
        stop(command, "-TERM");
        assert_eq!(numbers(&receiver), [43]);
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_once_and_in_order_and_filters_select_them() {
    let receiver = Receiver::start().await;
    tokio::task::spawn_blocking(move || {
        let server = Server::start_with(&["--token", "a-secret-token"]);
        let log = format!("http://{}", server.address);
        (1..=600).for_each(|n| server.push(n));
        let arguments = ["--token", "a-secret-token", "--after", "start"];
        let command = listen(&log, &receiver.url("hook"), &arguments).spawn().unwrap();
        wait_for_number(&receiver, 600);
        stop(command, "-INT");
        assert_eq!(numbers(&receiver), (1..=600).collect::<Vec<u64>>());
        let request = &receiver.received()[0];
        assert_eq!((request.path.as_str(), request.header("content-type")), ("/hook", "application/json"));
        let event = request.event();
        assert_eq!((&event["source"], &event["detail-type"]), (&"github.com".into(), &"issues".into()));

        receiver.clear();
        let arguments = [&arguments[..], &["--type", "pu*", "--json"]].concat();
        let command = listen(&log, &receiver.url("hook"), &arguments).spawn().unwrap();
        wait_for_number(&receiver, 600);
        let (stdout, _) = stop(command, "-INT");
        assert!(numbers(&receiver).iter().all(|n| n % 2 == 0));
        let event = receiver.received()[0].event();
        let line: Value = serde_json::from_str(stdout.lines().next().unwrap()).unwrap();
        assert_eq!((&line["status"], &line["id"]), (&200.into(), &"delivery-2".into()));
        assert_eq!((&line["type"], &line["event"]), (&event["detail-type"], &event["id"]));
    })
    .await
    .unwrap();
}

#[test]
fn a_local_program_gets_what_the_provider_would_have_sent() {
    let production = Server::start_in(tempfile::tempdir().unwrap(), &[]);
    let development = Server::start_in(tempfile::tempdir().unwrap(), &[]);
    let log = format!("http://{}", production.address);
    for name in ["github", "stripe", "twilio", "sendgrid", "discord", "braintree", "mandrill", "gocardless"] {
        let provider = providers::find_provider(name).unwrap();
        let url = format!("{log}/hooks/{name}");
        run(hookbridge().args(["send", name, "--to", &url, "--secret-from"]).arg(production.folder.path()));
        let forward_to = format!("http://{}/hooks/{name}", development.address);
        let secret_from = development.folder.path().to_str().unwrap();
        let arguments = ["--after", "start", "--sign-as", name, "--secret-from", secret_from];
        let command = listen(&log, &forward_to, &arguments).spawn().unwrap();
        let of_provider = |server: &Server| {
            let events = server.events();
            events.into_iter().filter(|event| event["source"] == provider.source).collect::<Vec<_>>()
        };
        let sent = of_provider(&production);
        let received = wait_until(&format!("the events of {name}"), || {
            Some(of_provider(&development)).filter(|events| events.len() == sent.len())
        });
        let (stdout, _) = stop(command, "-INT");
        assert!(stdout.starts_with(&provider.success.status.to_string()), "{name}: {stdout}");
        for (sent, received) in sent.iter().zip(&received) {
            for field in ["detail-type", "detail"] {
                assert_eq!(sent[field], received[field], "{name}");
            }
        }
    }
}

#[test]
fn an_error_of_listen_says_what_to_do() {
    let server = Server::start_with(&["--token", "a-secret-token"]);
    let log = format!("http://{}", server.address);
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("listen.json");
    let error = |arguments: &[&str]| {
        let output = listen(&log, "http://127.0.0.1:1/hook", arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    let text = error(&[]);
    assert!(text.contains("answered 401: the API token is missing or invalid; pass a valid token"), "{text}");
    let token = ["--token", "a-secret-token"];
    let text = error(&[&token[..], &["--after", "nonsense"]].concat());
    assert!(text.contains("answered 400: invalid cursor"), "{text}");
    assert!(!text.contains("a-secret-token"), "{text}");
    let with_state = ["--token", "a-secret-token", "--state", state.to_str().unwrap()];
    std::fs::write(&state, "{}").unwrap();
    assert!(error(&with_state).contains("is not a checkpoint of `hookbridge listen`; delete it"));
    let other = r#"{"log":"http://other/","position":{"cursor":"start","last_event_id":null}}"#;
    std::fs::write(&state, other).unwrap();
    assert!(error(&with_state).contains("belongs to another server or to other events"));
    let text = error(&["--sign-as", "github", "--secret-from", "no-such-folder"]);
    assert!(text.contains("no development secret for github"), "{text}");
    let output = listen(&log, "localhost:3000", &[]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(
        text.contains("--forward-to: 'localhost:3000': it must begin with https:// or http://"),
        "{text}"
    );
}
