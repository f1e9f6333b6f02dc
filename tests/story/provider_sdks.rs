//! The providers' own SDKs sign webhooks, and a running server accepts them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hookbridge::providers::PROVIDERS;
use hookbridge::secrets::Secret;
use hookbridge::serve::test_webhook::TestWebhook;
use serde_json::{Value, json};

use crate::actors::server::{SECRET, Server};
use crate::actors::{checkout, run, test_environment};

/// Runs a script that signs and posts webhooks, and parses the JSON lines that it prints.
fn send_signed(program: &str, script: &Path, server: &Server, provider: &str) -> Vec<Value> {
    let url = format!("http://{}/hooks/{provider}", server.address);
    let program = environment().join("tools/bin").join(program);
    let text = run(Command::new(program).arg(script).args([&url, SECRET]));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The tools that `scripts/test` installed.
fn environment() -> PathBuf {
    test_environment("HOOKBRIDGE_TEST_ENV").into()
}

#[test]
#[ignore = "needs the providers' SDKs: run scripts/test"]
fn every_github_payload_signed_by_octokit_is_published_verbatim() {
    let server = Server::start_with(&["--quiet"]);
    let mut sent = send_signed("node", &environment().join("node/github_signs.mjs"), &server, "github");
    let forged = sent.pop().unwrap();
    assert_eq!((&forged["id"], &forged["status"]), (&"forged".into(), &401.into()));
    let form = sent.pop().unwrap();
    assert_eq!((&form["id"], &form["status"]), (&"form".into(), &202.into()));
    assert_eq!(sent.len(), 329);

    let text = std::fs::read_to_string(server.events_file()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 330);
    for (line, sent) in lines.iter().zip(&sent) {
        assert_eq!(sent["status"], 202, "{}", sent["id"]);
        let body = sent["body"].as_str().unwrap();
        assert!(line.ends_with(&format!("\"detail\":{body}}}")), "{} is not verbatim", sent["id"]);
        let event: Value = serde_json::from_str(line).unwrap();
        assert_eq!(event["source"], "github.com");
        assert_eq!(event["detail-type"], sent["event"]);
        assert_eq!(event["resources"][0], format!("urn:webhook:github:{}", sent["id"].as_str().unwrap()));
    }
    let event: Value = serde_json::from_str(lines[329]).unwrap();
    assert_eq!(event["detail"]["form"], "Grüße ✓");
}

#[test]
#[ignore = "needs the providers' SDKs: run scripts/test"]
fn webhooks_signed_by_stripe_s_library_are_accepted() {
    let server = Server::start_with(&["--quiet"]);
    let sent = send_signed("python", &checkout().join("tests/python/stripe_signs.py"), &server, "stripe");
    let statuses: Vec<u64> = sent.iter().map(|webhook| webhook["status"].as_u64().unwrap()).collect();
    assert_eq!(statuses, [202, 202, 202, 202, 202, 202, 202, 202, 202, 202, 202, 401, 401]);
    let events = server.events();
    assert_eq!(events.len(), 11);
    for (event, sent) in events.iter().zip(&sent) {
        let sent: Value = serde_json::from_str(sent["body"].as_str().unwrap()).unwrap();
        assert_eq!(event["detail"], sent);
        assert_eq!(event["detail-type"], "charge.succeeded");
        assert_eq!(event["resources"][0], format!("urn:webhook:stripe:{}", sent["id"].as_str().unwrap()));
        assert_eq!(event["time"].as_str().unwrap()[..17], *"2023-06-06T22:19:");
    }
}

#[test]
#[ignore = "needs the providers' SDKs: run scripts/test"]
fn webhooks_signed_by_twilio_s_library_are_accepted() {
    let server = Server::start_with(&["--quiet"]);
    let sent = send_signed("python", &checkout().join("tests/python/twilio_signs.py"), &server, "twilio");
    let invalid = ["json, tampered with", "another url", "another token"];
    for webhook in &sent {
        let expected = if invalid.contains(&webhook["name"].as_str().unwrap()) { 401 } else { 202 };
        assert_eq!(webhook["status"], expected, "{}", webhook["name"]);
    }
    assert_eq!(sent.len(), 11);
    let events = server.events();
    assert_eq!(events.len(), 8);
    assert_eq!(events[0]["detail"]["Body"], "Grüße & more = ✓");
    assert_eq!(events[0]["detail"]["FromCity"], "");
    assert_eq!(events[2]["detail"]["MediaUrl"], serde_json::json!(["b", "a", "a"]));
}

/// Runs without Python, so that `cargo test` reports a provider that nothing independent verifies.
#[test]
fn every_provider_has_an_independent_verifier() {
    let verifiers = std::fs::read_to_string(checkout().join("tests/python/verify_catalogue.py")).unwrap();
    let (_, verifiers) = verifiers.split_once("VERIFIERS: dict").unwrap();
    for provider in PROVIDERS {
        let entry = format!("\n    \"{}\": ", provider.name);
        assert!(
            verifiers.contains(&entry),
            "tests/python/verify_catalogue.py does not verify {}",
            provider.name
        );
    }
}

/// Each sample of every provider, as `hookbridge send` signs it, verified by an implementation that was written from the providers'
/// documentation, or by the provider's own SDK.
#[test]
#[ignore = "needs the providers' SDKs: run scripts/test"]
fn every_sample_verifies_with_an_independent_implementation() {
    let mut lines = String::new();
    for provider in PROVIDERS {
        let secret = provider.signature_scheme.generate_secret().unwrap();
        for sample in provider.samples {
            let url = format!("https://hooks.example/in/{}", provider.name).parse().unwrap();
            let event = provider.event_type.is_some() && provider.name != "twilio";
            let event = event.then_some(sample.event_type);
            let webhook = TestWebhook { provider, event, body: None, url, recorded: None };
            let signing = Secret::new(secret.signing.as_str());
            let signed = webhook.sign(&signing, jiff::Timestamp::now()).unwrap();
            let headers: serde_json::Map<String, Value> =
                signed.headers.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
            let line = json!({
                "provider": provider.name,
                "secret": secret.verifying,
                "method": signed.method.as_str(),
                "url": signed.url.to_string(),
                "headers": headers,
                "body": BASE64.encode(&signed.body),
            });
            lines += &format!("{line}\n");
        }
    }
    let mut verifier = Command::new(environment().join("tools/bin/python"))
        .arg(checkout().join("tests/python/verify_catalogue.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    verifier.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = verifier.wait_with_output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let expected = format!("verified {} samples of {} providers\n", lines.lines().count(), PROVIDERS.len());
    assert_eq!(printed, expected, "{errors}");
}
