//! Who takes part in the stories: a server, a raw HTTP client, AWS, and what comes between us and AWS.

pub mod aws;
pub mod cloud_function;
pub mod database;
pub mod fault_proxy;
pub mod log;
pub mod office;
pub mod provider_api;
pub mod receiver;
pub mod runtime_api;
pub mod server;
pub mod stack;
pub mod wire;

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use hookbridge::providers::{self, RawWebhook};
use hookbridge::secrets::Secret;

/// The root of the checkout.
pub fn checkout() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What `scripts/test` has set up under this name.
pub fn set_up(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set: run the tests with scripts/test"))
}

/// Runs a program to its end and returns its output; panics with all it said when it fails.
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

/// The signature header that GitHub would send with `body`.
pub fn github_signature(body: &[u8]) -> String {
    signature("github", server::SECRET, "https://x.example/", body)
}

/// The signature header that a provider would send with `body`, by the library's own hand.
pub fn signature(provider: &str, secret: &str, url: &str, body: &[u8]) -> String {
    let provider = providers::find(provider).unwrap();
    let body = bytes::Bytes::copy_from_slice(body);
    let webhook = RawWebhook::new(url.parse().unwrap(), http::HeaderMap::new(), body);
    provider.signature.sign(&webhook, &Secret::new(secret), jiff::Timestamp::now()).unwrap()
}

/// Looks again and again until there is something, for a minute and a half at most.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
