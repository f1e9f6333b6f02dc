//! `hookbridge send`.

use std::io::Write as _;
use std::process::{Output, Stdio};

use hookbridge::providers::PROVIDERS;

use crate::actors::server::{SECRET, Server, hookbridge};

fn send(server: &Server, arguments: &[&str], input: Option<&str>) -> Output {
    let provider = arguments[0];
    let mut child = hookbridge()
        .arg("send")
        .args(arguments)
        .args(["--to", &format!("http://{}/hooks/{provider}", server.address)])
        .env("HOOKBRIDGE_SEND_SECRET", SECRET)
        // An explicit secret has precedence over a data folder.
        .env("HOOKBRIDGE_DATA", "no-such-folder")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.unwrap_or_default().as_bytes());
    child.wait_with_output().unwrap()
}

fn output_text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_sample_of_every_provider_arrives() {
    let server = Server::start_in(tempfile::tempdir().unwrap(), &[]);
    for provider in PROVIDERS {
        let url = format!("http://{}/hooks/{}", server.address, provider.name);
        let output = hookbridge()
            .args(["send", provider.name, "--to", &url, "--secret-from"])
            .arg(server.folder.path())
            .output()
            .unwrap();
        let response = match provider.sends_batches() {
            true => "200 Batch stored".to_owned(),
            false => format!("{} {}", provider.success.status, provider.success.body).trim().to_owned(),
        };
        assert_eq!(output_text(&output).trim_end(), response, "{}", provider.name);
        assert!(output.status.success());
    }
    let sources: std::collections::BTreeSet<String> =
        server.events().iter().map(|event| event["source"].as_str().unwrap().to_owned()).collect();
    assert_eq!(sources.len(), PROVIDERS.iter().filter(|provider| !provider.sends_batches()).count());
}

/// Covers an IPv6 host without a port: the colons in its address separate no port.
#[test]
fn a_webhook_to_this_machine_never_goes_through_a_proxy() {
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let proxy_url = format!("http://{}", proxy.local_addr().unwrap());
    for host in ["[::1]", "localhost", "127.0.0.1"] {
        let mut child = hookbridge()
            .args(["send", "github", "--secret", "x", "--to", &format!("http://{host}/hooks/github")])
            .envs([("HTTP_PROXY", &proxy_url), ("http_proxy", &proxy_url)])
            .env_remove("NO_PROXY")
            .env_remove("no_proxy")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        while child.try_wait().unwrap().is_none() {
            assert!(proxy.accept().is_err(), "{host}: the request went through the proxy");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert!(proxy.accept().is_err(), "{host}: the request went through the proxy");
    }
}

#[test]
fn with_json_the_response_is_a_line_of_json() {
    let server = Server::start();
    let output = send(&server, &["github", "--json"], None);
    let line: serde_json::Value = serde_json::from_str(&output_text(&output)).unwrap();
    let body = "Message forwarded to Amazon EventBridge";
    assert_eq!(line, serde_json::json!({"provider": "github", "status": 202, "answer": body}));
}

#[test]
fn the_event_type_and_body_can_be_chosen() {
    let server = Server::start();
    send(&server, &["github", "--event", "issues", "--data", "-"], Some(r#"{"action": "opened"}"#));
    send(&server, &["stripe", "--event", "invoice.paid"], None);
    send(&server, &["twilio", "--data", "-"], Some(r#"{"by": "json"}"#));
    let events = server.events();
    assert_eq!(
        (&events[0]["detail-type"], &events[0]["detail"]["action"]),
        (&"issues".into(), &"opened".into())
    );
    assert_eq!(events[1]["detail-type"], "invoice.paid");
    assert_eq!(events[2]["detail"]["by"], "json");
}

#[test]
fn an_unsendable_webhook_is_reported_with_a_remedy() {
    let server = Server::start();
    let error_of = |arguments: &[&str]| {
        let output = send(&server, arguments, None);
        assert!(!output.status.success());
        output_text(&output)
    };
    insta::assert_snapshot!(error_of(&["twilio", "--event", "x"]), @"hookbridge: --event: Twilio webhooks have no event type");
    insta::assert_snapshot!(error_of(&["stripe", "--event", "x", "--data", "-"]), @"hookbridge: --event: Stripe sends the event type in the body; omit --event or --data");
    insta::assert_snapshot!(error_of(&["github", "--data", "no-such-file"]), @"hookbridge: --data no-such-file: No such file or directory (os error 2)");
    insta::assert_snapshot!(error_of(&["github", "--event", "ü"]), @"hookbridge: --event: 'ü' contains characters that a header cannot");
    assert!(error_of(&["gitlub"]).contains("unknown provider 'gitlub'; similar names: github, gitlab; "));
    let output = hookbridge()
        .args(["send", "github", "--secret", "x", "--to", "http://127.0.0.1:9/"])
        .output()
        .unwrap();
    assert!(
        output_text(&output).starts_with("hookbridge: no response from http://127.0.0.1:9/: "),
        "{}",
        output_text(&output)
    );
    let output = hookbridge()
        .args(["send", "github", "--to", "http://127.0.0.1:9/"])
        .current_dir(server.folder.path().parent().unwrap())
        .output()
        .unwrap();
    assert!(output_text(&output).contains("start `hookbridge serve` once"), "{}", output_text(&output));
}
