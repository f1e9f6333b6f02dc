//! Test fixtures: a server, a raw HTTP client, AWS, and a proxy that injects faults.

pub mod aws;
pub mod aws_in_memory;
pub mod cloud_function;
pub mod database;
pub mod dispatch_harness;
pub mod event_bus_v2;
pub mod fault_proxy;
pub mod front_door;
pub mod github_api;
pub mod http_api;
pub mod log;
pub mod provider_api;
pub mod raw_http;
pub mod receiver;
pub mod runtime_api;
pub mod samples;
pub mod server;
pub mod stack;
pub mod tcp_gate;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use hookbridge::providers::{self, WebhookRequest};
use hookbridge::secrets::Secret;

pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A variable that `scripts/test` sets.
pub fn test_environment(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with scripts/test"))
}

/// Runs a program and returns its output; panics with its output if it fails.
pub fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed:\n{}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

pub fn github_signature(body: &[u8]) -> String {
    signature("github", server::SECRET, "https://x.example/", body)
}

/// The signature header that a provider would send with `body`, made by the library.
pub fn signature(provider: &str, secret: &str, url: &str, body: &[u8]) -> String {
    let provider = providers::find_provider(provider).unwrap();
    let body = bytes::Bytes::copy_from_slice(body);
    let request = WebhookRequest::post(url.parse().unwrap(), body);
    provider.signature_scheme.signature(request, &Secret::new(secret), jiff::Timestamp::now()).unwrap()
}

/// Calls `poll` until it returns a value, for at most 90 s.
pub fn wait_until<T>(failure_message: &str, mut poll: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(value) = poll() {
            return value;
        }
        assert!(Instant::now() < deadline, "{failure_message}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
